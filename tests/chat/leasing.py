"""Making claims and leases for tests, and waiting for what happens next."""

import asyncio
import time
from collections.abc import Callable
from typing import Any
from uuid import UUID

from agents.ids import uuid7
from chat.claims import Claim, Interrupts
from chat.gates import RateClaim
from chat.leases import Leases

SESSION, OTHER_SESSION = UUID(int=1), UUID(int=2)
NewLeases = Callable[[], Leases]


def claim(session_id: UUID | None = SESSION, **rest: Any) -> Claim:
    """A turn of agent `root` that has a minute."""
    values = {"execution_id": uuid7(), "agent_key": "root", "owner": "user:1", "deadline_s": time.monotonic() + 60, **rest}
    return Claim(session_id=session_id, **values)


def rate(**rest: Any) -> RateClaim:
    return RateClaim(**{"principal": "user:1", "model": "root", "rpm": 3, "tpm": 1000, "tokens": 100, **rest})


async def enter(leases: Leases, wanted: Claim) -> Any:
    return leases.try_enter(wanted) or await leases.enter(wanted)


async def leave(leases: Leases, held: Claim, **rest: Any) -> None:
    await leases.exit(held.execution_id, **{"real_tokens": 0, **rest})


async def owner_of(leases: Leases, session_id: UUID = SESSION) -> UUID | None:
    """The execution whose turn it is on the session, as one is told that would interrupt it."""
    probe = claim(session_id, policy="interrupt")
    entry = await enter(leases, probe)
    await leases.abandon(probe)
    return entry.running if isinstance(entry, Interrupts) else None


async def settled() -> None:
    """Everything that can happen without a clock has happened."""
    for _ in range(5):
        await asyncio.sleep(0)


async def still_waits(task: "asyncio.Task[Any]") -> bool:
    await asyncio.sleep(0.05)
    return not task.done()
