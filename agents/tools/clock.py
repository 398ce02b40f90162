"""Tool kind `clock`: the current date and time. Config: `{"timezone": "Europe/Berlin"}` (IANA name; UTC when absent)."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from agents.specs import ToolSpec
from agents.tools.base import ToolContext, ToolOutcome

PARAMETERS: Mapping[str, Any] = {
    "type": "object",
    "properties": {"timezone": {"type": "string", "description": "IANA time zone, for example Europe/Berlin."}},
    "additionalProperties": False,
}


def describe(config: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    return f"The current date and time, in {_default(config)} unless another time zone is asked for.", PARAMETERS


def check(config: Mapping[str, Any]) -> None:
    if zone_for(_default(config)) is None:
        raise ValueError(f'"timezone" must be an IANA name like Europe/Berlin, got {_default(config)!r}.')


def prepare(config: Mapping[str, Any]) -> Mapping[str, Any]:
    return config


async def call(spec: ToolSpec, arguments: Mapping[str, Any], context: ToolContext) -> ToolOutcome:
    zone = zone_for(arguments.get("timezone") or _default(spec.config))
    if zone is None:
        return ToolOutcome(output="This time zone is unknown. Use an IANA name like Europe/Berlin.", is_error=True)
    return ToolOutcome(output=told(datetime.now(zone)))


def told(now: datetime) -> dict[str, str]:
    return {
        "iso": now.isoformat(timespec="seconds"),
        "date": now.strftime("%Y-%m-%d"),
        "time": now.strftime("%H:%M:%S"),
        "weekday": now.strftime("%A"),
        "timezone": str(now.tzinfo),
    }


def zone_for(name: Any) -> ZoneInfo | None:
    """The time zone of an IANA name; None for anything else. Names are file names to zoneinfo, hence the errors."""
    try:
        return ZoneInfo(name) if isinstance(name, str) else None
    except (KeyError, ValueError, OSError):
        return None


def _default(config: Mapping[str, Any]) -> Any:
    return config.get("timezone") or "UTC"
