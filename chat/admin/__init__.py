"""The admin pages of conversations, runs, approvals and public links; each module registers its own."""

from chat.admin import approvals, conversations, executions, sharetokens

__all__ = ["approvals", "conversations", "executions", "sharetokens"]
