"""What one client may do how often: frames in a time, faults in a time (websocket.md §2.1, §10)."""

import time

from django.conf import settings

FAULTS, FAULT_WINDOW_S = 20, 60
WARNINGS, WARNING_WINDOW_S = 5, 60


class Bucket:
    """Frames of one connection: WS_FRAMES_PER_10S on average, twice as many at once."""

    __slots__ = ("_at", "_left")

    def __init__(self) -> None:
        self._left = 2.0 * settings.WS_FRAMES_PER_10S
        self._at = time.monotonic()

    def take(self) -> bool:
        """Whether one more frame is within the limit."""
        rate = settings.WS_FRAMES_PER_10S
        if rate <= 0:
            return True
        now = time.monotonic()
        self._left = min(2.0 * rate, self._left + (now - self._at) * rate / 10)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


class Strikes:
    """So many of one kind within a time are too many."""

    __slots__ = ("_count", "_limit", "_since", "_window_s")

    def __init__(self, limit: int, window_s: int) -> None:
        self._limit, self._window_s = limit, window_s
        self._count, self._since = 0, 0.0

    def out(self) -> bool:
        """Counts one; True when that was the last."""
        now = time.monotonic()
        if now - self._since > self._window_s:
            self._count, self._since = 0, now
        self._count += 1
        return self._count >= self._limit
