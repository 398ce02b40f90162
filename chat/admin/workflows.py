"""Workflows: written as text, drawn as a picture, checked while they are written, run with inputs, and what came of it."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from asgiref.sync import async_to_sync
from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect
from django.urls import URLPattern, path, reverse
from django.utils.safestring import mark_safe

from agents import directory
from agents.admin.agents import AgentFilter
from agents.admin.base import ManagedAdmin, managed_agents, person, shown
from agents.admin.buttons import button, row_url
from agents.errors import SwitchboardError
from chat.admin import facts
from chat.admin.workflowform import WorkflowForm, checked
from chat.models import Execution, Workflow
from chat.workflows import rows
from chat.workflows.definition import DefinitionError, Input, parse, read, written
from chat.workflows.examples import EXAMPLES, example
from chat.workflows.graph import build
from chat.workflows.picture import picture

_RECENT = 8
_LONGEST_CHARS = 500_000
_EMPTY: Mapping[str, Any] = {"string": "", "object": {}, "array": []}


@admin.register(Workflow)
class WorkflowAdmin(ManagedAdmin[Workflow]):
    empty_help = "A workflow asks agents and calls tools in named steps. The page for a new one has examples to start from."
    form = WorkflowForm
    list_display = ("title", "agent", "state", "version", "steps", "last_run", "updated_at")
    list_display_links = ("title",)
    list_filter = (AgentFilter, "enabled")
    list_select_related = ("agent",)
    search_fields = ("name", "display_name", "description", "agent__name")
    ordering = ("name", "pk")
    change_form_outer_before_template = "admin/chat/workflow/status.html"
    fieldsets = ((None, {"fields": (("name", "agent"), ("display_name", "enabled"), "description", "definition")}),)

    def has_add_permission(self, request: HttpRequest) -> bool:
        user = person(request)
        return user.is_staff and managed_agents(user).exists()

    def has_delete_permission(self, request: HttpRequest, obj: Workflow | None = None) -> bool:
        return self.has_change_permission(request, obj)

    def get_readonly_fields(self, request: HttpRequest, obj: Workflow | None = None) -> Any:
        return ("agent",) if obj else ()

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **options: Any) -> Any:
        if db_field.name == "agent":
            options["queryset"] = managed_agents(person(request))
        return super().formfield_for_foreignkey(db_field, request, **options)

    def get_form(self, request: HttpRequest, obj: Workflow | None = None, change: bool = False, **options: Any) -> Any:
        """Who saves it decides which agents its steps may name."""
        form = super().get_form(request, obj, change, **options)
        return type(form.__name__, (form,), {"user": person(request)})

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """One of the examples, for the first agent there is."""
        agent = managed_agents(person(request)).filter(published__isnull=False).order_by("name").first()
        chosen = request.GET.get("example", next(iter(EXAMPLES)))
        name = agent.name if agent else "assistant"
        return {"agent": agent.pk if agent else None, "definition": example(chosen, name) if chosen in EXAMPLES else ""}

    def get_urls(self) -> list[URLPattern]:
        check = path("check/", self.admin_site.admin_view(self._check), name="chat_workflow_check")
        return [check, button(self, "run", self._run), *super().get_urls()]

    def save_model(self, request: HttpRequest, obj: Workflow, form: Any, change: bool) -> None:
        number = rows.save(obj, person(request))
        if number:
            messages.info(request, f"Version {number}: runs that go on keep the version they began with.")

    def _check(self, request: HttpRequest) -> HttpResponse:
        """What is wrong with a text, and its picture: for the page that is being written."""
        text, agent_id = request.POST.get("definition", ""), _uuid(request.POST.get("agent", ""))
        may = managed_agents(person(request)).filter(pk=agent_id).exists() if agent_id else False
        if request.method != "POST" or not may or len(text) > _LONGEST_CHARS:
            return JsonResponse({"problems": ["Choose one of your agents."], "picture": ""})
        try:
            graph = checked(read(text), agent_id, person(request))
        except DefinitionError as error:
            return JsonResponse({"problems": error.problems, "picture": ""})
        return JsonResponse({"problems": [], "picture": picture(graph)})

    def _run(self, request: HttpRequest, workflow: Workflow) -> HttpResponse | None:
        """Starts it with the inputs that were written, in the name of who pressed the button."""
        from chat import queued  # the spine: not loaded for the sake of a list
        from chat.workflows import calls

        user = directory.load_user(person(request).pk)
        assert user is not None, "who is signed in is active"
        try:
            params = read(text) if (text := request.POST.get("params", "").strip()) else {}
            directory.fresh()
            message = request.POST.get("message", "").strip()
            parts = ({"type": "text", "text": message},) if message else ()
            task = calls.task_of(user.principal, workflow, calls.host_of(workflow), params, parts)
            accepted = async_to_sync(queued.enqueue)(task)
        except DefinitionError as error:
            messages.error(request, f"The inputs are {error}")
            return None
        except SwitchboardError as error:
            told = "; ".join(f"{problem['loc'][-1]}: {problem['msg']}" for problem in error.errors or ()) or error.message
            messages.error(request, told)
            return None
        self.log_change(request, workflow, "Run.")
        return redirect("admin:chat_execution_change", accepted.execution_id)

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **options: Any) -> Any:
        workflow: Workflow | None = options.get("obj")
        context |= {"check_url": reverse("admin:chat_workflow_check"), "examples": list(EXAMPLES)}
        if workflow is not None:
            context |= _told(workflow)
        return super().render_change_form(request, context, *args, **options)

    @shown("workflow", ordering="name", header=True)
    def title(self, workflow: Workflow) -> list[str]:
        return [str(workflow), workflow.name if workflow.display_name else workflow.description]

    @shown("state", label={"on": "success", "off": "warning"})
    def state(self, workflow: Workflow) -> str:
        return "on" if workflow.enabled else "off"

    @shown("steps")
    def steps(self, workflow: Workflow) -> int:
        return len(build(parse(workflow.definition)).steps)

    @shown("last run", label=facts.STATUS_COLOURS)
    def last_run(self, workflow: Workflow) -> str:
        return _runs(workflow).values_list("status", flat=True).first() or facts.UNKNOWN


def _runs(workflow: Workflow) -> Any:
    return Execution.objects.filter(workflow=workflow).order_by("-created_at")


def _told(workflow: Workflow) -> dict[str, Any]:
    """What stands above the form: the picture, a form to run it, its versions and its last runs."""
    graph = build(parse(workflow.definition))
    columns = ("status", "trigger", "created_at", "duration_ms", "error", "workflow_version")
    named = [given for given in graph.definition.inputs if given.type not in ("message", "history")]
    return {
        "picture": mark_safe(picture(graph, str(workflow))),  # noqa: S308 - made here, every text of it escaped
        "run_url": row_url(workflow, "run"),
        "params": written({given.name: _value(given) for given in named}) if named else "",
        "takes_message": any(given.type == "message" for given in graph.definition.inputs),
        "runs": [_run(run) for run in _runs(workflow).only(*columns)[:_RECENT]],
        "runs_url": f"{reverse('admin:chat_execution_changelist')}?workflow__id__exact={workflow.pk}",
        "versions": workflow.versions.select_related("editor")[:_RECENT],
    }


def _value(given: Input) -> Any:
    """What stands in the box before anybody writes."""
    return _EMPTY.get(given.type) if given.default is None else given.default


def _run(run: Execution) -> dict[str, Any]:
    took = facts.duration(run.duration_ms)
    note = run.error or f"{run.trigger}, version {run.workflow_version}, {took}"
    return {"url": row_url(run), "status": run.status, "colour": facts.STATUS_COLOURS[run.status], "at": run.created_at, "note": note}


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
