"""Leases of several processes, in Redis: entering and leaving are one script each, on the store's own clock.

A lock or slot that its process does not renew is free after LEASE_S; a waiting claim asks again every second, or is forgotten.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Coroutine
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import orjson
from django.conf import settings

from agents import ids
from chat import claims, redis
from chat.claims import LEASE_S, MAX_WAITING_TURNS, UNCHANGED, Claim, Entered, Entry, Interrupts, NewHistory, Waiting, nothing
from chat.errors import TurnError
from chat.gates import RateState
from chat.redisclient import Argument, Script
from chat.transcripts import RECORD_BYTES, Cache, Transcript, cache
from chat.turnbell import TurnBell

logger = logging.getLogger("switchboard.leases")
WAITER_S = 5.0
POLL_S = 1.0
PATIENCE_S = 3.0
"""How long a turn that waited when the store was emptied gives the running one to say that it has the lock (Leases.renew)."""
_BATCH = 250

_enter, _exit, _renew = Script("enter"), Script("exit"), Script("renew")
Unreachable = redis.failures()


@dataclass(slots=True)
class Held:
    """What this process knows of one claim: where it stands, and which version of its history the store has."""

    claim: Claim
    arrival: str = "0"
    window: str = "0"
    rate: RateState | None = None
    entered: bool = False
    stored_version: int | None = None
    woken: asyncio.Event = field(default_factory=asyncio.Event)


class RedisLeases:
    """Grants what Claims ask for, over all processes; the methods are those of MemoryLeases."""

    def __init__(
        self, transcripts: Cache = cache, *, lease_s: float = LEASE_S, waiter_s: float = WAITER_S, poll_s: float = POLL_S,
        patience_s: float = PATIENCE_S,
    ) -> None:  # fmt: skip
        self._transcripts, self._poll_s = transcripts, poll_s
        self._lease_ms, self._waiter_ms, self._patience_ms = (int(each * 1000) for each in (lease_s, waiter_s, patience_s))
        self._held: dict[UUID, Held] = {}
        self._bell = TurnBell()
        self._leaving: set[asyncio.Task[None]] = set()

    def try_enter(self, claim: Claim) -> None:
        """Never at once: await enter()."""

    async def enter(self, claim: Claim) -> Entry:
        """One round trip. Raises what MemoryLeases raises, and store_unavailable when Redis is down and the turn needs it."""
        held = self._held[claim.execution_id] = Held(claim)
        try:
            entry = await self._ask(held)
        except Unreachable as error:
            entry = self._without_store(held, error)
        except TurnError:
            del self._held[claim.execution_id]
            raise
        except asyncio.CancelledError:
            self._give_up(claim.execution_id)
            raise
        if isinstance(entry, Waiting) and not entry.position:
            del self._held[claim.execution_id]
        return entry

    def _without_store(self, held: Held, error: Exception) -> Entered:
        """R14.4, RUN-34: what needs no lock is let through and logged, unless it is public or paid."""
        claim = held.claim
        if claim.session_id is not None or claim.public:
            del self._held[claim.execution_id]
            raise claims.store_unavailable() from error
        logger.warning("run %s is not counted: the store is down (%s)", claim.execution_id, error)
        held.entered = True
        return Entered(None, None)

    async def _ask(self, held: Held) -> Entry:
        known = self._transcripts.get(held.claim.session_id) if held.claim.session_id else None
        answer = await _enter.run(_keys(held.claim), self._arguments(held, known.version if known else -1))
        rate = held.claim.rate
        if rate and held.arrival == "0":
            held.window = str(answer[1])
            held.rate = RateState(rate.rpm, answer[2], rate.tpm, answer[3], answer[4] / 1000)
        return self._entry(held, answer[0], answer[5:], known)

    def _arguments(self, held: Held, known_version: int) -> list[Argument]:
        claim, rate = held.claim, held.claim.rate
        return [
            ids.text(claim.execution_id), claim.policy, self._lease_ms, self._waiter_ms, held.arrival, claim.max_parallel, claim.max_queued,
            MAX_WAITING_TURNS, rate.rpm if rate else 0, rate.tpm if rate else 0, rate.tokens if rate else 0, known_version,
            settings.RUN_CACHE_TTL, TurnBell.CHANNEL, self._patience_ms,
        ]  # fmt: skip

    def _entry(self, held: Held, word: bytes, rest: list[Any], known: Transcript | None) -> Entry:
        match word:
            case b"entered":
                held.entered = True
                return Entered(held.rate, self._history(held, rest, known))
            case b"waiting":
                held.arrival = rest[0].decode()
                if held.claim.policy == "interrupt" and rest[2]:
                    return Interrupts(held.rate, rest[1], UUID(rest[2].decode()))
                return Waiting(held.rate, rest[1])
            case b"rate_limited":
                assert held.rate is not None
                return claims.wait_for_window(held.claim, held.rate)
            case b"queue_full":
                raise claims.queue_full(rest[0])
            case b"session_busy":
                raise claims.session_busy()
            case _:
                raise claims.session_queue_full()

    def _history(self, held: Held, rest: list[Any], known: Transcript | None) -> Transcript | None:
        """The newer of what this process and the store have; the store tells its own only where they differ."""
        if not rest[0]:
            return known
        held.stored_version = int(rest[0])
        if len(rest) == 1 or held.claim.session_id is None or (known and known.version > held.stored_version):
            return known
        return Transcript.thawed(held.claim.session_id, orjson.loads(rest[1]), rest[2], rest[3]) or known

    async def wait(self, claim: Claim) -> Entered:
        """Until it is this claim's turn: asks when the bell rings for it, and every second."""
        try:
            if claim.execution_id not in self._held:
                await claims.enter_patiently(self.enter, claim)
            held = self._held[claim.execution_id]
            with self._bell.listening(claim.execution_id, held.woken):
                return await self._turn_of(held)
        except TimeoutError as error:
            await self.exit(claim.execution_id, real_tokens=0)
            raise TurnError("timeout") from error
        except BaseException:
            self._give_up(claim.execution_id)
            raise

    async def _turn_of(self, held: Held) -> Entered:
        """Raises TimeoutError at the claim's deadline."""
        while True:
            held.woken.clear()
            with contextlib.suppress(*Unreachable):  # the store may come back before the deadline
                entry = await self._ask(held)
                if isinstance(entry, Entered):
                    return entry
            left_s = held.claim.deadline_s - time.monotonic()
            if left_s <= 0:
                raise TimeoutError
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(self._poll_s, left_s)):  # wait_for may swallow a cancellation (before Python 3.12)
                    await held.woken.wait()

    def _give_up(self, execution_id: UUID) -> None:
        """After a cancelled request, which may still be under way: leaves a little later, without making the canceller wait."""
        if execution_id in self._held:
            task = asyncio.get_running_loop().create_task(self._leave_later(self._held.pop(execution_id)))
            self._leaving.add(task)
            task.add_done_callback(self._leaving.discard)

    async def _leave_later(self, held: Held) -> None:
        await asyncio.sleep(0.05)
        await self._depart(held, 0)

    async def abandon(self, claim: Claim, *, again: bool = False) -> None:
        held = self._held.pop(claim.execution_id, None)
        if held is not None:
            await self._depart(held, 0, again=again)

    def exit(self, execution_id: UUID, *, real_tokens: int, transcript: NewHistory = UNCHANGED) -> Awaitable[None]:
        """One round trip. Never fails: what Redis does not hear of lapses by itself (RUN-34)."""
        held = self._held.pop(execution_id, None)
        return nothing() if held is None else self._depart(held, real_tokens, transcript)

    def _depart(
        self, held: Held, real_tokens: int, transcript: NewHistory = UNCHANGED, *, again: bool = False
    ) -> Coroutine[Any, Any, None]:
        """Is on its way when this returns; whether it arrives is to be awaited."""
        claim = held.claim
        if claim.session_id is not None:
            claims.keep(self._transcripts, claim.session_id, transcript)
        settled = real_tokens - claim.rate.tokens if claim.rate else 0
        keys = _keys(claim)
        keys[0] = f"{keys[0]}:{held.window}"
        history = _history_arguments(transcript, held.stored_version)
        left = ids.text(claim.execution_id), settled, TurnBell.CHANNEL, *history, settings.RUN_CACHE_TTL, -int(again)
        return self._departed(claim, _exit.run(keys, left))

    async def _departed(self, claim: Claim, leaving: Awaitable[Any]) -> None:
        try:
            await leaving
        except Unreachable as error:
            logger.warning("the lease of run %s is left to lapse: %s", claim.execution_id, error)

    async def renew(self) -> list[UUID]:
        """Renews the leases of this process; returns the executions whose lock another one has taken: they should stop."""
        held = [held for held in self._held.values() if held.entered]
        lost: list[UUID] = []
        for start in range(0, len(held), _BATCH):
            batch = held[start : start + _BATCH]
            keys = [key for one in batch for key in _keys(one.claim)[2:0:-1]]
            try:
                answer = await _renew.run(keys, [self._lease_ms, *(str(one.claim.execution_id) for one in batch)])
            except Unreachable as error:
                logger.warning("leases could not be renewed: %s", error)
                return lost
            lost += [UUID(execution_id.decode()) for execution_id in answer]
            for one in batch:
                if one.claim.execution_id not in self._held:  # it left while we asked, and we may have renewed what it gave back
                    await self._depart(one, one.claim.rate.tokens if one.claim.rate else 0)
        return lost

    async def free(self, execution_id: UUID, session_id: UUID | None, agent_key: str) -> None:
        """Frees lock and slot of a run whose process is known to be dead, before they lapse."""
        claim = Claim(execution_id=execution_id, session_id=session_id, agent_key=agent_key, max_parallel=1, deadline_s=0)
        await self._depart(Held(claim), 0)

    async def forget(self, owner: str, session_id: UUID) -> None:
        """Left behind with its old version when Redis is down, which the next turn detects (RUN-34)."""
        self._transcripts.drop(session_id)
        key = _history(owner, session_id)
        with contextlib.suppress(*Unreachable):
            await redis.client().delete(f"{key}:head", f"{key}:fragment", f"{key}:records")

    async def close(self) -> None:
        """Waits for the claims that are being given up, and stops listening."""
        await asyncio.gather(*self._leaving)
        await self._bell.close()


def _session(session_id: UUID) -> str:
    return f"sb:turn:{ids.text(session_id)}"


def _history(owner: str, session_id: UUID) -> str:
    return f"sb:history:{owner}:{ids.text(session_id)}"


def _keys(claim: Claim) -> list[str]:
    rate, session_id = claim.rate, claim.session_id
    return [
        f"sb:rate:{rate.principal}:{rate.model}" if rate else "",
        f"sb:agent:{claim.agent_key}" if claim.max_parallel > 0 else "",
        _session(session_id) if session_id else "",
        _history(claim.owner, session_id) if session_id else "",
    ]


def _history_arguments(new: NewHistory, stored_version: int | None) -> list[Argument]:
    """What exit.lua does with the stored history: nothing, drop it, make it grow by what is new, or put the whole in its place."""
    if new is UNCHANGED or new is None:
        return ["" if new is UNCHANGED else "drop", "", "", "", "", "", 0, 0]
    head = orjson.dumps(new.head())
    if new.base and stored_version == new.base[0]:
        version, size, count = new.base
        fragment, records = new.grown()
        return ["grow", new.version, head, fragment, records, version, size, count * RECORD_BYTES]
    return ["put", new.version, head, new.fragment, new.records, "", 0, 0]
