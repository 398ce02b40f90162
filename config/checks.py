"""What must hold before other people can reach this server. `serve` refuses to start on an error; `check --deploy` lists all.

A check is a line of CHECKS: its message, and when it applies. Errors are E…, warnings W….
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from cryptography.fernet import Fernet
from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.db import connection

from chat import process
from config.serving import Address

_PLACEHOLDERS = ("django-insecure", "change", "secret", "insecure", "example", "test")
_MIN_KEY_CHARS = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """`applies` tells whether the settings have the problem that `message` describes."""

    id: str
    message: str
    hint: str
    applies: Callable[[], bool]

    def result(self) -> CheckMessage:
        kind = Error if self.id.startswith("E") else Warning
        return kind(self.message, hint=self.hint, id=f"switchboard.{self.id}")


def _has_weak_key() -> bool:
    key = settings.SECRET_KEY
    return len(key) < _MIN_KEY_CHARS or len(set(key)) < 8 or key.lower().startswith(_PLACEHOLDERS)


def _has_bad_encryption_key() -> bool:
    try:
        return not [Fernet(key) for key in settings.ENCRYPTION_KEYS]
    except ValueError:
        return True


def _has_processes_without_redis() -> bool:
    wanted = os.environ.get("WEB_CONCURRENCY", "1")
    return not settings.REDIS_URL and wanted.isdigit() and int(wanted) > 1


ALWAYS: Sequence[Check] = (
    Check(
        id="E001",
        message="ENCRYPTION_KEYS has a key that cannot encrypt.",
        hint='Make one: python -c "from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())"',
        applies=_has_bad_encryption_key,
    ),
    Check(
        id="E008",
        message="CHAT_API_KEY_ENV names a variable that is not set or empty.",
        hint="Set that variable, or unset CHAT_API_KEY_ENV.",
        applies=lambda: bool(os.environ.get("CHAT_API_KEY_ENV")) and not settings.CHAT_API_KEY,
    ),
    Check(
        id="E009",
        message="CHAT_UNKNOWN_MODEL must be strict or fallback.",
        hint="Correct or unset it.",
        applies=lambda: settings.CHAT_UNKNOWN_MODEL not in ("strict", "fallback"),
    ),
    Check(
        id="E010",
        message="CONVERSATION_BUSY must be policy or reject.",
        hint="Correct or unset it.",
        applies=lambda: settings.CONVERSATION_BUSY not in ("policy", "reject"),
    ),
    Check(
        id="W001",
        message="PUBLIC_BASE_URL is not set: absolute URLs are built from the request's own host.",
        hint="Set it to the address callers use, like https://agents.example.com.",
        applies=lambda: not settings.PUBLIC_BASE_URL,
    ),
)
STARTING: Sequence[Check] = (
    Check(
        id="W006",
        message="Another process serves this DATA_DIR; without REDIS_URL exactly one may: two know nothing of each other's turns.",
        hint="Stop the other one, set REDIS_URL for both, or give this one a DATA_DIR of its own.",
        applies=lambda: not settings.REDIS_URL and bool(process.others()),
    ),
)
"""Asked when a server starts, and of no other command."""
PRODUCTION: Sequence[Check] = (
    Check(
        id="E002",
        message="SECRET_KEY is short or a placeholder: sessions and tokens could be forged.",
        hint=f"Set at least {_MIN_KEY_CHARS} random characters, or leave it unset to have one made in DATA_DIR/secrets.",
        applies=_has_weak_key,
    ),
    Check(id="E003", message="DEBUG is on: error pages show settings and code.", hint="Unset DEBUG.", applies=lambda: bool(settings.DEBUG)),
    Check(
        id="E004",
        message="ALLOWED_HOSTS allows every host.",
        hint="List the host names callers use.",
        applies=lambda: "*" in settings.ALLOWED_HOSTS,
    ),
    Check(
        id="E005",
        message="CORS allows credentials from every origin.",
        hint="Name the origins, or switch credentials off.",
        applies=lambda: bool(getattr(settings, "CORS_ALLOW_ALL_ORIGINS", False) and getattr(settings, "CORS_ALLOW_CREDENTIALS", False)),
    ),
    Check(
        id="E006",
        message="WEB_CONCURRENCY asks for several processes, but without REDIS_URL exactly one may serve.",
        hint="Set REDIS_URL, or WEB_CONCURRENCY=1.",
        applies=_has_processes_without_redis,
    ),
    Check(
        id="W002",
        message="PUBLIC_BASE_URL does not begin with https://: passwords and keys travel in the clear.",
        hint="Put a proxy with TLS in front and say so in PUBLIC_BASE_URL.",
        applies=lambda: bool(settings.PUBLIC_BASE_URL) and not settings.PUBLIC_BASE_URL.startswith("https://"),
    ),
    Check(
        id="W003",
        message="No REDIS_URL: exactly one process may serve, and its streams cannot be resumed after it ends.",
        hint="Set REDIS_URL to run several.",
        applies=lambda: not settings.REDIS_URL,
    ),
    Check(
        id="W004",
        message="The database is a file of this machine (SQLite).",
        hint="Set DATABASE_URL=postgres://… to run several machines.",
        applies=lambda: connection.vendor == "sqlite",
    ),
    Check(
        id="W005",
        message="SECRET_KEY or ENCRYPTION_KEYS is not set: the ones in DATA_DIR/secrets count, on this machine only.",
        hint="Set both in the environment of every process, and back them up.",
        applies=lambda: not (os.environ.get("SECRET_KEY") and os.environ.get("ENCRYPTION_KEYS")),
    ),
)


@register(Tags.security)
def always(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    return found(ALWAYS)


@register(Tags.security, deploy=True)
def production(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    return found(PRODUCTION)


def found(checks: Sequence[Check]) -> list[CheckMessage]:
    return [check.result() for check in checks if check.applies()]


def before_serving(address: Address, *, anonymous: bool = False) -> list[CheckMessage]:
    """What holds against a start on `address`: everything when others can reach it or PRODUCTION says so.

    `anonymous`: callers need no key, so that only the host check keeps web pages of other sites away (OAI-8).
    """
    if settings.PRODUCTION or not address.is_loopback:
        return found((*ALWAYS, *STARTING, *PRODUCTION))
    hosts = [check for check in PRODUCTION if check.id == "E004"] if anonymous else []
    return [*found((*hosts, *STARTING)), *(message for message in found(ALWAYS) if message.is_serious())]


def not_for_others(address: Address) -> CheckMessage:
    """The refusal of a public address for a server that was not set up for it."""
    return Error(
        f"{address} can be reached from other machines, but this server is not set up for that.",
        hint="Set PRODUCTION=true (docs/operating.md says what it needs), or listen on 127.0.0.1.",
        id="switchboard.E007",
    )
