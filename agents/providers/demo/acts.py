"""What each directive does: a table of generators that give deltas and Pauses. No waiting here; the demo waits."""

import math
import re
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import repeat
from typing import Any

import orjson

from agents.providers.base import (
    Delta,
    Finish,
    FinishReason,
    ModelRequest,
    ProviderError,
    Reasoning,
    Refusal,
    Text,
    ToolCallPart,
    Usage,
)
from agents.providers.demo.instances import instance
from agents.providers.demo.script import USAGE_FIELDS, Act

HOPELESS = '{"hopeless": '
ANSWERS: Mapping[str, str] = {
    "broken": '{"broken": ',
    "hopeless": HOPELESS,
    "wrong": '"This is JSON, but not what the schema asks for."',
}
"""Bad answers to a response_format. `broken` and `wrong` are repaired when the model is asked again, `hopeless` never."""


@dataclass(frozen=True, slots=True)
class Pause:
    """Silence; `seconds` may be infinite."""

    seconds: float


Moment = Delta | Pause


@dataclass(slots=True)
class Stage:
    """One model call while it is played."""

    request: ModelRequest
    delay_s: float
    words: int = 0
    calls: int = 0
    finish: FinishReason | None = None
    usage: Usage | None = field(default_factory=Usage)
    """Usage() is counted in words at the end; None tells nothing."""

    def end(self, model: str) -> Iterator[Delta]:
        if self.usage == Usage():
            yield Usage(input_tokens=len(self.request.messages) // 4, output_tokens=self.words)
        elif self.usage:
            yield self.usage
        yield Finish(self.finish or ("tool_calls" if self.calls else "stop"), model)


def play(stage: Stage, acts: Iterable[Act]) -> Iterator[Moment]:
    """The moments of one model call, until its acts or its output limit (counted in words) are used up."""
    limit = stage.request.sampling.max_tokens or math.inf
    for act in acts:
        for moment in ACTS[act.verb](stage, act):
            yield moment
            if isinstance(moment, Text | Reasoning | Refusal):
                stage.words += len(moment.text.split())
            if stage.words >= limit:
                stage.finish = "length"
                return


def set_up(stage: Stage, acts: Iterable[Act]) -> None:
    """What earlier model calls of the same script set stays set."""
    for act in acts:
        if act.verb in ("delay", "usage", "no-usage"):
            list(ACTS[act.verb](stage, act))


def _said(stage: Stage, text: str, kind: Callable[[str], Delta] = Text) -> Iterator[Moment]:
    """Word by word, and not beyond a stop sequence."""
    for stop in stage.request.sampling.stop:
        text = text.partition(stop)[0]
    for word in re.findall(r"\s*\S+\s*|\s+", text):
        yield kind(word)
        yield Pause(stage.delay_s)


def _text(stage: Stage, act: Act) -> Iterator[Moment]:
    return _said(stage, str(act.value))


def _reasoning(stage: Stage, act: Act) -> Iterator[Moment]:
    return _said(stage, str(act.value), Reasoning)


def _refusal(stage: Stage, act: Act) -> Iterator[Moment]:
    return _said(stage, str(act.value), Refusal)


def _chunk(act: Act) -> str:
    return str(act.options.get("text", "word "))


def _repeat(stage: Stage, act: Act) -> Iterator[Moment]:
    for chunk in repeat(_chunk(act), int(act.value)):
        yield Text(chunk)
        yield Pause(stage.delay_s)


def _burst(_: Stage, act: Act) -> Iterator[Moment]:
    yield Text(_chunk(act) * int(act.value))


def _endless(stage: Stage, act: Act) -> Iterator[Moment]:
    for chunk in repeat(str(act.value or "on and on ")):
        yield Text(chunk)
        yield Pause(stage.delay_s)


def _json(stage: Stage, act: Act) -> Iterator[Moment]:
    """`valid` (also when nothing is said), a name of ANSWERS, or the answer itself."""
    literal = act.value if isinstance(act.value, str) else orjson.dumps(act.value).decode()
    return _said(stage, _valid(stage.request) if literal in ("", "valid", "null") else ANSWERS.get(literal, literal))


def _valid(request: ModelRequest) -> str:
    wanted = (request.response_format or {}).get("json_schema", {}).get("schema", {"type": "object"})
    return orjson.dumps(instance(wanted), option=orjson.OPT_INDENT_2).decode()


def _tool(stage: Stage, act: Act) -> Iterator[Moment]:
    """The call comes in two pieces, as from most servers. Arguments that are text are sent as they are, JSON or not."""
    arguments = act.options.get("arguments", {})
    text = arguments if isinstance(arguments, str) else orjson.dumps(arguments).decode()
    call_id = str(act.options.get("id") or f"call_{secrets.token_hex(12)}")
    yield ToolCallPart(stage.calls, call_id, str(act.value), text[: len(text) // 2])
    yield Pause(stage.delay_s)
    yield ToolCallPart(stage.calls, "", "", text[len(text) // 2 :])
    stage.calls += 1


def _delay(stage: Stage, act: Act) -> Iterator[Moment]:
    stage.delay_s = float(act.value) / 1000
    yield from ()


def _sleep(_: Stage, act: Act) -> Iterator[Moment]:
    yield Pause(float(act.value) / 1000)


def _hang(_: Stage, __: Act) -> Iterator[Moment]:
    yield Pause(math.inf)


def _error(_: Stage, act: Act) -> Iterator[Moment]:
    yield from ()
    raise ProviderError(act.value, str(act.options.get("detail", "")), retry_after_s=act.options.get("retry_after"))


def _cut(_: Stage, __: Act) -> Iterator[Moment]:
    yield from ()
    raise ProviderError("network", "the answer was cut")


def _garbage(_: Stage, __: Act) -> Iterator[Moment]:
    yield from ()
    raise ProviderError("invalid", "not JSON")


def _usage(stage: Stage, act: Act) -> Iterator[Moment]:
    stage.usage = Usage(**{USAGE_FIELDS[name]: int(value) for name, value in act.value.items()})
    yield from ()


def _no_usage(stage: Stage, _: Act) -> Iterator[Moment]:
    stage.usage = None
    yield from ()


def _finish(stage: Stage, act: Act) -> Iterator[Moment]:
    stage.finish = act.value
    yield from ()


ACTS: Mapping[str, Callable[[Stage, Act], Iterator[Any]]] = {
    "text": _text,
    "reasoning": _reasoning,
    "refusal": _refusal,
    "repeat": _repeat,
    "burst": _burst,
    "endless": _endless,
    "json": _json,
    "tool": _tool,
    "delay": _delay,
    "sleep": _sleep,
    "hang": _hang,
    "error": _error,
    "cut": _cut,
    "garbage": _garbage,
    "usage": _usage,
    "no-usage": _no_usage,
    "finish": _finish,
}
