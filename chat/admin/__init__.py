"""The admin pages of conversations, runs and approvals; each module registers its own."""

from chat.admin import approvals, conversations, executions

__all__ = ["approvals", "conversations", "executions"]
