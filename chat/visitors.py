"""Visitors of links that want a verified e-mail address: one-time codes, and the token a verified visitor holds (AG-61).

Codes and tokens are stored as hashes only; what an unknown address is told does not differ from what a known one is told.
"""

import asyncio
import hmac
import logging
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from smtplib import SMTPException, SMTPRecipientsRefused
from typing import Literal
from uuid import UUID

from django.conf import settings
from django.core.mail import EmailMessage
from django.db import transaction
from django.db.models import F
from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.crypto import salted_hmac

from agents import throttle
from agents.errors import SwitchboardError
from chat.links import Link
from chat.models import EmailCode, VisitorToken
from chat.store import run

CODE_LIFE = timedelta(minutes=10)
TOKEN_LIFE = timedelta(hours=24)
MAX_WRONG_TRIES = 5
_MAILS = 3
"""Codes for one address in a window of CODE_LIFE."""

_NO_MAIL = "django.core.mail.backends.dummy.EmailBackend"

logger = logging.getLogger("switchboard.visitors")


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """`token` is shown once."""

    token: str
    expires_at: datetime


Refused = Literal["invalid_code", "code_expired"]


def normal(email: str) -> str:
    """Addresses are compared in lower case (AG-61)."""
    return email.strip().lower()


def thread_of(email: str) -> str:
    """What the one conversation of this person is called within the link's namespace."""
    return f"email:{sha256(email.encode()).hexdigest()}"


async def send_code(link: Link, email: str) -> None:
    """Sends a new code and voids those before. Raises rate_limited after three in ten minutes, email_unavailable."""
    await throttle.spend(f"code:{thread_of(email)}", _MAILS, int(CODE_LIFE.total_seconds()))
    code = f"{secrets.randbelow(1_000_000):06}"
    await run(_store_code, link.id, email, code)
    await asyncio.to_thread(_mail, link, email, code)


def _store_code(link_id: UUID, email: str, code: str) -> None:
    now = timezone.now()
    EmailCode.objects.filter(expires_at__lt=now - CODE_LIFE).delete()
    fresh = {"code_hash": _code_hash(link_id, email, code), "wrong_tries": 0, "expires_at": now + CODE_LIFE, "created_at": now}
    EmailCode.objects.update_or_create(link_id=link_id, email=email, defaults=fresh)


def _code_hash(link_id: UUID, email: str, code: str) -> str:
    """Keyed: six digits alone would be guessed from their hash."""
    return salted_hmac("switchboard.visitor-code", f"{link_id}:{email}:{code}", algorithm="sha256").hexdigest()


def _mail(link: Link, email: str, code: str) -> None:
    name = link.agent.display_name or link.agent.name
    minutes = int(CODE_LIFE.total_seconds()) // 60
    text = render_to_string("public/code.txt", {"agent": name, "code": code, "minutes": minutes})
    if settings.EMAIL_BACKEND == _NO_MAIL:
        raise SwitchboardError("email_unavailable")
    try:
        EmailMessage(subject=f"Your code for {' '.join(name.split())}", body=text, to=[email]).send()
    except SMTPRecipientsRefused:  # told like a delivered one: who has a mailbox is nobody's business
        logger.info("a visitor's address was refused by the mail server")
    except (SMTPException, OSError) as error:
        logger.error("a verification code could not be sent: %s", type(error).__name__)
        raise SwitchboardError("email_unavailable") from error


async def confirm(link: Link, email: str, code: str) -> Verified | Refused:
    """A token for the right code; a code serves once."""
    return await run(_confirm, link.id, email, code)


@transaction.atomic
def _confirm(link_id: UUID, email: str, code: str) -> Verified | Refused:
    row = EmailCode.objects.select_for_update().filter(link_id=link_id, email=email).first()
    right = hmac.compare_digest(row.code_hash if row else "", _code_hash(link_id, email, code))
    if row is None or row.wrong_tries >= MAX_WRONG_TRIES:
        return "invalid_code"
    if not right:
        EmailCode.objects.filter(pk=row.pk).update(wrong_tries=F("wrong_tries") + 1)
        return "invalid_code"
    row.delete()
    return _issue(link_id, email) if row.expires_at > timezone.now() else "code_expired"


def _issue(link_id: UUID, email: str) -> Verified:
    now = timezone.now()
    token, expires_at = secrets.token_urlsafe(32), now + TOKEN_LIFE
    VisitorToken.objects.filter(expires_at__lt=now).delete()
    VisitorToken.objects.create(hash=_token_hash(token), link_id=link_id, email=email, expires_at=expires_at)
    return Verified(token=token, expires_at=expires_at)


def _token_hash(token: str) -> str:
    return sha256(token.encode()).hexdigest()


async def email_of(link: Link, token: str | None) -> str:
    """The verified address behind a visitor's token. Raises session_token_required or session_token_invalid (AG-60)."""
    if not token:
        raise SwitchboardError("session_token_required")
    email = await run(_email_of, link.id, token)
    if email is None:
        raise SwitchboardError("session_token_invalid")
    return email


def _email_of(link_id: UUID, token: str) -> str | None:
    rows = VisitorToken.objects.filter(hash=_token_hash(token), link_id=link_id, expires_at__gt=timezone.now())
    return rows.values_list("email", flat=True).first()
