"""POST /api/ws/ticket (R1.6), and what a plain HTTP request to a socket's path is told (WS-2)."""

from typing import ClassVar

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from agents import credentials
from agents.errors import SwitchboardError
from chat.protocols.websocket import documents, tickets
from chat.views import Call, WireView, refuse, respond


class TicketView(WireView):
    """A one-use credential for a WebSocket, so that no key stands in an address (WS-71)."""

    scopes: ClassVar = {"POST": ""}
    json_body = False

    @documents.ticket
    async def post(self, call: Call) -> HttpResponse:
        token = call.headers.get("authorization", "").strip().partition(" ")[2].strip()
        credential = credentials.credential_of(token)
        if credential is None:
            raise SwitchboardError("invalid_credentials")
        return respond({"ticket": await tickets.issue(credential), "expires_in": tickets.LIFE_S}, headers={"Cache-Control": "no-store"})


async def upgrade_required(request: HttpRequest) -> HttpResponseBase:
    """426: this path is a WebSocket."""
    error = SwitchboardError("upgrade_required", "This is a WebSocket.", status=426, headers={"Upgrade": "websocket"})
    return refuse(error, request.request_id)  # type: ignore[attr-defined]  # set by config.handler
