"""What an agent is to its callers at this moment, in two words and a colour."""

from agents import versions
from agents.models import Agent

COLOURS = {"Live": "success", "Changes not published": "warning", "Not published": "info", "Stopped": "danger"}


def state_of(agent: Agent) -> str:
    """A key of COLOURS. Cheap when `published` and `agent_tools` were fetched along."""
    if agent.published is None:
        return "Not published"
    if not agent.enabled:
        return "Stopped"
    return "Changes not published" if versions.has_unpublished_changes(agent) else "Live"
