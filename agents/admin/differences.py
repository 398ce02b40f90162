"""Differences between two states of an agent, as a table people can read."""

import difflib
import json
from collections.abc import Sequence
from typing import Any

from django.template.loader import render_to_string
from django.utils.safestring import SafeString

from agents.comparing import Difference

_LONG_CHARS = 120


def table(differences: Sequence[Difference]) -> SafeString:
    """One row a setting: before and after, or, for long texts, the changed lines."""
    return render_to_string("admin/agents/differences.html", {"rows": [_row(difference) for difference in differences]})


def _row(difference: Difference) -> dict[str, Any]:
    before, after = readable(difference.before), readable(difference.after)
    long = max(len(before), len(after)) > _LONG_CHARS or "\n" in before + after
    return {"label": difference.label, "before": before, "after": after, "lines": (_lines(before, after) or None) if long else None}


def readable(value: Any) -> str:
    """A setting as operators think of it."""
    if value is None or value in ("", []):
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list) and all(isinstance(member, str) for member in value):
        return "\n".join(value)
    return value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)


def _lines(before: str, after: str) -> list[tuple[str, str]]:
    """Changed lines with two lines around them: ("+" | "-" | " " | "…", text)."""
    found = list(difflib.unified_diff(before.splitlines(), after.splitlines(), n=2, lineterm=""))[3:]
    return [("…", "") if line.startswith("@@") else (line[:1], line[1:]) for line in found]
