"""What a turn writes: one hop to begin, one transaction to end, both shared by the turns that do so at the same moment (R0.6, R0.7).

Most groups are written by their event loop (chat.lane), all others by one thread with one connection; members of a group that fail are
retried alone and fail alone. Plain values in and out.
"""

import asyncio
import contextlib
import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from django.db import DatabaseError, InterfaceError, OperationalError, connection

from agents.database import guarded, run
from chat import sql
from chat.errors import TurnError
from chat.jobs import Job, Kind, Usual, apply, failed
from chat.lane import Lane

logger = logging.getLogger("switchboard.store")
FINISH_PATIENCE_S = 60.0
"""How long an ended turn waits for a database that went away; a turn that begins does not wait."""

__all__ = ["run", "write"]


def write(
    kind: Kind,
    value: Any,
    *,
    patient: bool = False,
    short: bool = False,
    usual: Callable[[Any], Usual | None] | None = None,
) -> "asyncio.Future[Any]":
    """Writes `value` with the others of its moment; to be awaited for the job's result. Raises store_unavailable (503) or the error.

    Jobs are written in the order they come; one whose waiter was cancelled is written all the same.
    """
    loop = asyncio.get_running_loop()
    lane = lanes.get(loop)
    if lane is None:
        _abandon_closed()
        lane = lanes[loop] = Lane(_writer.put)
    future: asyncio.Future[Any] = loop.create_future()
    lane.submit(Job(kind, value, patient, short, usual, lane, future, time.monotonic() + FINISH_PATIENCE_S))
    return future


def _abandon_closed() -> None:
    for loop in [loop for loop in lanes if loop.is_closed()]:
        lanes.pop(loop).abandon()


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
            _settle([failed(jobs[0], error)])
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
        _settle([failed(job, TurnError("store_unavailable")) for job in refused])
        if patient:
            time.sleep(0.25)
            self._jobs.put(patient)


_writer = Writer()
lanes: dict[asyncio.AbstractEventLoop, Lane] = {}


def _write_group(jobs: Sequence[Job]) -> None:
    with sql.transaction():
        apply(jobs)


def _settle(jobs: Sequence[Job]) -> None:
    """Wakes the waiting turns, with one call per event loop."""
    loops: dict[asyncio.AbstractEventLoop, list[Job]] = {}
    for job in jobs:
        loops.setdefault(job.future.get_loop(), []).append(job)
    for loop, members in loops.items():
        with contextlib.suppress(RuntimeError):  # that loop has ended, and with it whoever waited
            loop.call_soon_threadsafe(members[0].lane.settled, members)
