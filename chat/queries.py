"""Parameters of a query: one of a few values, or 422. A value that means nothing is never taken for "not given" (AG-5)."""

from agents.errors import SwitchboardError
from chat.views import Call


def choice_of(call: Call, name: str, choices: tuple[str, ...]) -> str | None:
    """A parameter that has one of a few values, None when it is absent. Raises validation_error."""
    value: str | None = call.query.get(name)
    if value is not None and value not in choices:
        raise query_problem(name, f"must be {' or '.join(choices)}")
    return value


def partial_of(call: Call) -> bool:
    """`?partial=`: whether text is told as it is written (AG-18). Raises validation_error."""
    return choice_of(call, "partial", ("true", "false")) != "false"


def rendered_of(call: Call) -> bool:
    """`?render=html`, as our own pages ask: whether texts come as sanitised HTML too. Raises validation_error."""
    return choice_of(call, "render", ("html",)) is not None


def query_problem(name: str, sentence: str) -> SwitchboardError:
    """422 for a parameter of the query."""
    return SwitchboardError("validation_error", errors=[{"type": "value_error", "loc": ["query", name], "msg": sentence}])
