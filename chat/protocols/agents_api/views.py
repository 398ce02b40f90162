"""Any visible run by its id: what it is, what it says, stop it, approve what it waits for (R6.5, R7, R15, AG-36, AG-38)."""

from typing import Any

from django.http import HttpResponse
from django.http.response import HttpResponseBase

from chat import approvals, backlog, turns
from chat.cancelling import cancel
from chat.executions import check_read, detail, execution_for, manages, number_after
from chat.fields import parse
from chat.models import Execution
from chat.protocols.agents_api import documents
from chat.protocols.agents_api.serializers import DecisionRequest
from chat.queries import partial_of
from chat.store import run
from chat.streaming import sse_watch
from chat.streamjson import Encoder
from chat.views import Call, WireView, respond
from chat.watching import log_for


class ExecutionView(WireView):
    """One run; its owner sees it, and managers of its agent, who also see what the provider said (R3.3)."""

    scopes = {"GET": ""}

    @documents.execution
    async def get(self, call: Call, execution_id: str) -> HttpResponse:
        row = await execution_for(call.principal, execution_id)
        check_read(call.principal, row)
        return await in_full(call, row)


class StreamView(WireView):
    """The run's stream-json events from any number on; a finished run replays and ends (AG-38)."""

    scopes = {"GET": ""}

    @documents.stream
    async def get(self, call: Call, execution_id: str) -> HttpResponseBase:
        after, partial = number_after(call), partial_of(call)
        row = await execution_for(call.principal, execution_id)
        check_read(call.principal, row)
        return await watched(call, row, after, partial=partial)


class CancelView(WireView):
    """Stops the run, whatever it waits for; asked again it says what became of it (R6.5)."""

    scopes = {"POST": "run"}
    json_body = False

    @documents.cancel
    async def post(self, call: Call, execution_id: str) -> HttpResponse:
        row = await execution_for(call.principal, execution_id)
        done = await cancel(row.id)
        return respond({"execution_id": str(row.id), "status": done.status, "result": done.result})


class ApprovalView(WireView):
    """Approves or denies one tool call that waits (R15.2)."""

    scopes = {"POST": ""}

    @documents.approval
    async def post(self, call: Call, execution_id: str, tool_call_id: str) -> HttpResponse:
        asked = parse(DecisionRequest, call.json())
        call.principal.check_scope("run")
        row = await execution_for(call.principal, execution_id)
        decision = await approvals.decide(
            row.id, tool_call_id, call.principal, approve=asked.approve, reason=asked.reason or "", arguments=asked.arguments
        )
        return respond(shown(decision))


async def in_full(call: Call, row: Execution) -> HttpResponse:
    """The run with everything this caller may see of it."""
    return respond(await detail(row, for_manager=await manages(call.principal, row)))


async def watched(call: Call, row: Execution, after: int, *, partial: bool) -> HttpResponseBase:
    """The run's events after that number, live; one that waits says so in silence (AG-20)."""
    session_id = str(row.session_id or "")
    encoder = Encoder(execution_id=str(row.id), session_id=session_id, partial=partial, after=after)
    if row.status == Execution.Status.QUEUED:
        encoder.queued(await position_of(row))
    headers = {"X-Execution-Id": str(row.id), "X-Switchboard-Agent": row.agent_name}
    return await sse_watch(call, await log_for(row.id, after), encoder, headers=headers)


def shown(decision: approvals.Decision) -> dict[str, Any]:
    return {
        "execution_id": str(decision.execution_id),
        "tool_call_id": decision.tool_call_id,
        "decision": decision.decision,
        "status": decision.status,
        "pending": decision.pending,
    }


async def position_of(row: Execution) -> int:
    """The place of a waiting run in its queue; of a turn that waits in another process only that it waits."""
    if row.work is not None:
        return await run(backlog.position, row)
    turn = turns.find(row.id)
    return max(1, turn.queue_position) if turn else 1
