"""Proving an e-mail address with a one-time code, where the link wants it (AG-61)."""

from django.http import HttpResponse

from agents.errors import SwitchboardError
from chat.fields import parse
from chat.links import Link, link_for
from chat.protocols.public import documents
from chat.protocols.public.serializers import CodeRequest, ConfirmRequest
from chat.protocols.public.views import VisitorView
from chat.times import iso
from chat.views import Call, respond
from chat.visitors import CODE_LIFE, Verified, confirm, send_code


class RequestView(VisitorView):
    """Sends a code; the answer is the same for any address."""

    scopes = {"POST": ""}

    @documents.request_code
    async def post(self, call: Call) -> HttpResponse:
        asked = parse(CodeRequest, call.json())
        await send_code(await _wanting_email(asked.token), asked.email)
        return respond({"message": "Verification code sent", "expires_in_seconds": int(CODE_LIFE.total_seconds())})


class ConfirmView(VisitorView):
    """Gives a session token for the right code."""

    scopes = {"POST": ""}

    @documents.confirm_code
    async def post(self, call: Call) -> HttpResponse:
        asked = parse(ConfirmRequest, call.json())
        found = await confirm(await _wanting_email(asked.token), asked.email, asked.code.strip())
        if not isinstance(found, Verified):
            return respond({"verified": False, "error": found})
        told = {"verified": True, "session_token": found.token, "expires_at": iso(found.expires_at)}
        return respond(told, headers={"Cache-Control": "no-store"})


async def _wanting_email(token: str) -> Link:
    link = await link_for(token)
    if not link.agent.require_email:
        raise SwitchboardError("invalid_request", "This link needs no verification.")
    return link
