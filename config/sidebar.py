"""The admin's sidebar: groups of pages with icons. A registered page that no group names appears under "More"."""

from collections.abc import Callable, Mapping
from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.text import capfirst

GROUPS: Mapping[str, Mapping[str, str]] = {
    "Build": {
        "agents.agent": "smart_toy",
        "agents.tool": "construction",
        "agents.provider": "cloud",
        "chat.workflow": "account_tree",
        "agents.knowledgefolder": "folder_open",
    },
    "Watch": {
        "chat.execution": "play_circle",
        "chat.approval": "approval",
        "chat.chatsession": "forum",
        "chat.message": "chat_bubble",
        "agents.attachment": "attach_file",
    },
    "Automate": {
        "tasks.schedule": "schedule",
        "tasks.webhook": "webhook",
        "tasks.endpoint": "outbox",
        "tasks.delivery": "send",
    },
    "Share and bill": {
        "agents.apikey": "key",
        "chat.sharetoken": "link",
        "billing.price": "sell",
        "billing.budget": "savings",
        "billing.payment": "payments",
    },
    "People": {"auth.user": "person", "auth.group": "group"},
}
HIDDEN = frozenset(
    (
        "agents.agentversion", "token_blacklist.blacklistedtoken", "token_blacklist.outstandingtoken",
        "django_celery_beat.clockedschedule", "django_celery_beat.crontabschedule", "django_celery_beat.intervalschedule",
        "django_celery_beat.periodictask", "django_celery_beat.solarschedule",
    )
)  # fmt: skip
"""Tables of libraries, which nobody edits by hand."""


def navigation(request: HttpRequest) -> list[dict[str, Any]]:
    """The groups with the pages this user may open."""
    pages = {model._meta.label_lower: page for model, page in admin.site._registry.items()}
    groups: list[dict[str, Any]] = [{"title": "", "items": [{"title": "Overview", "icon": "dashboard", "link": reverse("admin:index")}]}]
    groups += [{"title": title, "items": _items(request, icons, pages)} for title, icons in GROUPS.items()]
    named = {label for icons in GROUPS.values() for label in icons} | HIDDEN
    rest = {label: "chevron_right" for label in sorted(pages) if label not in named}
    groups.append({"title": "More", "collapsible": True, "items": _items(request, rest, pages)})
    return [group for group in groups if group["items"]]


def _items(request: HttpRequest, icons: Mapping[str, str], pages: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        _item(request, label, icon, pages[label])
        for label, icon in icons.items()
        if label in pages and pages[label].has_module_permission(request) and pages[label].has_view_or_change_permission(request)
    ]


def _item(request: HttpRequest, label: str, icon: str, page: Any) -> dict[str, Any]:
    opts = page.opts
    link = reverse(f"admin:{opts.app_label}_{opts.model_name}_changelist")
    item = {"title": capfirst(opts.verbose_name_plural), "icon": icon, "link": link}
    badge = BADGES[label](request, page) if label in BADGES else ""
    return item | ({"badge": badge} if badge else {})


def _waiting(request: HttpRequest, page: Any) -> str:
    """How many approvals wait; nothing when none does."""
    number = page.get_queryset(request).filter(decision="", expires_at__gt=timezone.now()).count()
    return str(number) if number else ""


BADGES: Mapping[str, Callable[[HttpRequest, Any], str]] = {"chat.approval": _waiting}
