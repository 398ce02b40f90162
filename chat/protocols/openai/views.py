"""GET /v1/models, GET /v1/models/{id}, POST /v1/chat/completions, GET /openapi.json."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.http import HttpResponse
from django.http.response import HttpResponseBase

from agents import directory
from agents.errors import SwitchboardError
from agents.settings import settings
from agents.specs import AgentSpec
from chat.errors import SessionChanged, TurnError
from chat.events import TurnCancelled, TurnFailed, TurnPaused
from chat.protocols.openai import documents
from chat.protocols.openai.asking import Asked, Plan, plan, read_headers
from chat.protocols.openai.choice import choose, named, shown, usable
from chat.protocols.openai.codec import Encoder, Form, completion
from chat.protocols.openai.conversations import dropped, remember_instructions
from chat.protocols.openai.errors import envelope
from chat.protocols.openai.formats import check_schema
from chat.protocols.openai.lifetimes import opened
from chat.protocols.openai.schema import document
from chat.protocols.openai.serializers import ChatRequest, parse
from chat.streaming import sse, whole
from chat.turns import Turn, start
from chat.views import Call, WireView, respond


class OpenAIView(WireView):
    """Errors of this wire, and `run` in place of `read` (R1.4)."""

    envelope = staticmethod(envelope)

    def missing_scope(self, call: Call, scope: str) -> None:
        if scope != "read" or "run" not in call.principal.scopes:
            call.principal.check_scope(scope)


class ModelsView(OpenAIView):
    scopes = {"GET": "read"}

    @documents.models
    async def get(self, call: Call) -> HttpResponse:
        agents = (await directory.newest()).by_name
        return respond({"object": "list", "data": [shown(agent) for agent in usable(call.principal, agents)]})


class ModelView(OpenAIView):
    scopes = {"GET": "read"}

    @documents.model
    async def get(self, call: Call, name: str) -> HttpResponse:
        return respond(shown(named(call.principal, (await directory.catalog()).by_name, name)))


class ChatCompletionsView(OpenAIView):
    scopes = {"POST": ""}
    """The scope is asked after the body (R0.5)."""

    @documents.chat_completions
    async def post(self, call: Call) -> HttpResponseBase:
        body = call.json()
        request = parse(body)
        await check_schema(request.response_format)
        asked = read_headers(call.headers, request)
        call.principal.check_scope("run")
        agent = choose(call.principal, (await directory.catalog()).by_name, request.model)
        call.check_size(directory.body_limit(agent))
        planned, turn = await begin(call, body, request, asked, agent)
        try:
            if planned.opens and turn.session is not None and not turn.replayed:
                remember_instructions(turn.session.id, planned.turn.instructions)
                await opened(turn.session.id)
            return await answer(call, request, asked, planned, turn)
        except SwitchboardError as error:
            error.headers = {**planned.headers, **error.headers}
            raise


class OpenApiView(OpenAIView):
    public = True
    scopes = {"GET": ""}

    @documents.openapi
    async def get(self, call: Call) -> HttpResponse:
        return respond(document(settings.PUBLIC_BASE_URL or f"{call.request.scheme}://{call.request.get_host()}"))


async def begin(call: Call, body: Mapping[str, Any], request: ChatRequest, asked: Asked, agent: AgentSpec) -> tuple[Plan, Turn]:
    """The turn that is asked for, planned anew when another process dropped its conversation meanwhile (OAI-56)."""
    for _ in range(3):
        planned = await plan(call, body, request, asked, agent)
        try:
            return planned, await start(planned.turn)
        except SessionChanged:
            dropped(call.principal, planned.turn.session)
        except SwitchboardError as error:
            error.headers = {**planned.headers, **error.headers}
            raise
    raise TurnError("session_busy")


async def answer(call: Call, request: ChatRequest, asked: Asked, planned: Plan, turn: Turn) -> HttpResponseBase:
    """Chunks, or one object. Raises TurnError for a turn that ended badly before anything was sent."""
    headers = {**turn.headers, **planned.headers}
    agent, execution_id = planned.turn.agent, turn.execution_id
    form = Form(
        model=request.model or agent.name,
        execution_id=execution_id.hex,
        created_s=unix_seconds(execution_id),
        tool_events=asked.tool_events,
        show_reasoning=agent.show_reasoning,
    )
    if request.stream:
        return await sse(call, turn, Encoder(form, request.include_usage), headers=headers)
    events = await whole(call, turn)
    end = events[-1].event
    if isinstance(end, TurnFailed | TurnCancelled):
        raise turn.error_of(end)
    if isinstance(end, TurnPaused):
        headers["X-Execution-Status"] = "paused"
    return respond(completion(events, form, request.metadata), headers=headers)


def unix_seconds(execution_id: UUID) -> int:
    """When the execution was made: its id says it (agents.ids), so that a replayed answer is the same to the byte (R4.3)."""
    return (execution_id.int >> 80) // 1000
