"""The jobs of one event loop in their order: written from here where that holds nobody up, else handed to the writing thread."""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from functools import partial

from agents.database import run
from chat.errors import TurnError
from chat.inplace import InPlace
from chat.jobs import Job, Usual, apply, failed, wake
from chat.sqlline import Line, Outcome, Statement, dial

logger = logging.getLogger("switchboard.store")
_ENOUGH, _ROUNDS = 8, 3
"""A group is written in place when it has so many members, or after so many rounds of the event loop: some µs where little happens."""
_REDIAL_S = 1.0


class Lane:
    """`hand_over` gives jobs to the thread, which calls settled() with them. One group at a time is on its way to PostgreSQL."""

    def __init__(self, hand_over: Callable[[list[Job]], None]) -> None:
        self._to_thread = hand_over
        self._gathered: list[Job] = []
        self._handed_over = 0
        self._in_place = InPlace()
        self._line: Line | None = None
        self._is_ready = False
        self._dialled_at = float("-inf")
        self.opening: asyncio.Task[None] | None = None

    def _open(self) -> None:
        """Beside the writes that the thread does meanwhile."""
        now = time.monotonic()
        if self.opening is None and now - self._dialled_at >= _REDIAL_S:
            self._dialled_at = now
            self.opening = asyncio.create_task(self._connect())

    async def _connect(self) -> None:
        try:
            await run(self._in_place.open)
            connection = await run(dial)
            self._line = None if connection is None else Line(connection)
            self._is_ready = True
        except Exception as error:  # whatever it is, the thread writes, and says what is wrong
            logger.warning("no writes by the event loop: %s", error)
        finally:
            self.opening = None

    def abandon(self) -> None:
        """The event loop is closed."""
        if self._line is not None:
            self._line.abandon()

    def submit(self, job: Job) -> None:
        if job.short and not self._is_ready:
            self._open()
        self._gathered.append(job)
        if len(self._gathered) == 1:
            job.future.get_loop().call_soon(self._gather, 0 if self._line is not None else _ROUNDS)

    def _gather(self, rounds: int) -> None:
        if not self._gathered:
            return  # they went on another occasion
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
        if self._line is not None and (self._line.is_busy or (self._line.is_open and self._handed_over)):
            self._gathered = jobs  # with those that come until they may go
        elif self._handed_over:
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
        if not line.is_open:
            self._line, self._is_ready = None, False
            self._open()
        parts = _parts(jobs) if line.is_open else {}
        statements = _statements(parts)
        if statements:
            line.send(statements, partial(self._answered, parts))
        else:
            self._hand_over(jobs)

    def _answered(self, parts: dict[Usual, list[Job]], outcome: Outcome) -> None:
        jobs = [job for members in parts.values() for job in members]
        try:
            left = _left(parts, outcome)
        except Exception as error:  # as in _gather
            left, jobs = [], [failed(job, error) for job in jobs]
        wake([job for job in jobs if job not in left])
        if left:
            self._hand_over(left)
        self._gather(0)

    def settled(self, jobs: Sequence[Job]) -> None:
        """The thread is done with these."""
        self._handed_over -= len(jobs)
        wake(jobs)
        if self._line is not None and not self._handed_over:
            self._gather(0)


def _parts(jobs: Sequence[Job]) -> dict[Usual, list[Job]]:
    """The jobs by how each is done in one statement; nothing when one of them is not."""
    parts: dict[Usual, list[Job]] = {}
    for job in jobs:
        way = job.usual and job.usual(job.value)
        if way is None:
            return {}
        parts.setdefault(way, []).append(job)
    return parts


def _statements(parts: dict[Usual, list[Job]]) -> list[Statement]:
    """Nothing when the members of a part are unusual together, or hold what cannot be said: the thread finds out which one it is."""
    try:
        found = [statement for way, members in parts.items() if (statement := way.statement(members)) is not None]
    except Exception as error:  # what cannot be encoded: the thread meets it again, alone, and tells whoever waits
        logger.info("a group of writes is left to the thread: %s", error)
        return []
    return found if len(found) == len(parts) else []


def _left(parts: dict[Usual, list[Job]], outcome: Outcome) -> list[Job]:
    """The jobs that the thread is to do: none of theirs was written, or, of those that outlive a restart of the database, nobody knows."""
    jobs = [job for members in parts.values() for job in members]
    if outcome == "refused":
        return jobs
    if outcome == "lost":
        for job in jobs:
            job.error = None if job.patient else TurnError("store_unavailable")
        return [job for job in jobs if job.patient]
    return [job for (way, members), rows in zip(parts.items(), outcome, strict=True) for job in way.settle(members, rows)]
