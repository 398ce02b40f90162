"""The catalog of published agents, keys and users in this process's memory: a warm look-up costs no query (design.md §4).

A snapshot is replaced whole when the catalog counter moves: at once for changes of this process, and for those of others
when chat.store sees another counter in the hop that begins a turn, before any model is called.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

from django.contrib.auth import get_user_model

from agents import catalog as changes
from agents import database, versions
from agents.access import Principal
from agents.models import ApiKey, CatalogVersion, UserProfile, hash_key
from agents.scrub import Scrubber
from agents.settings import settings
from agents.specs import AgentSpec

_MAX_PRINCIPALS = 50_000


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """What a credential of this user may rely on. `generation` is what its JWTs must carry."""

    principal: Principal
    generation: int


@dataclass(slots=True, kw_only=True)
class Catalog:
    """One state of the directory. `counter` is the database's at loading, `local` this process's own count of changes."""

    counter: int = 0
    local: int = -1
    by_name: Mapping[str, AgentSpec] = field(default_factory=dict)
    by_id: Mapping[UUID, AgentSpec] = field(default_factory=dict)
    max_body_bytes: int = 0
    scrubber: Scrubber = field(default_factory=lambda: Scrubber((), lambda key: False))
    key_hashes: frozenset[str] = frozenset()
    keys: dict[str, Principal] = field(default_factory=dict)
    users: dict[int, User | None] = field(default_factory=dict)


_current = Catalog()
_loading: asyncio.Lock | None = None
_loaders: list[Callable[[], object]] = []


def current() -> Catalog:
    """The snapshot at hand, perhaps one change old; never waits."""
    return _current


async def catalog() -> Catalog:
    """The snapshot, reloaded first when this process changed something. Free when warm."""
    if _current.local == changes.local():
        return _current
    return await refresh()


async def refresh(seen: int | None = None) -> Catalog:
    """Reloads unless another task just did; `seen` is the counter that made the caller doubt its snapshot."""
    global _loading
    _loading = _loading or asyncio.Lock()
    async with _loading:
        if _current.local != changes.local() or (seen is not None and _current.counter != seen):
            await database.run(load)
    return _current


async def newest() -> Catalog:
    """The snapshot with what other processes have published until now; one query."""
    seen = await database.run(_counter)
    if seen != _current.counter:
        await refresh(seen)
    return await catalog()


async def moved(since: Catalog) -> bool:
    """Whether something was published after `since`, the snapshot in which nothing was found; one query.

    Also where another task has reloaded meanwhile: the snapshot at hand is then new, but not the one that was looked in.
    """
    return await newest() is not since


def fresh() -> Catalog:
    """The snapshot for callers in threads of their own, reloaded when the database's counter moved. Synchronous."""
    return _current if (_counter(), changes.local()) == (_current.counter, _current.local) else load()


def _counter() -> int:
    return CatalogVersion.objects.filter(pk=1).values_list("counter", flat=True).first() or 0


def also_load(loader: Callable[[], object]) -> None:
    """Has `loader` read what a floor above keeps in memory by the catalog counter (prices), in the same hop, before the snapshot."""
    _loaders.append(loader)


def load() -> Catalog:
    """Reads everything anew; the counter first, so that a change during the reading is seen as one at the next turn."""
    global _current
    local = changes.local()
    counter = _counter()
    by_name = versions.load_specs()
    for loader in _loaders:
        loader()
    _current = Catalog(
        counter=counter,
        local=local,
        by_name=by_name,
        by_id={spec.id: spec for spec in by_name.values() if spec.id},
        max_body_bytes=max(map(body_limit, by_name.values()), default=0),
        scrubber=Scrubber(_secrets(by_name), _is_site_key),
        key_hashes=frozenset(ApiKey.objects.filter(revoked_at=None).values_list("hash", flat=True)),
    )
    return _current


def body_limit(agent: AgentSpec) -> int:
    """Bytes a request to this agent may have: its own limit, else the site's, which is higher for agents that take images."""
    default = settings.CHAT_MAX_IMAGE_REQUEST_SIZE if agent.accept_images else settings.CHAT_MAX_REQUEST_SIZE
    return agent.max_body_bytes or int(default)


async def principal_of_key(plain: str) -> Principal | None:
    """The principal of an API key, or None: unknown, revoked, expired, or its owner inactive."""
    return await principal_of_hash(hash_key(plain))


async def principal_of_hash(digest: str) -> Principal | None:
    """The same for who remembers only the key's hash (open sockets, tickets)."""
    snapshot = await catalog()
    principal = snapshot.keys.get(digest)
    if principal is None:
        principal = await database.run(_load_key, digest)
        if principal is not None and len(snapshot.keys) < _MAX_PRINCIPALS:
            snapshot.keys[digest] = principal
    if principal is None or (principal.expires_at_s is not None and principal.expires_at_s <= time.time()):
        return None
    return principal


async def user(user_id: int) -> User | None:
    """An active user, or None."""
    snapshot = await catalog()
    if user_id not in snapshot.users:
        found = await database.run(load_user, user_id)
        if len(snapshot.users) >= _MAX_PRINCIPALS:
            snapshot.users.clear()
        snapshot.users[user_id] = found
    return snapshot.users[user_id]


def _load_key(digest: str) -> Principal | None:
    key = ApiKey.objects.filter(hash=digest, revoked_at=None, owner__is_active=True).select_related("default_agent").first()
    owner = load_user(key.owner_id) if key else None
    if key is None or owner is None:
        return None
    return replace(
        owner.principal,
        kind="api_key",
        key=f"key:{key.pk}",
        scopes=frozenset(key.scopes),
        agent_ids=frozenset(key.agents.values_list("pk", flat=True)) or None,
        default_agent=key.default_agent.name if key.default_agent else "",
        api_key_id=key.pk,
        rpm=key.rpm,
        tpm=key.tpm,
        expires_at_s=key.expires_at.timestamp() if key.expires_at else None,
    )


def load_user(user_id: int) -> User | None:
    """An active user as the database has them, or None. Synchronous."""
    person: Any = get_user_model()._default_manager.filter(pk=user_id, is_active=True).first()
    if person is None:
        return None
    profile = UserProfile.objects.filter(user_id=user_id).select_related("default_agent").first()
    principal = Principal(
        kind="user",
        key=f"user:{user_id}",
        namespace=f"user:{user_id}",
        user_id=user_id,
        user_name=person.get_full_name() or person.get_username(),
        is_admin=person.is_superuser,
        group_ids=frozenset(person.groups.values_list("pk", flat=True)),
        fallback_agent=profile.default_agent.name if profile and profile.default_agent else "",
        catalog_counter=_current.counter,
    )
    return User(principal=principal, generation=profile.token_generation if profile else 0)


def _secrets(agents: Mapping[str, AgentSpec]) -> list[str]:
    """Every secret a run could meet (R0.9): keys and headers of providers, credentials of tools, the static key."""
    found = [settings.CHAT_API_KEY]
    for agent in agents.values():
        for model in agent.models:
            found += [model.provider.api_key, *_secret_headers(model.provider.headers)]
        for tool in agent.tools:
            found += tool.secrets.values()
    return [secret for secret in found if len(secret) >= 8]


_PLAIN_HEADERS = frozenset(("accept", "content-type", "user-agent", "http-referer", "x-title"))


def _secret_headers(headers: Mapping[str, str]) -> list[str]:
    """Values of headers that may be credentials, and the credential alone of `Bearer x`."""
    values = [value for name, value in headers.items() if name.lower() not in _PLAIN_HEADERS]
    return values + [value.partition(" ")[2] for value in values]


def _is_site_key(key: str) -> bool:
    return hash_key(key) in _current.key_hashes
