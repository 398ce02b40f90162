"""What a run has done so far: the one mutable value of a turn. It survives a pause as JSON."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

import orjson

from chat.events import Usage
from chat.gates import StepUsage
from chat.requests import Part


@dataclass(slots=True)
class Progress:
    """`messages` is the provider's JSON array so far; `parts` the assistant Message's; `steps` one record per model call.

    `client_calls`: (call id, the step's messages) of a step that also ran server tools (OAI-29).
    `job`: of a workflow's run: `workflow_id`, `result`, the `step` that failed, and what was `told` (chat.workflows.engine).
    """

    messages: bytes = b"[]"
    step: int = 0
    block: int = 0
    parts: list[Part] = field(default_factory=list)
    steps: list[dict[str, Any]] = field(default_factory=list)
    spent: list[StepUsage] = field(default_factory=list)
    context_tokens: int = 0
    model_used: str = ""
    model_s: float = 0.0
    first_token_s: float | None = None
    repairs: int = 0
    client_calls: list[tuple[str, Any]] = field(default_factory=list)
    job: dict[str, Any] = field(default_factory=dict)

    @property
    def usage(self) -> Usage:
        """The sum over all model calls, also repair calls (R10.1)."""
        total = summed(step.usage for step in self.spent)
        calls = sum(1 for part in self.parts if part["type"] == "tool" and not part.get("client"))
        if (total.model_calls, total.tool_calls) == (len(self.spent), calls):
            return total
        return replace(total, model_calls=len(self.spent), tool_calls=calls)

    @property
    def text(self) -> str:
        return "\n\n".join(part["text"] for part in self.parts if part["type"] == "text" and part["text"])

    def add_messages(self, *messages: Any) -> None:
        """Appends provider messages to the array."""
        added = b",".join(orjson.dumps(message) for message in messages)
        head = self.messages[:-1]
        self.messages = head + (b"," if len(head) > 1 else b"") + added + b"]"

    def to_json(self) -> dict[str, Any]:
        plain = {name: getattr(self, name) for name in _PLAIN}
        return {**plain, "messages": self.messages.decode(), "spent": spent_json(self.spent)}

    @classmethod
    def from_json(cls, state: dict[str, Any]) -> "Progress":
        plain = {name: state[name] for name in _PLAIN if name in state}
        plain["client_calls"] = [(call_id, messages) for call_id, messages in state.get("client_calls", ())]
        return cls(**plain, messages=state["messages"].encode(), spent=spent_of(state["spent"]))


_PLAIN = (
    "step", "block", "parts", "steps", "context_tokens", "model_used", "model_s", "first_token_s", "repairs", "client_calls", "job",
)  # fmt: skip
_FIELDS = tuple(field.name for field in fields(Usage))
_COUNTS = tuple(name for name in _FIELDS if name != "estimated")


def summed(usages: Iterable[Usage]) -> Usage:
    listed = list(usages)
    if len(listed) == 1:
        return listed[0]
    totals = {name: sum(getattr(usage, name) for usage in listed) for name in _COUNTS}
    return Usage(**totals, estimated=any(usage.estimated for usage in listed))


def spent_json(spent: Iterable[StepUsage]) -> list[dict[str, Any]]:
    return [{"model": step.model, "provider_kind": step.provider_kind, "usage": as_dict(step.usage)} for step in spent]


def spent_of(stored: Iterable[Mapping[str, Any]]) -> list[StepUsage]:
    return [StepUsage(model=step["model"], provider_kind=step["provider_kind"], usage=Usage(**step["usage"])) for step in stored]


def as_dict(usage: Usage) -> dict[str, Any]:
    return {name: getattr(usage, name) for name in _FIELDS}
