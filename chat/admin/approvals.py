"""The approval inbox: tool calls that wait for a yes or a no (R15). Managers decide here whatever the tool's approver is."""

import json
from typing import Any

from asgiref.sync import async_to_sync
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern, reverse
from django.utils import timezone
from django.utils.html import format_html
from unfold.contrib.filters.admin import DropdownFilter

from agents import directory
from agents.admin.base import ManagedAdmin, ReadOnly, person, shown
from agents.admin.buttons import button, row_url
from agents.errors import SwitchboardError
from chat.admin import facts
from chat.admin.parts import readable
from chat.models import Approval

COLOURS = {"Waiting": "warning", "Approved": "success", "Denied": "danger", "Expired": "default"}


class DecisionFilter(DropdownFilter):  # type: ignore[misc]  # unfold is untyped
    """What waits comes first: without a choice the list is the inbox."""

    title = "decision"
    parameter_name = "decision"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("approved", "Approved"), ("denied", "Denied"), ("all", "All")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Approval]) -> QuerySet[Approval]:
        match self.value():
            case "all":
                return queryset
            case "approved" | "denied" as decision:
                return queryset.filter(decision=decision)
            case _:
                return queryset.filter(decision="")


@admin.register(Approval)
class ApprovalAdmin(ReadOnly[Approval], ManagedAdmin[Approval]):
    empty_help = "No tool call waits for a decision. It would when an agent calls a tool that requires approval."
    agent_path = "execution__agent"
    list_display = ("tool", "agent_name", "arguments_shown", "state", "created_at", "decide")
    list_filter = (DecisionFilter,)
    list_select_related = ("execution", "decided_by")
    search_fields = ("name", "tool_call_id", "execution__agent_name")
    ordering = ("-created_at",)
    list_fullwidth = True

    def get_urls(self) -> list[URLPattern]:
        verdicts = {"approve": self._approve, "deny": self._deny}
        return [*(button(self, name, act, right=self.has_view_permission) for name, act in verdicts.items()), *super().get_urls()]

    def _approve(self, request: HttpRequest, approval: Approval) -> HttpResponse:
        return self._decide(request, approval, approve=True)

    def _deny(self, request: HttpRequest, approval: Approval) -> HttpResponse:
        return self._decide(request, approval, approve=False)

    def _decide(self, request: HttpRequest, approval: Approval, *, approve: bool) -> HttpResponse:
        from chat import approvals  # the spine: not loaded for the sake of a list

        try:
            arguments = _replaced(request, approval) if approve else None
            principal = async_to_sync(directory.user)(person(request).pk)
            assert principal is not None, "who is signed in is active"
            async_to_sync(approvals.decide)(
                approval.execution_id,
                approval.tool_call_id,
                principal.principal,
                approve=approve,
                reason=request.POST.get("reason", "")[:1000],
                arguments=arguments,
            )
        except ValueError as error:
            messages.error(request, f"The arguments are not a JSON object: {error}")
            return redirect(row_url(approval))
        except SwitchboardError as error:
            messages.error(request, "; ".join(problem["msg"] for problem in error.errors or ()) or error.message)
            return redirect(row_url(approval))
        messages.success(request, f"{approval.name} is {'approved' if approve else 'denied'}; the run goes on.")
        return redirect(reverse("admin:chat_approval_changelist"))

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **options: Any) -> Any:
        approval: Approval = options["obj"]
        context |= {
            "approval": approval,
            "state": self.state(approval),
            "state_kind": COLOURS[self.state(approval)],
            "arguments": readable(approval.decided_arguments or approval.arguments),
            "run_url": row_url(approval.execution),
            "approve_url": row_url(approval, "approve"),
            "deny_url": row_url(approval, "deny"),
        }
        return super().render_change_form(request, context, *args, **options)

    @shown("tool", ordering="name")
    def tool(self, approval: Approval) -> str:
        return approval.name

    @shown("agent", ordering="execution__agent_name")
    def agent_name(self, approval: Approval) -> str:
        return approval.execution.agent_name

    @shown("arguments")
    def arguments_shown(self, approval: Approval) -> str:
        return facts.excerpt(json.dumps(approval.arguments, ensure_ascii=False), 100)

    @shown("state", ordering="decision", label=COLOURS)
    def state(self, approval: Approval) -> str:
        if approval.decision:
            return approval.decision.capitalize()
        return "Waiting" if approval.expires_at > timezone.now() else "Expired"

    @shown("decide")
    def decide(self, approval: Approval) -> str:
        """Buttons that post the list's own form (and its CSRF token) to the row's address."""
        if self.state(approval) != "Waiting":
            return facts.UNKNOWN
        return format_html(
            '<span class="sb-actions"><button class="sb-button sb-yes" formaction="{}">Approve</button>'
            '<button class="sb-button sb-no" formaction="{}">Deny</button></span>',
            row_url(approval, "approve"),
            row_url(approval, "deny"),
        )


def _replaced(request: HttpRequest, approval: Approval) -> Any:
    """The arguments the manager wrote over the model's; None when they are the same. Raises ValueError."""
    text = request.POST.get("arguments", "").strip()
    written = json.loads(text) if text else approval.arguments
    return None if written == approval.arguments else written
