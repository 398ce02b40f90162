"""What waits to be sent: in order, bounded, merged when it piles up, given up when nobody reads (WS-12, WS-20, WS-68, WS-69)."""

import asyncio
from collections.abc import Callable
from typing import Any

import msgpack
import orjson
import pytest

from chat.protocols.websocket import outbox
from chat.protocols.websocket.frames import Frame
from chat.protocols.websocket.outbox import Outbox


class Transport:
    """Notes what is sent; while `shut`, sending waits as that of uvicorn does."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self.open = asyncio.Event()
        self.open.set()
        self.gone = False

    async def send(self, message: dict[str, Any]) -> None:
        await self.open.wait()
        if self.gone:
            raise OSError
        self.sent.append(message)

    @property
    def frames(self) -> list[Any]:
        return [
            orjson.loads(message["text"]) if "text" in message else msgpack.unpackb(message["bytes"])
            for message in self.sent
            if message["type"] == "websocket.send"
        ]


def chunk(number: int, execution: str = "x") -> Frame:
    names = {
        "content_type": "text",
        "content_metadata": {},
        "node_id": None,
        "thinking": False,
        "thread_id": "t",
        "execution_id": execution,
    }
    return Frame({"type": "chunk", "content": f"{number} ", "done": False, **names, "seq": number})


def other(number: int) -> Frame:
    return Frame({"type": "tool_call", "seq": number})


def nobody() -> None:
    pytest.fail("nobody is slow here")


def box(transport: Transport, on_slow: Callable[[], None] = nobody, hang_up: Callable[[], None] = nobody) -> Outbox:
    return Outbox(transport.send, "text", on_slow, hang_up)


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_frame_that_need_not_wait_is_sent_at_once() -> None:
    transport = Transport()
    box(transport).put(chunk(1))
    assert [frame["seq"] for frame in transport.frames] == [1]


async def test_frames_keep_their_order_when_they_have_to_wait() -> None:
    """WS-20."""
    transport = Transport()
    sending = box(transport)
    transport.open.clear()
    for number in range(1, 50):
        sending.put(chunk(number))
    assert transport.frames == []
    transport.open.set()
    await settle()
    assert [frame["seq"] for frame in transport.frames] == list(range(1, 50))


async def test_the_mode_of_the_moment_counts_for_all_that_waits() -> None:
    """WS-12."""
    transport = Transport()
    sending = box(transport)
    transport.open.clear()
    for number in range(1, 4):
        sending.put(chunk(number))
    sending.mode = "binary"
    transport.open.set()
    await settle()
    assert ["text" in message for message in transport.sent] == [True, False, False]


async def test_text_is_merged_once_half_the_room_is_taken(settings: Any) -> None:
    """WS-69: adjacent text of one run; nothing is lost, and nothing overtakes."""
    settings.WS_MAX_UNSENT_FRAMES = 10
    transport = Transport()
    sending = box(transport)
    transport.open.clear()
    for number in range(1, 40):
        sending.put(other(number) if number in (20, 30) else chunk(number, "y" if number > 30 else "x"))
    transport.open.set()
    await settle()
    told = transport.frames
    assert len(told) <= 12
    assert "".join(frame.get("content", "| ") for frame in told) == "".join("| " if n in (20, 30) else f"{n} " for n in range(1, 40))
    assert [frame["seq"] for frame in told] == sorted(frame["seq"] for frame in told)
    assert told[-1]["seq"] == 39


async def test_a_reader_that_does_not_read_is_told_of_after_a_while(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """WS-69: full for ten seconds, here none."""
    settings.WS_MAX_UNSENT_FRAMES = 10
    monkeypatch.setattr(outbox, "PATIENCE_S", 0)
    slow = asyncio.Event()
    transport = Transport()
    sending = box(transport, slow.set)
    transport.open.clear()
    for number in range(10):
        sending.put(other(number))
    await settle()
    assert not slow.is_set()
    sending.put(other(10))
    sending.put(other(11))
    await asyncio.wait_for(slow.wait(), 30)


async def test_a_reader_who_catches_up_in_time_stays(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.WS_MAX_UNSENT_FRAMES = 10
    monkeypatch.setattr(outbox, "PATIENCE_S", 0.2)
    transport = Transport()
    sending = box(transport)
    transport.open.clear()
    for number in range(15):
        sending.put(other(number))
    transport.open.set()
    await asyncio.sleep(0.4)
    assert len(transport.frames) == 15


async def test_memory_is_bounded_whatever_the_patience(settings: Any) -> None:
    """Twice the limit is the end at once."""
    settings.WS_MAX_UNSENT_BYTES = 1000
    slow: list[int] = []
    transport = Transport()
    sending = box(transport, lambda: slow.append(1))
    transport.open.clear()
    for _ in range(10):
        sending.put(Frame({"type": "tool_result", "result": "x" * 300}))
    assert slow


async def test_a_close_comes_after_what_waits_and_nothing_after_it() -> None:
    """WS-8."""
    transport = Transport()
    sending = box(transport)
    transport.open.clear()
    sending.put(chunk(1))
    sending.put(chunk(2))
    closing = sending.close(4503, other(3))
    sending.put(chunk(4))
    transport.open.set()
    await closing
    assert [frame["seq"] for frame in transport.frames] == [1, 2, 3]
    assert transport.sent[-1] == {"type": "websocket.close", "code": 4503}


async def test_a_slow_reader_is_told_why_instead_of_what_waited() -> None:
    transport = Transport()
    sending = box(transport)
    transport.open.clear()
    for number in range(5):
        sending.put(chunk(number))
    closing = sending.close(4410, other(9), drop=True)
    transport.open.set()
    await closing
    assert transport.frames[-1]["seq"] == 9
    assert len(transport.frames) <= 2
    assert transport.sent[-1]["code"] == 4410


async def test_who_does_not_even_take_the_goodbye_is_hung_up_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "GOODBYE_S", 0.05)
    hung_up = asyncio.Event()
    transport = Transport()
    sending = box(transport, hang_up=hung_up.set)
    transport.open.clear()
    sending.put(chunk(1))
    await sending.close(4410, drop=True)
    assert hung_up.is_set()


async def test_a_client_that_left_ends_the_writing() -> None:
    transport = Transport()
    sending = box(transport)
    transport.gone = True
    sending.put(chunk(1))
    sending.put(chunk(2))
    await sending.close(1000)
    sending.abandon()
    assert transport.sent == []


async def test_so_much_leaves_in_a_window_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """WS-68: the transport may take everything; we do not give it everything."""
    monkeypatch.setattr(outbox, "WINDOW_BYTES", 500)
    monkeypatch.setattr(outbox, "WINDOW_S", 0.3)
    transport = Transport()
    sending = box(transport)
    for number in range(10):
        sending.put(chunk(number))
    await settle()
    first = len(transport.frames)
    assert 0 < first < 10
    for _ in range(100):
        await asyncio.sleep(0.05)
        if len(transport.frames) == 10:
            break
    assert [frame["seq"] for frame in transport.frames] == list(range(10))
