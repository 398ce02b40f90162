"""POST /api/agents/{name}/task: background work, accepted at once or waited for (AG-30 … AG-34)."""

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

from django.conf import settings
from django.http import HttpResponse

from agents import directory
from agents.errors import SwitchboardError
from agents.specs import AgentSpec
from chat import idempotency, queued, saving
from chat.choice import asked_with
from chat.eventlog import Follower
from chat.events import TurnCancelled, TurnFailed
from chat.fields import parse
from chat.files import brought
from chat.models import Execution
from chat.protocols.agents_api import task_documents as documents
from chat.protocols.agents_api.answers import answer
from chat.protocols.agents_api.asking import named_session
from chat.protocols.agents_api.base import AgentRoute, agent_named
from chat.protocols.agents_api.errors import field_problem, told_here
from chat.protocols.agents_api.task_requests import TaskRequest as Asked
from chat.queued import Accepted
from chat.requests import Part, TaskRequest
from chat.store import run
from chat.views import Call, respond
from chat.watching import log_for

ROUTE = "/api/agents/task"


class TaskView(AgentRoute):
    @documents.task
    async def post(self, call: Call, name: str) -> HttpResponse:
        give_up_s = time.monotonic() + settings.CHAT_REQUEST_TIMEOUT
        agent = await agent_named(call.principal, name)
        call.check_size(directory.body_limit(agent))
        try:
            accepted, waits = await accept(call, agent)
            if waits:
                return await whole_answer(call, agent, accepted, give_up_s)
        except SwitchboardError as error:
            raise told_here(error, name) from error
        return respond(told(accepted, agent), 202, {**headers_of(accepted, agent), "Location": _path(accepted, agent)})


async def accept(call: Call, agent: AgentSpec) -> tuple[Accepted, bool]:
    """The queued run of this request, and whether its caller waits. The scope is asked after the body (R0.5)."""
    body = call.json()
    asked = parse(Asked, body)
    call.principal.check_scope("run")
    agent = asked_with(agent, asked.model)
    claim = idempotency.claim_for(call.principal, ROUTE, agent.name, call.headers.get("idempotency-key"), body, {})
    async with brought(call.principal, agent, asked.files, asked.attachments) as files:
        task = await task_of(call, agent, asked, files.parts)
        waits = asked.async_mode is False
        accepted = await queued.enqueue(task, claim, answered=not waits)
        files.unused = accepted.replayed
    return accepted, waits


async def task_of(call: Call, agent: AgentSpec, asked: Asked, files: tuple[Part, ...]) -> TaskRequest:
    """Raises session_not_found for others' sessions as for unknown ones, and validation_error for tools the agent does not have."""
    session = await named_session(call.principal, agent, asked.chat_session_id) if asked.chat_session_id else None
    return TaskRequest(
        principal=call.principal,
        agent=agent,
        wire="agents",
        parts=(_text(asked.message), *files),
        stored_parts=(_text(asked.user_message), *files) if asked.user_message else None,
        session=session,
        save=bool(asked.save_to_session) and session is None,
        instructions=(asked.system_prompt,) if asked.system_prompt else (),
        allowed_tools=_tools(agent, asked.allowed_tools),
        model=asked.model or "",
        max_steps=asked.max_turns,
        timeout_s=asked.timeout_seconds,
        priority=5 if asked.priority is None else asked.priority,
        max_attempts=asked.max_attempts or 3,
        callback_url=asked.callback_url or "",
        request_id=call.request_id,
    )


def _text(text: str) -> Part:
    return {"type": "text", "text": text}


def _tools(agent: AgentSpec, names: list[str] | None) -> tuple[str, ...] | None:
    if names is None:
        return None
    if unknown := [name for name in names if agent.tool(name) is None]:
        raise field_problem("allowed_tools", f"the agent has no tool {unknown[0][:64]!r}")
    return tuple(names)


def told(accepted: Accepted, agent: AgentSpec) -> dict[str, Any]:
    """The same for the first request and for every repetition of it (R4.3)."""
    return {
        "status": "queued",
        "execution_id": str(accepted.execution_id),
        "agent_name": agent.name,
        "async_mode": True,
        "message": f"Task accepted. Poll GET {_path(accepted, agent)}",
    }


def _path(accepted: Accepted, agent: AgentSpec) -> str:
    return f"/api/agents/{agent.name}/executions/{accepted.execution_id}"


def headers_of(accepted: Accepted, agent: AgentSpec) -> dict[str, str]:
    replayed = {"Idempotent-Replayed": "true", "X-Idempotent-Replay": "true"} if accepted.replayed else {}
    return {"X-Execution-Id": str(accepted.execution_id), "X-Switchboard-Agent": agent.name, **replayed}


# Waiting for the result (AG-33)


async def whole_answer(
    call: Call, agent: AgentSpec, accepted: Accepted, give_up_s: float, also: Callable[[UUID], dict[str, Any]] | None = None
) -> HttpResponse:
    """The result. The task goes on whatever becomes of who waits: his patience ends, or he leaves. `also` reads more of it."""
    headers = headers_of(accepted, agent)
    try:
        async with asyncio.timeout(give_up_s - time.monotonic()):
            await _ended(call, accepted.execution_id, headers)
            kept = await _kept(accepted.execution_id)
    except TimeoutError:
        raise _refusal("timeout", accepted.execution_id, headers) from None
    body = await run(answer, accepted.execution_id, agent, again=accepted.replayed)
    more = await run(also, accepted.execution_id) if also else {}
    return respond({**body, "task_execution_id": str(accepted.execution_id), **kept, **more}, headers=headers)


async def _ended(call: Call, execution_id: UUID, headers: Mapping[str, str]) -> None:
    """Until the run has ended, or waits for an approval. Raises what it ended with, if that was not good."""
    follower = Follower(await log_for(execution_id))
    call.client.watch(follower.wake)
    try:
        while await follower.next() is not None:
            if call.client.gone:
                raise SwitchboardError("client_left")
    finally:
        follower.close()
    end = follower.log.events[-1]
    if isinstance(end, TurnFailed | TurnCancelled):
        status = end.status if isinstance(end, TurnFailed) else 409
        raise _refusal(end.code, execution_id, headers, message=end.message, status=status)


def _refusal(code: str, execution_id: UUID, headers: Mapping[str, str], *, message: str = "", status: int = 0) -> SwitchboardError:
    extra = {"execution_id": str(execution_id)}
    return SwitchboardError(code, message, status=status, headers={**headers, "x-should-retry": "false"}, extra=extra)


async def _kept(execution_id: UUID) -> dict[str, Any]:
    """Where question and answer were stored, if that was asked."""
    row = await run(Execution.objects.only("session_id", "work", "status").get, id=execution_id)
    if row.session_id is not None or row.status != Execution.Status.SUCCESS or not (row.work or {}).get("save"):
        return {"chat_session_id": str(row.session_id)} if row.session_id else {}
    try:
        kept = await saving.save(execution_id)
    except SwitchboardError:
        kept = None
    return {"chat_session_id": str(kept)} if kept else {"chat_persist_failed": True}
