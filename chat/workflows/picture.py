"""A workflow as a picture: an SVG that any page can hold, in layers from top to bottom, steps within steps as frames. Pure.

Each list of steps is laid out by itself: a step stands below all that it waits for, lines that pass a layer keep a lane of their
own there, and a layer is ordered by where its lines come from. Colours are the page's (classes `sb-flow-…`).
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from xml.sax.saxutils import escape, quoteattr

from chat.workflows.definition import AgentStep, BranchStep, MapStep, Step, ToolStep
from chat.workflows.graph import TOP, BlockKey, Graph

_WIDTH, _HEIGHT, _LANE = 184.0, 50.0, 14.0
_GAP_X, _GAP_Y, _PADDING, _TITLE = 26.0, 38.0, 16.0, 30.0
_CHARS = 23


@dataclass(slots=True)
class Box:
    """A step, or the lane of a line through a layer (`step` None). Positions are relative to the block it is in.

    `depth`: of its layer, which may be deeper than the box is high: lines that begin here go straight down so far.
    """

    key: str
    step: Step | None
    width: float = _LANE
    height: float = 0.0
    x: float = 0.0
    y: float = 0.0
    depth: float = 0.0
    inside: list["Block"] = field(default_factory=list)

    @property
    def middle(self) -> float:
        return self.x + self.width / 2


@dataclass(slots=True)
class Block:
    """A list of steps, laid out. `lines`: each as the boxes that it passes, from top to bottom."""

    name: str
    boxes: dict[str, Box]
    lines: list[list[Box]]
    width: float
    height: float
    x: float = 0.0
    y: float = 0.0


def picture(graph: Graph, title: str = "") -> str:
    """The workflow as an SVG element."""
    block = _block(graph, TOP, "")
    width, height = block.width + 2 * _PADDING, block.height + 2 * _PADDING
    block.x = block.y = _PADDING
    size = f'viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" height="{height:.0f}"'
    drawn = "".join(_drawn(block, 0, 0))
    named = f'role="img" aria-label={quoteattr(title or "The steps")}'
    return f'<svg class="sb-flow" {named} xmlns="http://www.w3.org/2000/svg" {size}>{drawn}</svg>'


# Layout


def _block(graph: Graph, key: BlockKey, name: str) -> Block:
    boxes = {step.id: _box(graph, step) for step in graph.blocks[key]}
    needs = _reduced({step_id: graph.needs[step_id] for step_id in boxes})
    layers, lines = _layers(boxes, needs)
    _order(layers, lines)
    width = max((_extent(layer) for layer in layers), default=_WIDTH)
    height = _place(layers, width)
    return Block(name, boxes, lines, width, height)


def _box(graph: Graph, step: Step) -> Box:
    blocks = [_block(graph, (step.id, name), name) for name, steps in step.blocks.items() if steps]
    if not blocks:
        return Box(step.id, step, _WIDTH, _HEIGHT)
    top = _TITLE + (18 if isinstance(step, BranchStep) else 4)
    x = _PADDING
    for block in blocks:
        block.x, block.y = x, top
        x += block.width + _GAP_X
    width = max(x - _GAP_X + _PADDING, _WIDTH)
    return Box(step.id, step, width, top + max(block.height for block in blocks) + _PADDING, inside=blocks)


def _reduced(needs: Mapping[str, set[str]]) -> dict[str, set[str]]:
    """Without the lines that others imply."""
    behind: dict[str, set[str]] = {}

    def all_behind(step_id: str) -> set[str]:
        if step_id not in behind:
            behind[step_id] = set().union(*(needs[each] | all_behind(each) for each in needs[step_id])) | needs[step_id]
        return behind[step_id]

    return {
        step_id: {each for each in direct if not any(each in all_behind(other) for other in direct)} for step_id, direct in needs.items()
    }


def _layers(boxes: Mapping[str, Box], needs: Mapping[str, set[str]]) -> tuple[list[list[Box]], list[list[Box]]]:
    depth: dict[str, int] = {}

    def depth_of(step_id: str) -> int:
        if step_id not in depth:
            depth[step_id] = 1 + max((depth_of(each) for each in needs[step_id]), default=-1)
        return depth[step_id]

    layers: list[list[Box]] = [[] for _ in range(1 + max(map(depth_of, boxes), default=0))]
    for step_id, box in boxes.items():
        layers[depth[step_id]].append(box)
    lines = []
    for step_id in boxes:
        for other in sorted(needs[step_id]):
            lanes = [Box(f"{other}>{step_id}", None) for _ in range(depth[other] + 1, depth[step_id])]
            for level, lane in enumerate(lanes, depth[other] + 1):
                layers[level].append(lane)
            lines.append([boxes[other], *lanes, boxes[step_id]])
    return layers, lines


def _order(layers: Sequence[list[Box]], lines: Sequence[Sequence[Box]]) -> None:
    """Each layer by the mean place of what leads to it, so that few lines cross."""
    above: dict[int, list[Box]] = {}
    for line in lines:
        for before, box in itertools.pairwise(line):
            above.setdefault(id(box), []).append(before)
    for upper, layer in itertools.pairwise(layers):
        place = {id(box): number for number, box in enumerate(upper)}
        mean = {id(box): _mean([place[id(each)] for each in above.get(id(box), ())]) for box in layer}
        layer.sort(key=lambda box: mean[id(box)])


def _mean(values: Sequence[int]) -> float:
    return sum(values) / len(values) if values else 0.0


def _extent(layer: Sequence[Box]) -> float:
    return sum(box.width for box in layer) + _GAP_X * (len(layer) - 1)


def _place(layers: Sequence[Sequence[Box]], width: float) -> float:
    """Gives the boxes their places, each layer in the middle; returns the height."""
    y = 0.0
    for layer in layers:
        x = (width - _extent(layer)) / 2
        tallest = max(box.height for box in layer)
        for box in layer:
            box.x, box.y = x, y
            box.height, box.depth = box.height or tallest, tallest
            x += box.width + _GAP_X
        y += tallest + _GAP_Y
    return y - _GAP_Y


# Drawing


def _drawn(block: Block, x: float, y: float) -> Iterator[str]:
    x, y = x + block.x, y + block.y
    for line in block.lines:
        yield f'<path class="sb-flow-line" d="{_path(line, x, y)}"/>'
    for box in block.boxes.values():
        yield from _step(box, x, y)


def _path(line: Sequence[Box], x: float, y: float) -> str:
    first = line[0]
    points = [(first.middle, first.y + first.height)]
    if first.depth > first.height:
        points.append((first.middle, first.y + first.depth))
    for lane in line[1:-1]:
        points += [(lane.middle, lane.y), (lane.middle, lane.y + lane.height)]
    points.append((line[-1].middle, line[-1].y - 5))
    d = f"M{x + points[0][0]:.1f} {y + points[0][1]:.1f}"
    for (x1, y1), (x2, y2) in itertools.pairwise(points):
        bend = (y2 - y1) / 2
        d += f" C{x + x1:.1f} {y + y1 + bend:.1f} {x + x2:.1f} {y + y2 - bend:.1f} {x + x2:.1f} {y + y2:.1f}"
    return f"{d} m-4.5 -3 l4.5 7 l4.5 -7"


def _step(box: Box, x: float, y: float) -> Iterator[str]:
    step = box.step
    assert step is not None, "lanes are drawn as lines"
    left, top = x + box.x, y + box.y
    kind = "group" if box.inside else "step"
    yield f'<g class="sb-flow-{kind} sb-flow-{step.kind}"><title>{escape(_told(step))}</title>'
    yield f'<rect x="{left:.1f}" y="{top:.1f}" width="{box.width:.1f}" height="{box.height:.1f}" rx="9"/>'
    yield f'<circle cx="{left + 19:.1f}" cy="{top + 16:.1f}" r="4.5"/>'
    yield f'<text class="sb-flow-name" x="{left + 34:.1f}" y="{top + 20:.1f}">{escape(_cut(step.shown_name, box))}</text>'
    if box.inside:
        yield f'<text class="sb-flow-note" x="{left + box.width - 12:.1f}" y="{top + 20:.1f}" text-anchor="end">{step.kind}</text>'
    else:
        yield f'<text class="sb-flow-note" x="{left + 34:.1f}" y="{top + 38:.1f}">{escape(_cut(_note(step), box))}</text>'
    yield "</g>"
    for inner in box.inside:
        if isinstance(step, BranchStep):
            yield f'<text class="sb-flow-way" x="{left + inner.x:.1f}" y="{top + inner.y - 7:.1f}">{inner.name}</text>'
        yield from _drawn(inner, left, top)


def _note(step: Step) -> str:
    if isinstance(step, AgentStep):
        return f"asks {step.agent}"
    return f"calls {step.tool}" if isinstance(step, ToolStep) else step.kind


def _told(step: Step) -> str:
    """What is told under the pointer."""
    if isinstance(step, BranchStep):
        return f"{step.id}: {step.condition}"
    return f"{step.id}: for each of {step.over}" if isinstance(step, MapStep) else f"{step.id}: {_note(step)}"


def _cut(text: str, box: Box) -> str:
    most = _CHARS if not box.inside else max(8, int((box.width - 100) / 7))
    return text if len(text) <= most else text[: most - 1] + "…"
