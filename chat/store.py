"""What a turn writes: one hop to begin, one transaction to end, both shared by the turns that do so at the same moment (R0.6, R0.7).

One thread writes, with one connection; members of a group that fail are retried alone and fail alone. Plain values in and out.
"""

import asyncio
import contextlib
import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import DatabaseError, InterfaceError, OperationalError, connection

from agents.database import guarded, run
from chat import sql
from chat.errors import TurnError

logger = logging.getLogger("switchboard.store")
FINISH_PATIENCE_S = 60.0
"""How long an ended turn waits for a database that went away; a turn that begins does not wait."""

__all__ = ["Job", "run", "write"]


@dataclass(slots=True, eq=False)
class Job:
    """Something to write. `work(members)` is called once per group with all members of the same `kind`, in one transaction;

    it sets each member's `result` (or leaves None). `patient` jobs outlive a database restart.
    """

    kind: Callable[[Sequence["Job"]], None]
    value: Any
    patient: bool = False
    result: Any = None
    error: BaseException | None = None
    future: "asyncio.Future[Any]" = field(init=False)
    give_up_at: float = 0.0

    def __post_init__(self) -> None:
        self.future = asyncio.get_running_loop().create_future()
        self.give_up_at = time.monotonic() + FINISH_PATIENCE_S


async def write(kind: Callable[[Sequence[Job]], None], value: Any, *, patient: bool = False) -> Any:
    """Writes `value` with the others of its moment and returns the job's result. Raises store_unavailable (503) or the error.

    Jobs are written in the order they come; one whose waiter was cancelled is written all the same.
    """
    job = Job(kind, value, patient)
    _writer.submit(job)
    return await job.future


class Writer:
    """The one writing thread of this process. Jobs of one round of the event loop reach it together: it is woken once for all."""

    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[list[Job]] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._round: dict[asyncio.AbstractEventLoop, list[Job]] = {}

    def submit(self, job: Job) -> None:
        loop = job.future.get_loop()
        waiting = self._round.get(loop)
        if waiting is None:
            self._round[loop] = [job]
            loop.call_soon(self._pass_on, loop)
        else:
            waiting.append(job)

    def _pass_on(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._thread is None or not self._thread.is_alive():
            self._start()
        self._jobs.put(self._round.pop(loop))

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


def _write_group(jobs: Sequence[Job]) -> None:
    kinds: dict[Callable[[Sequence[Job]], None], list[Job]] = {}
    for job in jobs:
        kinds.setdefault(job.kind, []).append(job)
    with sql.transaction():
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
            loop.call_soon_threadsafe(_wake, members)


def _wake(jobs: Sequence[Job]) -> None:
    for job in jobs:
        if job.future.done():
            continue
        if job.error is not None:
            job.future.set_exception(job.error)
        else:
            job.future.set_result(job.result)
