"""JWTs (R1.2): signing in, rotation, signing out. A token carries `gen`, its user's token generation, and maybe `agent`.

Refresh tokens are stored only when they are dead (the blacklist); raising a user's generation kills all he has at once.
Synchronous: callers choose the thread, and hashing a password never happens on the event loop.
"""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from django.contrib.auth import authenticate, get_user_model
from rest_framework_simplejwt.exceptions import TokenError
from rest_framework_simplejwt.settings import api_settings
from rest_framework_simplejwt.tokens import AccessToken, RefreshToken, Token, UntypedToken

from agents.database import guarded
from agents.errors import SwitchboardError
from agents.models import UserProfile

_password_threads = ThreadPoolExecutor(max_workers=2, thread_name_prefix="passwords")
"""Hashing takes a core for a quarter of a second: sign-ins wait for each other, not the turns for them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    access: str
    refresh: str
    expires_in_s: int


async def sign_in(username: str, password: str, agent: str | None) -> Pair:
    """Raises invalid_credentials for an unknown or inactive user and a wrong password alike, after the same work."""
    return await asyncio.get_running_loop().run_in_executor(_password_threads, lambda: guarded(_sign_in, username, password, agent))


def _sign_in(username: str, password: str, agent: str | None) -> Pair:
    user = authenticate(None, username=username, password=password)
    if user is None:
        raise SwitchboardError("invalid_credentials")
    refresh = RefreshToken()
    refresh[api_settings.USER_ID_CLAIM] = str(user.pk)
    refresh["gen"] = _generation(user.pk)
    if agent is not None:
        refresh["agent"] = agent
    return _pair(refresh)


def rotate(text: str) -> Pair:
    """A new pair for a refresh token, which is dead from then on: of two that use it at once, one is refused."""
    token = _refresh_token(text)
    if not _die(token):
        raise SwitchboardError("invalid_credentials")
    token.set_jti()
    token.set_iat()
    token.set_exp()
    return _pair(token)


def check(text: str) -> None:
    """Raises invalid_credentials unless the token, of either type, is good now."""
    try:
        kind = UntypedToken(text).payload.get(api_settings.TOKEN_TYPE_CLAIM)  # type: ignore[arg-type]  # takes the text; typed for Token only
        token = _refresh_token(text) if kind == RefreshToken.token_type else AccessToken(text)  # type: ignore[arg-type]  # as above
    except TokenError as error:
        raise SwitchboardError("invalid_credentials") from error
    _check_user(token)


def sign_out(text: str) -> None:
    """The refresh token is dead; the access tokens made from it end with their hour."""
    _die(_refresh_token(text))


def _refresh_token(text: str) -> RefreshToken:
    try:
        token = RefreshToken(text)  # type: ignore[arg-type]  # as in check()
    except TokenError as error:
        raise SwitchboardError("invalid_credentials") from error
    _check_user(token)
    return token


def _die(token: Any) -> bool:
    _, first = token.blacklist()  # annotated as the row alone
    return bool(first)


def _check_user(token: Token) -> None:
    """Tokens of inactive or deleted users, and of an older generation, are refused at once."""
    users: Any = get_user_model()._default_manager
    user_id = token.payload.get(api_settings.USER_ID_CLAIM)
    if not users.filter(pk=user_id, is_active=True).exists() or token.payload.get("gen", 0) != _generation(user_id):
        raise SwitchboardError("invalid_credentials")


def _generation(user_id: Any) -> int:
    return UserProfile.objects.filter(user_id=user_id).values_list("token_generation", flat=True).first() or 0


def _pair(refresh: RefreshToken) -> Pair:
    seconds = int(api_settings.ACCESS_TOKEN_LIFETIME.total_seconds())
    return Pair(access=str(refresh.access_token), refresh=str(refresh), expires_in_s=seconds)
