"""A run told step by step: each model call with what it said, the tools it called and what came of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from chat import replay
from chat.admin.facts import tokens
from chat.admin.parts import Block, blocks_of
from chat.models import Execution
from chat.requests import Part


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    number: int
    model: str
    tokens: str
    finish_reason: str
    blocks: Sequence[Block]


def steps_of(execution: Execution) -> list[Step]:
    """The model calls of a run, counted, also those that said nothing. A workflow's run begins with a step that calls no model."""
    said = _by_step(replay.parts_of(execution))
    records = {int(record.get("step", 0)): record for record in execution.steps}
    steps = [_step(number, records.get(number, {}), said.get(number, [])) for number in sorted({*said, *records})]
    told = (step for step in steps if step.model or step.blocks)
    return [replace(step, number=number) for number, step in enumerate(told, 1)]


def _by_step(parts: Sequence[Part]) -> dict[int, list[Part]]:
    """A `step` part begins a model call; what stands before the first (after a crash) belongs to the first."""
    found: dict[int, list[Part]] = {}
    number = 1
    for part in parts:
        if part.get("type") == "step":
            number = int(part.get("step", number))
        found.setdefault(number, []).append(part)
    return found


def _step(number: int, record: Mapping[str, Any], parts: Sequence[Part]) -> Step:
    usage = record.get("usage") or {}
    begun = next((part for part in parts if part.get("type") == "step"), {})
    return Step(
        number=number,
        model=record.get("model") or begun.get("model", ""),
        tokens=tokens(usage.get("input_tokens", 0), usage.get("output_tokens", 0)),
        finish_reason=str(record.get("finish_reason", "")).replace("_", " "),
        blocks=blocks_of(parts),
    )
