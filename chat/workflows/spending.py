"""What a try of a step has used, on record before the step is over: if its process dies, the next attempt counts it (R10.1)."""

import asyncio
import logging
import secrets
from collections.abc import Sequence
from uuid import UUID

from django.db import DatabaseError

from agents.specs import ModelSpec
from chat.events import ReasoningDelta, TextDelta, TurnEvent
from chat.gates import StepUsage
from chat.modelcall import Answer, estimated
from chat.progress import Progress, spent_json
from chat.store import run
from chat.workflows import rows

logger = logging.getLogger("switchboard.workflows")


class Spending:
    """One try of a step that asks an agent. A model call is written as an estimate when it begins to answer, as it was when it is over."""

    def __init__(self, execution_id: UUID, path: str, progress: Progress, model: ModelSpec) -> None:
        self.path = f"{path}!{secrets.token_hex(6)}"
        self._execution_id, self._progress, self._model = execution_id, progress, model
        self._calls, self._answering = len(progress.spent), False
        self._news: Sequence[StepUsage] = ()
        self._task: asyncio.Task[None] | None = None

    def heard(self, event: TurnEvent) -> None:
        """What the agent tells shows where its model calls stand."""
        spent = self._progress.spent
        if len(spent) > self._calls:
            self._calls, self._answering = len(spent), False
            self._note(list(spent))
        elif isinstance(event, TextDelta | ReasoningDelta) and not self._answering:
            self._answering = True
            usage = estimated(self._progress.messages, Answer())
            self._note([*spent, StepUsage(model=self._model.name, provider_kind=self._model.provider.kind, usage=usage)])

    async def written(self) -> None:
        """Waits for what is being written."""
        if self._task is not None:
            await asyncio.wait([self._task])

    def _note(self, spent: Sequence[StepUsage]) -> None:
        self._news = spent
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._write())

    async def _write(self) -> None:
        while self._news:
            news, self._news = self._news, ()
            try:
                await run(rows.note_spent, self._execution_id, self.path, spent_json(news))
            except DatabaseError as error:
                logger.warning("what step %s of run %s has used is not on record: %s", self.path, self._execution_id, error)
