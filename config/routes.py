"""Which paths are pages, and whose envelope a path's errors wear before any view is known (R3.1)."""

import re

from chat.protocols.openai.errors import envelope as openai_envelope
from chat.protocols.uimessage.errors import envelope as uimessage_envelope
from chat.views import Envelope

PAGES = ("/admin", "/static/", "/docs", "/favicon.ico")
"""Prefixes that Django's own cycle serves, besides the chat page at /. All other paths are wires."""

WIRE_ONLY = ("/v1/", "/openapi.json", "/status")
"""What `serve_chat` serves (OAI-5)."""

ENVELOPES: tuple[tuple[str, Envelope], ...] = (("/v1/", openai_envelope), ("/attachment/", uimessage_envelope))
request_id_pattern = re.compile(r"[A-Za-z0-9._-]{1,128}")
