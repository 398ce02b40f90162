"""API keys: made here, shown once, revoked here. Staff manage their own, administrators all."""

from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, reverse
from django.utils import timezone
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget

from agents import catalog
from agents.admin.base import ModelAdmin, ModelForm, person, shown
from agents.admin.buttons import button
from agents.models import ApiKey

SCOPES = (
    ("run", "run – talk to agents, start tasks"),
    ("read", "read – conversations, executions, streams"),
    ("manage", "manage – agents, links, schedules"),
    ("knowledge", "knowledge – upload files, fill folders"),
)
STATES = {"Active": "success", "Expired": "warning", "Revoked": "danger"}


class ApiKeyForm(ModelForm[ApiKey]):
    scopes = forms.MultipleChoiceField(
        choices=SCOPES,
        initial=["run", "read"],
        widget=UnfoldAdminCheckboxSelectMultipleWidget(),
        help_text="What the key may do; never more than its owner may.",
    )

    class Meta:
        model = ApiKey
        exclude = ("revoked_at",)
        help_texts = {
            "owner": "The key acts for this user and sees what this user sees.",
            "name": "What it is for, so that you know later which one to revoke.",
            "agents": "Only these agents. None chosen: all that the owner may use.",
            "default_agent": "Answers calls that name no agent.",
            "expires_at": "Empty: never.",
            "rpm": "Empty: the site's limit (CHAT_RATE_RPM). 0: no limit.",
            "tpm": "Empty: the site's limit (CHAT_RATE_TPM). 0: no limit.",
        }


@admin.register(ApiKey)
class ApiKeyAdmin(ModelAdmin[ApiKey]):
    empty_help = "Programs call agents with a key of their own. It is shown once, after you save it."
    form = ApiKeyForm
    list_display = ("name", "begins_with", "owner", "scope_list", "state", "expires_at", "created_at")
    list_filter = ("revoked_at",)
    list_select_related = ("owner",)
    search_fields = ("name", "prefix", "owner__username")
    autocomplete_fields = ("owner", "agents", "default_agent")
    actions = ("revoke_selected",)
    change_form_outer_before_template = "admin/agents/apikey/status.html"
    fieldsets = (
        (None, {"fields": (("name", "owner"), "scopes", "expires_at")}),
        ("Agents", {"fields": (("agents", "default_agent"),)}),
        ("Limits", {"fields": (("rpm", "tpm"),)}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[ApiKey]:
        keys = super().get_queryset(request)
        return keys if person(request).is_superuser else keys.filter(owner=person(request))

    def has_module_permission(self, request: HttpRequest) -> bool:
        return person(request).is_staff

    def has_add_permission(self, request: HttpRequest) -> bool:
        return person(request).is_staff

    def has_view_permission(self, request: HttpRequest, obj: ApiKey | None = None) -> bool:
        user = person(request)
        return user.is_staff and (obj is None or user.is_superuser or obj.owner_id == user.pk)

    has_change_permission = has_delete_permission = has_view_permission

    def get_readonly_fields(self, request: HttpRequest, obj: ApiKey | None = None) -> Any:
        """Nobody hands on a key, and staff make keys for themselves only."""
        return ("owner",) if obj or not person(request).is_superuser else ()

    def get_changeform_initial_data(self, request: HttpRequest) -> Any:
        return {"owner": person(request).pk, **super().get_changeform_initial_data(request)}

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **options: Any) -> Any:
        """One key at a time: its text has to be copied before the next."""
        context |= {"show_save_and_add_another": False, "show_save_and_continue": False}
        return super().render_change_form(request, context, *args, **options)

    def get_urls(self) -> list[URLPattern]:
        return [button(self, "revoke", self._revoke), *super().get_urls()]

    def save_form(self, request: HttpRequest, form: Any, change: bool) -> ApiKey:
        key: ApiKey = super().save_form(request, form, change)
        if not change and not person(request).is_superuser:
            key.owner = person(request)
        return key

    def save_model(self, request: HttpRequest, obj: ApiKey, form: Any, change: bool) -> None:
        if not change:
            obj.renew()
        super().save_model(request, obj, form, change)

    def response_add(self, request: HttpRequest, obj: ApiKey, post_url_continue: str | None = None) -> HttpResponse:
        """The one page that shows the plain key: it is kept nowhere, so this answers the form itself instead of redirecting."""
        context = {
            **self.admin_site.each_context(request),
            "title": "Your new API key",
            "opts": self.opts,
            "key": obj,
            "plain": obj.plain,
            "list_url": reverse("admin:agents_apikey_changelist"),
            "site_address": settings.PUBLIC_BASE_URL or request.build_absolute_uri("/").rstrip("/"),
        }
        return TemplateResponse(request, "admin/agents/apikey/created.html", context)

    def _revoke(self, request: HttpRequest, key: ApiKey) -> None:
        if key.revoked_at is None:
            key.revoked_at = timezone.now()
            key.save(update_fields=["revoked_at"])
            self.log_change(request, key, "Revoked.")
        messages.success(request, f"{key.name} is revoked; calls with it are refused from now on.")

    @admin.action(description="Revoke the selected keys", permissions=["change"])
    def revoke_selected(self, request: HttpRequest, keys: QuerySet[ApiKey]) -> None:
        number = keys.filter(revoked_at=None).update(revoked_at=timezone.now())
        catalog.changed()
        messages.success(request, f"{number} keys revoked; calls with them are refused from now on.")

    @shown("begins with")
    def begins_with(self, key: ApiKey) -> str:
        return f"{key.prefix}…"

    @shown("may")
    def scope_list(self, key: ApiKey) -> str:
        return ", ".join(key.scopes)

    @shown("state", label=STATES)
    def state(self, key: ApiKey) -> str:
        if key.revoked_at:
            return "Revoked"
        return "Expired" if key.expires_at and key.expires_at <= timezone.now() else "Active"
