"""The account that a workflow's run gives of itself: events that are told once, parts and model calls that are kept, its result.

It lives in the run's progress, so that an attempt that goes on after a pause tells nothing again.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from chat.events import JobUpdated, NodeUpdated, OutputMade, StepFinished, TextDelta, TurnEvent, Usage
from chat.models import FinishedStep
from chat.progress import Progress, spent_of, summed
from chat.workflows.definition import OutputStep, Step
from chat.workflows.graph import Graph
from chat.workflows.state import Result, text_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    workflow_id: str
    progress: Progress
    emit: Callable[[TurnEvent], None]

    def begin(self, done: int) -> None:
        """`done`: steps that an earlier attempt finished."""
        progress = self.progress
        progress.job = {"workflow_id": self.workflow_id, "result": None, "step": "", "told": []}
        progress.parts.append({"type": "step", "step": 1, "model": ""})
        progress.steps.append({"step": 1, "model": "", "finish_reason": "stop", "usage": Usage()})
        progress.step = 1
        message = f"Goes on after {done} finished step{'s' if done > 1 else ''}" if done else "Started"
        self.emit(JobUpdated(workflow_id=self.workflow_id, status="running", message=message))

    def is_news(self, what: str) -> bool:
        """Whether this was not told in this attempt; what was told before a pause is not told again."""
        told: list[str] = self.progress.job["told"]
        if what in told:
            return False
        told.append(what)
        return True

    def tell(self, step: Step, path: str, status: str, *, result: Any = None, error: str = "", skipped: bool = False) -> None:
        if not self.is_news(f"{path}/{status}"):
            return
        event = NodeUpdated(
            workflow_id=self.workflow_id,
            node_id=path,
            node_name=step.shown_name,
            node_type=step.kind,
            status=status,
            error=error,
            result=result,
            skipped=skipped,
        )
        self.emit(event)
        if status in ("completed", "error"):
            told = {field.name: getattr(event, field.name) for field in fields(event)}
            self.progress.parts.append({"type": "node", **told})

    def put_out(self, step: OutputStep, path: str, value: Any) -> None:
        if not self.is_news(f"{path}/output"):
            return
        name, kind = step.output_name, step.type
        self.emit(OutputMade(name=name, value=value, node_id=path, node_name=step.shown_name, output_type=kind))
        self.progress.parts.append(
            {"type": "output", "name": name, "value": value, "node_id": path, "node_name": step.shown_name, "output_type": kind}
        )

    def count(self, nested: Progress) -> None:
        """Adds what a nested agent used to the run, once, however it ended (R10.1)."""
        progress = self.progress
        progress.spent += nested.spent
        nested.spent = []
        progress.model_s += nested.model_s
        nested.model_s = 0.0
        progress.model_used = nested.model_used or progress.model_used
        if progress.first_token_s is None:
            progress.first_token_s = nested.first_token_s

    def take(self, result: Result) -> None:
        """Adds a step's parts and records of model calls to the run's."""
        progress = self.progress
        for record in result.steps:
            progress.step += 1
            progress.steps.append({**record, "step": progress.step})
            progress.parts.append({"type": "step", "step": progress.step, "model": record["model"]})
        progress.parts += result.parts

    def keep(self, path: str, result: Result) -> None:
        """A step is over, and stored."""
        self.is_news(f"{path}/kept")
        self.take(result)
        if result.steps:
            usage = summed(record["usage"] for record in result.steps)
            self.emit(StepFinished(step=self.progress.step, usage=usage, model=self.progress.model_used))

    def keep_again(self, path: str, stored: FinishedStep) -> None:
        """What an earlier attempt did counts as if this one had."""
        if not self.is_news(f"{path}/kept"):
            return
        steps = [{**record, "usage": Usage(**record["usage"])} for record in stored.steps]
        self.take(Result(parts=stored.parts, steps=steps))
        self.progress.spent += spent_of(stored.spent)

    def answer(self, graph: Graph) -> None:
        """The result: every output's values in the order of the steps, and all of them as the text of the answer (WS-57, WS-58)."""
        progress = self.progress
        order = {step_id: number for number, step_id in enumerate(graph.steps)}
        made = sorted((part for part in progress.parts if part["type"] == "output"), key=lambda part: _place(part["node_id"], order))
        progress.parts = [part for part in progress.parts if part["type"] != "output"] + made
        result: dict[str, list[Any]] = {step.output_name: [] for step in graph.steps.values() if isinstance(step, OutputStep)}
        for part in made:
            result[part["name"]].append(part["value"])
        progress.job["result"] = result
        progress.parts.append({"type": "job", "outputs": list(result)})
        text = text_of([part["value"] for part in made])
        if text:
            progress.block += 1
            self.emit(TextDelta(progress.block, text))
            progress.parts.append({"type": "text", "block": progress.block, "text": text})


def _place(path: str, order: Mapping[str, int]) -> list[tuple[int, int]]:
    """Where a step stands among all, items of maps in their order: `each[3].sum`."""
    found = []
    for segment in path.split("."):
        step_id, _, index = segment.partition("[")
        found.append((order[step_id], int(index.rstrip("]") or 0)))
    return found
