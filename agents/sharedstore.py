"""The shared store of several processes (REDIS_URL), as far as every process knows it: how it fails.

A process without one never loads its client library, which takes 5 MB: whatever it imports too does not import `redis`.
"""


def failures() -> tuple[type[Exception], ...]:
    """What asking the store raises when it is away. `except failures():` looks here only once something was raised."""
    from redis.exceptions import RedisError

    return RedisError, OSError
