"""Alive, ready, measured: /healthz touches nothing, /readyz asks the database and Redis, /metrics is for the operator's own eyes."""

import asyncio
import hmac
import ipaddress
from collections.abc import Awaitable, Callable, Mapping

from django.conf import settings
from django.db import DatabaseError, connection
from django.http import HttpResponse
from drf_spectacular.utils import extend_schema
from prometheus_client import REGISTRY
from prometheus_client.exposition import choose_encoder

from agents import database
from agents.errors import SwitchboardError
from agents.sharedstore import failures
from chat import documents
from chat.views import Call, WireView, respond

PATIENCE_S = 3.0
"""A store that does not answer within this is not ready."""

_STORE = {"enum": ["ok", "down"]}
_STORES = {
    "type": "object",
    "required": ["status", "database"],
    "properties": {
        "status": {"enum": ["ok", "unavailable"]},
        "database": _STORE,
        "redis": {**_STORE, "description": "Where Redis is used."},
    },
}
_ALIVE = documents.body(documents.properties(status={"const": "ok"}), "Alive.", {"status": "ok"})
_READY = documents.body(_STORES, "Ready for requests.", {"status": "ok", "database": "ok", "redis": "ok"})
_NOT_READY = documents.body(_STORES, "Not now.", {"status": "unavailable", "database": "ok", "redis": "down"})


class HealthView(WireView):
    """The process answers."""

    public = True
    scopes = {"GET": ""}

    @extend_schema(operation_id="healthz", tags=["operating"], auth=[], summary="The process lives", responses={200: _ALIVE})
    async def get(self, call: Call) -> HttpResponse:
        return respond({"status": "ok"})


class ReadyView(WireView):
    """The process can do its work: 200, or 503 with what is missing."""

    public = True
    scopes = {"GET": ""}

    @extend_schema(
        operation_id="readyz", tags=["operating"], auth=[], summary="Database and Redis answer", responses={200: _READY, 503: _NOT_READY}
    )
    async def get(self, call: Call) -> HttpResponse:
        states = await stores()
        ready = "down" not in states.values()
        return respond({"status": "ok" if ready else "unavailable", **states}, 200 if ready else 503)


class MetricsView(WireView):
    """Prometheus text, for loopback or with METRICS_TOKEN."""

    public = True
    scopes = {"GET": ""}

    @extend_schema(
        operation_id="metrics",
        tags=["operating"],
        summary="Prometheus metrics: for callers on this machine, or with METRICS_TOKEN as the bearer",
        responses={(200, "text/plain"): {"type": "string"}, **documents.refusals("invalid_credentials")},
    )
    async def get(self, call: Call) -> HttpResponse:
        if not (_has_token(call.headers) or _is_local(call)):
            raise SwitchboardError("invalid_credentials")
        encode, content_type = choose_encoder(call.headers.get("accept", ""))
        return HttpResponse(encode(REGISTRY), content_type=content_type)


async def stores() -> Mapping[str, str]:
    """`ok` or `down` for each store this site is configured with."""
    asked: dict[str, Callable[[], Awaitable[object]]] = {"database": lambda: database.run(_ask_database)}
    if settings.REDIS_URL:
        asked["redis"] = _ask_redis
    answers = await asyncio.gather(*(_state(ask) for ask in asked.values()))
    return dict(zip(asked, answers, strict=True))


async def _state(ask: Callable[[], Awaitable[object]]) -> str:
    try:
        async with asyncio.timeout(PATIENCE_S):
            await ask()
    except DatabaseError:
        return "down"
    except failures():  # a TimeoutError as well
        return "down"
    return "ok"


def _ask_database() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")


async def _ask_redis() -> None:
    from redis.asyncio import Redis

    async with Redis.from_url(settings.REDIS_URL, socket_connect_timeout=PATIENCE_S) as redis:
        await redis.ping()


def _has_token(headers: Mapping[str, str]) -> bool:
    scheme, _, token = headers.get("authorization", "").partition(" ")
    expected = settings.METRICS_TOKEN
    return bool(expected) and scheme.lower() == "bearer" and hmac.compare_digest(token.strip().encode(), expected.encode())


def _is_local(call: Call) -> bool:
    """A loopback caller that speaks for itself: whoever comes through a proxy needs the token."""
    if "x-forwarded-for" in call.headers or "forwarded" in call.headers:
        return False
    try:
        return ipaddress.ip_address(call.address).is_loopback
    except ValueError:
        return False
