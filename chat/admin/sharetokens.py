"""Public links: made here, copied from here, switched off and deleted here, with how much they were used (AG-53)."""

from typing import Any

from django.contrib import admin, messages
from django.http import HttpRequest
from django.shortcuts import redirect
from django.urls import URLPattern, reverse
from django.utils import timezone

from agents.admin.agents import AgentFilter
from agents.admin.base import ManagedAdmin, ModelForm, managed_agents, person, shown
from agents.admin.buttons import button, row_url
from chat.links import address_of, is_open, namespace_of, new_token
from chat.models import ShareToken

COLOURS = {"open": "success", "used up": "warning", "not shareable": "warning", "expired": "default", "off": "danger"}


class ShareTokenForm(ModelForm[ShareToken]):
    class Meta:
        model = ShareToken
        fields = ("agent", "name", "expires_at", "max_messages", "enabled")
        help_texts = {
            "agent": "Who answers those that have the link.",
            "name": "Where you put it, so that you know later which one to switch off.",
            "expires_at": "Empty: never.",
            "max_messages": "Messages that may be sent through it in all. Empty: no limit.",
            "enabled": "Off: the link is dead until it is switched on again.",
        }

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if "expires_at" in self.changed_data and (moment := cleaned.get("expires_at")) and moment <= timezone.now():
            self.add_error("expires_at", "This is in the past.")
        if cleaned.get("max_messages") == 0:
            self.add_error("max_messages", "At least one, or empty for no limit.")
        return cleaned


@admin.register(ShareToken)
class ShareTokenAdmin(ManagedAdmin[ShareToken]):
    empty_help = (
        "Whoever has a public link chats with its agent without an account. The agent must be shareable (on its page, under Access)."
    )
    form = ShareTokenForm
    list_display = ("title", "agent", "state", "messages_sent", "unique_visitors", "last_used_at", "expires_at", "created_at")
    list_display_links = ("title",)
    list_filter = (AgentFilter, "enabled")
    list_select_related = ("agent", "agent__published")
    search_fields = ("name", "agent__name", "token")
    ordering = ("-created_at",)
    actions = ("switch_off",)
    change_form_outer_before_template = "admin/chat/sharetoken/status.html"
    fieldsets = ((None, {"fields": (("name", "agent"), ("expires_at", "max_messages"), "enabled")}),)

    def has_add_permission(self, request: HttpRequest) -> bool:
        user = person(request)
        return user.is_staff and managed_agents(user).exists()

    def has_delete_permission(self, request: HttpRequest, obj: ShareToken | None = None) -> bool:
        return self.has_change_permission(request, obj)

    def get_readonly_fields(self, request: HttpRequest, obj: ShareToken | None = None) -> Any:
        return ("agent",) if obj else ()

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **options: Any) -> Any:
        if db_field.name == "agent":
            options["queryset"] = managed_agents(person(request)).filter(published__isnull=False)
        return super().formfield_for_foreignkey(db_field, request, **options)

    def get_urls(self) -> list[URLPattern]:
        return [button(self, "switch", self._switch), *super().get_urls()]

    def save_form(self, request: HttpRequest, form: Any, change: bool) -> ShareToken:
        link: ShareToken = super().save_form(request, form, change)
        if not change:
            link.token, link.created_by = new_token(), person(request)
        return link

    def response_add(self, request: HttpRequest, obj: ShareToken, post_url_continue: str | None = None) -> Any:
        """To the page that shows its address."""
        listed = super().response_add(request, obj, post_url_continue)
        return listed if "_addanother" in request.POST else redirect(row_url(obj))

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **options: Any) -> Any:
        link: ShareToken | None = options.get("obj")
        if link is not None:
            conversations = reverse("admin:chat_chatsession_changelist")
            context |= {
                "address": address_of(link, request.build_absolute_uri("/").rstrip("/")),
                "state": self.state(link),
                "state_kind": COLOURS[self.state(link)],
                "switch_url": row_url(link, "switch"),
                "conversations_url": f"{conversations}?q={namespace_of(link.pk)}",
            }
        return super().render_change_form(request, context, *args, **options)

    def _switch(self, request: HttpRequest, link: ShareToken) -> None:
        link.enabled = not link.enabled
        link.save(update_fields=["enabled"])
        self.log_change(request, link, "Switched on." if link.enabled else "Switched off.")
        messages.success(
            request, "The link works again." if link.enabled else "The link is dead: whoever opens it is told that it is not valid."
        )

    @admin.action(description="Switch the selected links off", permissions=["change"])
    def switch_off(self, request: HttpRequest, links: Any) -> None:
        number = links.filter(enabled=True).update(enabled=False)
        messages.success(request, f"{number} links switched off.")

    @shown("link", ordering="name")
    def title(self, link: ShareToken) -> str:
        return link.name or f"{link.token[:6]}…"

    @shown("state", label=COLOURS)
    def state(self, link: ShareToken) -> str:
        if not link.enabled:
            return "off"
        if not is_open(link):
            return "expired"
        if not link.agent.shareable:
            return "not shareable"
        return "used up" if link.max_messages is not None and link.total_messages >= link.max_messages else "open"

    @shown("messages", ordering="total_messages")
    def messages_sent(self, link: ShareToken) -> str:
        return f"{link.total_messages:,}" + (f" of {link.max_messages:,}" if link.max_messages else "")
