"""What a run of a workflow knows while it goes: values of steps by name, what a step came to, and what waits for a decision."""

from collections import ChainMap
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from chat.toolcalls import ServerCall

LARGEST_BYTES = 8 * 1024 * 1024
SHOWN_BYTES = 65_536
"""Larger values are stored, and told by where they are (WS-57)."""


class StepFailed(Exception):
    """A step that came to nothing; the text is a sentence for callers. `detail` is for managers; `final`: trying again is no use."""

    def __init__(self, sentence: str, *, detail: str = "", final: bool = False) -> None:
        super().__init__(sentence)
        self.sentence, self.detail, self.final = sentence[:500], detail, final


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a step came to, and what it adds to its run: parts, records of model calls, and what those used.

    `tried`: under which name that is on record already (chat.workflows.spending).
    """

    output: Any = None
    error: str = ""
    parts: Sequence[Mapping[str, Any]] = ()
    steps: Sequence[Mapping[str, Any]] = ()
    spent: Sequence[Mapping[str, Any]] = ()
    tried: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waits:
    """A step that cannot go on before its calls are decided. `nested`: where the agent that it asks stands."""

    calls: Sequence[ServerCall]
    nested: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """A call of a step that waited: as it was, and what was decided. `denied` None: it was approved, perhaps with other arguments."""

    call: Mapping[str, Any]
    denied: str | None = None
    arguments: Any = None


@dataclass(frozen=True, slots=True)
class Scope:
    """Where a step stands: the names it sees, and the beginning of its path. Each item of a map has its own."""

    names: Mapping[str, Any]
    steps: MutableMapping[str, Any]
    prefix: str = ""

    def path(self, step_id: str) -> str:
        return self.prefix + step_id

    def seen(self) -> dict[str, Any]:
        """What expressions may name."""
        return {**self.names, "steps": self.steps}

    def put(self, step_id: str, output: Any, status: str = "completed", error: str = "") -> None:
        self.steps[step_id] = {"output": output, "status": status, "error": error}

    def within(self, path: str, index: int, item: Any) -> "Scope":
        """The scope of one item of the map at `path`."""
        inner: ChainMap[str, Any] = ChainMap({}, self.steps)
        return Scope({**self.names, "item": item, "index": index}, inner, f"{path}[{index}].")


@dataclass(slots=True, kw_only=True)
class Pause:
    """What a paused run keeps beside its progress: whose each waiting call is, and where nested agents stand."""

    paths: dict[str, str] = field(default_factory=dict)
    nested: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    calls: list[ServerCall] = field(default_factory=list)

    def add(self, path: str, waits: Waits) -> None:
        self.calls += waits.calls
        self.paths |= {call.id: path for call in waits.calls}
        if waits.nested is not None:
            self.nested[path] = waits.nested

    def to_json(self) -> dict[str, Any]:
        return {"paths": self.paths, "nested": self.nested}


def canonical(value: Any) -> tuple[Any, int]:
    """The value as every database and every wire has it, and its size in bytes as JSON. Raises StepFailed."""
    try:
        encoded = orjson.dumps(value)
    except TypeError as error:
        raise StepFailed("The output is no JSON value.", detail=str(error), final=True) from error
    if len(encoded) > LARGEST_BYTES:
        raise StepFailed(f"The output is larger than {LARGEST_BYTES >> 20} MiB.", final=True)
    plain = orjson.loads(encoded)
    return (_without_nul(plain) if b"\\u0000" in encoded else plain), len(encoded)


def _without_nul(value: Any) -> Any:
    match value:
        case str():
            return value.replace("\0", "")
        case dict():
            return {_without_nul(key): _without_nul(item) for key, item in value.items()}
        case list():
            return [_without_nul(item) for item in value]
        case _:
            return value


def text_of(values: Sequence[Any]) -> str:
    """Outputs as the text of an answer, for wires and histories that know texts only (WS-58)."""
    return "\n\n".join(filter(None, map(_text, values)))


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list) and value and all(isinstance(item, str) for item in value):
        return "\n".join(value)
    return orjson.dumps(value).decode()
