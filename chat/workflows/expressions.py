"""Bindings and conditions: Jinja2 in its sandbox, for values as they are as well as for text.

A string that is one `{{ … }}` gives the value of its expression, of whatever type; one with text around it gives text. Only data
can be reached: no imports, no macros, no random or endless things, so that a step asked again sees the same.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, cast

from jinja2 import StrictUndefined, TemplateError, nodes
from jinja2.exceptions import SecurityError
from jinja2.sandbox import ImmutableSandboxedEnvironment

LONGEST_TEXT_CHARS = 1_000_000
_MOST_ITEMS = 100_000
_STATEMENTS = (nodes.Output, nodes.For, nodes.If)
"""What a template may have beside text; loops run over data only, so they end."""
_FORBIDDEN_FILTERS = frozenset(("random", "attr", "pprint", "xmlattr", "urlize", "forceescape"))


class ExpressionError(ValueError):
    """An expression that cannot be read, or has no value; the text is a sentence for the operator."""


@dataclass(frozen=True, slots=True)
class Reference:
    """A value that an expression names: `inputs.month` is ("inputs", "month"); a name by itself has no `field`."""

    root: str
    field: str = ""
    attribute: str = ""


class Sandbox(ImmutableSandboxedEnvironment):
    """Keys of objects come before their methods, and arithmetic cannot grow without bounds."""

    intercepted_binops = frozenset(("*", "**", "+", "%"))

    def __init__(self) -> None:
        super().__init__(undefined=StrictUndefined, autoescape=False, keep_trailing_newline=True)
        self.globals.clear()
        for name in _FORBIDDEN_FILTERS:
            self.filters.pop(name, None)
        self.policies["json.dumps_kwargs"] = {"sort_keys": False, "ensure_ascii": False}
        self.filters["tojson"] = _to_json

    def getattr(self, obj: Any, attribute: str) -> Any:
        if isinstance(obj, Mapping):
            return obj[attribute] if attribute in obj else self.undefined(obj=obj, name=attribute)
        return super().getattr(obj, attribute)

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        _check_growth(operator, left, right)
        return super().call_binop(context, operator, left, right)


def _to_json(value: Any) -> str:
    import orjson

    return orjson.dumps(value).decode()


def _check_growth(operator: str, left: Any, right: Any) -> None:
    """Raises SecurityError for what would fill the memory: huge powers and repeated sequences."""
    sized = [value for value in (left, right) if isinstance(value, str | bytes | list | tuple)]
    counts = [value for value in (left, right) if isinstance(value, int)]
    if operator == "**" and any(abs(value) > 1000 for value in counts):
        raise SecurityError("the power is too large")
    if operator == "*" and sized and counts and len(sized[0]) * max(counts) > LONGEST_TEXT_CHARS:
        raise SecurityError("the repeated text is too long")
    if operator == "+" and len(sized) == 2 and len(sized[0]) + len(sized[1]) > 8 * LONGEST_TEXT_CHARS:
        raise SecurityError("the joined text is too long")
    if operator == "%" and isinstance(left, str | bytes):
        raise SecurityError("write text with {{ … }} in it instead of %")


_sandbox = Sandbox()


def references(text: str, *, bare: bool = False) -> list[Reference]:
    """The values that a template names. `bare`: the text is an expression without braces. Raises ExpressionError."""
    return list(_parsed(_wrapped(text) if bare else text)[1])


def evaluate(text: str, names: Mapping[str, Any]) -> Any:
    """The value of an expression, with or without its braces. Raises ExpressionError."""
    return _value(text, inner(text) or text, names)


def fill(value: Any, names: Mapping[str, Any]) -> Any:
    """Any JSON value with its templates filled in: texts, and the texts within lists and objects. Raises ExpressionError."""
    match value:
        case str():
            return _filled(value, names)
        case Mapping():
            return {key: fill(item, names) for key, item in value.items()}
        case list() | tuple():
            return [fill(item, names) for item in value]
        case _:
            return value


def templates(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Every template in a JSON value, with its path in it."""
    match value:
        case str():
            yield path, value
        case Mapping():
            for key, item in value.items():
                yield from templates(item, f"{path}.{key}" if path else str(key))
        case list() | tuple():
            for index, item in enumerate(value):
                yield from templates(item, f"{path}[{index}]")


def inner(text: str) -> str:
    """The expression of a string that is one `{{ … }}`; "" of any other."""
    tree = _parsed(text)[0] if "{{" in text else None
    if tree is None or len(tree.body) != 1 or not isinstance(tree.body[0], nodes.Output):
        return ""
    only = tree.body[0].nodes
    stripped = text.strip()
    single = len([part for part in only if not (isinstance(part, nodes.TemplateData) and not part.data.strip())]) == 1
    return stripped[2:-2].strip("-+ \n\t") if single and stripped.startswith("{{") and stripped.endswith("}}") else ""


def _filled(text: str, names: Mapping[str, Any]) -> Any:
    if "{" not in text:
        return text
    expression = inner(text)
    return _value(text, expression, names) if expression else _text(text, names)


def _value(text: str, expression: str, names: Mapping[str, Any]) -> Any:
    _parsed(_wrapped(expression))
    try:
        found = _compiled(expression)(**names)
        return _plain(found)
    except (TemplateError, ArithmeticError, TypeError, ValueError, LookupError, AttributeError, RecursionError) as error:
        raise ExpressionError(f"{_short(text)}: {_reason(error)}") from error


def _text(text: str, names: Mapping[str, Any]) -> str:
    _parsed(text)
    pieces, chars = [], 0
    try:
        for piece in _template(text).generate(**names):
            chars += len(piece)
            if chars > LONGEST_TEXT_CHARS:
                raise ExpressionError(f"{_short(text)}: the text is longer than {LONGEST_TEXT_CHARS} characters")
            pieces.append(piece)
    except (TemplateError, ArithmeticError, TypeError, LookupError, AttributeError, RecursionError) as error:
        raise ExpressionError(f"{_short(text)}: {_reason(error)}") from error
    return "".join(pieces)


@lru_cache(maxsize=2048)
def _compiled(expression: str) -> Any:
    return _sandbox.compile_expression(expression, undefined_to_none=False)


@lru_cache(maxsize=2048)
def _template(text: str) -> Any:
    return _sandbox.from_string(text)


@lru_cache(maxsize=2048)
def _parsed(text: str) -> tuple[nodes.Template, tuple[Reference, ...]]:
    """The template's tree and what it names. Raises ExpressionError for what cannot be read or may not be written."""
    try:
        tree = _sandbox.parse(text)
        _sandbox.compile(tree)
        tree = _sandbox.parse(text)
    except (TemplateError, RecursionError) as error:
        raise ExpressionError(f"{_short(text)}: {_reason(error)}") from error
    for statement in tree.find_all(nodes.Stmt):
        if not isinstance(statement, _STATEMENTS):
            raise ExpressionError(f"{_short(text)}: only {{% if %}} and {{% for %}} can be used here")
    return tree, tuple(_named(tree, frozenset()))


def _named(node: nodes.Node, local: frozenset[str]) -> Iterator[Reference]:
    """Names and paths, without those that a loop makes."""
    if isinstance(node, nodes.For):
        local = local | {name.name for name in node.target.find_all(nodes.Name)} | {"loop"}
        if isinstance(node.target, nodes.Name):
            local = local | {node.target.name}
    path = _path(node)
    if path is not None:
        if path[0] not in local:
            yield Reference(*path[:3])
        return
    for child in node.iter_child_nodes():
        yield from _named(child, local)


def _path(node: nodes.Node) -> tuple[str, ...] | None:
    """`a.b['c']` as ("a", "b", "c"); None for what is no such path. What an index computes is refused by its use."""
    if isinstance(node, nodes.Name):
        return (node.name,) if node.ctx == "load" else None
    if isinstance(node, nodes.Getattr):
        head = _path(node.node)
        return (*head, node.attr) if head else None
    if isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Const) and isinstance(node.arg.value, str | int):
        head = _path(node.node)
        return (*head, str(node.arg.value)) if head else None
    return None


def _wrapped(expression: str) -> str:
    return "{{ " + expression + " }}"


def _plain(value: Any) -> Any:
    """The value as JSON has it: what filters leave as generators becomes a list. Raises ExpressionError for anything else."""
    match value:
        case None | bool() | int() | float():
            return value
        case str():
            return str(value)
        case Mapping():
            return {str(key): _plain(item) for key, item in value.items()}
        case StrictUndefined():
            str(value)
            return None
    if isinstance(value, Sequence | set | frozenset) or hasattr(value, "__next__") or hasattr(value, "__iter__"):
        return [_plain(item) for _, item in zip(range(_MOST_ITEMS), cast(Any, value), strict=False)]
    raise ExpressionError("the value is no JSON value")


def _reason(error: BaseException) -> str:
    return (getattr(error, "message", None) or str(error) or type(error).__name__)[:300]


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 80 else line[:79] + "…"
