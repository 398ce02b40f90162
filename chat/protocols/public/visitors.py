"""Who asks through a link, and which conversation is theirs: found exactly as issued, never through another link (AG-56).

A conversation is the visitor's by its unguessable id or, where the link wants a verified address, by that address.
"""

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from hashlib import sha256

from django.conf import settings
from django.utils import timezone
from django.utils.text import Truncator

from agents.access import Principal
from agents.errors import SwitchboardError
from chat.links import Link, remember
from chat.models import ChatSession, Wire
from chat.requests import SessionRef
from chat.sessions import new_session, ref_of
from chat.store import run
from chat.turns import Turn
from chat.visitors import email_of, thread_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Visitor:
    """`public_id` is what the visitor calls the conversation; None for a verified visitor, who has one conversation per link.

    `restarted`: the id that was sent is not known (any more). `is_first`: nothing was said in this conversation yet.
    """

    principal: Principal
    session: SessionRef
    public_id: str | None
    email: str = ""
    restarted: bool = False
    is_first: bool = False


_PUBLIC_ID = re.compile(r"session_[A-Za-z0-9_-]{43}\Z")
_TITLE_CHARS = 80


def new_public_id() -> str:
    """256 random bits: whoever knows it has the conversation."""
    return f"session_{secrets.token_urlsafe(32)}"


async def asking(link: Link, session_id: str | None, session_token: str | None) -> Visitor:
    """Who sends a message: with the known conversation or a new one. Raises session_token_required or session_token_invalid."""
    if link.agent.require_email:
        email = await email_of(link, session_token)
        return _visitor(link, thread_of(email), await run(_find, link, thread_of(email)), email=email)
    row = await _find_by_id(link, session_id)
    name = session_id if session_id and row else new_public_id()
    return _visitor(link, name, row, restarted=bool(session_id) and row is None)


def _visitor(link: Link, name: str, row: ChatSession | None, *, email: str = "", restarted: bool = False) -> Visitor:
    principal = principal_of(link, name)
    session = ref_of(row) if row else new_session(principal, link.agent, "public", link.namespace, name)
    return Visitor(
        principal=principal,
        session=session,
        public_id=None if email else name,
        email=email,
        restarted=restarted,
        is_first=row is None or not row.title,
    )


def principal_of(link: Link, name: str) -> Principal:
    """A share token plus session: limits, keys and slots of one visitor are not another's. The id itself stays out of it."""
    return replace(link.principal, key=f"{link.namespace}:{sha256(name.encode()).hexdigest()[:16]}")


async def of_replay(visitor: Visitor, turn: Turn) -> Visitor:
    """A repeated first message goes by the id that the first answer gave."""
    if visitor.public_id is None or turn.session is None:
        return visitor
    name = await run(ChatSession.objects.filter(id=turn.session.id).values_list("name", flat=True).first)
    return replace(visitor, public_id=name)


async def reading(link: Link, query: Mapping[str, str]) -> tuple[ChatSession | None, str | None]:
    """The conversation that a request speaks of by `?session_id=` or `?session_token=`, and what the visitor calls it."""
    if link.agent.require_email:
        return await run(_find, link, thread_of(await email_of(link, query.get("session_token")))), None
    row = await _find_by_id(link, query.get("session_id"))
    return row, row.name if row else None


def _find(link: Link, name: str) -> ChatSession | None:
    row = ChatSession.objects.filter(namespace=link.namespace, name=name, agent_id=link.row.agent_id).first()
    return row if row is not None and not _expired(link, row) else None


def _expired(link: Link, row: ChatSession) -> bool:
    """Ids that were not used for long are as good as unknown; a verified visitor proves the address anew anyway."""
    return not link.agent.require_email and row.last_message_at < timezone.now() - timedelta(seconds=settings.PUBLIC_SESSION_TTL)


async def _find_by_id(link: Link, public_id: str | None) -> ChatSession | None:
    """Only ids of our own making are looked up: names of verified visitors' conversations have another form."""
    return await run(_find, link, public_id) if public_id and _PUBLIC_ID.match(public_id) else None


async def clear(link: Link, query: Mapping[str, str]) -> str | None:
    """Ends the conversation: the visitor's next message begins a new one, whose id is returned (AG-56)."""
    if not query.get("session_id") and not query.get("session_token"):
        raise SwitchboardError("invalid_request", "session_id or session_token is required.")
    row, _ = await reading(link, query)
    fresh = None if link.agent.require_email else new_public_id()
    await run(_replace, link, row, fresh)
    return fresh


def _replace(link: Link, old: ChatSession | None, fresh: str | None) -> None:
    """The old conversation stays for managers, under no name; the new one is there before its first message, so its id is known.

    Who wrote in the old one is no new visitor in the new one.
    """
    if old is not None:
        if old.title and (name := fresh or old.name):
            remember(link.id, name)
        ChatSession.objects.filter(id=old.id).update(name=None, status=ChatSession.Status.CLOSED)
    if fresh is not None:
        ChatSession.objects.create(
            namespace=link.namespace, name=fresh, agent_id=link.row.agent_id, agent_name=link.agent.name, wire=Wire.PUBLIC
        )


async def entitle(visitor: Visitor, text: str) -> None:
    """A conversation that was there before its first message (see clear()) gets its title, as others get theirs when they are made."""
    if visitor.is_first and not visitor.session.is_new:
        title = Truncator(" ".join(text.split())).chars(_TITLE_CHARS)
        await run(ChatSession.objects.filter(id=visitor.session.id, title="").update, title=title)
