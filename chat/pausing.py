"""A paused run on paper: what it needs to go on in any process, and the approvals it waits for (R15)."""

import time
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import orjson
from django.conf import settings

from agents.access import Principal
from agents.ids import uuid7
from agents.providers.base import ToolDefinition
from agents.specs import AgentSpec, Sampling, ToolSpec
from chat.events import PendingApproval
from chat.loop import Paused
from chat.modelcall import Call
from chat.models import Approval, Execution
from chat.progress import Progress
from chat.requests import SessionRef, TurnRequest, WorkflowCall
from chat.times import iso
from chat.toolcalls import ServerCall

if TYPE_CHECKING:
    from chat.turn import Turn

_REQUEST = (
    "wire", "trigger", "source", "parts", "instructions", "tools", "tool_choice", "parallel_tool_calls", "response_format",
    "answerer", "repair_calls", "max_steps", "timeout_s", "forget_failure", "labels", "request_id",
)  # fmt: skip


def pending_approvals(end: Paused) -> tuple[PendingApproval, ...]:
    """One approval per waiting call, with the arguments as callers may see them."""
    until = datetime.now(UTC) + timedelta(seconds=settings.APPROVAL_SECONDS)
    return tuple(
        PendingApproval(
            approval_id=str(uuid7()),
            tool_call_id=call.id,
            name=call.tool.name,
            arguments=call.shown(),
            approver=call.tool.approver,
            expires_at=iso(until),
        )
        for call in end.waiting
    )


def paused_state(turn: "Turn", end: Paused) -> dict[str, Any]:
    """Progress, waiting calls and request, as JSON for Execution.paused_state."""
    request = turn.request
    return {
        "progress": turn.progress.to_json(),
        "waiting": [call.to_json() for call in end.waiting],
        "client": [asdict(call) for call in end.client],
        "inner": end.inner,
        "workflow": asdict(request.workflow) if request.workflow else None,
        "request": {name: getattr(request, name) for name in _REQUEST},
        "model": request.agent.model.name,
        "sampling": asdict(request.sampling),
        "client_tools": [asdict(tool) for tool in request.client_tools],
        "ran_s": time.monotonic() - turn.started_s,
        "notice": request.agent.approval_notice,
        "message_id": str(turn.begin.message_id),
        "assistant_id": str(turn.assistant_id),
        "position": turn.began.position,
    }


def request_of(state: Mapping[str, Any], principal: Principal, agent: AgentSpec, session: SessionRef | None) -> TurnRequest:
    """The request as it was, for the same version of the agent, with the model it was asked with."""
    plain = dict(state["request"])
    sampling = {**state["sampling"], "stop": tuple(state["sampling"]["stop"])}
    return TurnRequest(
        **{**plain, "parts": tuple(plain["parts"]), "instructions": tuple(plain["instructions"])},
        principal=principal,
        agent=agent.with_model(state.get("model", agent.model.name)),
        session=session,
        sampling=Sampling(**sampling),
        client_tools=tuple(ToolDefinition(**tool) for tool in state["client_tools"]),
        workflow=WorkflowCall(**state["workflow"]) if state.get("workflow") else None,
        keep_on_leave=True,
    )


def progress_of(state: Mapping[str, Any]) -> Progress:
    return Progress.from_json(dict(state["progress"]))


def waiting_calls(state: Mapping[str, Any], agent: AgentSpec, replaced: Mapping[str, Any]) -> list[ServerCall]:
    """The calls that waited, with arguments the decider may have replaced. A tool that is gone is answered as an error."""
    calls = []
    for call in state["waiting"]:
        tool = agent.tool(call["name"])
        changed = call["id"] in replaced
        arguments = replaced[call["id"]] if changed else call["arguments"]
        raw = orjson.dumps(arguments).decode() if changed else call["raw"]
        gone = "" if tool else "This tool is no longer available."
        tool = tool or ToolSpec(name=call["name"], kind="")
        calls.append(ServerCall(call["id"], call["provider_id"], tool, arguments, raw, gone))
    return calls


def client_calls(state: Mapping[str, Any]) -> list[Call]:
    return [Call(**call) for call in state["client"]]


def stored_approvals(row: Execution) -> tuple[PendingApproval, ...]:
    """The pending approvals of a stored run."""
    return tuple(_pending(approval) for approval in row.approvals.filter(decision="").order_by("created_at", "id"))


def _pending(row: Approval) -> PendingApproval:
    return PendingApproval(
        approval_id=str(row.id),
        tool_call_id=row.tool_call_id,
        name=row.name,
        arguments=row.arguments,
        approver="manager" if row.approver == "manager" else "caller",
        expires_at=iso(row.expires_at),
    )


def execution_ids(state: Mapping[str, Any]) -> tuple[UUID, UUID]:
    """The ids of the user's and the assistant's message."""
    return UUID(state["message_id"]), UUID(state["assistant_id"])
