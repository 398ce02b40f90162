"""Celery's threads hand work to the event loop and wait for it; when the process ends they wait no longer."""

import asyncio
import threading
from collections.abc import Iterator

import pytest

from tasks import bridge


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """A loop that runs in a thread of its own, as in a worker process."""
    made = asyncio.new_event_loop()
    thread = threading.Thread(target=made.run_forever)
    thread.start()
    bridge.use(made)
    yield made
    bridge.use(None)
    made.call_soon_threadsafe(made.stop)
    thread.join()
    made.close()


async def where() -> asyncio.AbstractEventLoop:
    return asyncio.get_running_loop()


def test_work_is_done_on_the_loop_that_is_used(loop: asyncio.AbstractEventLoop) -> None:
    assert bridge.run(where()) is loop


def test_what_fails_there_fails_here(loop: asyncio.AbstractEventLoop) -> None:
    async def fails() -> None:
        raise TimeoutError("of its own")

    with pytest.raises(TimeoutError, match="of its own"):
        bridge.run(fails())


def test_work_that_is_cancelled_with_its_process_gives_nothing(loop: asyncio.AbstractEventLoop) -> None:
    async def cancelled() -> None:
        raise asyncio.CancelledError

    assert bridge.run(cancelled()) is None


def test_without_a_loop_nothing_is_done() -> None:
    bridge.use(None)
    assert bridge.run(where()) is None
    assert not bridge.is_used()


@pytest.mark.filterwarnings("ignore:coroutine 'where' was never awaited")
def test_a_loop_that_ends_lets_go_of_who_waits(loop: asyncio.AbstractEventLoop, monkeypatch: pytest.MonkeyPatch) -> None:
    """A call that came in the very moment in which the loop stopped is never looked at."""
    monkeypatch.setattr(bridge, "_LOOK_S", 0.01)
    ended = asyncio.new_event_loop()
    bridge.use(ended)
    threading.Timer(0.05, ended.close).start()
    assert bridge.run(where()) is None
