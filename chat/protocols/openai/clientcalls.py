"""Steps that ended in client tool calls after tools of the agent had run: found again by the ids of the calls (OAI-29)."""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any

from django.utils import timezone

from agents.access import Principal
from agents.database import run
from agents.specs import AgentSpec
from chat.models import ClientCall
from chat.protocols.openai.messages import Entry

KEPT = timedelta(hours=24)


async def with_kept_steps(principal: Principal, agent: AgentSpec, entries: Sequence[Entry]) -> Sequence[Entry]:
    """`entries` with the stored step in place of the client's copy, so that the model sees the whole of it."""
    answered = {entry.call_id for entry in entries if entry.role == "tool"}
    if not answered or not agent.tools:
        return entries
    kept = await run(_find, principal.key, agent.name, answered)
    return [_replaced(entry, kept) for entry in entries] if kept else entries


def _find(principal: str, agent: str, call_ids: Iterable[str]) -> dict[str, list[dict[str, Any]]]:
    rows = ClientCall.objects.filter(
        principal=principal, agent_name=agent, call_id__in=call_ids, created_at__gte=timezone.now() - KEPT
    ).order_by("id")
    return dict(rows.values_list("call_id", "messages"))


def _replaced(entry: Entry, kept: dict[str, list[dict[str, Any]]]) -> Entry:
    step = next((kept[call["id"]] for call in entry.calls if call["id"] in kept), None)
    return entry if step is None else entry._replace(step=tuple(step))
