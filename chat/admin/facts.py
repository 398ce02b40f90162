"""How times, tokens and money are written on admin pages; "–" where nothing is known."""

from decimal import Decimal
from typing import Any

UNKNOWN = "–"
_SPACE = "\u00a0"
STATUS_COLOURS = {
    "success": "success",
    "failed": "danger",
    "cancelled": "warning",
    "paused": "warning",
    "running": "info",
    "queued": "info",
    "skipped": "default",
}


def duration(ms: int | None) -> str:
    """380 ms, 1.24 s, 3 min 5 s."""
    if ms is None:
        return UNKNOWN
    if ms < 1000:
        return f"{ms}{_SPACE}ms"
    return f"{ms / 1000:.2f}{_SPACE}s" if ms < 60_000 else f"{ms // 60_000}{_SPACE}min {ms % 60_000 // 1000}{_SPACE}s"


def tokens(incoming: int, outgoing: int) -> str:
    return f"{incoming:,}{_SPACE}→{_SPACE}{outgoing:,}" if incoming or outgoing else UNKNOWN


def money(usd: Decimal | float | None) -> str:
    """Four digits after the point for what a turn costs, two for what a day does."""
    if usd is None:
        return UNKNOWN
    return f"${usd:,.2f}" if usd >= 1 or not usd else f"${usd:.4f}" if usd >= Decimal("0.0001") else "< $0.0001"


def excerpt(text: str, chars: int = 80) -> str:
    line = " ".join(text[: chars * 4].split())
    return line if len(line) <= chars else line[: chars - 1].rstrip() + "…"


def usage_lines(usage: dict[str, Any]) -> list[tuple[str, str]]:
    """The counters of R10.1 that are not zero, by name."""
    counted = [
        (name.replace("_", " "), f"{value:,}") for name, value in usage.items() if isinstance(value, int) and value and name != "estimated"
    ]
    return [*counted, ("counted", "by us, the provider told nothing")] if usage.get("estimated") else counted
