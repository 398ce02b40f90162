"""Leases of one process: everything in memory, synchronous, gone with the process (and so are the turns that held them)."""

import asyncio
import contextlib
import threading
import time
from bisect import insort
from collections.abc import Awaitable, Callable
from itertools import count
from uuid import UUID

from chat import claims
from chat.claims import MAX_WAITING_TURNS, UNCHANGED, Claim, Entered, Entry, Interrupts, NewHistory, Waiting, nothing
from chat.errors import TurnError
from chat.gates import RateClaim, RateState
from chat.transcripts import Cache, cache

WINDOW_S = 60


class Rates:
    """R14.1: fixed 60-second windows, the same for everybody, so that a new one makes all counters of the old one void."""

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._window = 0
        self._counts: dict[tuple[str, str], list[int]] = {}

    def count(self, claim: RateClaim) -> tuple[RateState, int]:
        """The counters with this turn in them, and their window. What exceeds a limit is not kept."""
        window, passed_s = divmod(self._now(), WINDOW_S)
        if window != self._window:
            self._window, self._counts = int(window), {}
        counts = self._counts.setdefault((claim.principal, claim.model), [0, 0])
        counts[0] += 1
        counts[1] += claim.tokens
        state = RateState(claim.rpm, counts[0], claim.tpm, counts[1], WINDOW_S - passed_s)
        if state.exceeded():
            counts[0] -= 1
            counts[1] -= claim.tokens
        return state, self._window

    def settle(self, claim: RateClaim, window: int, real_tokens: int, *, again: bool = False) -> None:
        """Real usage in place of the reserved (R14.2), while the window it was reserved in lasts. `again`: the request counts later."""
        counts = self._counts.get((claim.principal, claim.model))
        if counts and window == self._window:
            counts[0] -= again
            counts[1] = max(0, counts[1] + real_tokens - claim.tokens)


class Place:
    """What one claim holds and what it waits for."""

    __slots__ = ("arrival", "claim", "future", "has_lock", "has_slot", "rate", "window")

    def __init__(self, claim: Claim, arrival: int, rate: RateState | None, window: int) -> None:
        self.claim = claim
        self.arrival = arrival
        self.rate = rate
        self.window = window
        self.has_lock = claim.session_id is None
        self.has_slot = claim.max_parallel <= 0
        self.future: asyncio.Future[None] | None = None

    def entered(self) -> bool:
        return self.has_lock and self.has_slot

    def wake(self) -> None:
        """From any thread: the embedded server runs tasks beside the event loop."""
        if self.future is not None:
            with contextlib.suppress(RuntimeError):  # that loop has ended, and with it whoever waited
                self.future.get_loop().call_soon_threadsafe(_resolve, self.future)


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


class Line:
    """One session: whose turn it is, and who waits, in order (R8.1). Interrupting turns wait before all others."""

    __slots__ = ("owner", "waiting")

    def __init__(self, owner: Place) -> None:
        self.owner = owner
        self.waiting: list[Place] = []

    def check(self, claim: Claim) -> None:
        """Raises session_busy or session_queue_full for a newcomer that may not wait."""
        if claim.policy == "reject":
            raise claims.session_busy()
        if claim.policy == "queue" and len(self.waiting) >= MAX_WAITING_TURNS:
            raise claims.session_queue_full()

    def join(self, place: Place) -> None:
        self.waiting.insert(self._interrupters() if place.claim.policy == "interrupt" else len(self.waiting), place)

    def interrupted_by(self, place: Place) -> UUID:
        """The turn right before an interrupting one: the running one, or another that came to interrupt it."""
        index = self.waiting.index(place)
        return (self.waiting[index - 1] if index else self.owner).claim.execution_id

    def _interrupters(self) -> int:
        return sum(waiting.claim.policy == "interrupt" for waiting in self.waiting)


class Slots:
    """The capacity of one agent (AG-15): how many run, and who waits, in order of arrival."""

    __slots__ = ("busy", "waiting")

    def __init__(self) -> None:
        self.busy = 0
        self.waiting: list[Place] = []

    def check(self, claim: Claim) -> None:
        """Raises queue_full for a newcomer that would have to wait and may not."""
        if self.busy >= claim.max_parallel and len(self.waiting) >= claim.max_queued:
            raise claims.queue_full(len(self.waiting))

    def join(self, place: Place) -> None:
        insort(self.waiting, place, key=lambda waiting: waiting.arrival)
        self.advance()

    def leave(self, place: Place) -> None:
        if place.has_slot:
            self.busy -= 1
        elif place in self.waiting:
            self.waiting.remove(place)
        self.advance()

    def advance(self) -> None:
        while self.waiting and self.busy < self.waiting[0].claim.max_parallel:
            place = self.waiting.pop(0)
            self.busy += 1
            place.has_slot = True
            place.wake()


class MemoryLeases:
    """Grants what Claims ask for. Thread-safe: each step is under one mutex, which no await surrounds."""

    def __init__(self, transcripts: Cache = cache) -> None:
        self._transcripts = transcripts
        self._mutex = threading.Lock()
        self._arrivals = count(1)
        self._places: dict[UUID, Place] = {}
        self._lines: dict[UUID, Line] = {}
        self._slots: dict[str, Slots] = {}
        self.rates = Rates()

    def try_enter(self, claim: Claim) -> Entry:
        """Enters or begins to wait. Raises rate_limited, queue_full, session_busy or session_queue_full; then nothing is held."""
        with self._mutex:
            rate, window = self.rates.count(claim.rate) if claim.rate else (None, 0)
            if rate is not None and rate.exceeded():
                return claims.wait_for_window(claim, rate)
            try:
                self._check(claim)
            except TurnError:
                self._settle(claim, window, 0)
                raise
            place = self._places[claim.execution_id] = Place(claim, next(self._arrivals), rate, window)
            self._join(place)
            return self._answer(place)

    async def enter(self, claim: Claim) -> Entry:
        return self.try_enter(claim)

    def _check(self, claim: Claim) -> None:
        if claim.max_parallel > 0 and (slots := self._slots.get(claim.agent_key)):
            slots.check(claim)
        if claim.session_id and (line := self._lines.get(claim.session_id)):
            line.check(claim)

    def _join(self, place: Place) -> None:
        session_id = place.claim.session_id
        if session_id is not None and not place.has_lock:
            line = self._lines.setdefault(session_id, Line(place))
            if line.owner is not place:
                line.join(place)
                return
            place.has_lock = True
        if not place.has_slot:
            self._slots.setdefault(place.claim.agent_key, Slots()).join(place)

    def _answer(self, place: Place) -> Entry:
        claim = place.claim
        if place.entered():
            return Entered(place.rate, self._transcripts.get(claim.session_id) if claim.session_id else None)
        if place.has_lock or claim.session_id is None:
            return Waiting(place.rate, self._slots[claim.agent_key].waiting.index(place) + 1)
        line = self._lines[claim.session_id]
        position = line.waiting.index(place) + 1
        if claim.policy == "interrupt":
            return Interrupts(place.rate, position, line.interrupted_by(place))
        return Waiting(place.rate, position)

    async def wait(self, claim: Claim) -> Entered:
        """Until it is this claim's turn. Raises timeout at its deadline; a wait that fails or is cancelled leaves nothing behind."""
        try:
            if claim.execution_id not in self._places:
                await claims.enter_patiently(self.enter, claim)
            while True:
                entry, woken = self._listen(claim)
                if isinstance(entry, Entered):
                    return entry
                async with asyncio.timeout(claim.deadline_s - time.monotonic()):
                    await woken
        except TimeoutError as error:
            self._leave(claim.execution_id, 0)
            raise TurnError("timeout") from error
        except BaseException:
            self._leave(claim.execution_id, 0)
            raise

    def _listen(self, claim: Claim) -> tuple[Entry, asyncio.Future[None]]:
        with self._mutex:
            place = self._places[claim.execution_id]
            place.future = asyncio.get_running_loop().create_future()
            return self._answer(place), place.future

    async def abandon(self, claim: Claim, *, again: bool = False) -> None:
        """The claim holds nothing and waits for nothing any more, whatever its state was. `again`: it is made anew, and counts then."""
        self._leave(claim.execution_id, 0, again=again)

    def exit(self, execution_id: UUID, *, real_tokens: int, transcript: NewHistory = UNCHANGED) -> Awaitable[None]:
        """The turn is over: settles its tokens, keeps the new history, frees its lock and slot, wakes who is next.

        Done, or on its way to the store, when this returns; what it returns is to be awaited.
        """
        self._leave(execution_id, real_tokens, transcript)
        return nothing()

    def _leave(self, execution_id: UUID, real_tokens: int, transcript: NewHistory = UNCHANGED, *, again: bool = False) -> None:
        with self._mutex:
            place = self._places.pop(execution_id, None)
            if place is None:
                return
            self._settle(place.claim, place.window, real_tokens, again=again)
            if place.claim.session_id is not None:
                claims.keep(self._transcripts, place.claim.session_id, transcript)
                self._leave_line(place.claim.session_id, place)
            if place.claim.max_parallel > 0:
                self._leave_slots(place)

    def _leave_line(self, session_id: UUID, place: Place) -> None:
        line = self._lines[session_id]
        if line.owner is not place:
            line.waiting.remove(place)
        elif not line.waiting:
            del self._lines[session_id]
        else:
            line.owner = line.waiting.pop(0)
            line.owner.has_lock = True
            line.owner.wake()
            self._join(line.owner)

    def _leave_slots(self, place: Place) -> None:
        slots = self._slots.get(place.claim.agent_key)
        if slots is None:
            return
        slots.leave(place)
        if not slots.busy and not slots.waiting:
            del self._slots[place.claim.agent_key]

    def _settle(self, claim: Claim, window: int, real_tokens: int, *, again: bool = False) -> None:
        if claim.rate:
            self.rates.settle(claim.rate, window, real_tokens, again=again)

    async def free(self, execution_id: UUID, session_id: UUID | None, agent_key: str) -> None:
        """Nothing: what a dead process held died with it."""

    async def renew(self) -> list[UUID]:
        """Nothing to renew: a process that is gone holds nothing. Returns the executions that lost their lease: none."""
        return []

    async def forget(self, owner: str, session_id: UUID) -> None:
        """Drops the cached history of a conversation that was changed otherwise than by a turn."""
        self._transcripts.drop(session_id)

    async def close(self) -> None:
        """Nothing to close."""
