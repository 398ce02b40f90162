"""From a checked request to the turn it asks for: its conversation, what was said before, and what was left out on the way."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Any

from agents.access import Principal
from agents.errors import SwitchboardError
from agents.settings import settings
from agents.specs import AgentSpec
from agents.values import value
from chat import idempotency, repeats
from chat.protocols.openai.abilities import checked
from chat.protocols.openai.clientcalls import with_kept_steps
from chat.protocols.openai.conversations import Conversation, continuation, id_of, instructions_of, look_up
from chat.protocols.openai.history import input_parts, provider_history, seeds, split
from chat.protocols.openai.messages import Entry, check_pairs, check_user
from chat.protocols.openai.serializers import ChatRequest, settle
from chat.requests import Part, RepeatMark, Seed, SessionRef, TurnRequest
from chat.views import Call

ROUTE = "/v1/chat/completions"
TASK = "x-openwebui-task"
_SHAPING = ("x-conversation-id", "x-switchboard-tool-events", TASK)
"""Headers that change the answer's form, and so belong to a request's fingerprint (R4.2)."""
_LABELS = {"x-openwebui-user-id": "openwebui_user_id", "x-openwebui-user-email": "openwebui_user_email"}
_LONGEST_LABEL = 256
_KEY = re.compile(r"[\x21-\x7e]{1,255}\Z")


@value
class Asked:
    """What the headers of a request say. `task`: a front end's own background call (OAI-69), which has no conversation."""

    conversation_id: str
    tool_events: bool
    task: str


@value
class Plan:
    """The turn to start, its conversation, and the names of what will not be applied (OAI-15)."""

    turn: TurnRequest
    conversation: Conversation | None
    ignored: tuple[str, ...]

    @property
    def opens(self) -> bool:
        """Whether a new conversation begins."""
        return self.conversation is not None and self.conversation.cache == "miss"

    @property
    def headers(self) -> dict[str, str]:
        """What the answer carries beside the turn's own headers."""
        own = dict(self.conversation.headers) if self.conversation else {}
        return {**own, "X-Switchboard-Ignored": ", ".join(self.ignored)} if self.ignored else own


def read_headers(headers: Mapping[str, str], request: ChatRequest) -> Asked:
    """Raises invalid_value and invalid_idempotency_key; without a conversation also for messages that make none by themselves."""
    task = headers.get(TASK, "").strip() or _task_of(request.entries)
    conversation_id = "" if task else id_of(headers.get("x-conversation-id", ""))
    if not conversation_id:
        check_user(request.entries)
        check_pairs(request.entries)
    if (key := headers.get("idempotency-key")) is not None and not _KEY.match(key):
        raise SwitchboardError("invalid_idempotency_key", "Idempotency-Key must be 1 to 255 visible ASCII characters", status=400)
    tool_events = headers.get("x-switchboard-tool-events", "").strip().lower() == "true"
    return Asked(conversation_id=conversation_id, tool_events=tool_events, task=task[:_LONGEST_LABEL])


def _task_of(entries: Sequence[Entry]) -> str:
    """Open WebUI's own calls where the operator has not set the header: a lone message of a known shape."""
    lone = entries[0].text if len(entries) == 1 else ""
    return "openwebui" if lone.startswith("### Task:") and "<chat_history>" in lone else ""


async def plan(call: Call, body: Mapping[str, Any], request: ChatRequest, asked: Asked, agent: AgentSpec) -> Plan:
    """Raises SwitchboardError for what this agent cannot do, and for a conversation that cannot go on like this."""
    settled = settle(request, agent)
    entries = await checked(request.entries, agent, call.principal)
    conversation = await look_up(call.principal, agent, asked.conversation_id) if asked.conversation_id else None
    said = await _said(call.principal, agent, entries, settled.instructions, conversation)
    shaping = {name: call.headers[name] for name in _SHAPING if name in call.headers}
    key = call.headers.get("idempotency-key")
    turn = TurnRequest(
        principal=call.principal,
        agent=agent,
        wire="openai",
        parts=said.parts,
        session=said.session,
        history=said.history,
        seed=said.seed,
        branch=said.cut_position,
        lock_id=conversation.lock_id if conversation else None,
        instructions=said.instructions,
        sampling=settled.sampling,
        tools=not asked.task,
        client_tools=() if asked.task else settled.client_tools,
        tool_choice=None if asked.task else settled.tool_choice,
        parallel_tool_calls=request.parallel_tool_calls,
        response_format=request.response_format,
        repair_calls=0 if request.stream else 1,
        whole=not request.stream,
        timeout_s=settings.CHAT_REQUEST_TIMEOUT,
        keep_on_leave=said.session is not None,
        forget_failure=said.session is not None,
        busy="reject" if conversation and settings.CONVERSATION_BUSY == "reject" else None,
        idempotency=idempotency.claim_for(call.principal, ROUTE, agent.name, key, body, shaping),
        repeat=_repeat(call, body, shaping, asked),
        labels={**request.labels, **_labels(call.headers, asked), **said.labels},
        request_id=call.request_id,
    )
    return Plan(turn=turn, conversation=conversation, ignored=settled.ignored)


def _repeat(call: Call, body: Mapping[str, Any], shaping: Mapping[str, str], asked: Asked) -> RepeatMark | None:
    """The SDKs repeat a request whose answer was lost, and count (R4.1)."""
    count = call.headers.get("x-stainless-retry-count", "")
    if not asked.conversation_id or not (count.isascii() and count.isdigit()):
        return None
    key = repeats.key_of(call.principal, ROUTE, asked.conversation_id, idempotency.fingerprint(body, shaping))
    return RepeatMark(key=key, again=int(count) > 0)


def _labels(headers: Mapping[str, str], asked: Asked) -> dict[str, str]:
    """Said of the call, never believed (OAI-69)."""
    found = {label: headers[name][:_LONGEST_LABEL] for name, label in _LABELS.items() if headers.get(name)}
    return {**found, "task": asked.task} if asked.task else found


@value
class Said:
    """What was said, here and before, as fields of TurnRequest."""

    parts: tuple[Part, ...]
    instructions: tuple[str, ...]
    session: SessionRef | None = None
    history: tuple[Mapping[str, Any], ...] = ()
    seed: tuple[Seed, ...] = ()
    cut_position: int | None = None
    labels: Mapping[str, Any] = field(default_factory=dict)


async def _said(
    principal: Principal, agent: AgentSpec, entries: Sequence[Entry], instructions: tuple[str, ...], conversation: Conversation | None
) -> Said:
    session = conversation.session if conversation else None
    if conversation is not None:
        if session is not None and conversation.cache == "hit":
            return await _continued(agent, entries, session)
        check_user(entries)
        check_pairs(entries)
    before, new = split(await with_kept_steps(principal, agent, entries))
    if session is None:
        return Said(parts=input_parts(new), history=provider_history(before), instructions=instructions)
    labels = {"instructions": list(instructions)} if instructions else {}
    return Said(session=session, parts=input_parts(new), seed=seeds(before), instructions=instructions, labels=labels)


async def _continued(agent: AgentSpec, entries: Sequence[Entry], session: SessionRef) -> Said:
    """A hit: instructions are those the conversation was opened with, and kept with (OAI-53)."""
    more = await continuation(session, entries, agent)
    instructions = await instructions_of(session) if agent.caller_instructions else ()
    return Said(session=session, parts=more.parts, seed=more.seed, cut_position=more.cut_position, instructions=instructions)
