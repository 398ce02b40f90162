"""Public links (ShareToken): finding the one of a token, its address, and counting what goes through it (AG-53 … AG-55)."""

import hmac
import re
import secrets
from dataclasses import dataclass
from hashlib import sha256
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone

from agents import directory
from agents.access import Principal, agent_for
from agents.errors import SwitchboardError
from agents.specs import AgentSpec
from chat.models import LinkVisitor, ShareToken
from chat.store import run

TOKEN = re.compile(r"[A-Za-z0-9_-]{32}\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A link that may be used now. `principal` is the link's own; a visitor's carries the conversation in its key."""

    row: ShareToken
    agent: AgentSpec
    principal: Principal

    @property
    def id(self) -> UUID:
        return self.row.id

    @property
    def namespace(self) -> str:
        return self.principal.namespace


def new_token() -> str:
    """32 URL-safe characters, 192 random bits (AG-53)."""
    return secrets.token_urlsafe(24)


def address_of(link: ShareToken, site: str) -> str:
    """The link's page; `site` is scheme and host of the request, for a site without PUBLIC_BASE_URL (R0.10)."""
    return f"{settings.PUBLIC_BASE_URL or site}/chat/{link.token}"


async def link_for(token: str) -> Link:
    """The link of a token. Raises link_invalid, whatever is wrong with token, link or agent (AG-54)."""
    row = await run(_stored, token) if TOKEN.match(token) else None
    if row is None:
        raise SwitchboardError("link_invalid")
    catalog = await directory.catalog()
    try:
        return _usable(row, catalog)
    except SwitchboardError:
        if not await directory.moved(catalog):  # another process may just have published or shared the agent
            raise
        return _usable(row, await directory.catalog())


def _stored(token: str) -> ShareToken | None:
    row = ShareToken.objects.filter(token=token).first()
    return row if row is not None and hmac.compare_digest(row.token, token) else None


def _usable(row: ShareToken, catalog: directory.Catalog) -> Link:
    principal = _principal(row, catalog.counter)
    named = catalog.by_id.get(row.agent_id)
    try:
        agent = agent_for(principal, named.name if named else "", catalog.by_name)
    except SwitchboardError:
        raise SwitchboardError("link_invalid") from None
    if not is_open(row):
        raise SwitchboardError("link_invalid")
    return Link(row=row, agent=agent, principal=principal)


def is_open(row: ShareToken) -> bool:
    """Whether the link itself may be used: switched on, and its day has not come."""
    return row.enabled and (row.expires_at is None or row.expires_at > timezone.now())


def _principal(row: ShareToken, counter: int) -> Principal:
    """Nobody's principal: it may use the link's agent and nothing else."""
    return Principal(
        kind="link",
        key=namespace_of(row.id),
        namespace=namespace_of(row.id),
        scopes=frozenset(("run", "read")),
        agent_ids=frozenset((row.agent_id,)),
        catalog_counter=counter,
        pinned=frozenset(settings.CHAT_AGENTS) or None,
    )


def namespace_of(link_id: UUID) -> str:
    """Where the conversations of a link live (R2.2)."""
    return f"link:{link_id}"


# Counting


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """A message that was counted, and the visitor who was counted with it (by what the conversation is called)."""

    link_id: UUID
    newcomer: str | None


async def spend_message(link_id: UUID, newcomer: str | None) -> Spent:
    """Counts a message, and with it the visitor, where nothing was said yet in the conversation called `newcomer`.

    Raises quota_exhausted once max_messages are spent (AG-55).
    """
    spent = await run(_spend, link_id, newcomer)
    if spent is None:
        raise SwitchboardError("quota_exhausted")
    return spent


async def give_message_back(spent: Spent) -> None:
    """The message was refused, or is a replay: it counts as never sent."""
    await run(_give_back, spent)


@transaction.atomic
def _spend(link_id: UUID, newcomer: str | None) -> Spent | None:
    """Increment and compare in one statement, so that parallel messages cannot slip through together."""
    left = Q(max_messages=None) | Q(max_messages__gt=F("total_messages"))
    one_more = {"total_messages": F("total_messages") + 1, "last_used_at": timezone.now()}
    if not ShareToken.objects.filter(left, id=link_id).update(**one_more):
        return None
    if newcomer is None or not remember(link_id, newcomer):
        return Spent(link_id=link_id, newcomer=None)
    ShareToken.objects.filter(id=link_id).update(unique_visitors=F("unique_visitors") + 1)
    return Spent(link_id=link_id, newcomer=newcomer)


@transaction.atomic
def _give_back(spent: Spent) -> None:
    link = ShareToken.objects.filter(id=spent.link_id)
    link.update(total_messages=F("total_messages") - 1)
    if spent.newcomer and LinkVisitor.objects.filter(link_id=spent.link_id, name_hash=_hash(spent.newcomer)).delete()[0]:
        link.update(unique_visitors=F("unique_visitors") - 1)


def remember(link_id: UUID, name: str) -> bool:
    """That who has the conversation of this name is counted. False: was before. Synchronous."""
    return LinkVisitor.objects.get_or_create(link_id=link_id, name_hash=_hash(name))[1]


def _hash(name: str) -> str:
    return sha256(name.encode()).hexdigest()
