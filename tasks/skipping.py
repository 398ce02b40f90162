"""Runs that did not happen: stored as `skipped`, with the reason where a run has its error (AG-44)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal
from uuid import UUID

from agents.errors import CODES
from agents.ids import uuid7
from chat.models import Execution

Trigger = Literal["schedule", "webhook"]
REASONS: Mapping[str, str] = {
    "agent_not_running": "Skipped: the agent was not running.",
    "missed": "Skipped: nobody was there to start it in time.",
    "overlap": "Skipped: the run before was not over.",
    "owner_lost_access": "Skipped: the user in whose name it runs may not use the agent any more.",
    "queue_full": "Skipped: too many runs of the agent were waiting.",
    "session_not_found": "Skipped: its conversation is gone.",
    "workflow_not_found": "Skipped: its workflow is switched off, or has no version that runs.",
    "invalid_params": "Skipped: its workflow does not take these inputs any more.",
}


class Skip(Exception):
    """The run may not happen; the argument is one of REASONS, or another code of a refusal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A run that a schedule, its retry, a manager or a webhook wants."""

    text: str
    trigger: Trigger = "schedule"
    agent_id: UUID
    agent_name: str
    owner_id: int | None
    schedule_id: UUID | None = None
    not_before: datetime | None = None
    retry_of: UUID | None = None
    labels: Mapping[str, Any] = field(default_factory=dict)
    request_id: str = ""


def skip(wanted: Wanted, reason: str, execution_id: UUID | None = None) -> UUID:
    """Stores that the run was skipped. Returns the execution's id."""
    now = datetime.now(UTC)
    row = Execution.objects.create(
        id=execution_id or uuid7(),
        agent_id=wanted.agent_id,
        agent_name=wanted.agent_name,
        owner_id=wanted.owner_id,
        principal=f"user:{wanted.owner_id}" if wanted.owner_id else "system",
        trigger=wanted.trigger,
        status=Execution.Status.SKIPPED,
        message=wanted.text,
        error_code=reason,
        error=REASONS.get(reason) or f"Skipped: {CODES[reason][1]}",
        skip_reason=reason,
        created_at=now,
        completed_at=now,
        schedule_id=wanted.schedule_id,
        retry_of_id=wanted.retry_of,
        labels=dict(wanted.labels),
        request_id=wanted.request_id,
        unreported=True,
    )
    return row.pk
