"""The admin pages of schedules and webhooks; each module registers its own."""

from tasks.admin import schedules, webhooks

__all__ = ["schedules", "webhooks"]
