"""Waiting for what comes to be: tests look again and again, and never rely on how long something takes."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def until(look: Callable[[], T], limit_s: float = 60) -> T:
    """The first true value of `look`, which is asked ever less often, down to once a second (visitors may look 60 times a minute).

    The limit is for machines under load; it costs nothing where all goes well.
    """
    give_up, pause_s = time.monotonic() + limit_s, 0.04
    while not (value := look()):
        assert time.monotonic() < give_up, f"it did not come to be within {limit_s} s; last: {value!r}"
        time.sleep(pause_s)
        pause_s = min(1.3 * pause_s, 1.0)
    return value


def early_in_the_minute() -> None:
    """Limits count in the minutes of the clock (R1.8, R14): a test of one must not see it end."""
    left_s = 60 - time.time() % 60
    if left_s < 10:
        time.sleep(left_s)
