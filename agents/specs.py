"""What an agent is while it answers: frozen values, the same for stored and for inline agents.

Built from rows by agents.directory; everything above this floor reads specs and never the rows.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal
from uuid import UUID

ReasoningEffort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]
TurnPolicy = Literal["queue", "reject", "interrupt"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderSpec:
    """Where a model is served. `options` are kind-specific (the demo provider's script, for one)."""

    id: str
    name: str
    kind: str
    base_url: str = ""
    api_key: str = field(default="", repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    connect_timeout_s: float = 10.0
    first_token_timeout_s: float = 120.0
    idle_timeout_s: float = 60.0
    max_retries: int = 2
    fetches_urls: bool = True
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec:
    """One model at one provider, with what it can take. `context_window` is in tokens."""

    provider: ProviderSpec
    name: str
    context_window: int = 128_000
    takes_images: bool = False
    takes_audio: bool = False
    takes_files: bool = False
    unsupported: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How the model is sampled; None means the provider's own default. Names are those of Chat Completions."""

    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    seed: int | None = None
    logit_bias: Mapping[str, float] | None = None
    reasoning_effort: ReasoningEffort | None = None
    verbosity: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolSpec:
    """One function the model may call and Switchboard runs. `parameters` is JSON Schema (object at the root).

    `config` is the kind's own settings, `secrets` its decrypted credentials; `masked` names arguments never shown.
    """

    name: str
    kind: str
    description: str = ""
    parameters: Mapping[str, Any] = field(default_factory=lambda: {"type": "object", "properties": {}})
    config: Mapping[str, Any] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    timeout_s: float = 30.0
    requires_approval: bool = False
    approver: Literal["caller", "manager"] = "caller"
    masked: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentSpec:
    """One published version of an agent (or an inline one: id None, version 0)."""

    id: UUID | None
    name: str
    version: int = 0
    created_at_s: int = 0
    display_name: str = ""
    description: str = ""
    avatar: str = ""
    instructions: str = ""
    models: tuple[ModelSpec, ...]
    tools: tuple[ToolSpec, ...] = ()
    sampling: Sampling = Sampling()
    sampling_locked: bool = False
    allowed_models: tuple[str, ...] = ()
    max_steps: int = 20
    run_timeout_s: float = 3600.0
    turn_policy: TurnPolicy = "queue"
    max_parallel_runs: int = 0
    max_queued_chats: int = 20
    max_parallel_tasks: int = 10
    max_queued_tasks: int = 1000
    client_tools: Literal["pass", "ignore"] | tuple[str, ...] = "pass"
    caller_instructions: bool = True
    show_reasoning: bool = False
    accept_images: bool = False
    max_body_bytes: int = 0
    output_schema: Mapping[str, Any] | None = None
    output_mode: Literal["text", "json_object", "json_schema"] = "text"
    approval_notice: str = "This step needs approval before it can continue."
    conversation_starters: tuple[str, ...] = ()
    enabled: bool = True
    owner_id: int | None = None
    manager_ids: frozenset[int] = frozenset()
    access: Literal["private", "shared", "signed_in"] = "private"
    shared_user_ids: frozenset[int] = frozenset()
    shared_group_ids: frozenset[int] = frozenset()
    shareable: bool = False
    require_email: bool = False

    @property
    def model(self) -> ModelSpec:
        return self.models[0]

    def with_model(self, name: str) -> "AgentSpec":
        """The same agent asked with another model of its provider; its fallbacks stay. Whether callers may is AG-6's business."""
        if name == self.model.name:
            return self
        return replace(self, models=(replace(self.model, name=name), *self.models[1:]))

    def tool(self, name: str) -> ToolSpec | None:
        return next((tool for tool in self.tools if tool.name == name), None)
