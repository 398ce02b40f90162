"""Which paths are pages, and whose envelope a path's errors wear before any view is known (R3.1)."""

import re

from chat.protocols.openai.errors import envelope as openai_envelope
from chat.protocols.uimessage.errors import envelope as uimessage_envelope
from chat.views import Envelope

PAGES = frozenset(("/", "/login", "/logout", "/session-token", "/admin", "/docs", "/favicon.ico"))
PAGE_FOLDERS = ("/admin/", "/docs/", "/static/")
"""What Django's own cycle serves: these paths, and all below these. All others are wires, whose errors are never HTML (R3.1)."""

WIRE_ONLY = ("/v1/", "/openapi.json", "/status")
"""What `serve_chat` serves (OAI-5)."""

ENVELOPES: tuple[tuple[str, Envelope], ...] = (("/v1/", openai_envelope), ("/attachment/", uimessage_envelope))
request_id_pattern = re.compile(r"[A-Za-z0-9._-]{1,128}")
