"""Definitions: their shape, their graph, and sentences that name the step that is wrong."""

import graphlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from chat.workflows import checking
from chat.workflows.definition import DefinitionError, parse, read, walk, written
from chat.workflows.graph import TOP, build
from tests.chat.workflows.specs import HOST, agents


def step(id: str, **fields: Any) -> dict[str, Any]:
    return {"id": id, "kind": "output", "value": 1, **fields}


def problems(*steps: dict[str, Any], inputs: Any = ()) -> list[str]:
    """What is wrong with a workflow of these steps."""
    with pytest.raises(DefinitionError) as wrong:
        checking.check({"inputs": list(inputs), "steps": list(steps)}, HOST, agents(), lambda agent: agent.name != "hidden")
    return list(wrong.value.problems)


def test_dependencies_follow_from_the_names_in_bindings_and_from_after() -> None:
    graph = build(
        parse(
            {
                "steps": [
                    step("a"),
                    step("b", value="{{ steps.a.output }}"),
                    step("c", after=["b"]),
                    step("d", value={"x": ["{{ steps['a'].output + 1 }}"]}),
                ]
            }
        )
    )
    assert graph.needs == {"a": set(), "b": {"a"}, "c": {"b"}, "d": {"a"}}
    assert graph.links == {("a", "b"), ("a", "d")}


def test_naming_a_step_inside_a_branch_waits_for_the_whole_branch() -> None:
    branch = {"id": "way", "kind": "branch", "condition": "inputs.x > 1", "then": [step("yes")], "else": [step("no")]}
    graph = build(parse({"inputs": [{"name": "x", "type": "number"}], "steps": [step("z", value="{{ steps.yes.output }}"), branch]}))
    assert graph.needs["z"] == {"way"}
    assert list(graph.order(TOP).static_order()) == ["way", "z"]


def test_steps_inside_make_their_container_wait() -> None:
    inside = {"id": "side", "kind": "parallel", "steps": [step("p", value="{{ steps.a.output }}"), step("q")]}
    assert build(parse({"steps": [inside, step("a")]})).needs["side"] == {"a"}


MAP = {"id": "each", "kind": "map", "over": "[1, 2]", "steps": [step("one", value="{{ item * index }}")]}
BRANCH = {"id": "way", "kind": "branch", "condition": "true", "then": [step("yes", value="{{ steps.no.output }}")], "else": [step("no")]}
TYPES = "'any', 'string', 'number', 'integer', 'boolean', 'object', 'array', 'image', 'audio', 'video' or 'document'"
ONLY = "only {% if %} and {% for %} can be used here"
TABLE = [
    ([step("a", value="{{ steps.b.output }}"), step("b", after=["a"])], "step a: the steps wait for each other: a → b → a"),
    ([step("a", value="{{ steps.a.output }}")], "step a: value: it waits for itself"),
    ([step("a", value="{{ steps.gone.output }}")], "step a: value: there is no step 'gone'"),
    ([step("a", value="{{ inputs.gone }}")], "step a: value: there is no input 'gone'"),
    ([step("a", value="{{ gone }}")], "step a: value: 'gone' is unknown; there are inputs, steps and, inside a map, item and index"),
    ([step("a", value="{{ item }}")], "step a: value: item is known inside a map only"),
    ([step("a", value="{{ steps }}")], "step a: value: name a field of steps, as in steps.name"),
    ([step("b"), step("a", value="{{ steps.b }}")], "step a: value: steps.b has output, status and error, not 'a value of its own'"),
    ([step("a", after=["gone"])], "step a: after names 'gone', which is no step"),
    ([step("a"), step("a")], "step a: the id is used twice"),
    ([step("a", value="{{ 1 + }}")], "step a: value: {{ 1 + }}: unexpected 'end of print statement'"),
    ([step("a", value="{% macro x() %}{% endmacro %}")], "step a: value: {% macro x() %}{% endmacro %}: " + ONLY),
    ([step("a", value="{% include 'x' %}")], "step a: value: {% include 'x' %}: " + ONLY),
    ([MAP, step("a", value="{{ steps.one.output }}")], "step a: value: 'one' has an output per item; name steps.each.output"),
    ([BRANCH], "step yes: value: 'no' is on the other way of the branch"),
    ([step("a", kind="nothing")], "step a: kind must be one of agent, tool, approval, output, branch, parallel, map"),
    ([step("a", colour="red")], "step a: colour: unknown field"),
    ([step("a", type="cat")], "step a: type: Input should be " + TYPES),
    ([{"id": "9a", "kind": "output"}], "step 9a: id: letters, digits and _, beginning with a letter; at most 63"),
    ([{"id": "a", "kind": "agent"}], "step a: agent: is required"),
    ([{"id": "a", "kind": "agent", "agent": "gone", "message": "x"}], "step a: agent: there is no published agent 'gone'"),
    ([{"id": "a", "kind": "agent", "agent": "hidden", "message": "x"}], "step a: agent: there is no published agent 'hidden'"),
    ([{"id": "a", "kind": "agent", "agent": "writer", "message": "x", "tools": ["saw"]}], "step a: tools: 'writer' has no tool 'saw'"),
    ([{"id": "a", "kind": "agent", "agent": "writer", "message": "x", "schema": {}}], "step a: schema: needs output: json"),
    ([{"id": "a", "kind": "tool", "tool": "saw"}], "step a: tool: the agent 'host' has no tool 'saw'"),
    ([{"id": "a", "kind": "tool", "tool": "clock", "arguments": {"zone": 1}}], "step a: arguments: 'clock' takes no 'zone'"),
    ([{"id": "a", "kind": "tool", "tool": "clock", "arguments": {"timezone": 1}}], "step a: arguments.timezone: must be of type string"),
    ([], "steps: needs at least 1"),
    ([{"id": "m", "kind": "parallel", "steps": {}}], "step m: steps: must be a list"),
    ([{"id": "m", "kind": "parallel", "steps": "x"}], "step m: steps: must be a list"),
]  # fmt: skip


@pytest.mark.parametrize(("steps", "sentence"), TABLE, ids=[sentence[:60] for _, sentence in TABLE])
def test_what_cannot_work_is_refused_with_its_step(steps: list[dict[str, Any]], sentence: str) -> None:
    assert sentence in problems(*steps)


def test_inputs_are_checked_too() -> None:
    assert problems(step("a"), inputs=[{"name": "n", "type": "integer", "default": "x"}]) == ["input n: default: must be a whole number"]
    assert problems(step("a"), inputs=[{"name": "n"}, {"name": "n"}]) == ["input n: the name is used twice"]


def test_everything_wrong_is_said_at_once() -> None:
    assert len(problems(step("a", value="{{ steps.x.output }}"), step("b", value="{{ inputs.y }}"), step("c", after=["z"]))) == 3


def test_nothing_nests_without_end() -> None:
    deep: Any = step("end")
    for number in range(300):
        deep = {"id": f"s{number}", "kind": "parallel", "steps": [deep]}
    assert "nested" in problems(deep)[0]


def test_a_definition_is_yaml_and_back() -> None:
    value = {"steps": [step("a", value="two\nlines"), step("b", value="{{ steps.a.output }}")]}
    assert read(written(value)) == value
    with pytest.raises(DefinitionError, match=r"not YAML.*line 2"):
        read("steps: [\n}")


@some.composite
def chains(draw: some.DrawFn) -> list[dict[str, Any]]:
    """Steps that name any others, themselves included."""
    ids = [f"s{number}" for number in range(draw(some.integers(1, 7)))]
    return [
        step(each, value=[f"{{{{ steps.{other}.output }}}}" for other in draw(some.lists(some.sampled_from(ids), max_size=3))])
        for each in ids
    ]


@given(chains())
def test_a_graph_is_taken_exactly_if_it_has_an_order(steps: list[dict[str, Any]]) -> None:
    wanted = {each["id"]: {text.split(".")[1] for text in each["value"]} for each in steps}
    try:
        order = list(graphlib.TopologicalSorter(wanted).static_order())
    except graphlib.CycleError:
        assert problems(*steps)
        return
    graph = build(parse({"steps": steps}))
    assert graph.needs == wanted
    assert sorted(order) == sorted(each.id for each in walk(graph.definition.steps))
