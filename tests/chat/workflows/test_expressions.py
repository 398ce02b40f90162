"""Bindings: values as they are, texts with values in them, and nothing but data within reach."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from chat.workflows.expressions import ExpressionError, Reference, evaluate, fill, references

NAMES: dict[str, Any] = {"inputs": {"n": 3, "text": "hi", "items": ["a", "b"], "values": {"keys": 7}}, "steps": {}}
JSON = some.recursive(
    some.none() | some.booleans() | some.integers() | some.floats(allow_nan=False) | some.text(),
    lambda inner: some.lists(inner) | some.dictionaries(some.text(), inner),
)  # fmt: skip


@given(JSON)
def test_a_binding_gives_the_value_as_it_is(value: Any) -> None:
    """WS-57: every JSON type, as it is: no text becomes a number because it looks like one."""
    assert fill("{{ inputs.x }}", {"inputs": {"x": value}, "steps": {}}) == value


@pytest.mark.parametrize(
    ("template", "value"),
    [
        ("plain", "plain"), ("{{ inputs.n }}", 3), (" {{ inputs.n + 1 }} ", 4), ("n is {{ inputs.n }}", "n is 3"),
        ("{{ inputs.n }}{{ inputs.n }}", "33"), ({"a": ["{{ inputs.items }}", 1]}, {"a": [["a", "b"], 1]}),
        ("{% for each in inputs.items %}{{ each }};{% endfor %}", "a;b;"), ("{{ inputs.items | join(', ') }}", "a, b"),
        ("{{ inputs.values.keys }}", 7), ("{{ inputs.items | map('upper') }}", ["A", "B"]), ("{{ 'a' if inputs.n > 2 else 'b' }}", "a"),
        ("{{ inputs | tojson }}", '{"n":3,"text":"hi","items":["a","b"],"values":{"keys":7}}'), ("{{ '{{' }}", "{{"),
    ],
)  # fmt: skip
def test_templates(template: Any, value: Any) -> None:
    assert fill(template, NAMES) == value


@pytest.mark.parametrize(
    ("template", "why"),
    [
        ("{{ inputs.gone }}", "has no attribute 'gone'"),
        ("{{ inputs.text.__class__ }}", "unsafe"), ("{{ ''.__class__.__mro__ }}", "unsafe"),
        ("{{ inputs.text.upper.__globals__ }}", "has no attribute '__globals__'"), ("{{ range(9) }}", "'range' is undefined"),
        ("{{ lipsum() }}", "'lipsum' is undefined"), ("{{ cycler }}", "'cycler' is undefined"), ("{{ inputs.items.append(1) }}", "unsafe"),
        ("{{ inputs.n / 0 }}", "division by zero"), ("{{ inputs.n.foo }}", "has no attribute 'foo'"),
        ("{{ inputs.text | attr('__class__') }}", "No filter named 'attr'"), ("{{ inputs.items | random }}", "No filter named 'random'"),
        ("{{ inputs.text.upper }}", "no JSON value"), ("{{ 'a{0.__class__}'.format(1) }}", "unsafe"),
    ],
)  # fmt: skip
def test_nothing_but_data_is_within_reach(template: str, why: str) -> None:
    with pytest.raises(ExpressionError, match=why):
        fill(template, NAMES)


@pytest.mark.parametrize(
    ("template", "why"),
    [
        ("{{ 9 ** 9999999 }}", "the power is too large"), ("{{ 'x' * 99999999 }}", "the repeated text is too long"),
        ("{{ '%999999999d' % 1 }}", "instead of %"),
        ("{% for a in inputs.items %}{{ 'y' * 900000 }}{% endfor %}", "the text is longer than 1000000 characters"),
    ],
)  # fmt: skip
def test_what_would_take_all_time_or_memory_is_refused_before_it_is_made(template: str, why: str) -> None:
    with pytest.raises(ExpressionError, match=why):
        fill(template, NAMES)


def test_what_a_template_names() -> None:
    found = references(
        "{{ steps.a.output.rows[0] }} {% for x in inputs.list %}{{ x.name }}{{ loop.index }}{% endfor %}{{ steps['b'].status }}"
    )
    assert set(found) == {Reference("steps", "a", "output"), Reference("inputs", "list"), Reference("steps", "b", "status")}
    assert references("inputs.n > 1", bare=True) == [Reference("inputs", "n")]
    assert references("{{ steps[inputs.n] }}") == [Reference("steps"), Reference("inputs", "n")]


def test_conditions_need_no_braces() -> None:
    assert evaluate("inputs.n > 2", NAMES) is True
    assert evaluate("{{ inputs.n > 5 }}", NAMES) is False
