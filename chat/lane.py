"""The jobs of one event loop in their order: written from here where that holds nobody up, else handed to the writing thread."""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from functools import partial

from django.db import DatabaseError

from agents.database import run
from chat.errors import TurnError
from chat.inplace import InPlace
from chat.jobs import Job, Usual, apply, failed, wake
from chat.sqlline import Line, Outcome, dial

logger = logging.getLogger("switchboard.store")
_ENOUGH, _ROUNDS = 8, 3
"""A group is written in place when it has so many members, or after so many rounds of the event loop: some µs where little happens."""
_REDIAL_S = 1.0


class Lane:
    """`hand_over` gives jobs to the thread, which calls settled() with them. One group at a time is on its way, wherever it is done."""

    def __init__(self, hand_over: Callable[[list[Job]], None]) -> None:
        self._to_thread = hand_over
        self._gathered: list[Job] = []
        self._handed_over = 0
        self._in_place = InPlace()
        self._line: Line | None = None
        self._dialled_at = 0.0
        self.opening: asyncio.Task[None] | None = None

    def _open(self) -> None:
        """The task is let go when it is done: it holds the loop, and a loop that has ended is to take its lane along."""
        self._dialled_at = time.monotonic()
        self.opening = asyncio.create_task(self._connect())

    async def _connect(self) -> None:
        try:
            await run(self._in_place.open)
            connection = await run(dial)
            self._line = None if connection is None else Line(connection)
        except DatabaseError as error:
            logger.warning("no writes by the event loop: %s", error)
        finally:
            self.opening = None

    def abandon(self) -> None:
        """The event loop is closed."""
        if self._line is not None:
            self._line.abandon()

    def submit(self, job: Job) -> None:
        if job.short and not self._dialled_at:
            self._open()
        self._gathered.append(job)
        if len(self._gathered) == 1:
            job.future.get_loop().call_soon(self._gather, 0 if self._line is not None else _ROUNDS)

    def _gather(self, rounds: int) -> None:
        if rounds and len(self._gathered) < _ENOUGH:
            self._gathered[0].future.get_loop().call_soon(self._gather, rounds - 1)
            return
        jobs, self._gathered = self._gathered, []
        try:
            self._write(jobs)
        except Exception as error:  # whatever it is, every waiting turn must hear of it
            wake([failed(job, error) for job in jobs])

    def _write(self, jobs: list[Job]) -> None:
        """From here not while the thread has earlier jobs: the order counts."""
        if self._handed_over:
            self._hand_over(jobs)
        elif self._line is not None:
            self._ask(self._line, jobs)
        elif all(job.short for job in jobs) and self._in_place.write(partial(apply, jobs), len(jobs)):
            wake(jobs)
        else:
            self._hand_over(jobs)

    def _hand_over(self, jobs: list[Job]) -> None:
        self._handed_over += len(jobs)
        self._to_thread(jobs)

    def _ask(self, line: Line, jobs: list[Job]) -> None:
        """PostgreSQL; while it is busy with a group, the next one gathers."""
        if line.is_busy:
            self._gathered = jobs
            return
        parts = _parts(jobs) if self._is_open(line) else {}
        statements = [statement for way, members in parts.items() if (statement := way.statement(members)) is not None]
        if statements and len(statements) == len(parts):
            line.send(statements, partial(self._answered, parts))
        else:
            self._hand_over(jobs)

    def _is_open(self, line: Line) -> bool:
        """One that was closed is dialled anew, beside the writes that the thread does meanwhile."""
        if not line.is_open and self.opening is None and time.monotonic() - self._dialled_at >= _REDIAL_S:
            self._open()
        return line.is_open

    def _answered(self, parts: dict[Usual, list[Job]], outcome: Outcome) -> None:
        jobs = [job for members in parts.values() for job in members]
        if outcome == "refused":
            left = jobs
        elif outcome == "lost":
            left = [job for job in jobs if job.patient]
            wake([failed(job, TurnError("store_unavailable")) for job in jobs if not job.patient])
        else:
            left = [job for (way, members), rows in zip(parts.items(), outcome, strict=True) for job in way.settle(members, rows)]
            wake([job for job in jobs if job not in left])
        if left:
            self._hand_over(left)
        if self._gathered:
            self._gather(0)

    def settled(self, jobs: Sequence[Job]) -> None:
        """The thread is done with these."""
        self._handed_over -= len(jobs)
        wake(jobs)


def _parts(jobs: Sequence[Job]) -> dict[Usual, list[Job]]:
    """The jobs by how each is done in one statement; nothing when one of them is not."""
    parts: dict[Usual, list[Job]] = {}
    for job in jobs:
        way = job.usual and job.usual(job.value)
        if way is None:
            return {}
        parts.setdefault(way, []).append(job)
    return parts
