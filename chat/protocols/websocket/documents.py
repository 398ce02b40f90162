"""How /api/schema and /docs describe what of the WebSocket wire is HTTP; the frames are in docs/websocket.md."""

from drf_spectacular.utils import extend_schema

from chat import documents
from chat.documents import properties

_TICKET = properties(ticket={"type": "string"}, expires_in={"type": "integer", "description": "Seconds."})

ticket = extend_schema(
    tags=["websocket: live chat"],
    operation_id="create_websocket_ticket",
    summary="A one-use ticket for a WebSocket",
    description=(
        "Opens one socket at `/chat?ticket=…` within 30 seconds, with the rights of the credential that asked for it. "
        "For pages: a browser cannot send `Authorization` with a WebSocket, and a key does not belong into an address."
    ),
    request=None,
    responses={
        200: documents.body(_TICKET, "The ticket.", {"ticket": "Zk3v…", "expires_in": 30}),
        **documents.refusals("invalid_credentials", "rate_limited", "store_unavailable"),
    },
)
