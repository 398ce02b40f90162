"""The turn lock, the capacity slot and the rate reservation of every running turn (R8, R14, AG-15): one lease per execution.

`leases` keeps them in memory, or in Redis where several processes serve (REDIS_URL). The processes' heartbeat calls renew().
"""

from collections.abc import Awaitable
from typing import Protocol
from uuid import UUID

from django.conf import settings

from chat.claims import UNCHANGED, Claim, Entered, Entry, Interrupts, NewHistory, Waiting
from chat.leases_memory import MemoryLeases

__all__ = ["UNCHANGED", "Claim", "Entered", "Entry", "Interrupts", "Leases", "Waiting", "leases"]


class Leases(Protocol):
    """What chat.turns needs; described at MemoryLeases."""

    def try_enter(self, claim: Claim) -> Entry | None:
        """The answer at once, or None: await enter()."""
        ...

    async def enter(self, claim: Claim) -> Entry: ...
    async def wait(self, claim: Claim) -> Entered: ...
    async def abandon(self, claim: Claim, *, again: bool = False) -> None: ...
    def exit(self, execution_id: UUID, *, real_tokens: int, transcript: NewHistory = UNCHANGED) -> Awaitable[None]: ...
    async def renew(self) -> list[UUID]: ...
    async def free(self, execution_id: UUID, session_id: UUID | None, agent_key: str) -> None: ...
    async def forget(self, owner: str, session_id: UUID) -> None: ...
    async def close(self) -> None: ...


def _made() -> Leases:
    if not settings.REDIS_URL:
        return MemoryLeases()
    from chat.leases_redis import RedisLeases

    return RedisLeases()


leases = _made()
