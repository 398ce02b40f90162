"""The admin pages of agents, providers, tools, keys, people and files; each module registers its own."""

from agents.admin import agents, attachments, keys, people, providers, tools, versions

__all__ = ["agents", "attachments", "keys", "people", "providers", "tools", "versions"]
