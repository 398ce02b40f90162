"""The demo's script, parsed: directives of a message or of ProviderSpec.options become Acts, grouped by model call.

docs/adding-a-provider.md holds the syntax with an example of each directive.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, get_args

import orjson

from agents.providers.base import ErrorKind, FinishReason

MARK = "/demo"
KINDS: tuple[str, ...] = get_args(ErrorKind)
REASONS: tuple[str, ...] = get_args(FinishReason)
USAGE_FIELDS: Mapping[str, str] = {
    "input": "input_tokens",
    "output": "output_tokens",
    "cached": "cache_read_tokens",
    "written": "cache_write_tokens",
    "reasoning": "reasoning_tokens",
}


class ScriptError(ValueError):
    """A sentence for the author of the script."""


@dataclass(frozen=True, slots=True)
class Act:
    """One directive: `text "Hello"`, `repeat 3 {"text": "x"}`, `tool "clock" {"arguments": {}}` …"""

    verb: str
    value: Any = None
    options: Mapping[str, Any] = field(default_factory=dict)


Step = tuple[Act, ...]
"""What one model call does."""


def script_in(text: str) -> list[Step]:
    """The script of the last paragraph of a message, [] if it has none. Earlier paragraphs may be older messages: a turn
    that failed without an answer is merged with the next one by a blank line (R9.2e)."""
    paragraph = re.split(r"\n[ \t]*\n", text.strip().replace("\r\n", "\n"))[-1]
    first = re.search(rf"^[ \t]*{MARK}(?=[ \t]|$)", paragraph, re.MULTILINE)
    if first is None:
        return []
    script = paragraph[first.end() :]
    if script.split("\n")[0].strip()[:1] in ("", "[", "{"):
        return _structured(script)
    return _steps([_directive(line) for line in re.findall(rf"^[ \t]*{MARK}[ \t]+(.*\S)", paragraph, re.MULTILINE)])


def script_of(options: Mapping[str, Any]) -> list[Step]:
    """The script in a provider's options: directives one a line (with or without the mark), or a list of objects."""
    script = options.get("script") or []
    if isinstance(script, str):
        lines = [line.strip().removeprefix(MARK).strip() for line in script.splitlines()]
        return _steps([_directive(line) for line in lines if line])
    return _steps(_acts(script))


def _structured(text: str) -> list[Step]:
    import yaml

    try:
        return _steps(_acts(yaml.safe_load(text)))
    except yaml.YAMLError as error:
        raise ScriptError(f"this is neither JSON nor YAML ({error})") from error


def _acts(script: Any) -> list[Act]:
    items = script if isinstance(script, list) else [script]
    return [_act(item) if isinstance(item, Mapping) else _directive(str(item)) for item in items]


def _act(item: Mapping[str, Any]) -> Act:
    verb = next((name for name in item if name in DIRECTIVES), None)
    if verb is None:
        raise ScriptError(f"{next(iter(item), '{}')} is no directive; there are {', '.join(DIRECTIVES)}")
    rest = {name: value for name, value in item.items() if name != verb}
    return DIRECTIVES[verb].check(Act(verb, item[verb], rest))


def _directive(line: str) -> Act:
    verb, _, rest = line.partition(" ")
    if verb not in DIRECTIVES:
        raise ScriptError(f"{verb} is no directive; there are {', '.join(DIRECTIVES)}")
    value, options = DIRECTIVES[verb].parse(rest.strip())
    return DIRECTIVES[verb].check(Act(verb, value, options))


def _steps(acts: Sequence[Act]) -> list[Step]:
    """A model call ends with its tool calls; what stands after them belongs to the next one."""
    steps: list[Step] = []
    for is_call, group in groupby(acts, lambda act: act.verb == "tool"):
        if is_call and steps and not any(act.verb == "tool" for act in steps[-1]):
            steps[-1] += tuple(group)
        else:
            steps.append(tuple(group))
    return steps


Parsed = tuple[Any, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Directive:
    """How the rest of a line is read, and what is checked in either form."""

    parse: Callable[[str], Parsed]
    check: Callable[[Act], Act] = lambda act: act


def _text(rest: str) -> Parsed:
    return _unquoted(rest), {}


def _unquoted(text: str) -> str:
    r"""A JSON string keeps its spaces; bare text may use \n."""
    if text.startswith('"'):
        try:
            return str(orjson.loads(text))
        except ValueError:
            pass
    return text.replace("\\n", "\n")


def _count_and_text(rest: str) -> Parsed:
    count, _, text = rest.partition(" ")
    return _whole(count), {"text": _unquoted(text.strip()) or "word "}


def _whole(text: str) -> int:
    if not text.isdecimal():
        raise ScriptError(f"{text or 'nothing'} is no whole number")
    return int(text)


def _name_and_arguments(rest: str) -> Parsed:
    name, _, arguments = rest.partition(" ")
    try:
        return name, {"arguments": orjson.loads(arguments) if arguments.strip() else {}}
    except ValueError:
        return name, {"arguments": arguments.strip()}


def _kind_and_options(rest: str) -> Parsed:
    kind, *words = rest.split()
    options, detail = _options(words)
    return kind, {**options, "detail": detail}


def _usage(rest: str) -> Parsed:
    numbers = [word for word in rest.split() if "=" not in word]
    options, _ = _options(rest.split())
    return {**dict(zip(("input", "output"), map(_whole, numbers), strict=False)), **options}, {}


def _options(words: Sequence[str]) -> tuple[dict[str, Any], str]:
    pairs = [word.split("=", 1) for word in words if "=" in word]
    return {name: _whole(value) for name, value in pairs}, " ".join(word for word in words if "=" not in word)


def _check_kind(act: Act) -> Act:
    if act.value not in KINDS:
        raise ScriptError(f"{act.value} is no kind of error; there are {', '.join(KINDS)}")
    return act


def _check_reason(act: Act) -> Act:
    if act.value not in REASONS:
        raise ScriptError(f"{act.value} is no finish reason; there are {', '.join(REASONS)}")
    return act


def _check_number(act: Act) -> Act:
    if not isinstance(act.value, int | float) or isinstance(act.value, bool) or act.value < 0:
        raise ScriptError(f"{act.verb} needs a number")
    return act


def _check_name(act: Act) -> Act:
    if not isinstance(act.value, str) or not act.value:
        raise ScriptError("tool needs the name of a tool")
    return act


def _check_usage(act: Act) -> Act:
    if not isinstance(act.value, Mapping) or not set(act.value) <= set(USAGE_FIELDS):
        raise ScriptError(f"usage needs numbers for {', '.join(USAGE_FIELDS)}")
    return act


DIRECTIVES: Mapping[str, Directive] = {
    "text": Directive(_text),
    "reasoning": Directive(_text),
    "refusal": Directive(_text),
    "repeat": Directive(_count_and_text, _check_number),
    "burst": Directive(_count_and_text, _check_number),
    "endless": Directive(_text),
    "json": Directive(_text),
    "tool": Directive(_name_and_arguments, _check_name),
    "delay": Directive(lambda rest: (_whole(rest), {}), _check_number),
    "sleep": Directive(lambda rest: (_whole(rest), {}), _check_number),
    "hang": Directive(_text),
    "error": Directive(_kind_and_options, _check_kind),
    "cut": Directive(_text),
    "garbage": Directive(_text),
    "usage": Directive(_usage, _check_usage),
    "no-usage": Directive(_text),
    "finish": Directive(_text, _check_reason),
}
