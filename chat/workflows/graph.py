"""The graph of a definition: what waits for what. Dependencies follow from the names in bindings, and from `after`.

A step that names one inside a branch or a parallel waits for that whole branch or parallel. What a map's steps say is seen through
the map's own output only: there is one per item.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter

from chat.workflows.definition import MAX_DEPTH, MAX_STEPS, AgentStep, BranchStep, Definition, DefinitionError, MapStep, Step, walk
from chat.workflows.expressions import ExpressionError, Reference, references

_ATTRIBUTES = ("output", "status", "error")
BlockKey = tuple[str, str]
"""A list of steps: the step that has it ("": the workflow itself), and the list's name."""
TOP: BlockKey = ("", "steps")


@dataclass(slots=True)
class Graph:
    """`steps` by id in order; `places`: the list that each stands in; `needs`: id -> ids of its own list that come before it.

    `links`: (from, to) of every named value, for the picture.
    """

    definition: Definition
    steps: dict[str, Step] = field(default_factory=dict)
    places: dict[str, BlockKey] = field(default_factory=dict)
    blocks: dict[BlockKey, Sequence[Step]] = field(default_factory=dict)
    needs: dict[str, set[str]] = field(default_factory=dict)
    links: set[tuple[str, str]] = field(default_factory=set)

    def line(self, step_id: str) -> Iterator[tuple[BlockKey, str]]:
        """The lists around a step, from its own to the outermost, each with the step of it that holds this one."""
        while step_id:
            key = self.places[step_id]
            yield key, step_id
            step_id = key[0]

    def order(self, key: BlockKey) -> TopologicalSorter[str]:
        """The steps of a list, to be asked for what is ready."""
        return TopologicalSorter({step.id: self.needs[step.id] for step in self.blocks[key]})


def build(definition: Definition) -> Graph:
    """Raises DefinitionError with everything that is wrong, each sentence with its step."""
    graph = Graph(definition)
    problems = [*_twice("input", [given.name for given in definition.inputs]), *_laid_out(graph)]
    if not problems:
        for step in graph.steps.values():
            problems += _linked(graph, step)
    problems += [] if problems else _cycles(graph)
    if problems:
        raise DefinitionError(*dict.fromkeys(problems))
    return graph


def _laid_out(graph: Graph) -> list[str]:
    every = list(walk(graph.definition.steps))
    if len(every) > MAX_STEPS:
        return [f"there are {len(every)} steps; {MAX_STEPS} are the most"]
    problems = _twice("step", [step.id for step in every])
    graph.steps = {step.id: step for step in every}
    graph.needs = {step.id: set() for step in every}
    _place(graph, TOP, graph.definition.steps)
    deep = [step_id for step_id in graph.steps if sum(1 for _ in graph.line(step_id)) > MAX_DEPTH] if not problems else []
    return [*problems, *(f"step {step_id}: is nested more than {MAX_DEPTH} deep" for step_id in deep[:1])]


def _place(graph: Graph, key: BlockKey, steps: Sequence[Step]) -> None:
    graph.blocks[key] = steps
    for step in steps:
        graph.places[step.id] = key
        for name, inside in step.blocks.items():
            _place(graph, (step.id, name), inside)


def _linked(graph: Graph, step: Step) -> Iterator[str]:
    """Adds what the step waits for; says what it names that is not there."""
    for name in step.after:
        problem = f"after names {name!r}, which is no step" if name not in graph.steps else _need(graph, step, name)
        if problem:
            yield f"step {step.id}: {problem}"
    for place, text, bare in step.bindings():
        try:
            named = references(text, bare=bare)
        except ExpressionError as error:
            yield f"step {step.id}: {place}: {error}"
            continue
        for reference in named:
            problem = _resolved(graph, step, reference)
            if problem:
                yield f"step {step.id}: {place}: {problem}"


def _resolved(graph: Graph, step: Step, reference: Reference) -> str:
    """What is wrong with a name; "" when nothing is."""
    match reference.root:
        case "inputs":
            known = {given.name for given in graph.definition.inputs}
            missing = f"there is no input {reference.field!r}" if reference.field else _WHOLE.format("inputs")
            return "" if reference.field in known else missing
        case "steps":
            return _resolved_step(graph, step, reference)
        case "item" | "index":
            inside = any(isinstance(graph.steps[key[0]], MapStep) for key, _ in graph.line(step.id) if key[0])
            return "" if inside else f"{reference.root} is known inside a map only"
        case other:
            return f"{other!r} is unknown; there are inputs, steps and, inside a map, item and index"


_WHOLE = "name a field of {0}, as in {0}.name"


def _resolved_step(graph: Graph, step: Step, reference: Reference) -> str:
    name = reference.field
    if name not in graph.steps:
        return f"there is no step {name!r}" if name else _WHOLE.format("steps")
    if reference.attribute not in _ATTRIBUTES:
        return f"steps.{name} has output, status and error, not {reference.attribute or 'a value of its own'!r}"
    problem = _need(graph, step, name)
    if not problem:
        graph.links.add((name, step.id))
    return problem


def _need(graph: Graph, step: Step, other: str) -> str:
    """Has the step wait for the other, in the innermost list that holds both; what is wrong with that."""
    mine = dict(graph.line(step.id))
    line = list(graph.line(other))
    for depth, (key, holder) in enumerate(line):
        if key not in mine:
            continue
        if mine[key] == holder:
            return _within(step, other, mine)
        crossed = [each for each, _ in line[:depth]]
        if through := next((each[0] for each in crossed if isinstance(graph.steps[each[0]], MapStep)), ""):
            return f"{other!r} has an output per item; name steps.{through}.output"
        graph.needs[mine[key]].add(holder)
        return ""
    return f"{other!r} is not to be seen from here"


def _within(step: Step, other: str, mine: Mapping[BlockKey, str]) -> str:
    """Both are in one step: one holds the other, or they are on the two ways of a branch."""
    if other == step.id:
        return "it waits for itself"
    if other in mine.values():
        return f"it waits for {other!r}, which it is part of"
    holds = any(other == inside.id for block in step.blocks.values() for inside in walk(block))
    return f"it waits for {other!r}, which is part of it" if holds else f"{other!r} is on the other way of the branch"


def _cycles(graph: Graph) -> Iterator[str]:
    for key in graph.blocks:
        try:
            graph.order(key).prepare()
        except CycleError as error:
            ring = list(error.args[1])
            yield f"step {ring[0]}: the steps wait for each other: {' → '.join(reversed(ring))}"
    for step in graph.steps.values():
        yield from _impossible(graph, step)


def _impossible(graph: Graph, step: Step) -> Iterator[str]:
    """A step on one way of a branch never has what is on the other."""
    if isinstance(step, BranchStep) and not step.then and not step.otherwise:
        yield f"step {step.id}: there are no steps on either way"
    if isinstance(step, AgentStep) and step.output_schema is not None and step.output != "json":
        yield f"step {step.id}: schema: needs output: json"


def _twice(kind: str, names: Sequence[str]) -> list[str]:
    what = "id" if kind == "step" else "name"
    return [f"{kind} {name}: the {what} is used twice" for name in dict.fromkeys(names) if names.count(name) > 1]
