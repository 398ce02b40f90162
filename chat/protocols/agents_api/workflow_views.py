"""/api/agents/{name}/workflows…: the workflows of an agent, and running them (WS-54 … WS-59 over HTTP)."""

import time
from typing import Any
from uuid import UUID

from django.conf import settings
from django.http import HttpResponse

from agents import directory
from agents.errors import SwitchboardError
from agents.specs import AgentSpec
from chat import idempotency, queued
from chat.events import TurnFinished
from chat.fields import parse
from chat.files import brought
from chat.models import Execution, Workflow
from chat.protocols.agents_api import workflow_documents as documents
from chat.protocols.agents_api.asking import named_session
from chat.protocols.agents_api.base import AgentRoute, agent_named
from chat.protocols.agents_api.errors import told_here
from chat.protocols.agents_api.task_views import headers_of, whole_answer
from chat.protocols.agents_api.workflow_requests import WorkflowRun
from chat.queued import Accepted
from chat.replay import events_of
from chat.requests import Part, SessionRef
from chat.store import run
from chat.times import iso
from chat.views import Call, respond
from chat.workflows import rows

ROUTE = "/api/agents/workflows/run"


class WorkflowsView(AgentRoute):
    """Who may use the agent sees its workflows, as far as they are switched on."""

    scopes = {"GET": "run"}

    @documents.workflows
    async def get(self, call: Call, name: str) -> HttpResponse:
        agent = await agent_named(call.principal, name)
        found = await run(rows.listed, agent.id) if agent.id else []
        return respond([summary(row, agent) for row in found])


class WorkflowView(AgentRoute):
    scopes = {"GET": "run"}

    @documents.workflow
    async def get(self, call: Call, name: str, workflow: str) -> HttpResponse:
        agent = await agent_named(call.principal, name)
        return respond(shown(await run(rows.find, call.principal, workflow, agent.id), agent))


class RunView(AgentRoute):
    scopes = {"POST": ""}

    @documents.run
    async def post(self, call: Call, name: str, workflow: str) -> HttpResponse:
        give_up_s = time.monotonic() + settings.CHAT_REQUEST_TIMEOUT
        agent = await agent_named(call.principal, name)
        call.check_size(directory.body_limit(agent))
        try:
            accepted, row, waits = await accept(call, agent, workflow)
            if waits:
                return await whole_answer(call, agent, accepted, give_up_s, _outputs)
        except SwitchboardError as error:
            raise told_here(error, name) from error
        return respond(told(accepted, row, agent), 202, {**headers_of(accepted, agent), "Location": _path(accepted, agent)})


async def accept(call: Call, agent: AgentSpec, name: str) -> tuple[Accepted, Workflow, bool]:
    """The queued run of this request, and whether its caller waits. The scope is asked after the body (R0.5)."""
    from chat.workflows import calls  # and a template language: for those who run one

    body = call.json()
    asked = parse(WorkflowRun, body)
    call.principal.check_scope("run")
    row, host = await calls.find(call.principal, name, agent.id)
    claim = idempotency.claim_for(call.principal, f"{ROUTE}/{row.pk}", agent.name, call.headers.get("idempotency-key"), body, {})
    session = await named_session(call.principal, agent, asked.chat_session_id) if asked.chat_session_id else None
    waits = asked.async_mode is False
    async with brought(call.principal, agent, asked.files, asked.attachments) as files:
        parts = (*_text(asked.message), *files.parts)
        task = calls.task_of(call.principal, row, host, asked.params or {}, parts, **_values(call, asked, session))
        accepted = await queued.enqueue(task, claim, answered=not waits)
        files.unused = accepted.replayed
    return accepted, row, waits


def _values(call: Call, asked: WorkflowRun, session: SessionRef | None) -> dict[str, Any]:
    return {
        "wire": "agents",
        "session": session,
        "timeout_s": asked.timeout_seconds,
        "priority": 5 if asked.priority is None else asked.priority,
        "max_attempts": asked.max_attempts or 3,
        "callback_url": asked.callback_url or "",
        "request_id": call.request_id,
    }


def _text(text: str | None) -> tuple[Part, ...]:
    return ({"type": "text", "text": text},) if text else ()


def _outputs(execution_id: UUID) -> dict[str, Any]:
    """The values as they are (WS-57); null of a run that waits for an approval."""
    row = Execution.objects.get(id=execution_id)
    end = events_of(row)[-1]
    return {"result": end.job["result"] if isinstance(end, TurnFinished) and end.job else None}


def told(accepted: Accepted, row: Workflow, agent: AgentSpec) -> dict[str, Any]:
    """The same for the first request and for every repetition of it (R4.3)."""
    return {
        "status": "queued",
        "execution_id": str(accepted.execution_id),
        "job_id": str(accepted.execution_id),
        "workflow_id": row.name,
        "agent_name": agent.name,
        "async_mode": True,
        "message": f"Workflow accepted. Poll GET {_path(accepted, agent)}",
    }


def _path(accepted: Accepted, agent: AgentSpec) -> str:
    return f"/api/agents/{agent.name}/executions/{accepted.execution_id}"


def summary(row: Workflow, agent: AgentSpec) -> dict[str, Any]:
    return {
        "id": str(row.pk),
        "name": row.name,
        "display_name": row.display_name or row.name,
        "description": row.description or None,
        "agent_name": agent.name,
        "version": row.version,
        "inputs": [_input(given) for given in row.definition.get("inputs", ())],
        "updated_at": iso(row.updated_at),
    }


def _input(given: dict[str, Any]) -> dict[str, Any]:
    kind = given.get("type", "string")
    needed = given.get("required", True) and given.get("default") is None and kind != "history"
    described = {"default": given.get("default"), "description": given.get("description") or None}
    return {"name": given["name"], "type": kind, "required": needed, **described}


def shown(row: Workflow, agent: AgentSpec) -> dict[str, Any]:
    """With its steps by name and kind; what they are told is its managers' business."""
    return {**summary(row, agent), "steps": [_step(step) for step in row.definition["steps"]]}


def _step(step: dict[str, Any]) -> dict[str, Any]:
    inner = {name: [_step(each) for each in step[name]] for name in ("steps", "then", "else") if step.get(name)}
    return {"id": step["id"], "name": step.get("label") or step["id"], "kind": step["kind"], **inner}
