"""Drafts and their published versions: snapshot, publish, roll back; and the frozen specs that callers meet.

A version holds the settings of an agent and names its provider and tools by id. What acts at once, without publishing, is
read live: name, access, owner, co-managers, `enabled`, and everything of the provider and tool rows (keys, addresses).
"""

import json
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, Literal, TypeVar, cast
from uuid import UUID

from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group, User
from django.db import transaction
from django.db.models import Field, Max, Prefetch, QuerySet

from agents import answerschema
from agents.models import Agent, AgentVersion, Provider, Tool
from agents.specs import AgentSpec, ModelSpec, ProviderSpec, Sampling, ToolSpec
from agents.tools import kind_for

log = logging.getLogger(__name__)

SETTINGS: tuple[str, ...] = (
    "display_name", "description", "avatar", "instructions",
    "model", "context_window", "temperature", "top_p", "max_tokens", "stop", "reasoning_effort",
    "sampling_locked", "allowed_models", "unsupported_parameters",
    "max_steps", "run_timeout_s", "turn_policy", "max_parallel_runs", "max_queued_chats", "max_parallel_tasks", "max_queued_tasks",
    "client_tools", "client_tool_names", "caller_instructions", "show_reasoning",
    "accept_images", "accept_audio", "accept_files", "max_body_bytes",
    "output_mode", "output_schema", "approval_notice", "conversation_starters",
)  # fmt: skip
"""The columns a version copies as they are; `provider`, `fallbacks` and `tools` are written as ids beside them."""

LIVE: frozenset[str] = frozenset(
    (
        "id", "name", "enabled", "owner", "managers", "access", "shared_users", "shared_groups", "shareable", "require_email",
        "published", "created_at", "updated_at",
    )
)  # fmt: skip
"""The columns that act at once."""


class NothingToPublish(ValueError):
    """The draft equals the published version (UI-64: `nothing_to_publish`)."""


class CannotPublish(ValueError):
    """The draft, or the version to go back to, names what no longer exists or asks for what cannot be; the text says what."""


# Draft -> version


def snapshot(agent: Agent) -> dict[str, Any]:
    """The draft as JSON: SETTINGS, `provider` (id), `fallbacks` (provider id and model), `tools` (tool id, approval)."""
    return {
        **{name: getattr(agent, name) for name in SETTINGS},
        "provider": str(agent.provider_id),
        "fallbacks": _fallback_ids(agent.fallbacks),
        "tools": [
            {"tool": str(row.tool_id), "requires_approval": row.requires_approval, "approver": row.approver}
            for row in sorted(agent.agent_tools.all(), key=lambda row: row.tool_id)
        ],
    }


@transaction.atomic
def publish(agent: Agent, user: User | None = None, note: str = "") -> AgentVersion:
    """Makes the stored draft the version callers meet. Raises NothingToPublish or CannotPublish.

    The row lock gives two publishes at once two numbers; the unique constraint stands behind it.
    """
    draft = Agent.objects.select_for_update(of=("self",)).select_related("published").get(pk=agent.pk)
    config = snapshot(draft)
    if draft.published and complete(draft.published.config) == config:
        raise NothingToPublish("Nothing to publish: the draft equals the published version.")
    _check_references(config)
    _check_schema(config)
    last = draft.versions.aggregate(last=Max("number"))["last"] or 0
    version = AgentVersion.objects.create(agent=draft, number=last + 1, config=config, note=note[:100], published_by=user)
    agent.published = draft.published = version
    draft.save(update_fields=["published"])
    return version


@transaction.atomic
def restore(agent: Agent, version: AgentVersion) -> None:
    """Makes the draft what `version` was, without publishing it. Raises CannotPublish when it names what is gone."""
    draft = Agent.objects.select_for_update().get(pk=agent.pk)
    config = complete(version.config)
    _check_references(config)
    for name in (*SETTINGS, "fallbacks"):
        setattr(draft, name, config[name])
    draft.provider_id = UUID(config["provider"])
    draft.agent_tools.all().delete()
    for row in config["tools"]:
        draft.agent_tools.create(tool_id=UUID(row["tool"]), requires_approval=row["requires_approval"], approver=row["approver"])
    draft.save()
    agent.refresh_from_db()


@transaction.atomic
def roll_back(agent: Agent, version: AgentVersion, user: User | None = None) -> AgentVersion:
    """Restores the draft from `version` and publishes it as a new version. Raises NothingToPublish or CannotPublish."""
    restore(agent, version)
    return publish(agent, user, f"Rolled back to version {version.number}")


def has_unpublished_changes(agent: Agent) -> bool:
    """Whether publishing would change what callers meet; true for an agent that was never published."""
    return agent.published is None or complete(agent.published.config) != snapshot(agent)


def users_of(row: Provider | Tool) -> list[Agent]:
    """The agents whose published version names a provider or tool: what breaks when the row is deleted."""
    agents = Agent.objects.filter(published__isnull=False).select_related("published")
    return [agent for agent in agents if str(row.pk) in _named_by(cast(AgentVersion, agent.published).config)]


# Version -> spec


def load_specs() -> dict[str, AgentSpec]:
    """All published agents by name, in six queries. A broken one is left out, with a log line that says why."""
    providers, tools = provider_specs(), tool_specs()
    specs: dict[str, AgentSpec] = {}
    for agent in _published_agents():
        try:
            specs[agent.name] = spec(agent, cast(AgentVersion, agent.published), providers, tools)
        except LookupError as error:
            log.error("agent %s is left out: %s", agent.name, error)
    return specs


def spec(agent: Agent, version: AgentVersion, providers: Mapping[UUID, ProviderSpec], tools: Mapping[UUID, ToolSpec]) -> AgentSpec:
    """The frozen spec: settings of `version`, access and owner of the row. Raises LookupError when its provider or a tool is gone."""
    config = complete(version.config)
    return AgentSpec(
        id=agent.pk,
        name=agent.name,
        version=version.number,
        created_at_s=int(agent.created_at.timestamp()),
        models=_models(config, providers),
        tools=tuple(_tool(row, tools) for row in config["tools"]),
        sampling=_sampling(config),
        allowed_models=tuple(config["allowed_models"]),
        client_tools=tuple(config["client_tool_names"]) if config["client_tools"] == "list" else config["client_tools"],
        conversation_starters=tuple(config["conversation_starters"]),
        enabled=agent.enabled,
        owner_id=agent.owner_id,
        manager_ids=_ids(agent.managers.all()),
        access=cast(Literal["private", "shared", "signed_in"], agent.access),
        shared_user_ids=_ids(agent.shared_users.all()),
        shared_group_ids=_ids(agent.shared_groups.all()),
        shareable=agent.shareable,
        require_email=agent.require_email,
        **{name: config[name] for name in _SAME_IN_SPEC},
    )


def provider_specs() -> dict[UUID, ProviderSpec]:
    """All sound providers by id."""
    return {row.pk: provider for row in Provider.objects.all() if (provider := _sound(provider_spec, row))}


def tool_specs() -> dict[UUID, ToolSpec]:
    """All sound tools by id."""
    return {row.pk: tool for row in Tool.objects.all() if (tool := _sound(tool_spec, row))}


def provider_spec(row: Provider) -> ProviderSpec:
    """The provider with its decrypted key. Raises ValueError when its headers are not JSON."""
    return ProviderSpec(
        id=str(row.pk),
        name=row.name,
        kind=row.kind,
        base_url=row.base_url,
        api_key=row.api_key,
        headers=json.loads(row.headers or "{}"),
        connect_timeout_s=row.connect_timeout_s,
        first_token_timeout_s=row.first_token_timeout_s,
        idle_timeout_s=row.idle_timeout_s,
        max_retries=row.max_retries,
        fetches_urls=row.fetches_urls,
        options=row.options,
    )


def tool_spec(row: Tool) -> ToolSpec:
    """The tool with its decrypted secrets; approval is a matter of the agent. Raises KeyError, ImportError or ValueError."""
    description, parameters = kind_for(row.kind).describe(row.config)
    return ToolSpec(
        name=row.name,
        kind=row.kind,
        description=row.description or description,
        parameters=parameters,
        config=row.config,
        secrets=json.loads(row.secrets or "{}"),
        timeout_s=row.timeout_s,
        masked=frozenset(row.masked_arguments),
    )


_SAME_IN_SPEC = (
    "display_name", "description", "avatar", "instructions", "sampling_locked", "max_steps", "run_timeout_s", "turn_policy",
    "max_parallel_runs", "max_queued_chats", "max_parallel_tasks", "max_queued_tasks", "caller_instructions", "show_reasoning",
    "accept_images", "max_body_bytes", "output_schema", "output_mode", "approval_notice",
)  # fmt: skip

Row = TypeVar("Row", Provider, Tool)
Spec = TypeVar("Spec", ProviderSpec, ToolSpec)


def _sound(build: Callable[[Row], Spec], row: Row) -> Spec | None:
    """The spec of a row, or None and a log line: one bad row must not take every other agent down."""
    try:
        return build(row)
    except (LookupError, ImportError, ValueError) as error:
        log.error("%s %s is left out: %s", type(row).__name__.lower(), row.name, error)
        return None


def _published_agents() -> QuerySet[Agent]:
    people = get_user_model()._default_manager.only("pk")
    groups = Prefetch("shared_groups", Group.objects.only("pk"))
    return (
        Agent.objects.filter(published__isnull=False)
        .select_related("published")
        .prefetch_related(Prefetch("managers", people), Prefetch("shared_users", people), groups)
    )


def _models(config: Mapping[str, Any], providers: Mapping[UUID, ProviderSpec]) -> tuple[ModelSpec, ...]:
    """The model and its fallbacks. A fallback whose provider is gone is skipped: the agent still answers without it."""
    wanted = [{"provider": config["provider"], "model": config["model"]}, *config["fallbacks"]]
    if UUID(config["provider"]) not in providers:
        raise LookupError("its provider is missing or broken")
    found = [(providers.get(UUID(choice["provider"])), choice["model"]) for choice in wanted]
    return tuple(_model(config, provider, name) for provider, name in found if provider)


def _model(config: Mapping[str, Any], provider: ProviderSpec, name: str) -> ModelSpec:
    return ModelSpec(
        provider=provider,
        name=name,
        context_window=config["context_window"],
        takes_images=config["accept_images"],
        takes_audio=config["accept_audio"],
        takes_files=config["accept_files"],
        unsupported=frozenset(config["unsupported_parameters"]),
    )


def _sampling(config: Mapping[str, Any]) -> Sampling:
    return Sampling(
        temperature=config["temperature"],
        top_p=config["top_p"],
        max_tokens=config["max_tokens"],
        stop=tuple(config["stop"]),
        reasoning_effort=config["reasoning_effort"] or None,
    )


def _tool(row: Mapping[str, Any], tools: Mapping[UUID, ToolSpec]) -> ToolSpec:
    tool = tools.get(UUID(row["tool"]))
    if tool is None:
        raise LookupError(f"its tool {row['tool']} is missing or broken")
    return replace(tool, requires_approval=row["requires_approval"], approver=row["approver"])


def _ids(rows: QuerySet[Any]) -> frozenset[int]:
    return frozenset(row.pk for row in rows)


# What configs are made of


def complete(config: Mapping[str, Any]) -> dict[str, Any]:
    """A stored config with the defaults of settings that are younger than it."""
    defaults = {name: column(name).get_default() for name in (*SETTINGS, "fallbacks")}
    return {**defaults, "tools": [], **config}


def column(setting: str) -> "Field[Any, Any]":
    return cast("Field[Any, Any]", Agent._meta.get_field(setting))


def _named_by(config: Mapping[str, Any]) -> set[str]:
    fallbacks = {choice["provider"] for choice in config.get("fallbacks", ())}
    return {config["provider"], *fallbacks, *(row["tool"] for row in config.get("tools", ()))}


def _fallback_ids(fallbacks: Iterable[Mapping[str, str]]) -> list[dict[str, str]]:
    """Drafts may name a fallback's provider by name or id; versions keep the id, which outlives a renaming."""
    chosen = list(fallbacks)
    ids = {name: str(pk) for pk, name in Provider.objects.values_list("pk", "name")} if chosen else {}
    return [{"provider": ids.get(choice["provider"], choice["provider"]), "model": choice["model"]} for choice in chosen]


def _check_references(config: Mapping[str, Any]) -> None:
    providers = {str(pk) for pk in Provider.objects.values_list("pk", flat=True)}
    for choice in ({"provider": config["provider"], "model": config["model"]}, *config["fallbacks"]):
        if choice["provider"] not in providers:
            raise CannotPublish(f"The provider {choice['provider']!r} of model {choice['model']!r} does not exist any more.")
    wanted = {row["tool"] for row in config["tools"]}
    if Tool.objects.filter(pk__in=wanted).count() < len(wanted):
        raise CannotPublish("A tool of this version does not exist any more.")


def _check_schema(config: Mapping[str, Any]) -> None:
    """Drafts and versions may be older than the check of the column; a draft may wait for its schema, callers may not."""
    schema = config["output_schema"]
    if not schema and config["output_mode"] == Agent.OutputMode.JSON_SCHEMA:
        raise CannotPublish("Answers are to match a schema, and there is none.")
    if schema and (problem := answerschema.problem(schema)):
        raise CannotPublish(f"The output schema cannot be used. {problem}")
