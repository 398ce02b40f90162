"""Who calls: `Authorization: Bearer X` is the static key (openai wire), an API key (`sk-…`) or a JWT (R1.1). Cookies never count."""

import hmac
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from rest_framework_simplejwt.exceptions import TokenError
from rest_framework_simplejwt.tokens import AccessToken

from agents import directory, throttle
from agents.access import ANONYMOUS, STATIC, Principal
from agents.errors import SwitchboardError
from agents.settings import settings

_MAX_TOKENS = 10_000
_claims: OrderedDict[str, Mapping[str, Any]] = OrderedDict()
"""Claims of JWTs whose signature was checked: the check costs more than a turn's whole authentication."""


async def authenticate(headers: Mapping[str, str], *, path: str, address: str) -> Principal:
    """The caller. Raises invalid_credentials, one text for every cause, or rate_limited after many failures (R1.8)."""
    scheme, _, token = headers.get("authorization", "").strip().partition(" ")
    principal = await principal_of(token.strip(), path) if scheme.lower() == "bearer" else None
    if principal is None and settings.CHAT_ANONYMOUS and path.startswith("/v1/"):
        principal = ANONYMOUS
    if principal is None:
        await throttle.failed(address)
        raise SwitchboardError("invalid_credentials")
    return pinned(principal)


def pinned(principal: Principal) -> Principal:
    """The principal, limited to the agents that this process serves."""
    return replace(principal, pinned=frozenset(settings.CHAT_AGENTS)) if settings.CHAT_AGENTS else principal


async def principal_of(token: str, path: str) -> Principal | None:
    """The principal of a bearer token, or None when it is not valid (any more)."""
    if not token:
        return None
    static = settings.CHAT_API_KEY
    if static and path.startswith("/v1/") and hmac.compare_digest(token.encode(), static.encode()):
        return STATIC
    if token.startswith("sk-"):
        return await directory.principal_of_key(token)
    return await _principal_of_jwt(token)


async def _principal_of_jwt(token: str) -> Principal | None:
    claims = verified(token)
    return await principal_of_claims(claims) if claims else None


async def principal_of_claims(claims: Mapping[str, Any]) -> Principal | None:
    """The principal of a JWT whose signature was checked, or None when it does not count any more."""
    if claims["exp"] <= time.time():
        return None
    user = await directory.user(int(claims["user_id"]))
    if user is None or user.generation != claims.get("gen", 0):
        return None
    return replace(user.principal, default_agent=claims.get("agent", ""), expires_at_s=float(claims["exp"]))


def verified(token: str) -> Mapping[str, Any] | None:
    """The claims of an access token with a valid signature."""
    claims = _claims.get(token)
    if claims is None:
        try:
            claims = AccessToken(token).payload  # type: ignore[arg-type]  # takes the text; typed for Token only
        except TokenError:
            return None
        _claims[token] = claims
        if len(_claims) > _MAX_TOKENS:
            _claims.popitem(last=False)
    return claims
