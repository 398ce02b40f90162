"""Client tool calls that a turn waits for (R11.2, WS-48 … WS-50): who is asked, and the answer, from whichever process it comes.

The run waits in one process; the connection that is asked may be lost, and another one, perhaps elsewhere, take its place.
"""

import asyncio
import contextlib
import logging
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson
from django.conf import settings

from agents.tools.base import ToolOutcome
from chat import redis

logger = logging.getLogger("switchboard.clientcalls")
_POLL_S = 1
Key = tuple[UUID, str]


@dataclass(slots=True, eq=False)
class _Waiting:
    """`answerer`: the connection that was asked; empty: it is lost, and another one may take the call."""

    answerer: str
    answer: "asyncio.Future[ToolOutcome]"


_waiting: dict[Key, _Waiting] = {}
_present: set[str] = set()


def enter(answerer: str) -> None:
    """The connection is there to answer what its turns call."""
    _present.add(answerer)


async def result(execution_id: UUID, call_id: str, answerer: str) -> ToolOutcome:
    """Waits for the client's answer. The caller limits the time."""
    key = (execution_id, call_id)
    waiting = _waiting[key] = _Waiting(answerer, asyncio.get_running_loop().create_future())
    listener = asyncio.create_task(_listen(key, waiting)) if settings.REDIS_URL else None
    try:
        if answerer not in _present:
            await _set_free(key, waiting)
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


async def lose(answerer: str) -> None:
    """The connection is gone: what it was asked may be taken by another one (WS-50)."""
    _present.discard(answerer)
    for key, waiting in list(_waiting.items()):
        if waiting.answerer == answerer:
            await _set_free(key, waiting)


async def take(execution_id: UUID, call_id: str, answerer: str) -> bool:
    """Whether the call is now this connection's to answer; of several that ask for it one gets it."""
    key = (execution_id, call_id)
    waiting = _waiting.get(key)
    if waiting is None and not settings.REDIS_URL:
        return False
    if waiting is not None and waiting.answerer:
        return False
    if settings.REDIS_URL and not await _took(key):
        return False
    if waiting is not None:
        waiting.answerer = answerer
    enter(answerer)
    return True


async def give_back(execution_id: UUID, call_id: str) -> None:
    """The connection that had taken the call is gone as well."""
    key = (execution_id, call_id)
    await _set_free(key, _waiting.get(key))


async def _set_free(key: Key, waiting: _Waiting | None) -> None:
    if waiting is not None:
        waiting.answerer = ""
    if settings.REDIS_URL:
        with contextlib.suppress(*redis.failures()):
            await redis.client().set(_name("free", key), 1, ex=int(settings.WS_CLIENT_TOOL_SECONDS))


async def _took(key: Key) -> bool:
    try:
        return bool(await redis.client().delete(_name("free", key)))
    except redis.failures():
        return False


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
    """Hears the answer of a connection in another process."""
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
