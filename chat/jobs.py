"""What is to be written: jobs, which share a transaction with those of their moment."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from chat.sqlline import Rows, Statement

if TYPE_CHECKING:
    from chat.lane import Lane

Kind = Callable[[Sequence["Job"]], None]


class Usual(Protocol):
    """How jobs of a kind that ask nothing unusual are written by one statement of PostgreSQL's."""

    def statement(self, jobs: Sequence["Job"]) -> Statement | None:
        """None: together they are unusual."""
        ...

    def settle(self, jobs: Sequence["Job"], rows: Rows) -> list["Job"]:
        """Sets the results by what the statement returned; returns the jobs of which it wrote nothing."""
        ...


@dataclass(slots=True, eq=False)
class Job:
    """Something to write. `kind(members)` is called once per group with all members of the same kind, in one transaction;

    it sets each member's `result` (or leaves None). `patient` jobs outlive a database restart. `short` ones hold nobody up.
    `usual(value)`: how it is done in one statement, None: not that one.
    """

    kind: Kind
    value: Any
    patient: bool
    short: bool
    usual: Callable[[Any], Usual | None] | None
    lane: "Lane"
    future: "asyncio.Future[Any]"
    give_up_at: float
    result: Any = None
    error: BaseException | None = None


def apply(jobs: Sequence[Job]) -> None:
    """Does them, in a transaction of the caller's."""
    kinds: dict[Kind, list[Job]] = {}
    for job in jobs:
        kinds.setdefault(job.kind, []).append(job)
    for kind, members in kinds.items():
        kind(members)


def failed(job: Job, error: BaseException) -> Job:
    job.error = error
    return job


def wake(jobs: Sequence[Job]) -> None:
    """Tells whoever waits, on the event loop's thread."""
    for job in jobs:
        if job.future.done():
            continue
        if job.error is not None:
            job.future.set_exception(job.error)
        else:
            job.future.set_result(job.result)
