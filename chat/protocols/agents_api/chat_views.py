"""POST /api/agents/{name}/chat: one turn in a session, as JSON, NDJSON or SSE (AG-9 … AG-15, AG-26)."""

from django.http import HttpResponse
from django.http.response import HttpResponseBase

from agents import directory
from agents.errors import SwitchboardError
from agents.specs import AgentSpec
from chat import turns
from chat.choice import asked_with
from chat.events import TurnCancelled, TurnFailed, TurnPaused
from chat.fields import parse
from chat.files import brought
from chat.protocols.agents_api import chat_documents as documents
from chat.protocols.agents_api.answers import answer
from chat.protocols.agents_api.asking import Rendering, place_of, rendering_of, turn_request
from chat.protocols.agents_api.base import AgentRoute, agent_named
from chat.protocols.agents_api.chat_requests import ChatRequest, check
from chat.protocols.agents_api.errors import told_here
from chat.store import run
from chat.streaming import sse, whole
from chat.streamjson import CONTENT_TYPES, Encoder, Form
from chat.turns import Turn
from chat.views import Call, respond


class ChatView(AgentRoute):
    @documents.chat
    async def post(self, call: Call, name: str) -> HttpResponseBase:
        agent = await agent_named(call.principal, name)
        call.check_size(directory.body_limit(agent))
        try:
            turn, rendering = await begin(call, agent)
            if rendering.form is None:
                return await whole_answer(call, turn)
            return await stream(call, turn, rendering.form, partial=rendering.partial)
        except SwitchboardError as error:
            raise told_here(error, name) from error


async def begin(call: Call, agent: AgentSpec) -> tuple[Turn, Rendering]:
    """The turn of this request. The scope is asked after the body (R0.5); files are stored for a turn that was accepted only."""
    body = call.json()
    asked = check(parse(ChatRequest, body))
    rendering = rendering_of(call, asked)
    call.principal.check_scope("run")
    agent = asked_with(agent, asked.model)
    place = await place_of(call.principal, agent, asked)
    async with brought(call.principal, agent, asked.files, asked.attachments) as files:
        request = turn_request(call, agent, asked, body, rendering, place, files.parts)
        turn = await turns.start(request)
        files.unused = turn.task is None or turn.request.parts is not request.parts  # an earlier run is given again (R4)
    return turn, rendering


async def whole_answer(call: Call, turn: Turn) -> HttpResponse:
    """A run that ended in error is an error status, also when some text exists (AG-13)."""
    events = await whole(call, turn)
    end = events[-1].event
    if isinstance(end, TurnFailed | TurnCancelled):
        raise turn.error_of(end)
    paused = {"X-Execution-Status": "paused"} if isinstance(end, TurnPaused) else {}
    body = await run(answer, turn.execution_id, turn.request.agent, again=turn.replayed)
    return respond(body, headers={**headers_of(turn), **paused})


async def stream(call: Call, turn: Turn, form: Form, *, partial: bool) -> HttpResponseBase:
    """stream-json as it comes; a turn that waits says so instead of keeping silent (AG-20)."""
    session_id = str(turn.session.id) if turn.session else ""
    encoder = Encoder(form=form, execution_id=str(turn.execution_id), session_id=session_id, partial=partial)
    if turn.begin.queued:
        encoder.queued(max(1, turn.queue_position))
    return await sse(call, turn, encoder, headers=headers_of(turn), content_type=CONTENT_TYPES[form])


def headers_of(turn: Turn) -> dict[str, str]:
    """The turn's own, and the name under which clients of the reference server look for a replay (R4.3)."""
    return {**turn.headers, "X-Idempotent-Replay": "true"} if turn.replayed else turn.headers
