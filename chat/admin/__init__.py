"""The admin pages of conversations, runs, approvals, workflows and public links; each module registers its own."""

from chat.admin import approvals, conversations, executions, sharetokens, workflows

__all__ = ["approvals", "conversations", "executions", "sharetokens", "workflows"]
