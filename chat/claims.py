"""What a turn claims before it may run – rate, capacity slot, turn lock – and the answers; chat.leases grants them.

The order is that of R0.5 (12) to (14). A claim that waits holds at most its session's lock, never a slot.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from enum import Enum
from typing import Literal
from uuid import UUID

from agents.specs import TurnPolicy
from agents.values import value
from chat.errors import TurnError
from chat.gates import RateClaim, RateState, rate_headers
from chat.transcripts import Cache, Transcript

MAX_WAITING_TURNS = 10
"""Turns that may wait on one session (R8.1)."""
LEASE_S = 30.0
"""Life of locks and slots that nobody renews; leases.renew() is called every RENEW_S (R8.3)."""
RENEW_S = 10.0


@value
class Claim:
    """One turn that wants to run. `session_id` None: stateless, no lock. `max_parallel` 0: no slot is needed.

    `owner` names whose conversation it is, in keys of the cached history (RUN-36): an id, never the client's own words.
    `deadline_s` is a moment of time.monotonic(). `public`: public and paid traffic, refused when the store is down (R14.4).
    """

    execution_id: UUID
    session_id: UUID | None = None
    owner: str = ""
    policy: TurnPolicy = "queue"
    agent_key: str
    max_parallel: int = 0
    max_queued: int = 20
    rate: RateClaim | None = None
    deadline_s: float
    public: bool = False


@value(kw_only=False)
class Entered:
    """The turn may run: it holds its session's lock and a slot until exit(). `history` is the newest cached form, if any;

    its version is to be compared with the database's (RUN-32).
    """

    rate: RateState | None
    history: Transcript | None


@value(kw_only=False)
class Waiting:
    """The turn waits; `position` 1 is next, 0 waits for the next minute's rate window. Call wait()."""

    rate: RateState | None
    position: int


@value(kw_only=False)
class Interrupts:
    """The turn waits before all others for `running` to end: cancel that execution, and call wait().

    `running` may itself still wait, if it came to interrupt a turn too: then each cancels the one before it.
    """

    rate: RateState | None
    position: int
    running: UUID


Entry = Entered | Waiting | Interrupts


class Unchanged(Enum):
    """Given to exit() by a turn that left the conversation as it was."""

    UNCHANGED = "unchanged"


UNCHANGED = Unchanged.UNCHANGED
NewHistory = Transcript | None | Literal[Unchanged.UNCHANGED]
"""The history after a turn; None: forget the cached one, the next turn reads the database (RUN-35)."""


def wait_for_window(claim: Claim, rate: RateState) -> Waiting:
    """What exceeding a limit means: patient claims wait for the next window (R14.1), others are refused with rate_limited."""
    if claim.rate and claim.rate.patient:
        return Waiting(rate, 0)
    raise rate_limited(rate)


async def enter_patiently(enter: Callable[[Claim], Awaitable[Entry]], claim: Claim) -> None:
    """Tries again in each new window until the claim is counted. Raises TimeoutError when its deadline passes before."""
    while isinstance(entry := await enter(claim), Waiting) and entry.position == 0 and entry.rate:
        left_s = claim.deadline_s - time.monotonic()
        await asyncio.sleep(min(left_s, entry.rate.reset_s))
        if left_s <= entry.rate.reset_s:
            raise TimeoutError


def keep(transcripts: Cache, session_id: UUID, new: NewHistory) -> None:
    """This process's cache after a turn."""
    if isinstance(new, Transcript):
        transcripts.put(new)
    elif new is None:
        transcripts.drop(session_id)


async def nothing() -> None:
    """What is left to wait for when all is done."""


def rate_limited(rate: RateState) -> TurnError:
    return TurnError("rate_limited", retry_after_s=rate.reset_whole_s, headers=rate_headers(rate))


def queue_full(waiting: int) -> TurnError:
    return TurnError("queue_full", retry_after_s=30, extra={"queue_length": waiting})


def session_busy() -> TurnError:
    return TurnError("session_busy", retry_after_s=1)


def session_queue_full() -> TurnError:
    return TurnError("session_queue_full", retry_after_s=5)


def store_unavailable() -> TurnError:
    return TurnError("store_unavailable", retry_after_s=1)
