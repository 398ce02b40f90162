"""One value per event loop, closed with its loop: connections belong to the loop that opened them."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import suppress
from typing import Generic, TypeVar

T = TypeVar("T")


class PerLoop(Generic[T]):
    """`make` is called on first use in a loop, `close` at the loop's end or earlier by close()."""

    def __init__(self, make: Callable[[], T], close: Callable[[T], Awaitable[None]]) -> None:
        self._make, self._close = make, close
        self._values: dict[asyncio.AbstractEventLoop, tuple[T, AsyncGenerator[None]]] = {}

    def get(self) -> T:
        loop = asyncio.get_running_loop()
        found = self._values.get(loop)
        if found is None:
            found = self._values[loop] = self._begin(loop)
        return found[0]

    async def close(self) -> None:
        """Closes the running loop's value; the next get() makes a new one."""
        found = self._values.get(asyncio.get_running_loop())
        if found is not None:
            await found[1].aclose()

    def _begin(self, loop: asyncio.AbstractEventLoop) -> tuple[T, AsyncGenerator[None]]:
        made = self._make()
        lifetime = _lifetime(made, self._close, lambda: self._values.pop(loop, None))
        with suppress(StopIteration):
            lifetime.__anext__().send(None)
        return made, lifetime


async def _lifetime(value: T, close: Callable[[T], Awaitable[None]], forget: Callable[[], object]) -> AsyncGenerator[None]:
    """A begun async generator is closed by loop.shutdown_asyncgens(), which is part of every orderly end of a loop."""
    try:
        yield
    finally:
        forget()
        await close(value)
