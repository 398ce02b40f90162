"""Runs: what was asked, what came of it, how long it took and what it cost. Managers may stop one that still goes."""

from datetime import datetime
from typing import Any

from asgiref.sync import async_to_sync
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import URLPattern
from django.utils import timezone
from unfold.contrib.filters.admin import ChoicesDropdownFilter, FieldTextFilter
from unfold.paginator import InfinitePaginator

from agents.admin.agents import AgentFilter
from agents.admin.base import ManagedAdmin, ReadOnly, shown
from agents.admin.buttons import button, row_url
from agents.errors import SwitchboardError
from chat.admin import facts
from chat.admin.filters import DaysFilter, with_id
from chat.admin.parts import readable
from chat.admin.steps import steps_of
from chat.models import Execution

OPEN = (Execution.Status.QUEUED, Execution.Status.RUNNING, Execution.Status.PAUSED)
_LONG = ("steps", "usage", "response", "error_detail", "paused_state", "labels")


@admin.register(Execution)
class ExecutionAdmin(ReadOnly[Execution], ManagedAdmin[Execution]):
    empty_help = "Every run of an agent or workflow is listed here, whatever started it. There was none yet."
    list_display = ("status_shown", "run", "model_used", "token_count", "cost", "took", "created_at")
    list_display_links = ("run",)
    list_filter = (
        ("status", ChoicesDropdownFilter),
        AgentFilter,
        ("wire", ChoicesDropdownFilter),
        ("trigger", ChoicesDropdownFilter),
        ("model_used", FieldTextFilter),
        ("created_at", DaysFilter),
    )
    search_fields = ("message", "response", "request_id", "principal")
    search_help_text = "Id, text asked or answered, request id, principal"
    list_fullwidth = True
    list_per_page = 50
    paginator = InfinitePaginator
    ordering = ("-pk",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Execution]:
        runs = super().get_queryset(request)
        listing = request.resolver_match is not None and request.resolver_match.url_name == "chat_execution_changelist"
        return runs.defer(*_LONG) if listing else runs

    def get_search_results(self, request: HttpRequest, queryset: QuerySet[Execution], search_term: str) -> tuple[QuerySet[Execution], bool]:
        return with_id(queryset, search_term) or super().get_search_results(request, queryset, search_term)

    def get_urls(self) -> list[URLPattern]:
        return [button(self, "stop", self._stop, right=self.has_view_permission), *super().get_urls()]

    def _stop(self, request: HttpRequest, run: Execution) -> None:
        from chat import cancelling  # the spine: not loaded for the sake of a list

        try:
            cancelled = async_to_sync(cancelling.cancel)(run.pk)
        except SwitchboardError as error:
            messages.error(request, error.message)
            return
        self.log_change(request, run, "Stopped.")
        messages.success(request, f"The run is {cancelled.status}.")

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **options: Any) -> Any:
        run: Execution = options["obj"]
        context |= {
            "run": run,
            "status_kind": facts.STATUS_COLOURS[run.status],
            "facts": _facts(run),
            "inputs": _inputs(run),
            "usage": facts.usage_lines(run.usage),
            "context": f"{run.context_tokens:,} of {run.context_window:,} tokens" if run.context_window else "",
            "steps": steps_of(run),
            "moments": [_moment(moment) for moment in (run.queued_at, run.started_at, run.completed_at)],
            "approvals": run.approvals.select_related("decided_by").order_by("created_at"),
            "stop_url": row_url(run, "stop") if run.status in OPEN else "",
        }
        return super().render_change_form(request, context, *args, **options)

    @shown("status", ordering="status", label=facts.STATUS_COLOURS)
    def status_shown(self, run: Execution) -> str:
        return run.status

    @shown("asked", ordering="message", header=True)
    def run(self, run: Execution) -> list[str]:
        """What was asked, or the workflow; below it the agent and its version, the wire, what started it, and why it failed."""
        agent = f"{run.agent_name} v{run.agent_version}" if run.agent_version else run.agent_name
        workflow = (run.work or {}).get("workflow")
        asked = facts.excerpt(run.message, 70) or (f"Workflow {workflow['name']}" if workflow else facts.UNKNOWN)
        return [asked, " · ".join(filter(None, (agent, run.wire, run.trigger, run.error_code)))]

    @shown("tokens in → out", ordering="output_tokens")
    def token_count(self, run: Execution) -> str:
        return facts.tokens(run.input_tokens, run.output_tokens)

    @shown("cost", ordering="cost_usd")
    def cost(self, run: Execution) -> str:
        return facts.money(run.cost_usd)

    @shown("took", ordering="duration_ms")
    def took(self, run: Execution) -> str:
        return facts.duration(run.duration_ms)


def _moment(moment: datetime | None) -> str:
    """To the millisecond, in the site's time zone; Django's date filter has no letter for that."""
    return facts.UNKNOWN if moment is None else timezone.localtime(moment).isoformat(" ", "milliseconds")[11:23]


def _inputs(run: Execution) -> str:
    """What a workflow was given, apart from a message."""
    given = ((run.work or {}).get("workflow") or {}).get("inputs")
    return readable(given) if given else ""


def _facts(run: Execution) -> list[tuple[str, str]]:
    """The line of figures at the top of a run's page."""
    return [
        ("Took", facts.duration(run.duration_ms)),
        ("First token", facts.duration(run.first_token_ms)),
        ("In the model", facts.duration(run.model_ms)),
        ("In the queue", facts.duration(run.queue_ms)),
        ("Tokens in → out", facts.tokens(run.input_tokens, run.output_tokens)),
        ("Cost", facts.money(run.cost_usd)),
    ]
