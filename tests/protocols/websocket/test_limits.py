"""How often is too often (websocket.md §2.1, §10)."""

from typing import Any

import pytest

from chat.protocols.websocket import limits
from chat.protocols.websocket.limits import Bucket, Strikes


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(limits.time, "monotonic", lambda: now[0])
    return now


def test_twice_the_rate_at_once_then_the_rate(clock: list[float], settings: Any) -> None:
    settings.WS_FRAMES_PER_10S = 60
    bucket = Bucket()
    assert [bucket.take() for _ in range(121)] == [True] * 120 + [False]
    clock[0] += 1
    assert [bucket.take() for _ in range(7)] == [True] * 6 + [False]
    clock[0] += 3600
    assert [bucket.take() for _ in range(121)].count(True) == 120


def test_no_limit_is_none(settings: Any) -> None:
    settings.WS_FRAMES_PER_10S = 0
    bucket = Bucket()
    assert all(bucket.take() for _ in range(1000))


def test_strikes_are_forgotten_with_their_window(clock: list[float]) -> None:
    strikes = Strikes(3, 60)
    assert [strikes.out(), strikes.out()] == [False, False]
    clock[0] += 61
    assert [strikes.out(), strikes.out(), strikes.out()] == [False, False, True]
