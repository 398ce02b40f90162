"""Deliveries: what went out, what is tried again and when, what was given up; and a button to send it again (AG-52)."""

import json
from datetime import datetime
from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import URLPattern
from django.utils import timezone
from unfold.contrib.filters.admin import ChoicesDropdownFilter, RelatedDropdownFilter
from unfold.paginator import InfinitePaginator

from agents.admin.base import ManagedAdmin, ReadOnly, managed_agents, person, shown
from agents.admin.buttons import button, row_url
from chat.admin import facts
from chat.admin.filters import DaysFilter, with_id
from chat.models import Execution
from tasks import deliveries, sending
from tasks.models import Delivery

COLOURS = {"delivered": "success", "pending": "info", "failed": "danger"}


@admin.register(Delivery)
class DeliveryAdmin(ReadOnly[Delivery], ManagedAdmin[Delivery]):
    empty_help = "Ended runs are delivered to endpoints, and to the callback_url of a task. Nothing was delivered yet."
    list_display = ("status_shown", "receiver", "address", "tried", "last_answer", "next_try_at", "created_at")
    list_display_links = ("receiver",)
    list_filter = (("status", ChoicesDropdownFilter), ("endpoint", RelatedDropdownFilter), ("created_at", DaysFilter))
    list_select_related = ("endpoint",)
    list_fullwidth = True
    search_fields = ("url",)
    search_help_text = "Id of the delivery or of its run, address"
    paginator = InfinitePaginator
    ordering = ("-pk",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Delivery]:
        """What managers see are deliveries of their agents' runs, whoever receives them."""
        rows = Delivery.objects.all()
        user = person(request)
        runs = Execution.objects.filter(agent__in=managed_agents(user).values("pk"))
        return rows if user.is_superuser else rows.filter(execution_id__in=runs.values("pk"))

    def get_search_results(self, request: HttpRequest, queryset: QuerySet[Delivery], search_term: str) -> tuple[QuerySet[Delivery], bool]:
        found = with_id(queryset, search_term)
        if found is None:
            return super().get_search_results(request, queryset, search_term)
        return found[0] | queryset.filter(execution_id=search_term.strip()), False

    def get_urls(self) -> list[URLPattern]:
        return [button(self, "again", self._again, right=self.has_view_permission), *super().get_urls()]

    def _again(self, request: HttpRequest, delivery: Delivery) -> None:
        deliveries.again(delivery)
        self.log_change(request, delivery, "Sent again.")
        messages.success(request, "It is sent again within some seconds, and tried again for a day if need be.")

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **options: Any) -> Any:
        delivery: Delivery = options["obj"]
        run = Execution.objects.filter(pk=delivery.execution_id).select_related("owner").first()
        context |= {
            "delivery": delivery,
            "status_kind": COLOURS[delivery.status],
            "receiver": self.receiver(delivery),
            "run_url": row_url(run) if run else "",
            "tries": [_shown_try(each) for each in reversed(delivery.tries)],
            "body": json.dumps(sending.document(delivery, run), indent=2, ensure_ascii=False) if run else "",
            "again_url": row_url(delivery, "again"),
        }
        return super().render_change_form(request, context, *args, **options)

    @shown("status", ordering="status", label=COLOURS)
    def status_shown(self, delivery: Delivery) -> str:
        return delivery.status

    @shown("receiver")
    def receiver(self, delivery: Delivery) -> str:
        return delivery.endpoint.name if delivery.endpoint else "callback of a task"

    @shown("address", ordering="url")
    def address(self, delivery: Delivery) -> str:
        return str(delivery.url)

    @shown("tries")
    def tried(self, delivery: Delivery) -> str:
        return str(len(delivery.tries))

    @shown("last answer")
    def last_answer(self, delivery: Delivery) -> str:
        last = delivery.tries[-1] if delivery.tries else {}
        return last.get("error") or (str(last["status"]) if last else facts.UNKNOWN)


def _shown_try(made: dict[str, Any]) -> dict[str, Any]:
    """In the site's time zone, as the rest of the page."""
    at = timezone.localtime(datetime.fromisoformat(made["at"]))
    return {**made, "at": f"{at:%Y-%m-%d %H:%M:%S}", "took": facts.duration(made["duration_ms"])}
