"""Applies an agents file: providers, tools and agents by name, in one transaction, published at once. Twice changes nothing."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError
from django.db import models, transaction

from agents import versions
from agents.agentsfile import AgentEntry, AgentsFile, ApplyError, ProviderEntry, ToolEntry, tools_of
from agents.models import Agent, AgentTool, Provider, Tool
from agents.tools import TOOLS, kind_for

_NOT_COLUMNS = frozenset(("provider", "fallbacks", "owner", "managers", "shared_users", "shared_groups", "tools"))
_AGENT_COLUMNS = tuple(name for name in AgentEntry.model_fields if name not in _NOT_COLUMNS)
_PROVIDER_COLUMNS = tuple(name for name in ProviderEntry.model_fields if name != "headers")
_TOOL_COLUMNS = ("kind", "description", "config", "timeout_s", "masked_arguments")

Row = TypeVar("Row")


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What became of one entry. `version` is the agent's newly published one, 0 if none was needed."""

    kind: Literal["provider", "tool", "agent", "workflow"]
    name: str
    what: Literal["created", "changed", "unchanged"]
    version: int = 0

    def __str__(self) -> str:
        return f"{self.kind} {self.name}: {self.what}" + (f", published version {self.version}" if self.version else "")


@transaction.atomic
def apply(file: AgentsFile) -> list[Change]:
    """Makes the site what the file says. Raises ApplyError, and then nothing was changed."""
    changes = [_apply_provider(f"providers[{index}]", entry) for index, entry in enumerate(file.providers)]
    defined = {entry.name: (path, entry) for path, entry in tools_of(file) if entry.kind}
    changes += [_apply_tool(path, entry) for path, entry in defined.values()]
    changes += [_apply_agent(f"agents[{index}]", entry) for index, entry in enumerate(file.agents)]
    return changes


def _apply_provider(path: str, entry: ProviderEntry) -> Change:
    row = Provider.objects.filter(name=entry.name).first()
    values = entry.given(*_PROVIDER_COLUMNS)
    if "headers" in entry.model_fields_set:
        values["headers"] = _json(entry.headers, row.headers if row else "")
    return Change(kind="provider", name=entry.name, what=_save(path, row or Provider(), values))


def _apply_tool(path: str, entry: ToolEntry) -> Change:
    config = _tool_config(path, entry)
    row = Tool.objects.filter(name=entry.name).first()
    values = {name: value for name, value in entry.definition.items() if name in _TOOL_COLUMNS} | {"config": config}
    if "secrets" in entry.model_fields_set:
        values["secrets"] = _json(entry.secrets, row.secrets if row else "")
    return Change(kind="tool", name=entry.name, what=_save(path, row or Tool(), {"name": entry.name, **values}))


def _tool_config(path: str, entry: ToolEntry) -> dict[str, Any]:
    """The settings as they are stored: prepared and checked by their kind."""
    if entry.kind not in TOOLS:
        raise ApplyError(f"{path}.kind: {entry.kind!r} is none of {', '.join(sorted(TOOLS))}")
    try:
        config = dict(kind_for(entry.kind).prepare(entry.settings))
        kind_for(entry.kind).check(config)
    except ValueError as error:
        raise ApplyError(f"{path}: {error}") from error
    return config


def _apply_agent(path: str, entry: AgentEntry) -> Change:
    row = Agent.objects.filter(name=entry.name).first()
    values = {**entry.given(*_AGENT_COLUMNS, "fallbacks"), **_references(path, entry, is_new=row is None)}
    if "client_tools" in values:
        values["client_tool_names"] = entry.client_tool_names
    if "fallbacks" in values:
        values["fallbacks"] = _fallbacks(path, entry)
    agent = row or Agent()
    what = _save(path, agent, values)
    moved = [_set_people(path, agent, name, names) for name, names in entry.given("managers", "shared_users", "shared_groups").items()]
    if "tools" in entry.model_fields_set:
        moved.append(_set_tools(path, agent, entry.tools))
    version = _publish(path, agent)
    if what == "unchanged" and (any(moved) or version):
        what = "changed"
    return Change(kind="agent", name=entry.name, what=what, version=version)


def _references(path: str, entry: AgentEntry, *, is_new: bool) -> dict[str, Any]:
    """Provider and owner as rows; without an owner a new agent is for every signed-in user."""
    found: dict[str, Any] = {}
    if "provider" in entry.model_fields_set or is_new:
        found["provider"] = _provider(f"{path}.provider", entry.provider)
    if "owner" in entry.model_fields_set:
        found["owner"] = _user(f"{path}.owner", entry.owner) if entry.owner else None
    if is_new and "access" not in entry.model_fields_set:
        found["access"] = Agent.Access.PRIVATE if entry.owner else Agent.Access.SIGNED_IN
    return found


def _fallbacks(path: str, entry: AgentEntry) -> list[dict[str, str]]:
    for index, fallback in enumerate(entry.fallbacks):
        _provider(f"{path}.fallbacks[{index}].provider", fallback.provider)
    return [fallback.model_dump() for fallback in entry.fallbacks]


def _set_people(path: str, agent: Agent, name: str, wanted: list[str]) -> bool:
    """Makes the many-to-many field `name` hold exactly these users or groups; whether that changed it."""
    look_up = _group if name == "shared_groups" else _user
    rows = {look_up(f"{path}.{name}[{index}]", one).pk for index, one in enumerate(wanted)}
    field = getattr(agent, name)
    if set(field.values_list("pk", flat=True)) == rows:
        return False
    field.set(rows)
    return True


def _set_tools(path: str, agent: Agent, entries: list[ToolEntry]) -> bool:
    """Gives the draft exactly these tools; whether that changed it."""
    wanted = {_tool(f"{path}.tools[{index}]", entry).pk: (entry.requires_approval, entry.approver) for index, entry in enumerate(entries)}
    present = {row.tool_id: (row.requires_approval, row.approver) for row in agent.agent_tools.all()}
    if wanted == present:
        return False
    agent.agent_tools.all().delete()
    for tool_id, (requires_approval, approver) in wanted.items():
        AgentTool.objects.create(agent=agent, tool_id=tool_id, requires_approval=requires_approval, approver=approver)
    return True


def _publish(path: str, agent: Agent) -> int:
    """The number of the version that had to be published, or 0."""
    agent.refresh_from_db()
    if not versions.has_unpublished_changes(agent):
        return 0
    try:
        return versions.publish(agent, note="Applied from a file").number
    except versions.CannotPublish as error:
        raise ApplyError(f"{path}: {error}") from error


def _save(path: str, row: models.Model, values: Mapping[str, Any]) -> Literal["created", "changed", "unchanged"]:
    """Sets and saves what differs. Raises ApplyError with the path of the field that the model refuses."""
    is_new = row._state.adding
    if not is_new and all(getattr(row, name) == value for name, value in values.items()):
        return "unchanged"
    for name, value in values.items():
        setattr(row, name, value)
    with _problems_at(path):
        row.full_clean()
    row.save()
    return "created" if is_new else "changed"


@contextmanager
def _problems_at(path: str) -> Iterator[None]:
    try:
        yield
    except ValidationError as error:
        fields = error.message_dict.items()
        raise ApplyError(*(f"{path}.{name}: {' '.join(texts)}" for name, texts in fields)) from error


def _json(value: Mapping[str, str], stored: str) -> str:
    """`value` as JSON text, or the stored text if that says the same in another order."""
    if not value:
        return ""
    return stored if stored and json.loads(stored) == value else json.dumps(value, ensure_ascii=False)


def _provider(path: str, name: str) -> Provider:
    return _named(path, Provider.objects.filter(name=name).first(), f"there is no provider {name!r}" if name else "is required")


def _tool(path: str, entry: ToolEntry) -> Tool:
    return _named(path, Tool.objects.filter(name=entry.name).first(), f"there is no tool {entry.name!r}")


def _user(path: str, name: str) -> Any:
    people = get_user_model()._default_manager
    return _named(path, people.filter(username=name).first(), f"there is no user {name!r}")


def _group(path: str, name: str) -> Any:
    return _named(path, Group.objects.filter(name=name).first(), f"there is no group {name!r}")


def _named(path: str, row: Row | None, problem: str) -> Row:
    if row is None:
        raise ApplyError(f"{path}: {problem}")
    return row
