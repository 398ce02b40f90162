"""Agents: a draft to edit, a version that callers meet, and the way from one to the other and back."""

from typing import Any

from django.conf import settings
from django.contrib import admin, messages
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern
from unfold.contrib.filters.admin import DropdownFilter

from agents import comparing, versions
from agents.admin import states
from agents.admin.agentform import AgentForm
from agents.admin.base import ManagedAdmin, TabularInline, managed_agents, person, shown
from agents.admin.buttons import button, row_url
from agents.admin.differences import table
from agents.models import Agent, AgentTool, Tool


class AgentFilter(DropdownFilter):  # type: ignore[misc]  # unfold is untyped
    """Filters by agent, offering only those the reader manages."""

    title = "agent"
    parameter_name = "agent"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(str(agent.pk), agent.name) for agent in managed_agents(person(request)).only("name")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        known = {key for key, _ in self.lookup_choices}
        return queryset.filter(agent_id=self.value()) if self.value() in known else queryset


class AgentToolInline(TabularInline[AgentTool, Agent]):
    model = AgentTool
    extra = 0
    verbose_name_plural = "tools"
    verbose_name = "tool"
    fields = ("tool", "requires_approval", "approver")
    tab = True
    hide_title = True

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **options: Any) -> Any:
        """Managers choose among the site's tools, their own, and what an administrator gave their agents: a tool brings its secrets."""
        user = person(request)
        if db_field.name == "tool" and not user.is_superuser:
            given = AgentTool.objects.filter(agent__in=managed_agents(user)).values("tool")
            options["queryset"] = Tool.objects.filter(Q(owner=None) | Q(owner=user) | Q(pk__in=given))
        return super().formfield_for_foreignkey(db_field, request, **options)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return person(request).is_staff

    has_add_permission = has_change_permission = has_delete_permission = has_view_permission


@admin.register(Agent)
class AgentAdmin(ManagedAdmin[Agent]):
    empty_help = "An agent is instructions, a model and tools. Callers meet it once it is published; it needs a provider first."
    agent_path = "pk"
    form = AgentForm
    inlines = (AgentToolInline,)
    list_display = ("title", "state", "served_by", "version", "open_to", "owner", "updated_at")
    list_filter = ("enabled", "access")
    list_select_related = ("provider", "published", "owner")
    search_fields = ("name", "display_name", "description")
    autocomplete_fields = ("owner", "managers", "shared_users", "shared_groups")
    change_form_outer_before_template = "admin/agents/agent/status.html"
    change_form_outer_after_template = "admin/agents/agent/versions.html"
    fieldsets = (
        (None, {"fields": (("name", "display_name", "avatar"), "description")}),
        ("Instructions", {"classes": ["tab"], "fields": ("instructions", "conversation_starters", "caller_instructions")}),
        (
            "Model",
            {
                "classes": ["tab"],
                "fields": (
                    ("provider", "model"), "save_anyway", ("context_window", "fallbacks"),
                    ("accept_images", "accept_audio", "accept_files"), "unsupported_parameters",
                ),
            },
        ),
        (
            "Sampling",
            {
                "classes": ["tab"],
                "fields": (("temperature", "top_p"), ("max_tokens", "reasoning_effort"), "stop", "sampling_locked", "allowed_models"),
            },
        ),
        (
            "Answers",
            {
                "classes": ["tab"],
                "fields": (
                    "output_mode", "output_schema", "show_reasoning", ("client_tools", "client_tool_names"), "approval_notice",
                ),
            },
        ),
        (
            "Limits",
            {
                "classes": ["tab"],
                "fields": (
                    ("turn_policy", "max_steps"), ("max_parallel_runs", "max_queued_chats"),
                    ("max_parallel_tasks", "max_queued_tasks"), ("run_timeout_s", "max_body_bytes"),
                ),
            },
        ),
        (
            "Access",
            {
                "classes": ["tab"],
                "description": "What is set here acts at once, without publishing.",
                "fields": ("enabled", ("owner", "managers"), "access", ("shared_users", "shared_groups"), ("shareable", "require_email")),
            },
        ),
    )  # fmt: skip

    def get_queryset(self, request: HttpRequest) -> QuerySet[Agent]:
        return super().get_queryset(request).prefetch_related("agent_tools")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return person(request).has_perm("agents.add_agent")

    def get_readonly_fields(self, request: HttpRequest, obj: Agent | None = None) -> Any:
        return () if person(request).is_superuser else ("owner",)

    def get_changeform_initial_data(self, request: HttpRequest) -> Any:
        return {"owner": person(request).pk, **super().get_changeform_initial_data(request)}

    def get_urls(self) -> list[URLPattern]:
        pressed = {"publish": self._publish, "discard": self._discard, "rollback": self._roll_back}
        return [*(button(self, name, action) for name, action in pressed.items()), *super().get_urls()]

    # Saving

    def save_model(self, request: HttpRequest, obj: Agent, form: Any, change: bool) -> None:
        if not change and not person(request).is_superuser:
            obj.owner = person(request)
        super().save_model(request, obj, form, change)
        if form.provider_warning:
            messages.warning(request, form.provider_warning)
        if obj.require_email and settings.EMAIL_BACKEND.endswith("dummy.EmailBackend"):
            messages.warning(request, "No mail can be sent, so visitors of its public links get no codes: set EMAIL_URL.")

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """Publishing waits until the tools are saved too."""
        super().save_related(request, form, formsets, change)
        if "_publish" in request.POST:
            self._publish(request, Agent.objects.get(pk=form.instance.pk))

    def response_add(self, request: HttpRequest, obj: Agent, post_url_continue: str | None = None) -> HttpResponse:
        return self._stay(request, obj) or super().response_add(request, obj, post_url_continue)

    def response_change(self, request: HttpRequest, obj: Agent) -> HttpResponse:
        return self._stay(request, obj) or super().response_change(request, obj)

    def _stay(self, request: HttpRequest, agent: Agent) -> HttpResponse | None:
        from django.shortcuts import redirect

        return redirect(row_url(agent)) if "_publish" in request.POST else None

    # Buttons

    def _publish(self, request: HttpRequest, agent: Agent) -> None:
        try:
            version = versions.publish(agent, person(request), request.POST.get("note", ""))
        except (versions.NothingToPublish, versions.CannotPublish) as refusal:
            messages.warning(request, str(refusal))
            return
        self.log_change(request, agent, f"Published version {version.number}.")
        messages.success(request, f"Version {version.number} is live: the next turn on every protocol uses it.")

    def _discard(self, request: HttpRequest, agent: Agent) -> None:
        if agent.published is None:
            messages.warning(request, "There is no published version to go back to.")
            return
        try:
            versions.restore(agent, agent.published)
        except versions.CannotPublish as refusal:
            messages.error(request, str(refusal))
            return
        self.log_change(request, agent, f"Discarded the draft; back to version {agent.published.number}.")
        messages.success(request, f"The draft is what version {agent.published.number} is.")

    def _roll_back(self, request: HttpRequest, agent: Agent) -> None:
        version = agent.versions.filter(number=request.POST.get("number", "")).first() if request.POST.get("number", "").isdigit() else None
        if version is None:
            messages.error(request, "There is no such version.")
            return
        try:
            new = versions.roll_back(agent, version, person(request))
        except (versions.NothingToPublish, versions.CannotPublish) as refusal:
            messages.warning(request, str(refusal))
            return
        self.log_change(request, agent, f"Rolled back to version {version.number}.")
        messages.success(request, f"Version {new.number} is live; it is what version {version.number} was.")

    # Pages

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **options: Any) -> Any:
        agent: Agent | None = options.get("obj")
        if agent is not None:
            context |= self._status(request, agent)
        return super().render_change_form(request, context, *args, **options)

    def _status(self, request: HttpRequest, agent: Agent) -> dict[str, Any]:
        return {
            "state": self.state(agent),
            "state_kind": states.COLOURS[self.state(agent)],
            "differences": table(comparing.differences(agent)) if versions.has_unpublished_changes(agent) else "",
            "versions": agent.versions.select_related("published_by")[:10],
            "site_address": settings.PUBLIC_BASE_URL or request.build_absolute_uri("/").rstrip("/"),
            "publish_url": row_url(agent, "publish"),
            "discard_url": row_url(agent, "discard"),
            "rollback_url": row_url(agent, "rollback"),
        }

    @shown("agent", header=True, ordering="name")
    def title(self, agent: Agent) -> list[str]:
        return [str(agent), agent.name, agent.avatar or agent.name[:2].upper()]

    @shown("state", label=states.COLOURS)
    def state(self, agent: Agent) -> str:
        return states.state_of(agent)

    @shown("model", ordering="model")
    def served_by(self, agent: Agent) -> str:
        return f"{agent.model} · {agent.provider.name}"

    @shown("open to", ordering="access")
    def open_to(self, agent: Agent) -> str:
        return {"private": "its managers", "shared": "some", "signed_in": "all signed in"}[agent.access]

    @shown("version")
    def version(self, agent: Agent) -> str:
        return f"v{agent.published.number}" if agent.published else "–"
