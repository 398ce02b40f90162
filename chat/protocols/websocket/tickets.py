"""One-use tickets for sockets (R1.6, WS-5): 32 random bytes, kept only as a hash, valid 30 s, deleted by their first use."""

import secrets
import time
from collections import OrderedDict

import orjson
from django.conf import settings

from agents.credentials import Credential
from agents.errors import SwitchboardError
from agents.models import hash_key
from chat import redis
from chat.redis import failures

LIFE_S = 30
_MAX_KEPT = 100_000
_kept: OrderedDict[str, tuple[float, Credential]] = OrderedDict()


async def issue(credential: Credential) -> str:
    """A ticket that stands for the credential. Raises store_unavailable."""
    ticket = secrets.token_urlsafe(32)
    if settings.REDIS_URL:
        try:
            await redis.client().set(_name(ticket), orjson.dumps(credential.to_json()), ex=LIFE_S)
        except failures() as error:
            raise SwitchboardError("store_unavailable", retry_after_s=1) from error
        return ticket
    _kept[hash_key(ticket)] = (time.monotonic() + LIFE_S, credential)
    _forget_old()
    return ticket


async def redeem(ticket: str) -> Credential | None:
    """What the ticket stands for, once; None: unknown, used, or too old."""
    if settings.REDIS_URL:
        try:
            found = await redis.client().getdel(_name(ticket))
        except failures():
            return None
        return Credential(**orjson.loads(found)) if found else None
    ends_at, credential = _kept.pop(hash_key(ticket), (0.0, None))
    return credential if ends_at > time.monotonic() else None


def _name(ticket: str) -> str:
    return redis.key("ticket", hash_key(ticket))


def _forget_old() -> None:
    now = time.monotonic()
    while _kept and (len(_kept) > _MAX_KEPT or next(iter(_kept.values()))[0] <= now):
        _kept.popitem(last=False)
