"""What a turn writes: one hop to begin, one transaction to end, both shared by the turns that do so at the same moment (R0.6, R0.7).

Short groups are written in place (chat.inplace), all else by one thread with one connection; members of a group that fail are retried
alone and fail alone. Plain values in and out.
"""

import asyncio
import contextlib
import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

from django.db import DatabaseError, InterfaceError, OperationalError, connection

from agents.database import guarded, run
from chat import sql
from chat.errors import TurnError
from chat.inplace import InPlace

logger = logging.getLogger("switchboard.store")
FINISH_PATIENCE_S = 60.0
"""How long an ended turn waits for a database that went away; a turn that begins does not wait."""
_ENOUGH, _ROUNDS = 8, 3
"""A group is written when it has so many members, or after so many rounds of the event loop: those are some µs where little happens."""

__all__ = ["Job", "run", "write"]


@dataclass(slots=True, eq=False)
class Job:
    """Something to write. `work(members)` is called once per group with all members of the same `kind`, in one transaction;

    it sets each member's `result` (or leaves None). `patient` jobs outlive a database restart. `short` ones hold nobody up.
    """

    kind: Callable[[Sequence["Job"]], None]
    value: Any
    patient: bool
    short: bool
    lane: "Lane"
    future: "asyncio.Future[Any]"
    give_up_at: float
    result: Any = None
    error: BaseException | None = None


def write(kind: Callable[[Sequence[Job]], None], value: Any, *, patient: bool = False, short: bool = False) -> "asyncio.Future[Any]":
    """Writes `value` with the others of its moment; to be awaited for the job's result. Raises store_unavailable (503) or the error.

    Jobs are written in the order they come; one whose waiter was cancelled is written all the same.
    """
    loop = asyncio.get_running_loop()
    lane = lanes.get(loop)
    if lane is None:
        lane = lanes[loop] = Lane(_writer)
    future: asyncio.Future[Any] = loop.create_future()
    lane.submit(Job(kind, value, patient, short, lane, future, time.monotonic() + FINISH_PATIENCE_S))
    return future


class Lane:
    """The jobs of one event loop: gathered for a few rounds, then written in place or handed to the thread."""

    def __init__(self, thread: "Writer") -> None:
        self._thread = thread
        self._gathered: list[Job] = []
        self._handed_over = 0
        self._in_place = InPlace()
        self.opening: asyncio.Task[None] | None = asyncio.create_task(run(self._in_place.open))
        self.opening.add_done_callback(self._opened)

    def _opened(self, opening: "asyncio.Task[None]") -> None:
        """The task is let go: it holds the loop, and a loop that has ended is to take its lane along."""
        self.opening = None
        if not opening.cancelled() and opening.exception() is not None:
            logger.warning("no writes in place: %s", opening.exception())

    def submit(self, job: Job) -> None:
        self._gathered.append(job)
        if len(self._gathered) == 1:
            job.future.get_loop().call_soon(self._gather, _ROUNDS)

    def _gather(self, rounds: int) -> None:
        if rounds and len(self._gathered) < _ENOUGH:
            self._gathered[0].future.get_loop().call_soon(self._gather, rounds - 1)
            return
        jobs, self._gathered = self._gathered, []
        try:
            self._write(jobs)
        except Exception as error:  # whatever it is, every waiting turn must hear of it
            _wake([_failed(job, error) for job in jobs])

    def _write(self, jobs: list[Job]) -> None:
        if self._may_be_in_place(jobs) and self._in_place.write(partial(_apply, jobs), len(jobs)):
            _wake(jobs)
        else:
            self._thread.put(jobs)
            self._handed_over += len(jobs)

    def _may_be_in_place(self, jobs: Sequence[Job]) -> bool:
        """Not while the thread has earlier jobs: the order counts."""
        return not self._handed_over and all(job.short for job in jobs)

    def settled(self, jobs: Sequence[Job]) -> None:
        """The thread is done with these."""
        self._handed_over -= len(jobs)
        _wake(jobs)


class Writer:
    """The one writing thread of this process."""

    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[list[Job]] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def put(self, jobs: list[Job]) -> None:
        if self._thread is None or not self._thread.is_alive():
            self._start()
        self._jobs.put(jobs)

    def _start(self) -> None:
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._work, name="store-writer", daemon=True)
                self._thread.start()

    def _work(self) -> None:
        while True:
            jobs = self._jobs.get()
            with contextlib.suppress(queue.Empty):
                while len(jobs) < 500:
                    jobs.extend(self._jobs.get_nowait())
            self._commit(jobs)

    def _commit(self, jobs: list[Job]) -> None:
        try:
            guarded(_write_group, jobs)
        except (OperationalError, InterfaceError) as error:
            if len(jobs) > 1 and connection.is_usable():
                self._one_by_one(jobs, error)
            else:
                self._lost(jobs, error)
        except Exception as error:  # the thread must live, and every waiting turn must hear of it
            self._one_by_one(jobs, error)
        else:
            _settle(jobs)

    def _one_by_one(self, jobs: list[Job], error: Exception) -> None:
        """A group is all or nothing; so that a bad member fails alone, each is tried by itself."""
        if len(jobs) == 1:
            logger.error("a write failed", exc_info=error)
            _settle([_failed(jobs[0], error)])
            return
        for job in jobs:
            self._commit([job])

    def _lost(self, jobs: list[Job], error: OperationalError | InterfaceError) -> None:
        """The database went away (or, with SQLite, stayed locked): who begins is refused, who ends tries again."""
        with contextlib.suppress(DatabaseError):
            connection.close()
        now = time.monotonic()
        patient = [job for job in jobs if job.patient and job.give_up_at > now]
        refused = [job for job in jobs if job not in patient]
        logger.warning("the database is not available: %s (%d refused, %d waiting)", error, len(refused), len(patient))
        _settle([_failed(job, TurnError("store_unavailable")) for job in refused])
        if patient:
            time.sleep(0.25)
            self._jobs.put(patient)


_writer = Writer()
lanes: WeakKeyDictionary[asyncio.AbstractEventLoop, Lane] = WeakKeyDictionary()


def _write_group(jobs: Sequence[Job]) -> None:
    with sql.transaction():
        _apply(jobs)


def _apply(jobs: Sequence[Job]) -> None:
    kinds: dict[Callable[[Sequence[Job]], None], list[Job]] = {}
    for job in jobs:
        kinds.setdefault(job.kind, []).append(job)
    for kind, members in kinds.items():
        kind(members)


def _failed(job: Job, error: BaseException) -> Job:
    job.error = error
    return job


def _settle(jobs: Sequence[Job]) -> None:
    """Wakes the waiting turns, with one call per event loop."""
    loops: dict[asyncio.AbstractEventLoop, list[Job]] = {}
    for job in jobs:
        loops.setdefault(job.future.get_loop(), []).append(job)
    for loop, members in loops.items():
        with contextlib.suppress(RuntimeError):  # that loop has ended, and with it whoever waited
            loop.call_soon_threadsafe(members[0].lane.settled, members)


def _wake(jobs: Sequence[Job]) -> None:
    for job in jobs:
        if job.future.done():
            continue
        if job.error is not None:
            job.future.set_exception(job.error)
        else:
            job.future.set_result(job.result)
