"""/api/agents/{name}/executions…: the runs of an agent, live and past (AG-35 … AG-40)."""

from django.http import HttpResponse
from django.http.response import HttpResponseBase

from agents.errors import SwitchboardError
from chat.cancelling import cancel
from chat.executions import MAX_LOG_LINES, check_read, execution_for, log_lines, number_after
from chat.models import Execution
from chat.protocols.agents_api import executions
from chat.protocols.agents_api import executions_documents as documents
from chat.protocols.agents_api.base import AgentRoute, agent_named
from chat.protocols.agents_api.paging import next_link
from chat.protocols.agents_api.views import in_full, watched
from chat.queries import partial_of
from chat.times import iso
from chat.views import Call, respond


class ExecutionsView(AgentRoute):
    """A page of runs, newest first: one's own, or all for a manager."""

    scopes = {"GET": ""}

    @documents.listing
    async def get(self, call: Call, name: str) -> HttpResponse:
        asked = executions.wanted(call)
        call.principal.check_scope("read")
        rows, last = await executions.page(call.principal, await agent_named(call.principal, name), asked)
        return respond(rows, headers=next_link(call, last))


class RunningView(AgentRoute):
    """What is not over."""

    scopes = {"GET": ""}

    @documents.running
    async def get(self, call: Call, name: str) -> HttpResponse:
        call.principal.check_scope("read")
        return respond({"executions": await executions.running(call.principal, await agent_named(call.principal, name))})


class AgentExecutionView(AgentRoute):
    scopes = {"GET": ""}

    @documents.execution
    async def get(self, call: Call, name: str, execution_id: str) -> HttpResponse:
        row = await run_of(call, name, execution_id)
        check_read(call.principal, row)
        return await in_full(call, row)


class LogView(AgentRoute):
    """The run as stream-json, without the text as it was written."""

    scopes = {"GET": ""}

    @documents.log
    async def get(self, call: Call, name: str, execution_id: str) -> HttpResponse:
        row = await run_of(call, name, execution_id)
        check_read(call.principal, row)
        told = await log_lines(row)
        head = {"execution_id": str(row.id), "agent_name": row.agent_name, "has_log": bool(told), "log": told[-MAX_LOG_LINES:] or None}
        times = {"started_at": row.started_at and iso(row.started_at), "completed_at": row.completed_at and iso(row.completed_at)}
        return respond({**head, **times, "status": row.status})


class AgentStreamView(AgentRoute):
    scopes = {"GET": ""}

    @documents.stream
    async def get(self, call: Call, name: str, execution_id: str) -> HttpResponseBase:
        after, partial = number_after(call), partial_of(call)
        row = await run_of(call, name, execution_id)
        check_read(call.principal, row)
        return await watched(call, row, after, partial=partial)


class TerminateView(AgentRoute):
    """Stops the run, whatever it waits for; asked again it says that it is over (AG-40)."""

    scopes = {"POST": "run"}
    json_body = False

    @documents.terminate
    async def post(self, call: Call, name: str, execution_id: str) -> HttpResponse:
        row = await run_of(call, name, execution_id)
        done = await cancel(row.id)
        return respond({"status": done.result, "execution_id": str(row.id)})


async def run_of(call: Call, name: str, execution_id: str) -> Execution:
    """A run of this agent that the caller sees. Raises execution_not_found, also for a run of another agent (AG-36)."""
    agent = await agent_named(call.principal, name)
    if agent.id is None:
        raise SwitchboardError("execution_not_found")
    return await execution_for(call.principal, execution_id, agent.id)
