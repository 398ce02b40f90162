"""Identifiers: time-ordered UUIDs, so that new rows of every table land at the end of its index."""

import os
import time
from uuid import UUID

_VERSION_AND_VARIANT = (0x7 << 76) | (0x2 << 62)
_RANDOM_BITS = ~((0xF << 76) | (0x3 << 62)) & ((1 << 80) - 1)


def uuid7() -> UUID:
    """A UUID of version 7 (RFC 9562 §5.7): 48 bits of Unix milliseconds, then 74 random bits."""
    random = int.from_bytes(os.urandom(10), "big") & _RANDOM_BITS
    return UUID(int=(time.time_ns() // 1_000_000 << 80) | _VERSION_AND_VARIANT | random)
