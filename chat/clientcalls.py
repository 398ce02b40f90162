"""Client tool calls that a turn waits for (R11.2, WS-48 … WS-50): who is asked, and the answer, from whichever process it comes.

The run waits in one process; the connection that is asked may be lost, and another one, perhaps elsewhere, take its place.
"""

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any
from uuid import UUID

import orjson
from django.conf import settings

from agents.providers.base import ToolDefinition
from agents.specs import AgentSpec
from agents.tools.base import ToolOutcome
from chat import redis

if TYPE_CHECKING:
    from chat.redisclient import Script

logger = logging.getLogger("switchboard.clientcalls")
_POLL_S = 1
PRESENT_S = 60
"""How long a connection counts as there that nobody renews: its process died."""
Key = tuple[UUID, str]


@dataclass(slots=True, eq=False)
class _Waiting:
    """`answerer`: the connection that is to answer; when it is lost, another one may take the call."""

    answerer: str
    answer: "asyncio.Future[ToolOutcome]"


_waiting: dict[Key, _Waiting] = {}
_present: set[str] = set()


def offered(tools: Sequence[ToolDefinition], agent: AgentSpec) -> tuple[ToolDefinition, ...]:
    """Those of a client's tools that the agent's policy lets through (R11.2)."""
    if agent.client_tools in ("pass", "ignore"):
        return tuple(tools) if agent.client_tools == "pass" else ()
    return tuple(tool for tool in tools if tool.name in agent.client_tools)


async def enter(answerer: str) -> None:
    """The connection is there to answer what its turns call; said again and again while it is."""
    _present.add(answerer)
    if settings.REDIS_URL:
        with contextlib.suppress(*redis.failures()):
            await redis.client().set(_present_name(answerer), 1, ex=PRESENT_S)


async def lose(answerer: str) -> None:
    """The connection is gone: what it was asked may be taken by another one (WS-50)."""
    if answerer not in _present:
        return
    _present.discard(answerer)
    if settings.REDIS_URL:
        with contextlib.suppress(*redis.failures()):
            await redis.client().delete(_present_name(answerer))


async def result(execution_id: UUID, call_id: str, answerer: str) -> ToolOutcome:
    """Waits for the client's answer. The caller limits the time."""
    key = (execution_id, call_id)
    waiting = _waiting[key] = _Waiting(answerer, asyncio.get_running_loop().create_future())
    listener = asyncio.create_task(_listen(key, waiting)) if settings.REDIS_URL else None
    try:
        return await waiting.answer
    finally:
        del _waiting[key]
        if listener is not None:
            listener.cancel()


async def answer(execution_id: UUID, call_id: str, outcome: ToolOutcome) -> None:
    """The answer of the connection that was asked, wherever the run is. One for a call that is over goes nowhere."""
    waiting = _waiting.get((execution_id, call_id))
    if waiting is not None:
        _settle(waiting, outcome)
    elif settings.REDIS_URL:
        await _send((execution_id, call_id), outcome)


async def take(execution_id: UUID, call_id: str, answerer: str) -> bool:
    """Whether the call is now this connection's to answer: who was asked is lost. Of several that ask for it one gets it."""
    key = (execution_id, call_id)
    waiting = _waiting.get(key)
    if settings.REDIS_URL:
        return await _took(key, answerer)
    if waiting is None or waiting.answerer in _present:
        return False
    waiting.answerer = answerer
    return True


async def _took(key: Key, answerer: str) -> bool:
    try:
        return bool(await _taking().run([_name("asked", key), _present_name("")], [answerer]))
    except redis.failures():
        return False


@cache
def _taking() -> "Script":
    """Loaded where there is a shared store."""
    from chat.redisclient import Script

    return Script("clientcall_take")


def _settle(waiting: _Waiting, outcome: ToolOutcome) -> None:
    if not waiting.answer.done():
        waiting.answer.set_result(outcome)


async def _send(key: Key, outcome: ToolOutcome) -> None:
    name = _name("answer", key)
    with contextlib.suppress(*redis.failures()):
        async with redis.client().pipeline(transaction=False) as pipeline:
            pipeline.rpush(name, orjson.dumps([outcome.output, outcome.is_error]))
            pipeline.expire(name, int(settings.WS_CLIENT_TOOL_SECONDS))
            await pipeline.execute()


async def _listen(key: Key, waiting: _Waiting) -> None:
    """Says who is to answer, and hears an answer of a connection in another process."""
    with contextlib.suppress(*redis.failures()):
        await redis.client().set(_name("asked", key), waiting.answerer, ex=int(settings.WS_CLIENT_TOOL_SECONDS) + 1)
    while not waiting.answer.done():
        try:
            heard: Any = await redis.client().blpop([_name("answer", key)], timeout=_POLL_S)
        except redis.failures() as error:
            logger.warning("answers of other processes are not heard: %s", error)
            await asyncio.sleep(_POLL_S)
            continue
        if heard is not None:
            output, is_error = orjson.loads(heard[1])
            _settle(waiting, ToolOutcome(output=output, is_error=is_error))


def _name(what: str, key: Key) -> str:
    return redis.key("clientcall", what, key[0].hex, key[1])


def _present_name(answerer: str) -> str:
    return redis.key("clientcall", "present", answerer)
