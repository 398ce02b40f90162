"""pydantic-ai when it is needed: imported in a thread, because that takes seconds in which the loop must not stand still."""

import asyncio
import logging
import os
import sys
from contextvars import ContextVar
from importlib import import_module
from typing import TYPE_CHECKING, cast

from agents.specs import ProviderSpec

if TYPE_CHECKING:
    import httpx2
    from pydantic_ai.settings import ModelSettings

MODULES = ("agents.providers.direct", "pydantic_ai.models.anthropic", "pydantic_ai.models.google")


async def load() -> None:
    """After this, importing agents.providers.direct and the vendors' models costs nothing."""
    if any(name not in sys.modules for name in MODULES):
        await asyncio.to_thread(_import)


def _import() -> None:
    """The SDKs' loggers tell every request with its query (R1.7); only their warnings are of interest."""
    os.environ.setdefault("PYDANTIC_AI_NO_BANNER", "1")
    for name in MODULES:
        import_module(name)
    for name in ("httpx2", "google_genai", "anthropic"):
        logging.getLogger(name).setLevel(logging.WARNING)


responses: ContextVar[list["httpx2.Response"]] = ContextVar("responses")
"""While a stream is opened: the responses that came for it. Not every SDK closes its response when its stream is closed."""


def http_client(spec: ProviderSpec) -> "httpx2.AsyncClient":
    """A client without limits of its own but that of connecting: silence is watched by direct.stream."""
    import httpx2
    from pydantic_ai.models import create_async_httpx2_client

    client = create_async_httpx2_client(timeout=httpx2.Timeout(None, connect=spec.connect_timeout_s))
    client.event_hooks = {"response": [_note]}
    return client


async def _note(response: "httpx2.Response") -> None:
    if (noted := responses.get(None)) is not None:
        noted.append(response)


async def close_client(client: "httpx2.AsyncClient") -> None:
    await client.aclose()


def extra_settings(spec: ProviderSpec) -> "ModelSettings":
    """Settings of pydantic-ai that the operator gave, and the provider's headers."""
    headers = {"extra_headers": dict(spec.headers)} if spec.headers else {}
    return cast("ModelSettings", {**headers, **spec.options.get("settings", {})})
