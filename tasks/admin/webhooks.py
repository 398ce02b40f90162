"""Webhooks: addresses that start a run when they are called; rotated, signed and switched off here."""

from typing import Any

from django.conf import settings
from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern

from agents.admin.agents import AgentFilter
from agents.admin.base import ManagedAdmin, ModelForm, managed_agents, person, shown
from agents.admin.buttons import button, row_url
from tasks import webhooks
from tasks.models import Schedule, Webhook


class WebhookForm(ModelForm[Webhook]):
    class Meta:
        model = Webhook
        fields = ("agent", "schedule", "enabled")
        help_texts = {
            "agent": "Who is asked when the address is called.",
            "schedule": "Whose message is asked, with what the caller sends as data. Empty: what the caller sends is the message.",
            "enabled": "Off: callers are told that there is no such address.",
        }

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        agent, schedule = cleaned.get("agent"), cleaned.get("schedule")
        if schedule is not None and agent is not None and schedule.agent_id != agent.pk:
            self.add_error("schedule", "This schedule is another agent's.")
        elif agent is not None and webhooks.webhook_of(agent.pk, schedule.pk if schedule else None) is not None:
            self.add_error(None, "It has a webhook already.")
        return cleaned


@admin.register(Webhook)
class WebhookAdmin(ManagedAdmin[Webhook]):
    empty_help = "A webhook is an address that starts a run whenever another program calls it."
    form = WebhookForm
    list_display = ("whose", "agent", "state", "signing", "last_called_at", "created_at")
    list_display_links = ("whose",)
    list_filter = (AgentFilter, "enabled")
    list_select_related = ("agent", "schedule")
    search_fields = ("agent__name", "schedule__name")
    ordering = ("-created_at",)
    change_form_outer_before_template = "admin/tasks/webhook/status.html"
    fieldsets = ((None, {"fields": (("agent", "schedule"), "enabled")}),)

    def has_add_permission(self, request: HttpRequest) -> bool:
        user = person(request)
        return user.is_staff and managed_agents(user).exists()

    def has_delete_permission(self, request: HttpRequest, obj: Webhook | None = None) -> bool:
        return self.has_change_permission(request, obj)

    def get_readonly_fields(self, request: HttpRequest, obj: Webhook | None = None) -> Any:
        return ("agent", "schedule") if obj else ()

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **options: Any) -> Any:
        agents = managed_agents(person(request))
        options["queryset"] = agents if db_field.name == "agent" else Schedule.objects.filter(agent__in=agents.values("pk"))
        return super().formfield_for_foreignkey(db_field, request, **options)

    def get_urls(self) -> list[URLPattern]:
        pressed = {"rotate": self._rotate, "sign": self._sign, "unsign": self._unsign}
        return [*(button(self, name, what) for name, what in pressed.items()), *super().get_urls()]

    def save_model(self, request: HttpRequest, obj: Webhook, form: Any, change: bool) -> None:
        if change:
            super().save_model(request, obj, form, change)
            return
        made = webhooks.mint(obj.agent_id, obj.schedule, person(request).pk)
        Webhook.objects.filter(pk=made.pk).update(enabled=obj.enabled)
        obj.pk, obj.token = made.pk, made.token

    def response_add(self, request: HttpRequest, obj: Webhook, post_url_continue: str | None = None) -> HttpResponse:
        """To the page that shows its address."""
        listed = super().response_add(request, obj, post_url_continue)
        return listed if "_addanother" in request.POST else redirect(row_url(obj))

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **options: Any) -> Any:
        webhook: Webhook | None = options.get("obj")
        if webhook is not None:
            context |= {
                "address": _address(request, webhook),
                "is_signed": bool(webhook.secret),
                **{f"{name}_url": row_url(webhook, name) for name in ("rotate", "sign", "unsign")},
            }
        return super().render_change_form(request, context, *args, **options)

    def _rotate(self, request: HttpRequest, webhook: Webhook) -> None:
        webhooks.mint(webhook.agent_id, webhook.schedule, person(request).pk)
        self.log_change(request, webhook, "Given a new address.")
        messages.success(request, "The webhook has a new address; the old one is dead, and calls are not signed any more.")

    def _sign(self, request: HttpRequest, webhook: Webhook) -> HttpResponse:
        """The one page that shows the secret: it answers the form itself instead of redirecting."""
        signed = webhooks.sign(webhook, on=True)
        self.log_change(request, webhook, "Given a new secret.")
        context = {
            **self.admin_site.each_context(request),
            "title": "The signing secret",
            "opts": self.opts,
            "secret": signed.secret,
            "address": _address(request, webhook),
            "back_url": row_url(webhook),
        }
        return TemplateResponse(request, "admin/tasks/webhook/secret.html", context)

    def _unsign(self, request: HttpRequest, webhook: Webhook) -> None:
        webhooks.sign(webhook, on=False)
        self.log_change(request, webhook, "Signing switched off.")
        messages.success(request, "Calls are taken without a signature from now on.")

    @shown("starts")
    def whose(self, webhook: Webhook) -> str:
        return str(webhook.schedule) if webhook.schedule else "the agent itself"

    @shown("state", label={"on": "success", "off": "warning"})
    def state(self, webhook: Webhook) -> str:
        return "on" if webhook.enabled else "off"

    @shown("signed", label={"signed": "success", "unsigned": "info"})
    def signing(self, webhook: Webhook) -> str:
        return "signed" if webhook.secret else "unsigned"


def _address(request: HttpRequest, webhook: Webhook) -> str:
    site = settings.PUBLIC_BASE_URL or request.build_absolute_uri("/").rstrip("/")
    return f"{site}/api/webhooks/{webhook.token}"
