"""Principal: who asks. agent_for() is the only door to an agent; what one may not use does not exist (R2)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal
from uuid import UUID

from agents.errors import SwitchboardError
from agents.specs import AgentSpec

Scope = Literal["run", "read", "manage", "knowledge"]
ALL_SCOPES: frozenset[str] = frozenset(("run", "read", "manage", "knowledge"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Who calls. `key` names the principal in limits, idempotency and caches (`key:<id>`, `user:<id>`, `static`, …);

    `namespace` is where its conversation names live (R2.2); `user_id` is the owner of what it makes (None: nobody's).
    `agent_ids` limits an API key to some agents (None = no limit). `rpm`/`tpm` override R14.1 (None = the setting).
    """

    kind: Literal["user", "api_key", "static", "anonymous", "link", "payer", "system"]
    key: str
    namespace: str
    user_id: int | None = None
    user_name: str = ""
    scopes: frozenset[str] = ALL_SCOPES
    is_admin: bool = False
    group_ids: frozenset[int] = frozenset()
    agent_ids: frozenset[UUID] | None = None
    default_agent: str = ""
    fallback_agent: str = ""
    api_key_id: UUID | None = None
    rpm: int | None = None
    tpm: int | None = None
    expires_at_s: float | None = None
    catalog_counter: int = 0
    """The catalog this principal was read from: a turn begins only if that is still the current one."""
    pinned: frozenset[str] | None = field(default=None)
    """Only these agent names, where a server was started for some agents alone (OAI-5a)."""

    def check_scope(self, scope: str) -> None:
        """Raises insufficient_scope (403) when this credential lacks `scope`."""
        if scope not in self.scopes:
            raise SwitchboardError("insufficient_scope")


ANONYMOUS = Principal(kind="anonymous", key="anonymous", namespace="anonymous")
STATIC = Principal(kind="static", key="static", namespace="static")


def may_use(principal: Principal, agent: AgentSpec) -> bool:
    """Every condition is evaluated before the branch, so that the time tells nothing (R2.1)."""
    allowed = principal.agent_ids is None or agent.id in principal.agent_ids
    pinned = principal.pinned is None or agent.name in principal.pinned
    everyones = principal.kind in ("anonymous", "static", "system")
    linked = principal.kind == "link" and principal.agent_ids is not None and agent.shareable
    own = principal.is_admin or agent.owner_id == principal.user_id is not None or principal.user_id in agent.manager_ids
    signed_in = agent.access == "signed_in" and principal.user_id is not None
    shared = agent.access == "shared" and (principal.user_id in agent.shared_user_ids or bool(principal.group_ids & agent.shared_group_ids))
    return allowed & pinned & (everyones | linked | own | signed_in | shared)


def may_manage(principal: Principal, agent: AgentSpec) -> bool:
    """Owner, co-manager or administrator; whether the credential has the scope `manage` is asked separately."""
    return principal.user_id is not None and (
        principal.is_admin or agent.owner_id == principal.user_id or principal.user_id in agent.manager_ids
    )


def check_manager(principal: Principal, agent: AgentSpec) -> None:
    """Raises insufficient_scope, or manager_required (403) for a user of the agent who may not edit it (AG-3, R2.4)."""
    principal.check_scope("manage")
    if not may_manage(principal, agent):
        raise SwitchboardError("manager_required")


def agent_for(principal: Principal, name: str, agents: Mapping[str, AgentSpec]) -> AgentSpec:
    """The published agent `name` if the caller may use it; else agent_not_found, whatever the cause (R2.1)."""
    agent = agents.get(name)
    if agent is None or not may_use(principal, agent):
        raise SwitchboardError("agent_not_found")
    return agent


def agents_for(principal: Principal, agents: Mapping[str, AgentSpec]) -> list[AgentSpec]:
    """All agents the caller may use, by name."""
    return sorted((agent for agent in agents.values() if may_use(principal, agent)), key=lambda agent: agent.name)
