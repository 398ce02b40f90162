"""Schedules: when an agent is asked by itself, what came of it, and a button to ask now."""

from typing import Any

from asgiref.sync import async_to_sync
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.shortcuts import redirect
from django.urls import URLPattern, reverse
from django.utils import timezone

from agents import directory
from agents.admin.agents import AgentFilter
from agents.admin.base import ManagedAdmin, managed_agents, person, shown
from agents.admin.buttons import button, row_url
from agents.errors import SwitchboardError
from chat.admin import facts
from chat.models import Execution, Workflow
from tasks import webhooks
from tasks.admin.scheduleform import ScheduleForm
from tasks.analytics import analytics
from tasks.models import Schedule

_RECENT = 8
_WINDOWS = ((24, "24 hours"), (168, "7 days"), (720, "30 days"))


@admin.register(Schedule)
class ScheduleAdmin(ManagedAdmin[Schedule]):
    empty_help = "A schedule asks an agent by itself, once or again and again."
    form = ScheduleForm
    list_display = ("name", "agent", "when", "state", "last_run", "last_run_at", "next_run_at")
    list_filter = (AgentFilter, "enabled")
    list_select_related = ("agent",)
    search_fields = ("name", "message", "agent__name")
    ordering = ("name", "pk")
    change_form_outer_before_template = "admin/tasks/schedule/status.html"
    fieldsets = (
        (None, {"fields": (("name", "agent"), "message", ("cron_expression", "timezone"), ("run_at", "enabled"), "description")}),
        ("What it runs", {"fields": (("workflow", "params"),)}),
        ("How it runs", {"fields": (("model", "timeout_s"), "allowed_tools")}),
        ("When it fails", {"fields": (("max_retries", "retry_delay_s"),)}),
    )

    def has_add_permission(self, request: HttpRequest) -> bool:
        user = person(request)
        return user.is_staff and managed_agents(user).exists()

    def has_delete_permission(self, request: HttpRequest, obj: Schedule | None = None) -> bool:
        return self.has_change_permission(request, obj)

    def get_readonly_fields(self, request: HttpRequest, obj: Schedule | None = None) -> Any:
        return ("agent",) if obj else ()

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **options: Any) -> Any:
        if db_field.name == "agent":
            options["queryset"] = managed_agents(person(request))
        if db_field.name == "workflow":
            options["queryset"] = Workflow.objects.filter(agent__in=managed_agents(person(request)).values("pk"))
        return super().formfield_for_foreignkey(db_field, request, **options)

    def get_urls(self) -> list[URLPattern]:
        return [button(self, "trigger", self._trigger), button(self, "webhook", self._webhook), *super().get_urls()]

    def save_form(self, request: HttpRequest, form: Any, change: bool) -> Schedule:
        schedule: Schedule = super().save_form(request, form, change)
        if not change:
            schedule.created_by = person(request)
        return schedule

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **options: Any) -> Any:
        schedule: Schedule | None = options.get("obj")
        if schedule is not None:
            context |= _told(schedule)
        return super().render_change_form(request, context, *args, **options)

    def _trigger(self, request: HttpRequest, schedule: Schedule) -> Any:
        from tasks import firing  # the spine: not loaded for the sake of a list

        agent = directory.fresh().by_id.get(schedule.agent_id)
        if agent is None:
            messages.error(request, "The agent is not published.")
            return None
        try:
            accepted = async_to_sync(firing.start)(schedule, agent, firing.wanted_by(schedule))
        except SwitchboardError as error:
            messages.error(request, error.message)
            return None
        self.log_change(request, schedule, "Triggered.")
        messages.success(request, f"{schedule.name} was triggered.")
        return redirect("admin:chat_execution_change", accepted.execution_id)

    def _webhook(self, request: HttpRequest, schedule: Schedule) -> Any:
        """Its address: the one it has, or a new one."""
        webhook = webhooks.webhook_of(schedule.agent_id, schedule.pk)
        if webhook is None:
            webhook = webhooks.mint(schedule.agent_id, schedule, person(request).pk)
            self.log_change(request, schedule, "Given a webhook.")
        return redirect(row_url(webhook))

    @shown("when")
    def when(self, schedule: Schedule) -> str:
        if schedule.cron_expression:
            return f"{schedule.cron_expression} · {schedule.timezone}"
        return f"once, {timezone.localtime(schedule.run_at):%Y-%m-%d %H:%M}" if schedule.run_at else facts.UNKNOWN

    @shown("state", label={"on": "success", "off": "warning"})
    def state(self, schedule: Schedule) -> str:
        return "on" if schedule.enabled else "off"

    @shown("last run", label=facts.STATUS_COLOURS)
    def last_run(self, schedule: Schedule) -> str:
        status = _runs(schedule).values_list("status", flat=True).first()
        return status or facts.UNKNOWN


def _runs(schedule: Schedule) -> QuerySet[Execution]:
    return Execution.objects.filter(schedule_id=schedule.pk).order_by("-created_at", "-pk")


def _told(schedule: Schedule) -> dict[str, Any]:
    """What stands above the form: how it goes, and the last runs."""
    return {
        "windows": [(name, _figures(analytics(schedule.pk, hours, timezone.now()))) for hours, name in _WINDOWS],
        "runs": [_run(run) for run in _runs(schedule).only("status", "trigger", "created_at", "duration_ms", "error")[:_RECENT]],
        "runs_url": f"{reverse('admin:chat_execution_changelist')}?schedule_id={schedule.pk}",
        "trigger_url": row_url(schedule, "trigger"),
        "webhook_url": row_url(schedule, "webhook"),
        "webhook": webhooks.webhook_of(schedule.agent_id, schedule.pk),
    }


def _run(run: Execution) -> dict[str, Any]:
    return {
        "url": row_url(run),
        "status": run.status,
        "colour": facts.STATUS_COLOURS[run.status],
        "at": run.created_at,
        "note": run.error or (f"{run.trigger}, {facts.duration(run.duration_ms)}"),
    }


def _figures(found: dict[str, Any]) -> list[tuple[str, str]]:
    rate = found["success_rate"]
    return [
        ("runs", str(found["total"])),
        ("succeeded", facts.UNKNOWN if rate is None else f"{rate:.0%}"),
        ("failed", str(found["failed"])),
        ("skipped", str(found["skipped"])),
        ("p50", facts.duration(found["p50_ms"])),
        ("p95", facts.duration(found["p95_ms"])),
        ("cost", facts.money(found["total_cost"])),
    ]
