"""From who wants a workflow run to the queued run: the one way for API, socket, schedules and the admin."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from agents import directory
from agents.access import Principal
from agents.specs import AgentSpec
from chat.errors import TurnError
from chat.models import Workflow
from chat.requests import Part, TaskRequest, WorkflowCall, text_of
from chat.store import run
from chat.workflows import inputs, rows
from chat.workflows.definition import parse


async def find(principal: Principal, name_or_id: str, agent_id: UUID | None = None) -> tuple[Workflow, AgentSpec]:
    """A workflow that the caller may run, and its host. Raises workflow_not_found, whatever the cause (WS-70)."""
    catalog = await directory.catalog()
    try:
        workflow = await run(rows.find, principal, name_or_id, agent_id)
    except TurnError:
        if not await directory.moved(catalog):  # another process may just have published the host
            raise
        workflow = await run(rows.find, principal, name_or_id, agent_id)
    return workflow, host_of(workflow)


def host_of(workflow: Workflow) -> AgentSpec:
    """Raises workflow_not_found when it is not published any more."""
    host = directory.current().by_id.get(workflow.agent_id)
    if host is None:
        raise TurnError("workflow_not_found")
    return host


def call_of(workflow: Workflow, params: Mapping[str, Any], message: str) -> WorkflowCall:
    """The published version with its inputs. Raises invalid_params."""
    checked = inputs.check(parse(workflow.definition), params, message)
    return WorkflowCall(id=str(workflow.pk), name=workflow.name, version=workflow.version, inputs=checked)


def task_of(
    principal: Principal, workflow: Workflow, host: AgentSpec, params: Mapping[str, Any], parts: Sequence[Part] = (), **values: Any
) -> TaskRequest:
    """The run to be queued; `values` are further fields of TaskRequest. Raises invalid_params."""
    call = call_of(workflow, params, text_of(parts))
    labels = {"workflow": workflow.name}
    return TaskRequest(
        principal=principal, agent=host, parts=tuple(parts), workflow=call, **{"trigger": "workflow", "labels": labels, **values}
    )
