"""What a turn claims before it may run – rate, capacity slot, turn lock – and the answers; chat.leases grants them.

The order is that of R0.5 (12) to (14). A claim that waits holds at most its session's lock, never a slot.
"""

from dataclasses import dataclass
from uuid import UUID

from agents.specs import TurnPolicy
from chat.errors import TurnError
from chat.gates import RateClaim, RateState, rate_headers
from chat.transcripts import Transcript

MAX_WAITING_TURNS = 10
"""Turns that may wait on one session (R8.1)."""
LEASE_S = 30.0
"""Life of locks and slots that nobody renews; leases.renew() is called every RENEW_S (R8.3)."""
RENEW_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One turn that wants to run. `session_id` None: stateless, no lock. `max_parallel` 0: no slot is needed.

    `owner` names whose conversation it is, in keys of the cached history (RUN-36): an id, never the client's own words.
    `deadline_s` is a moment of time.monotonic(). `conversation`: an openai-wire conversation, whose idle time this use
    refreshes (OAI-56). `public`: public and paid traffic, refused when the store is down (R14.4).
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
    conversation: bool = False
    public: bool = False


@dataclass(frozen=True, slots=True)
class Entered:
    """The turn may run: it holds its session's lock and a slot until exit(). `history` is the newest cached form, if any;

    its version is to be compared with the database's (RUN-32).
    """

    rate: RateState | None
    history: Transcript | None


@dataclass(frozen=True, slots=True)
class Waiting:
    """The turn waits; `position` 1 is next. Call wait()."""

    rate: RateState | None
    position: int


@dataclass(frozen=True, slots=True)
class Interrupts:
    """The turn waits at the front for `running` to end: cancel that execution, then call wait()."""

    rate: RateState | None
    running: UUID


Entry = Entered | Waiting | Interrupts


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
