"""The engine: runs the steps of a workflow as their graph lets them, tells what happens, and goes on where an earlier attempt stopped.

It takes the place of the agent's loop in a turn (chat.turns): cancelling its task stops every step; a pause ends the segment once
nothing else can go on. A step that is over is stored before it is told.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, assert_never
from uuid import UUID

import orjson
from django.conf import settings
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_attempt, wait_exponential

from agents import attachments, directory
from agents.access import may_use
from agents.specs import AgentSpec
from chat import history, records
from chat.errors import TurnError
from chat.events import LogLine, NodeProgressed, TurnEvent
from chat.loop import Ended, Paused, Run
from chat.models import FinishedStep
from chat.progress import spent_of
from chat.requests import WorkflowCall
from chat.store import run as in_database
from chat.workflows import leaves, rows
from chat.workflows.account import Account
from chat.workflows.definition import (
    MAX_ITEMS,
    PARALLEL,
    AgentStep,
    ApprovalStep,
    BranchStep,
    Leaf,
    MapStep,
    OutputStep,
    ParallelStep,
    Step,
    ToolStep,
    parse,
    walk,
)
from chat.workflows.expressions import ExpressionError, evaluate, fill
from chat.workflows.graph import TOP, BlockKey, Graph, build
from chat.workflows.state import SHOWN_BYTES, Decided, Pause, Result, Scope, StepFailed, Waits, canonical

_LONGEST_PAUSE_S = 600
_STOPPED = "The step was stopped."
LeafStep = AgentStep | ToolStep | ApprovalStep | OutputStep
_LEAVES: Mapping[type, Callable[..., Awaitable[Result | Waits]]] = {
    AgentStep: leaves.ask,
    ToolStep: leaves.call,
    ApprovalStep: leaves.approve,
    OutputStep: leaves.put_out,
}


async def run(turn: Run) -> Ended | Paused:
    """Runs the workflow of a turn, from its beginning or from where an earlier attempt was. Raises TurnError."""
    engine = await _engine(turn)
    turn.progress.spent += spent_of(await in_database(rows.cut_off, UUID(turn.context.execution_id)))
    engine.account.begin(len(engine.finished))
    return await engine.go()


async def resume(turn: Run, state: Mapping[str, Any], denied: Mapping[str, str], replaced: Mapping[str, Any]) -> Ended | Paused:
    """Goes on after decisions: `denied` (call id -> reason), `replaced` (call id -> arguments); the others were approved."""
    engine = await _engine(turn)
    engine.paused = Pause(**state["inner"])
    for call in state["waiting"]:
        decided = Decided(call=call, denied=denied.get(call["id"]), arguments=replaced.get(call["id"]))
        engine.decisions.setdefault(engine.paused.paths[call["id"]], []).append(decided)
    return await engine.go()


async def _engine(turn: Run) -> "Engine":
    called = turn.request.workflow
    assert called is not None, "this turn runs a workflow"
    execution_id = UUID(turn.context.execution_id)
    stored = await in_database(rows.version, called.id, called.version)
    graph = build(parse(stored.definition))
    values = await _inputs(turn, called, graph)
    finished = await in_database(rows.finished, execution_id)
    account = Account(workflow_id=called.name, progress=turn.progress, emit=turn.emit)
    return Engine(run=turn, account=account, graph=graph, inputs=values, finished=finished, editor_id=stored.editor_id)


async def _inputs(turn: Run, called: WorkflowCall, graph: Graph) -> dict[str, Any]:
    """The checked inputs; history is the conversation before this run (WS-59)."""
    values = {given.name: called.inputs.get(given.name) for given in graph.definition.inputs}
    wanted = [given.name for given in graph.definition.inputs if given.type == "history" and values[given.name] is None]
    if wanted:
        session = turn.request.session
        stored = await in_database(records.stored_messages, session.id) if session else []
        values |= dict.fromkeys(wanted, history.provider_messages(stored))
    return values


@dataclass(slots=True, kw_only=True)
class Engine:
    """One segment of one run. `finished`: steps that are over; `waiting`: what is to be decided before it can go on."""

    run: Run
    account: Account
    graph: Graph
    inputs: Mapping[str, Any]
    finished: dict[str, FinishedStep]
    editor_id: int | None
    paused: Pause = field(default_factory=Pause)
    decisions: dict[str, list[Decided]] = field(default_factory=dict)
    waiting: Pause = field(default_factory=Pause)
    slots: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(PARALLEL))

    async def go(self) -> Ended | Paused:
        scope = Scope({"inputs": self.inputs}, {})
        if await self._block(TOP, scope):
            self.account.answer(self.graph)
            return Ended(finish_reason="stop")
        return Paused(waiting=tuple(self.waiting.calls), inner=self.waiting.to_json())

    # What steps use

    def emit(self, event: TurnEvent) -> None:
        self.run.emit(event)

    def decided(self, path: str) -> list[Decided]:
        return self.decisions.get(path, [])

    def nested(self, path: str) -> Mapping[str, Any] | None:
        return self.paused.nested.get(path)

    async def agent(self, name: str) -> AgentSpec:
        """A published agent that the caller may use, or who saved the workflow. Raises StepFailed, the same whatever the cause."""
        found = (await directory.catalog()).by_name.get(name)
        if found is not None and (may_use(self.run.request.principal, found) or await self._editor_may(found)) and found.enabled:
            return found
        raise StepFailed(f"The agent {name!r} is not available.", final=True)

    async def _editor_may(self, agent: AgentSpec) -> bool:
        editor = await directory.user(self.editor_id) if self.editor_id is not None else None
        return editor is not None and may_use(editor.principal, agent)

    # The graph

    async def _block(self, key: BlockKey, scope: Scope, limit: int = 0) -> bool:
        """Runs a list of steps, each as soon as what it waits for is over. False: some wait for a decision."""
        order, steps = self.graph.order(key), self.graph.steps
        order.prepare()
        ready: list[str] = []
        working: dict[asyncio.Task[bool], str] = {}
        done = True
        try:
            while True:
                ready += order.get_ready()
                while ready and not (limit and len(working) >= limit):
                    step_id = ready.pop(0)
                    working[asyncio.create_task(self._step(steps[step_id], scope))] = step_id
                if not working:
                    return done
                over, _ = await asyncio.wait(working, return_when=asyncio.FIRST_COMPLETED)
                for task in over:
                    step_id = working[task]
                    went = task.result()
                    del working[task]
                    done = done and went
                    if went:
                        order.done(step_id)
        finally:
            await _stop(working)

    async def _step(self, step: Step, scope: Scope) -> bool:
        path = scope.path(step.id)
        try:
            match step:
                case BranchStep():
                    return await self._branch(step, scope, path)
                case ParallelStep():
                    return await self._parallel(step, scope, path)
                case MapStep():
                    return await self._map(step, scope, path)
                case AgentStep() | ToolStep() | ApprovalStep() | OutputStep():
                    return await self._leaf(step, scope, path)
                case _:
                    assert_never(step)
        except (StepFailed, ExpressionError) as error:
            failed = error if isinstance(error, StepFailed) else StepFailed(_scrubbed(str(error)), final=True)
            self.account.tell(step, path, "error", error=failed.sentence)
            self.run.progress.job["step"] = path
            raise TurnError("workflow_failed", failed.sentence, detail=failed.detail or f"step {path}: {failed.sentence}") from error
        except asyncio.CancelledError:
            self.account.tell(step, path, "error", error=_STOPPED)
            raise

    async def _branch(self, step: BranchStep, scope: Scope, path: str) -> bool:
        self.account.tell(step, path, "running")
        taken = "then" if evaluate(step.condition, scope.seen()) else "else"
        self._skip(step.blocks["else" if taken == "then" else "then"], scope)
        if not await self._block((step.id, taken), scope):
            return False
        last = step.blocks[taken][-1:]
        self._container_over(step, scope, path, scope.steps[last[0].id]["output"] if last else None)
        return True

    async def _parallel(self, step: ParallelStep, scope: Scope, path: str) -> bool:
        self.account.tell(step, path, "running")
        if not await self._block((step.id, "steps"), scope, step.concurrency):
            return False
        self._container_over(step, scope, path, {each.id: scope.steps[each.id]["output"] for each in step.steps})
        return True

    async def _map(self, step: MapStep, scope: Scope, path: str) -> bool:
        self.account.tell(step, path, "running")
        items = evaluate(step.over, scope.seen()) if isinstance(step.over, str) else fill(step.over, scope.seen())
        if not isinstance(items, list) or len(items) > MAX_ITEMS:
            raise StepFailed(f"over: must be a list of at most {MAX_ITEMS} items", final=True)
        scopes = [scope.within(path, index, item) for index, item in enumerate(items)]
        if not await self._items(step, path, scopes):
            return False
        last = step.steps[-1].id
        self._container_over(step, scope, path, [inner.steps[last]["output"] for inner in scopes])
        return True

    async def _items(self, step: MapStep, path: str, scopes: Sequence[Scope]) -> bool:
        """The steps for each item, some items at a time."""
        room, over = asyncio.Semaphore(step.concurrency), 0

        async def one(scope: Scope) -> bool:
            nonlocal over
            async with room:
                went = await self._block((step.id, "steps"), scope)
            over += went
            if went and self.account.is_news(f"{scope.prefix}/over"):
                self.emit(NodeProgressed(node_id=path, progress=over, total=len(scopes)))
            return went

        working = {asyncio.create_task(one(scope)): "" for scope in scopes}
        try:
            return all([await task for task in asyncio.as_completed(working)])
        finally:
            await _stop(working)

    def _skip(self, steps: Sequence[Step], scope: Scope) -> None:
        """The steps of a way that is not taken, told as such (WS-55)."""
        for step in walk(steps):
            scope.put(step.id, None, "skipped")
            self.account.tell(step, scope.path(step.id), "completed", skipped=True)

    def _container_over(self, step: Step, scope: Scope, path: str, output: Any) -> None:
        plain, size = canonical(output)
        scope.put(step.id, plain)
        self.account.tell(step, path, "completed", result=plain if size <= SHOWN_BYTES else None)

    # One step

    async def _leaf(self, step: LeafStep, scope: Scope, path: str) -> bool:
        stored = self.finished.get(path)
        if stored is None:
            result = await self._worked(step, scope, path)
            if isinstance(result, Waits):
                self.waiting.add(path, result)
                self.account.tell(step, path, "waiting")
                return False
            stored = await self._kept(step, path, result)
        else:
            self.account.keep_again(path, stored)
        shown = stored.output if stored.shown is None else stored.shown
        if isinstance(step, OutputStep):
            self.account.put_out(step, path, shown)
        scope.put(step.id, stored.output, "error" if stored.error else "completed", stored.error)
        self.account.tell(step, path, "error" if stored.error else "completed", result=shown, error=stored.error)
        return True

    async def _worked(self, step: LeafStep, scope: Scope, path: str) -> Result | Waits:
        if isinstance(step, ApprovalStep | OutputStep):
            if isinstance(step, OutputStep) or self.decided(path):
                self.account.tell(step, path, "running")
            return await _LEAVES[type(step)](self, step, scope, path)
        async with self.slots:
            self.account.tell(step, path, "running")
            try:
                return await self._tries(step, scope, path)
            except (StepFailed, ExpressionError) as error:
                if step.on_error == "fail":
                    raise
                return Result(error=error.sentence if isinstance(error, StepFailed) else _scrubbed(str(error)))

    async def _tries(self, step: Leaf, scope: Scope, path: str) -> Result | Waits:
        """As often as the step says, each within its time. What can never work is not tried again."""

        def told(state: RetryCallState) -> None:
            failure = state.outcome.exception() if state.outcome else None
            text = f"Try {state.attempt_number} of {step.retry.times + 1} failed: {failure} Again in {state.upcoming_sleep:g} s."
            self.emit(LogLine(content=text, severity="warning", node_id=path, node_name=step.shown_name))

        retrying = AsyncRetrying(
            stop=stop_after_attempt(step.retry.times + 1),
            wait=wait_exponential(multiplier=step.retry.delay_s, exp_base=step.retry.factor, max=_LONGEST_PAUSE_S),
            retry=retry_if_exception(lambda error: isinstance(error, StepFailed) and not error.final),
            before_sleep=told,
            reraise=True,
        )
        result: Result | Waits = await retrying(self._try, step, scope, path)
        return result

    async def _try(self, step: Leaf, scope: Scope, path: str) -> Result | Waits:
        try:
            async with asyncio.timeout(step.timeout_s):
                return await _LEAVES[type(step)](self, step, scope, path)
        except TimeoutError as error:
            raise StepFailed(f"The step took longer than {step.timeout_s:g} seconds.") from error

    async def _kept(self, step: LeafStep, path: str, result: Result) -> FinishedStep:
        """Stores the step as over, before it is told: a later attempt goes on after it."""
        output, size = canonical(_clean(result.output))
        shown = await self._stored(step, output) if size > SHOWN_BYTES else None
        values = {
            "output": output, "shown": shown, "error": result.error, "parts": list(result.parts),
            "steps": orjson.loads(orjson.dumps(list(result.steps))), "spent": list(result.spent),
        }  # fmt: skip
        await in_database(rows.keep, UUID(self.run.context.execution_id), path, values, result.tried)
        self.account.keep(path, result)
        return FinishedStep(path=path, **values)

    async def _stored(self, step: Step, value: Any) -> dict[str, Any]:
        """A value that is too large to be sent, as a file of the caller's (WS-57)."""
        encoded = orjson.dumps(value)
        name, principal = f"{step.id}.json", self.run.request.principal
        row = await attachments.store(principal, name, [encoded], "application/json", anything=True)
        uri = settings.PUBLIC_BASE_URL.rstrip("/") + attachments.signed_path(row)
        return {"type": "document", "uri": uri, "asset_id": str(row.id), "mime_type": "application/json", "size": len(encoded)}


def _clean(value: Any) -> Any:
    return directory.current().scrubber.value(value)


def _scrubbed(text: str) -> str:
    return directory.current().scrubber.text(text)


async def _stop(working: Mapping[asyncio.Task[bool], Any]) -> None:
    """Ends what still works, and waits until it has."""
    for task in working:
        task.cancel()
    if working:
        await asyncio.gather(*working, return_exceptions=True)
