"""Reading the environment: sizes, durations, lists and URLs. A bad value stops the start with the variable's name (R12.1)."""

import os
import re
from collections.abc import Callable, Mapping
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured

_SIZE = re.compile(r"(-?\d+)(KiB|MiB)?\Z")
_DURATION = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?\Z")
_SQLITE = "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA temp_store=MEMORY;PRAGMA wal_autocheckpoint=4000;"
_FACTORS = {None: 1, "KiB": 1024, "MiB": 1024 * 1024}


def text(name: str, default: str = "") -> str:
    return os.environ.get(name, default).strip()


def flag(name: str, default: bool = False) -> bool:
    value = text(name).lower()
    if value in ("", "1", "true", "yes", "on", "0", "false", "no", "off"):
        return default if not value else value in ("1", "true", "yes", "on")
    raise ImproperlyConfigured(f"{name} must be true or false, got {value!r}")


def integer(name: str, default: int) -> int:
    value = text(name)
    try:
        return int(value) if value else default
    except ValueError as error:
        raise ImproperlyConfigured(f"{name} must be a whole number, got {value!r}") from error


def parse_size(value: str, default: int) -> int:
    """Bytes of `1048576`, `512KiB` or `10MiB`; zero and negative sizes mean the default. Raises ValueError."""
    match = _SIZE.match(value.strip())
    if not match:
        raise ValueError(f"a size is whole bytes or like 512KiB or 10MiB, got {value!r}")
    size = int(match[1]) * _FACTORS[match[2]]
    return size if size > 0 else default


def parse_duration(value: str, default: int) -> int:
    """Seconds of `90`, `90s`, `5m` or `1h30m`; zero and negative durations mean the default. Raises ValueError."""
    value = value.strip()
    if re.match(r"-?\d+\Z", value):
        return int(value) if int(value) > 0 else default
    match = _DURATION.match(value)
    if not value or not match:
        raise ValueError(f"a duration is whole seconds or like 90s, 5m or 1h30m, got {value!r}")
    hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return hours * 3600 + minutes * 60 + seconds or default


def size(name: str, default: int) -> int:
    return _named(name, parse_size, default)


def duration(name: str, default: int) -> int:
    return _named(name, parse_duration, default)


def _named(name: str, parse: Callable[[str, int], int], default: int) -> int:
    value = text(name)
    try:
        return parse(value, default) if value else default
    except ValueError as error:
        raise ImproperlyConfigured(f"{name}: {error}") from error


def words(name: str, default: str = "") -> list[str]:
    return [word.strip() for word in text(name, default).split(",") if word.strip()]


def networks(name: str) -> list[IPv4Network | IPv6Network]:
    """Addresses and networks, separated by commas."""
    try:
        return [ip_network(word, strict=False) for word in words(name)]
    except ValueError as error:
        raise ImproperlyConfigured(f"{name}: {error}") from error


def url(name: str, *schemes: str) -> str:
    """An address with one of `schemes` and something behind it, or "". It is not repeated in the refusal: it may hold a password."""
    value = text(name)
    scheme, mark, rest = value.partition("://")
    if value and (scheme not in schemes or not mark or not rest.strip("/")):
        raise ImproperlyConfigured(f"{name} must begin with {' or '.join(f'{scheme}://' for scheme in schemes)} and name a place behind it")
    return value


def broker_options(url: str) -> dict[str, object]:
    """Celery's in-memory broker looks once a second by itself; in Redis everything of ours has one prefix."""
    if url.startswith("memory:"):
        return {"polling_interval": 0.01}
    return {"global_keyprefix": "sb:celery:", "socket_connect_timeout": 2.0} if url.startswith("redis") else {}


_NOTICED = {"keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3, "tcp_user_timeout": 60_000}
"""A database whose machine vanished without a word is noticed within a minute (libpq's names; the last one in ms)."""


def database(url: str, data_dir: Path) -> dict[str, object]:
    """Django's DATABASES entry of `postgres://…` or `sqlite:///path`; empty: DATA_DIR/switchboard.sqlite3."""
    parts = urlsplit(url or f"sqlite:///{data_dir / 'switchboard.sqlite3'}")
    if parts.scheme == "sqlite":
        return {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": parts.path[1:] if parts.path.startswith("//") else parts.path or str(data_dir / "switchboard.sqlite3"),
            "CONN_MAX_AGE": None,
            "OPTIONS": {
                "transaction_mode": "IMMEDIATE",
                "timeout": 20,
                "init_command": _SQLITE,
            },
        }
    if parts.scheme in ("postgres", "postgresql"):
        options: Mapping[str, object] = dict(parse_qsl(parts.query))
        return {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": unquote(parts.path[1:]),
            "USER": unquote(parts.username or ""),
            "PASSWORD": unquote(parts.password or ""),
            "HOST": parts.hostname or "",
            "PORT": str(parts.port or ""),
            "CONN_MAX_AGE": None,
            "CONN_HEALTH_CHECKS": True,
            "OPTIONS": {**_NOTICED, **options},
        }
    raise ImproperlyConfigured(f"DATABASE_URL must begin with postgres:// or sqlite://, got {parts.scheme}://")
