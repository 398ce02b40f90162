"""What a wire asks of the spine: frozen values, made by a room's serializers, read by chat.turns and chat.loop.

User parts (canonical JSON, also what Message.parts holds):
  {"type": "text", "text"}
  {"type": "image", "url", "detail"?}                         url: data: URL of an image, or http(s)
  {"type": "audio", "data", "format"}                         base64, wav or mp3
  {"type": "file", "filename", "media_type", "data"?, "attachment_id"?}   "inline": the file came with this message (AG-7)
  {"type": "tool_result", "call_id", "name"?, "output"}       answers an open client tool call; output is text
Assistant parts:
  {"type": "text", "block", "text"}   {"type": "reasoning", "block", "text"}   {"type": "refusal", "text"}
  {"type": "tool", "call_id", "provider_id", "name", "arguments", "raw"?, "client", "output", "ok", "error", "duration_ms",
   "called_s"}                                             of server calls; one that was cut off has no "output" and no "ok"
  {"type": "step", "step", "model"}                           begins a model call
  {"type": "source", "source_id", "title", "url", …}   {"type": "output", "name", "value"}
Of a workflow's run also, beside a `node_id` on the tool parts of its steps:
  {"type": "node", "workflow_id", "node_id", "node_name", "node_type", "status", "error", "result", "skipped"}
  {"type": "output", "name", "value", "node_id", "node_name", "output_type"}   {"type": "job", "outputs": names}
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from agents.access import Principal
from agents.providers.base import ToolDefinition
from agents.specs import AgentSpec, Sampling
from agents.values import value

Part = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pointer:
    """How a turn makes its conversation its owner's current one with the agent (AG-10), in the transaction in which it begins.

    `seen`: where the pointer stood when the request was read; if another moved it since, the turn looks again. `fresh`: a new
    conversation takes the place of the current one, which is closed. `named`: the caller named it, wherever the pointer stands.
    """

    seen: UUID | None = None
    fresh: bool = False
    named: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRef:
    """A stored conversation, by what never changes of it. `is_new`: it is made with its first turn (R8.4).

    `by_name`: it was meant by its name, and without that it is not there (OAI-56).
    """

    id: UUID
    namespace: str
    name: str | None
    agent_id: UUID | None
    agent_name: str
    owner_id: int | None
    wire: str
    is_new: bool = False
    by_name: bool = False
    pointer: Pointer | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Seed:
    """An earlier message the client brought along (a conversation we have not seen): stored before the new turn."""

    role: Literal["user", "assistant"]
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Branch:
    """Another branch of a conversation begins in the place of this message, or after it (AG-26)."""

    message_id: UUID
    after: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class IdempotencyClaim:
    """R4: `key_hash` over principal, route, agent and key; `fingerprint` over body, query and shaping headers."""

    key_hash: str
    fingerprint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RepeatMark:
    """Sent by a client that silently repeats requests (R4.1): `key` as of chat.repeats; `again`: this is such a repeat."""

    key: str
    again: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowCall:
    """Which version of which workflow is run, with its inputs as they were checked. `id` is text: it is stored as JSON."""

    id: str
    name: str
    version: int
    inputs: Mapping[str, Any] = field(default_factory=dict)


@value
class TurnRequest:
    """One turn, fully parsed and permitted. The spine decides capacity, order, history and the end.

    `parts`: the new user input. `session` None: a stateless call; then `history` holds the earlier messages as provider
    messages (Chat Completions dicts, R9-cleaned by the spine). `seed` is stored before the turn.
    `branch`: the session branches at a message, or: messages at this position and after leave history (OAI-52, AG-26).
    `lock_id`: stateless calls of one such id run one at a time (OAI-57).
    `instructions`: the caller's own, added after the agent's (OAI-19). `tools` False: neither tools nor knowledge (OAI-69).
    `response_format`: of Chat Completions (OAI-31), with `repair_calls` allowed on an invalid answer.
    `whole`: the caller reads no pieces, so the model is asked for its answer in one. `keep_on_leave`: R6.2.
    `forget_failure`: a failed turn leaves the history (OAI-54). `busy`: overrides the agent's policy.
    `most_history`: no more stored messages than these go to the model (WS-31).
    `answerer`: the connection that runs `client_tools` and answers: the turn waits for it (R11.2); empty: a call to one ends the turn.
    `source`: what its messages came by: text, voice or task. `stored_parts`: what the conversation keeps in place of `parts`.
    `workflow`: it is run in place of the agent's own loop; `agent` is its host.
    """

    principal: Principal
    agent: AgentSpec
    wire: str | None
    trigger: str = "chat"
    parts: tuple[Part, ...]
    stored_parts: tuple[Part, ...] | None = None
    source: Literal["text", "voice", "task"] = "text"
    session: SessionRef | None = None
    history: tuple[Mapping[str, Any], ...] = ()
    seed: tuple[Seed, ...] = ()
    branch: Branch | int | None = None
    lock_id: UUID | None = None
    instructions: tuple[str, ...] = ()
    sampling: Sampling = field(default_factory=Sampling)
    tools: bool = True
    client_tools: tuple[ToolDefinition, ...] = ()
    answerer: str = ""
    tool_choice: str | Mapping[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    response_format: Mapping[str, Any] | None = None
    repair_calls: int = 0
    max_steps: int | None = None
    timeout_s: float
    whole: bool = False
    keep_on_leave: bool = False
    most_history: int | None = None
    forget_failure: bool = False
    busy: Literal["queue", "reject", "interrupt"] | None = None
    idempotency: IdempotencyClaim | None = None
    repeat: RepeatMark | None = None
    client_message_id: str = ""
    client_metadata: Mapping[str, Any] | None = None
    workflow: WorkflowCall | None = None
    labels: Mapping[str, Any] = field(default_factory=dict)
    request_id: str = ""

    @property
    def text(self) -> str:
        return text_of(self.parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRequest:
    """A turn to be run later, by whichever process has a worker (chat.queued), in the version of `agent` that is published then.

    `parts`: what the model is asked; `stored_parts`: what a conversation keeps of that, where it is not the same.
    `session`: it is a turn of this conversation, with its history and its lock (AG-34). `save`: it is not, but its question and
    answer are added to the owner's current conversation with the agent. `instructions` follow the agent's, always.
    `allowed_tools` None: all of the agent. `model` "": the agent's. `timeout_s` None: the agent's run timeout, which it never
    exceeds. `priority` 0-9: higher starts first. `max_attempts`: how often it may start, if its process dies each time (AG-32).
    `workflow`: it is run, hosted by `agent`. `session` may be new only for those: it is stored with the run.
    `client_tools`, `answerer`: as of TurnRequest; a workflow's steps may call them.
    """

    principal: Principal
    agent: AgentSpec
    wire: str | None = None
    trigger: Literal["task", "schedule", "webhook", "workflow"] = "task"
    source: Literal["text", "voice", "task"] = "task"
    client_message_id: str = ""
    workflow: WorkflowCall | None = None
    parts: tuple[Part, ...]
    stored_parts: tuple[Part, ...] | None = None
    session: SessionRef | None = None
    save: bool = False
    instructions: tuple[str, ...] = ()
    allowed_tools: tuple[str, ...] | None = None
    model: str = ""
    max_steps: int | None = None
    timeout_s: float | None = None
    priority: int = 5
    not_before: datetime | None = None
    max_attempts: int = 3
    callback_url: str = ""
    schedule_id: UUID | None = None
    retry_of: UUID | None = None
    client_tools: tuple[ToolDefinition, ...] = ()
    answerer: str = ""
    labels: Mapping[str, Any] = field(default_factory=dict)
    request_id: str = ""

    @property
    def text(self) -> str:
        return text_of(self.parts)


def text_of(parts: Iterable[Part]) -> str:
    """The text of a message."""
    return "\n\n".join(part["text"] for part in parts if part["type"] == "text")
