"""A run told step by step: each model call with its text, its tool calls and what came of them."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from agents.models import Tool
from chat.admin.facts import duration, tokens
from chat.models import Execution, Message

MASK = "***"


@dataclass(slots=True, kw_only=True)
class CallShown:
    """One tool call. `outcome` is its result or its error; None while there is none."""

    name: str
    arguments: str
    outcome: str | None = None
    ok: bool = True
    took: str = ""


@dataclass(slots=True, kw_only=True)
class StepShown:
    number: int
    model: str
    tokens: str
    finish_reason: str
    text: str
    reasoning: str = ""
    calls: list[CallShown] = field(default_factory=list)


def steps_of(execution: Execution) -> list[StepShown]:
    """The stored steps; results and reasoning come from the parts of the run's assistant message, where there is one."""
    parts = _parts(execution)
    results: dict[Any, Any] = {part.get("provider_id") or part.get("call_id"): part for part in parts if part.get("type") == "tool"}
    thoughts = _thoughts(parts)
    masked = _masked(call.get("name", "") for step in execution.steps for call in step.get("calls", ()))
    return [_step(step, results, thoughts, masked) for step in execution.steps]


def _step(step: Mapping[str, Any], results: Mapping[Any, Any], thoughts: Mapping[int, str], masked: Mapping[str, set[str]]) -> StepShown:
    usage = step.get("usage") or {}
    return StepShown(
        number=step.get("step", 0),
        model=step.get("model", ""),
        tokens=tokens(usage.get("input_tokens", 0), usage.get("output_tokens", 0)),
        finish_reason=str(step.get("finish_reason", "")).replace("_", " "),
        text=step.get("text", ""),
        reasoning=step.get("reasoning") or thoughts.get(step.get("step", 0), ""),
        calls=[_call(call, results.get(call.get("id"), call), masked.get(call.get("name", ""), set())) for call in step.get("calls", ())],
    )


def _call(call: Mapping[str, Any], result: Mapping[str, Any], masked: set[str]) -> CallShown:
    known = "output" in result or "error" in result
    outcome = readable(result.get("error") or result.get("output")) if known else None
    took = result.get("duration_ms")
    return CallShown(
        name=call.get("name", ""),
        arguments=_arguments(result.get("arguments", call.get("arguments")), masked),
        outcome=outcome,
        ok=bool(result.get("ok", True)),
        took=duration(took) if took is not None else "",
    )


def _arguments(value: Any, masked: set[str]) -> str:
    """Arguments as JSON, masked ones hidden. What the model wrote so badly that it cannot be read is hidden if anything is masked."""
    if isinstance(value, str):
        try:
            value = json.loads(value or "{}")
        except ValueError:
            return MASK if masked else str(value)
    if isinstance(value, Mapping):
        value = {name: MASK if name in masked else member for name, member in value.items()}
    return readable(value)


def readable(value: Any) -> str:
    """Texts as they are, everything else as indented JSON."""
    return value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)


def _parts(execution: Execution) -> list[dict[str, Any]]:
    messages = Message.objects.filter(execution_id=execution.pk, role=Message.Role.ASSISTANT).order_by("position")
    return [part for message in messages for part in message.parts if isinstance(part, dict)]


def _thoughts(parts: Iterable[Mapping[str, Any]]) -> dict[int, str]:
    """Reasoning by step: a step part comes before what its model call said."""
    found: dict[int, list[str]] = {}
    step = 0
    for part in parts:
        if part.get("type") == "step":
            step = int(part.get("step", 0))
        elif part.get("type") == "reasoning":
            found.setdefault(step, []).append(str(part.get("text", "")))
    return {number: "\n\n".join(texts) for number, texts in found.items()}


def _masked(names: Iterable[str]) -> dict[str, set[str]]:
    rows = Tool.objects.filter(name__in=set(names)).values_list("name", "masked_arguments")
    return {name: set(arguments) for name, arguments in rows if arguments}
