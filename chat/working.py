"""Runs what is queued, on the spine of every turn: takes the next run up, begins it, sees it to its end.

What the row says of its caller and its agent is looked up anew: a run begins only if it still may. A process that cannot finish
a run puts it back for its next attempt (AG-32).
"""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import DatabaseError

from agents import directory
from agents.access import Principal, may_use
from agents.errors import SwitchboardError
from agents.providers.base import ToolDefinition
from agents.specs import AgentSpec
from chat import process, queued, store, taking, turns
from chat.choice import asked_with
from chat.claims import Waiting
from chat.endings import end_stored
from chat.errors import TurnError
from chat.eventlog import registry
from chat.lateend import announce
from chat.models import Execution
from chat.requests import SessionRef, TurnRequest, WorkflowCall
from chat.sessions import ref_of
from chat.taking import Look, Taken
from chat.turns import Turn

logger = logging.getLogger("switchboard.working")
_LATER = frozenset(("rate_limited", "queue_full", "session_queue_full", "store_unavailable", "shutting_down"))
"""Refusals that a run waits out (R14.1)."""
_PAUSE_S = 5.0
_STALE_S = 10.0


async def work(agent_id: UUID) -> None:
    """Runs what waits, first of this agent, one run after the other, until nothing may start or this process ends."""
    turn = None if process.is_closing() else await take_up(agent_id) or await _next()
    while turn is not None and turn.task is not None:
        await asyncio.wait([turn.task])
        turn = None if process.is_closing() else await _next()


async def _next() -> Turn | None:
    for agent_id in await store.run(taking.startable, await limits()):
        turn = await take_up(agent_id)
        if turn is not None:
            return turn
    return None


async def limits() -> dict[UUID, int]:
    """How many queued runs each agent may have running; an agent that is switched off lets them wait."""
    return {agent_id: _limit(agent) for agent_id, agent in (await directory.catalog()).by_id.items()}


def _limit(agent: AgentSpec | None) -> int:
    """Runs of an agent that is gone end one by one, each with its reason."""
    if agent is None:
        return 1
    return agent.max_parallel_tasks if agent.enabled else 0


async def take_up(agent_id: UUID) -> Turn | None:
    """The next run of this agent, begun in this process; None when none may start now."""
    limit = _limit((await directory.catalog()).by_id.get(agent_id))
    taken: Taken | None = await store.write(taking.take, Look(agent_id=agent_id, limit=limit)) if limit else None
    if taken is None:
        return None
    if taken.more:
        await _have_looked(agent_id)
    if taken.counter != directory.current().counter:
        await directory.refresh(taken.counter)
    return await _begin(taken)


async def _have_looked(agent_id: UUID) -> None:
    try:
        await queued.announce(agent_id)
    except SwitchboardError as error:
        logger.warning("runs of agent %s wait until a worker looks by itself: %s", agent_id, error.code)


async def _begin(taken: Taken) -> Turn | None:
    row = taken.row
    await _stop_stale(row.id)
    try:
        turn = _turn_of(taken, await request_of(taken))
        entry = await turns.take_up(turn)
    except SwitchboardError as error:
        await _refused(row, error)
        return None
    if isinstance(entry, Waiting) and not entry.position:
        await _later(row, entry.rate.reset_s if entry.rate else _PAUSE_S, others=True)
        return None
    return turn


async def _stop_stale(execution_id: UUID) -> None:
    """An earlier attempt that this process was thought to have lost (the database was away) ends before the next begins."""
    turn = turns.find(execution_id)
    if turn is not None and turn.task is not None:
        turn.stop("interrupted")
        await asyncio.wait([turn.task], timeout=_STALE_S)


def _turn_of(taken: Taken, request: TurnRequest) -> Turn:
    row = taken.row
    log = registry.expect(row.id)
    if row.last_seq:
        log.restart(row.last_seq)
    turn = Turn(request, row.id, log)
    begin = turn.begin
    begin.created_at, begin.queued, begin.attempt, begin.unreported = row.created_at, True, row.attempt_number, row.unreported
    begin.message_id = taken.question or begin.message_id
    turn.stored = True
    turn.waited_s = (datetime.now(UTC) - (row.queued_at or row.created_at)).total_seconds()
    turn.comes_back = come_back
    return turn


async def _refused(row: Execution, error: SwitchboardError) -> None:
    """What waits is tried again; what may not run at all ends, and is skipped where nobody asked for it just now."""
    if error.code in _LATER:
        await _later(row, error.retry_after_s or _PAUSE_S, others=error.code == "rate_limited")
        return
    skips = row.trigger not in ("task", "workflow") and error.code in ("agent_not_found", "invalid_credentials")
    if await store.run(end_stored, row.id, "skipped" if skips else "failed", error.code):
        if skips:
            await store.run(Execution.objects.filter(id=row.id).update, skip_reason="owner_lost_access")
        await announce(row.id)


async def _later(row: Execution, pause_s: float, *, others: bool) -> None:
    await store.run(taking.postpone, row.id, datetime.now(UTC) + timedelta(seconds=pause_s), others=others)
    if row.agent_id is not None:
        asyncio.get_running_loop().call_later(pause_s, _look_again, row.agent_id)


def _look_again(agent_id: UUID) -> None:
    task = asyncio.get_running_loop().create_task(_have_looked(agent_id))
    _looking.add(task)
    task.add_done_callback(_looking.discard)


_looking: set[asyncio.Task[None]] = set()


async def come_back(turn: Turn) -> bool:
    """Puts a run back that this process cannot finish; False when it had its last attempt. Without the database its lease lapses."""
    try:
        back = await store.run(taking.put_back, turn.execution_id, turn.begin.attempt, turn.log.last_seq)
    except DatabaseError as error:
        logger.error("run %s is left to lapse: %s", turn.execution_id, error)
        return True
    if back == "waits" and turn.request.agent.id is not None:
        await _have_looked(turn.request.agent.id)
    return back != "spent"


# The request, from its row


async def request_of(taken: Taken) -> TurnRequest:
    """The turn that the row asks for. Raises invalid_credentials, agent_not_found, model_not_allowed or session_not_found."""
    row, work = taken.row, taken.row.work or {}
    principal = await _principal_of(taken)
    agent = _agent_for(principal, row, work)
    return TurnRequest(
        principal=principal,
        agent=agent,
        wire=row.wire,
        trigger=row.trigger,
        source="text" if row.trigger == "workflow" else "task",
        parts=tuple(work["parts"]),
        stored_parts=None if work["stored_parts"] is None else tuple(work["stored_parts"]),
        session=_session_of(taken, work),
        instructions=tuple(work["instructions"]),
        tools=work["allowed_tools"] != [],
        max_steps=work["max_steps"],
        timeout_s=min(work["timeout_s"] or agent.run_timeout_s, agent.run_timeout_s),
        keep_on_leave=True,
        workflow=WorkflowCall(**work["workflow"]) if work.get("workflow") else None,
        client_tools=tuple(ToolDefinition(**tool) for tool in work.get("client_tools", ())),
        answerer=work.get("answerer", ""),
        busy="queue",
        labels=row.labels,
        request_id=row.request_id,
    )


async def _principal_of(taken: Taken) -> Principal:
    """Who asked, with the rights of now. Raises invalid_credentials for a revoked key and for a user who is not active any more."""
    row, principal = taken.row, None
    if row.principal.startswith("key:"):
        principal = await directory.principal_of_hash(taken.key_hash) if taken.key_hash else None
    elif row.owner_id is not None:
        user = await directory.user(row.owner_id)
        principal = replace(user.principal, key=row.principal) if user else None
    if principal is None:
        raise TurnError("invalid_credentials")
    return principal


def _agent_for(principal: Principal, row: Execution, work: Mapping[str, Any]) -> AgentSpec:
    agent = directory.current().by_id.get(row.agent_id) if row.agent_id else None
    if agent is None or not may_use(principal, agent):
        raise TurnError("agent_not_found")
    if work["allowed_tools"] is not None:
        agent = replace(agent, tools=tuple(tool for tool in agent.tools if tool.name in work["allowed_tools"]))
    return asked_with(agent, work["model"])


def _session_of(taken: Taken, work: Mapping[str, Any]) -> SessionRef | None:
    if taken.session is None:
        if work["in_session"]:
            raise TurnError("session_not_found")
        return None
    return ref_of(taken.session)
