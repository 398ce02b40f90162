"""Deciding what waits for approval (R15): compare-and-set decisions; when nothing is pending, the same execution goes on."""

import asyncio
import logging
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import transaction

from agents import directory, versions
from agents.access import Principal, may_manage
from agents.errors import SwitchboardError
from agents.models import Agent, AgentVersion
from agents.specs import AgentSpec
from agents.tools.arguments import check_arguments
from chat import loop, pausing, process, records, turns
from chat.cancelling import cancel
from chat.claims import Entered
from chat.endings import end_stored
from chat.errors import TurnError
from chat.eventlog import Log, registry
from chat.events import ApprovalResolved, TurnEvent, TurnResumed
from chat.lateend import announce
from chat.leases import leases
from chat.models import Approval, ChatSession, Execution
from chat.running import run_of
from chat.sessions import ref_of
from chat.store import run
from chat.turn import claim_of
from chat.working import come_back
from chat.written import Began, Counted

logger = logging.getLogger("switchboard.approvals")
_REVIVE_AFTER = timedelta(seconds=20)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """`decision` approved or denied; `status` of the execution afterwards; `pending` approvals left."""

    execution_id: UUID
    tool_call_id: str
    decision: str
    status: str
    pending: int


async def decide(
    execution_id: UUID, tool_call_id: str, principal: Principal, *, approve: bool, reason: str = "", arguments: Any = None
) -> Decision:
    """Decides one call. Raises execution_not_found, approval_not_found, not_an_approver, already_decided or validation_error."""
    row = await run(_row, execution_id)
    if row is None:
        raise TurnError("execution_not_found")
    agent = await _agent_of(row)
    _check_approver(row, agent, principal, await run(_approval, execution_id, tool_call_id))
    if arguments is not None and approve:
        _check_arguments(row, agent, tool_call_id, arguments)
    return await _decide(row, agent, tool_call_id, principal, "approved" if approve else "denied", reason, arguments)


async def _decide(
    row: Execution, agent: AgentSpec | None, tool_call_id: str, principal: Principal, verdict: str, reason: str, arguments: Any
) -> Decision:
    pending = await run(_write, row.id, tool_call_id, verdict, reason, arguments, principal.user_id)
    status = row.status
    if pending == 0 and status == "paused" and agent is not None:
        await resume(row, agent)
        status = "running"
    return Decision(execution_id=row.id, tool_call_id=tool_call_id, decision=verdict, status=status, pending=pending)


def _row(execution_id: UUID) -> Execution | None:
    return Execution.objects.select_related("session").filter(id=execution_id).first()


def _approval(execution_id: UUID, tool_call_id: str) -> Approval:
    known = tool_call_id.isprintable()  # PostgreSQL takes no NUL in a parameter (R0.2)
    approval = Approval.objects.filter(execution_id=execution_id, tool_call_id=tool_call_id).first() if known else None
    if approval is None:
        raise TurnError("approval_not_found")
    return approval


def _check_approver(row: Execution, agent: AgentSpec | None, principal: Principal, approval: Approval) -> None:
    manages = "manage" in principal.scopes and (principal.is_admin or (agent is not None and may_manage(principal, agent)))
    own = principal.key == row.principal if row.owner_id is None else principal.user_id == row.owner_id
    if not (manages or (own and approval.approver == "caller")):
        raise TurnError("not_an_approver")


def _check_arguments(row: Execution, agent: AgentSpec | None, tool_call_id: str, arguments: Any) -> None:
    """Replaced arguments must fit the tool's schema (R15.2)."""
    waiting = (row.paused_state or {}).get("waiting", ())
    name = next((call["name"] for call in waiting if call["id"] == tool_call_id), "")
    tool = agent.tool(name) if agent else None
    problem = "must be an object" if not isinstance(arguments, dict) else tool and check_arguments(tool.parameters, arguments)
    if problem:
        field = {"type": "invalid_arguments", "loc": ["body", "arguments"], "msg": problem}
        raise SwitchboardError("validation_error", errors=[field])


@transaction.atomic
def _write(execution_id: UUID, tool_call_id: str, verdict: str, reason: str, arguments: Any, user_id: int | None) -> int:
    """Writes the decision by compare-and-set; returns how many are pending. One at a time per run: the last one sees zero."""
    Execution.objects.select_for_update().get(id=execution_id)
    open_row = Approval.objects.filter(execution_id=execution_id, tool_call_id=tool_call_id, decision="")
    decided = open_row.update(
        decision=verdict, reason=reason, decided_arguments=arguments, decided_by_id=user_id, decided_at=datetime.now(UTC)
    )
    if not decided and _approval(execution_id, tool_call_id).decision != verdict:
        raise TurnError("already_decided")
    return Approval.objects.filter(execution_id=execution_id, decision="").count()


async def _agent_of(row: Execution) -> AgentSpec | None:
    """The agent in the version the run used: a run keeps its version, also over a pause."""
    current = (await directory.catalog()).by_id.get(row.agent_id) if row.agent_id else None
    if current is None or current.version == row.agent_version:
        return current
    return await run(_version_spec, row)


def _version_spec(row: Execution) -> AgentSpec | None:
    agent = Agent.objects.filter(executions=row).first()
    version = AgentVersion.objects.filter(agent=agent, number=row.agent_version).first()
    if agent is None or version is None:
        return None
    return versions.spec(agent, version, versions.provider_specs(), versions.tool_specs())


# Going on


async def resume(row: Execution, agent: AgentSpec) -> None:
    """Takes lock and slot for the paused run, at once or when they are free, and lets it go on (R15.3)."""
    principal = await _principal_of(row)
    if principal is None:
        await cancel(row.id)
        return
    turn = _paused_turn(row, agent, principal)
    turn.claim = replace(claim_of(turn), policy="queue")
    entry = leases.try_enter(turn.claim) or await leases.enter(turn.claim)
    if isinstance(entry, Entered):
        await _go_on(turn, row)
    else:
        task = asyncio.create_task(_go_on_later(turn, row))
        _waiting.add(task)
        task.add_done_callback(_waiting.discard)


_waiting: set[asyncio.Task[None]] = set()


def _paused_turn(row: Execution, agent: AgentSpec, principal: Principal) -> "turns.Turn":
    """The turn as it was when it paused, under its own id; its numbers go on."""
    state = dict(row.paused_state or {})
    request = pausing.request_of(state, principal, agent, ref_of(row.session) if row.session else None)
    turn = turns.Turn(request, row.id, _reopened(row))
    turn.begin.message_id, turn.assistant_id = pausing.execution_ids(state)
    turn.begin.created_at, turn.started_at = row.created_at, row.started_at or row.created_at
    turn.progress = pausing.progress_of(state)
    turn.begin.attempt, turn.begin.unreported = row.attempt_number, row.unreported
    turn.began = Began(position=state["position"])
    turn.counted = Counted(input_tokens=row.input_tokens, output_tokens=row.output_tokens, cost_usd=row.cost_usd or Decimal(0))
    turn.stored = turn.resumed = turn.decided = True
    turn.comes_back = come_back if row.work is not None else None
    return turn


async def _go_on_later(turn: "turns.Turn", row: Execution) -> None:
    assert turn.claim is not None
    try:
        await leases.wait(turn.claim)
    except TurnError as error:
        logger.warning("run %s waits for another chance to go on: %s", row.id, error.code)
        return
    await _go_on(turn, row)


async def _go_on(turn: "turns.Turn", row: Execution) -> None:
    """paused -> running by compare-and-set, with the lock held; whoever comes second gives it back.

    So does a process that ends: what was decided is found by the next one (revive), and nothing is begun to be interrupted.
    """
    turn.entered, moved = True, False
    try:
        moved = not process.is_closing() and await run(_to_running, row.id)
    finally:
        if not moved:
            await leases.exit(row.id, real_tokens=0)
    if not moved:
        return
    registry.forget(row.id)
    state = dict(row.paused_state or {})
    turn.started_s = time.monotonic() - state.get("ran_s", 0.0)  # its time goes on where it paused (WS-45)
    turns.adopt(turn, lambda turn: _after_decisions(turn, state))


async def _after_decisions(turn: "turns.Turn", state: dict[str, Any]) -> loop.Ended | loop.Paused:
    """Tells the decisions, runs what was approved, goes on."""
    decided = await run(_decisions, turn.execution_id)
    for approval in decided:
        turn.emit(_resolved(approval))
    turn.emit(TurnResumed(turn.progress.step, time.time()))
    replaced = {approval.tool_call_id: approval.decided_arguments for approval in decided if approval.decided_arguments is not None}
    denied = {approval.tool_call_id: approval.reason for approval in decided if approval.decision == "denied"}
    if turn.request.workflow is not None:
        from chat.workflows import engine

        return await engine.resume(run_of(turn), state, denied, replaced)
    calls = pausing.waiting_calls(state, turn.request.agent, replaced)
    return await loop.resume(run_of(turn), calls, denied, pausing.client_calls(state))


def _resolved(approval: Approval) -> TurnEvent:
    return ApprovalResolved(
        approval_id=str(approval.id),
        tool_call_id=approval.tool_call_id,
        approved=approval.decision == "approved",
        reason=approval.reason,
        by="system" if approval.decided_by_id is None else approval.approver,
    )


def _decisions(execution_id: UUID) -> list[Approval]:
    """The decisions of the newest pause, in the order of the calls; each is told once."""
    fresh = Approval.objects.filter(execution_id=execution_id, announced=False).exclude(decision="")
    decided = list(fresh.order_by("created_at", "id"))
    fresh.update(announced=True)
    return decided


@transaction.atomic
def _to_running(execution_id: UUID) -> bool:
    now = datetime.now(UTC)
    moved = Execution.objects.filter(id=execution_id, status="paused").update(
        status="running", process=process.NAME, lease_until=now + records.LEASE, paused_state=None
    )
    ChatSession.objects.filter(paused_execution_id=execution_id).update(paused_execution_id=None)
    return bool(moved)


def _reopened(row: Execution) -> Log:
    """The log goes on: the one in memory if nothing happened since, else a new one that begins after the last number."""
    log = registry.get(row.id)
    return log if log is not None and log.last_seq == row.last_seq else Log(row.id, row.last_seq)


async def _principal_of(row: Execution) -> Principal | None:
    """The run goes on in the name of who asked, whoever decided; None when that user is not active any more."""
    if row.owner_id is None:
        kind: Any = "static" if row.principal == "static" else "anonymous"
        namespace = row.session.namespace if row.session else row.principal
        return Principal(kind=kind, key=row.principal, namespace=namespace)
    user = await directory.user(row.owner_id)
    return replace(user.principal, key=row.principal) if user else None


async def expire() -> None:
    """Approvals that nobody gave in time end their run as cancelled, approval_expired (R15.4)."""
    for execution_id in await run(_expired):
        if await run(end_stored, execution_id, "cancelled", "approval_expired"):
            await announce(execution_id)


async def revive() -> None:
    """Paused runs with nothing left to decide go on: whoever decided last may have died before it could see to that."""
    for execution_id in await run(_decided):
        row = await run(_row, execution_id)
        agent = await _agent_of(row) if row else None
        if row is not None and agent is not None:
            await resume(row, agent)
        elif await run(end_stored, execution_id, "cancelled", "cancelled"):
            await announce(execution_id)


def _decided() -> list[UUID]:
    paused = Execution.objects.filter(status="paused").exclude(approvals__decision="")
    return list(paused.filter(completed_at__lt=datetime.now(UTC) - _REVIVE_AFTER).values_list("id", flat=True)[:100])


def _expired() -> list[UUID]:
    rows = Approval.objects.filter(decision="", expires_at__lt=datetime.now(UTC), execution__status="paused")
    return list(rows.values_list("execution_id", flat=True).distinct()[:100])
