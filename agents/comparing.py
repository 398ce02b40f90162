"""What two states of an agent differ in, told to people: settings by their labels, names in place of ids."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agents import versions
from agents.models import Agent, Provider, Tool


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One setting that differs. `before` is the published value, `after` the draft's; ids are replaced by names."""

    setting: str
    label: str
    before: Any
    after: Any


def differences(agent: Agent) -> list[Difference]:
    """What publishing the draft would change, in the order of the settings; empty when it was never published."""
    return compare(agent.published.config, versions.snapshot(agent)) if agent.published else []


def compare(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Difference]:
    """The settings in which two version configs differ."""
    old, new = _readable(versions.complete(before)), _readable(versions.complete(after))
    return [Difference(setting=name, label=_label(name), before=old[name], after=new[name]) for name in old if old[name] != new[name]]


def _readable(config: Mapping[str, Any]) -> dict[str, Any]:
    """The config with names in place of ids, for people."""
    providers = {str(pk): name for pk, name in Provider.objects.values_list("pk", "name")}
    tools = {str(pk): name for pk, name in Tool.objects.values_list("pk", "name")}
    fallbacks = [f"{providers.get(choice['provider'], 'deleted provider')}: {choice['model']}" for choice in config["fallbacks"]]
    return {
        "provider": providers.get(config["provider"], "deleted provider"),
        **{name: config[name] for name in versions.SETTINGS},
        "fallbacks": fallbacks,
        "tools": [_tool_line(row, tools) for row in config["tools"]],
    }


def _tool_line(row: Mapping[str, Any], names: Mapping[str, str]) -> str:
    approval = f" (approval by the {row['approver']})" if row["requires_approval"] else ""
    return names.get(row["tool"], "deleted tool") + approval


def _label(setting: str) -> str:
    return "tools" if setting == "tools" else str(versions.column(setting).verbose_name)
