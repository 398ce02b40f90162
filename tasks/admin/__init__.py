"""The admin pages of schedules, webhooks and deliveries; each module registers its own."""

from tasks.admin import deliveries, endpoints, schedules, webhooks

__all__ = ["deliveries", "endpoints", "schedules", "webhooks"]
