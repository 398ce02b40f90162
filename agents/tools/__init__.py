"""TOOLS: kind -> the module that runs it (see agents.tools.base.ToolKind), imported on first use."""

from collections.abc import Mapping
from importlib import import_module
from typing import cast

from agents.tools.base import ToolKind

TOOLS: Mapping[str, str] = {
    "http": "agents.tools.http",
    "clock": "agents.tools.clock",
}


def kind_for(name: str) -> ToolKind:
    """The module of a tool kind. Raises KeyError for a kind that TOOLS does not list."""
    return cast(ToolKind, import_module(TOOLS[name]))
