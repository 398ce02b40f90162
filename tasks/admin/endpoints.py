"""Endpoints: where ended runs are delivered. The secret is shown once, when it is made and when it is made anew (AG-52)."""

from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, reverse
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget

from agents import catalog, net
from agents.admin.agents import AgentFilter
from agents.admin.base import ManagedAdmin, ModelForm, managed_agents, person, shown
from agents.admin.buttons import button, row_url
from agents.models import new_secret
from chat.models import Execution
from tasks import sending
from tasks.models import Delivery, Endpoint

STATUSES = (("success", "Succeeded"), ("failed", "Failed"), ("cancelled", "Cancelled"))
_TRIGGER_NAMES = {
    "chat": "Chat messages",
    "task": "Background tasks",
    "schedule": "Schedules",
    "public": "Public links",
    "paid": "Paid calls",
    "voice": "Voice calls",
    "workflow": "Workflows",
    "webhook": "Webhooks",
    "mcp": "MCP clients",
}
TRIGGERS = tuple((trigger.value, _TRIGGER_NAMES.get(trigger.value, trigger.label)) for trigger in Execution.Trigger)
_BLOCKED = (
    "This address is private, or not one of http(s). The setting ALLOW_PRIVATE_ADDRESSES names the private hosts and networks that may be."
)


class EndpointForm(ModelForm[Endpoint]):
    statuses = forms.MultipleChoiceField(
        label="Ended as",
        choices=STATUSES,
        required=False,
        widget=UnfoldAdminCheckboxSelectMultipleWidget(),
        help_text="None chosen: however they ended.",
    )
    triggers = forms.MultipleChoiceField(
        label="Started by",
        choices=TRIGGERS,
        required=False,
        widget=UnfoldAdminCheckboxSelectMultipleWidget(),
        help_text="None chosen: whatever started them.",
    )

    class Meta:
        model = Endpoint
        fields = ("name", "url", "agent", "statuses", "triggers", "enabled")
        help_texts = {
            "name": "Who receives it.",
            "url": "A POST goes there for each run. Private addresses are refused, unless ALLOW_PRIVATE_ADDRESSES names them.",
            "agent": "Whose runs. Empty: those of all agents.",
            "enabled": "Off: nothing is sent, and what waits is given up.",
        }

    def clean_url(self) -> str:
        url: str = self.cleaned_data["url"]
        try:
            net.check_url(url)
        except net.FetchError as error:
            raise ValidationError(_BLOCKED) from error
        return url


@admin.register(Endpoint)
class EndpointAdmin(ManagedAdmin[Endpoint]):
    empty_help = "An endpoint is an address of yours to which ended runs are POSTed, signed."
    form = EndpointForm
    list_display = ("name", "url", "of", "state", "created_at")
    list_filter = (AgentFilter, "enabled")
    list_select_related = ("agent",)
    search_fields = ("name", "url")
    ordering = ("name", "pk")
    change_form_outer_before_template = "admin/tasks/endpoint/status.html"
    fieldsets = ((None, {"fields": (("name", "url"), "agent", ("statuses", "triggers"), "enabled")}),)

    def has_add_permission(self, request: HttpRequest) -> bool:
        user = person(request)
        return user.is_superuser or (user.is_staff and managed_agents(user).exists())

    def has_delete_permission(self, request: HttpRequest, obj: Endpoint | None = None) -> bool:
        return self.has_change_permission(request, obj)

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **options: Any) -> Any:
        """Runs of all agents are for administrators."""
        field = super().formfield_for_foreignkey(db_field, request, **options)
        if db_field.name == "agent" and field is not None and not person(request).is_superuser:
            field.queryset, field.required = managed_agents(person(request)), True
        return field

    def get_urls(self) -> list[URLPattern]:
        return [button(self, "rotate", self._rotate), *super().get_urls()]

    def save_form(self, request: HttpRequest, form: Any, change: bool) -> Endpoint:
        endpoint: Endpoint = super().save_form(request, form, change)
        if not change:
            endpoint.secret, endpoint.owner = new_secret(), person(request)
        return endpoint

    def delete_queryset(self, request: HttpRequest, queryset: Any) -> None:
        super().delete_queryset(request, queryset)
        catalog.changed()

    def response_add(self, request: HttpRequest, obj: Endpoint, post_url_continue: str | None = None) -> HttpResponse:
        return self._secret_page(request, obj, "Every delivery is signed with it.")

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **options: Any) -> Any:
        endpoint: Endpoint | None = options.get("obj")
        if endpoint is not None:
            deliveries = reverse("admin:tasks_delivery_changelist")
            context |= {
                "rotate_url": row_url(endpoint, "rotate"),
                "deliveries_url": f"{deliveries}?endpoint__id__exact={endpoint.pk}",
                "figures": [(status.label, endpoint.deliveries.filter(status=status).count()) for status in Delivery.Status],
            }
        return super().render_change_form(request, context, *args, **options)

    def _rotate(self, request: HttpRequest, endpoint: Endpoint) -> HttpResponse:
        sending.rotate(endpoint)
        self.log_change(request, endpoint, "Given a new secret.")
        said = "For a day the old one signs too, in the header X-Switchboard-Signature-Previous."
        return self._secret_page(request, endpoint, said)

    def _secret_page(self, request: HttpRequest, endpoint: Endpoint, said: str) -> HttpResponse:
        """The one page that shows the secret: it answers the form itself instead of redirecting."""
        context = {
            **self.admin_site.each_context(request),
            "title": "The signing secret",
            "opts": self.opts,
            "secret": endpoint.secret,
            "said": said,
            "back_url": row_url(endpoint),
        }
        return TemplateResponse(request, "admin/signing_secret.html", context)

    @shown("runs of", ordering="agent__name")
    def of(self, endpoint: Endpoint) -> str:
        return endpoint.agent.name if endpoint.agent else "all agents"

    @shown("state", label={"on": "success", "off": "warning"})
    def state(self, endpoint: Endpoint) -> str:
        return "on" if endpoint.enabled else "off"
