"""POST /api/token, /api/token/refresh, /api/token/verify, /api/token/blacklist (R1.2)."""

from collections.abc import Awaitable
from typing import Any
from urllib.parse import parse_qsl

from django.http import HttpResponse

from agents import throttle
from agents.database import run
from agents.errors import SwitchboardError
from chat.fields import parse
from chat.protocols.agents_api import documents, tokens
from chat.protocols.agents_api.serializers import RefreshRequest, TokenRequest, VerifyRequest
from chat.views import Call, WireView, respond

_FORM = "application/x-www-form-urlencoded"
_WRONG_PASSWORD = "The user name or the password is wrong."  # noqa: S105  # a sentence
_WRONG_TOKEN = "The token in the body is wrong, expired or revoked."  # noqa: S105  # a sentence
_WRONG_REFRESH = "The refresh token in the body is wrong, expired, revoked or was used before."
"""One text for every cause, as R1.8 has it for headers."""


class TokenRoute(WireView):
    """No credential is needed; bodies are JSON or form-encoded."""

    public = True
    json_body = False
    scopes = {"POST": ""}


class TokenView(TokenRoute):
    """Signing in. After too many failures of one address it is refused before the password is looked at (R1.8)."""

    @documents.token
    async def post(self, call: Call) -> HttpResponse:
        asked = parse(TokenRequest, fields_of(call))
        if await throttle.blocked(call.address):
            raise throttle.refusal()
        return await answer(call, tokens.sign_in(asked.username, asked.password, asked.agent), _WRONG_PASSWORD)


class RefreshView(TokenRoute):
    @documents.refresh
    async def post(self, call: Call) -> HttpResponse:
        asked = parse(RefreshRequest, fields_of(call))
        return await answer(call, run(tokens.rotate, asked.refresh), _WRONG_REFRESH)


class VerifyView(TokenRoute):
    @documents.verify
    async def post(self, call: Call) -> HttpResponse:
        asked = parse(VerifyRequest, fields_of(call))
        return await answer(call, run(tokens.check, asked.token), _WRONG_TOKEN)


class BlacklistView(TokenRoute):
    @documents.blacklist
    async def post(self, call: Call) -> HttpResponse:
        asked = parse(RefreshRequest, fields_of(call))
        return await answer(call, run(tokens.sign_out, asked.refresh), _WRONG_REFRESH)


async def answer(call: Call, work: Awaitable[tokens.Pair | None], refused: str = "") -> HttpResponse:
    """The pair, or `{}`. A refused credential counts as a failure of its address (R1.8); `refused` says what of the body it was."""
    try:
        pair = await work
    except SwitchboardError as error:
        if error.code == "invalid_credentials":
            await throttle.failed(call.address)
            if refused:
                raise SwitchboardError("invalid_credentials", refused) from error
        raise
    return respond(shown(pair) if pair else {}, headers={"Cache-Control": "no-store"})


def shown(pair: tokens.Pair) -> dict[str, Any]:
    return {
        "access": pair.access,
        "refresh": pair.refresh,
        "access_token": pair.access,
        "token_type": "bearer",
        "expires_in": pair.expires_in_s,
    }


def fields_of(call: Call) -> dict[str, Any]:
    """The body's fields. Raises unsupported_media_type, invalid_json or invalid_request."""
    media_type = call.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type == _FORM:
        return _form_fields(call.body)
    if media_type and media_type != "application/json" and not media_type.endswith("+json"):
        raise SwitchboardError("unsupported_media_type", "The body must be JSON or form-encoded.")
    return call.json()


def _form_fields(body: bytes) -> dict[str, str]:
    try:
        fields = dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=20, errors="strict"))
    except ValueError as error:
        raise SwitchboardError("invalid_request", "The form is not valid.") from error
    if any("\0" in value for value in fields.values()):
        raise SwitchboardError("invalid_request", "The form contains the character U+0000.")
    return fields
