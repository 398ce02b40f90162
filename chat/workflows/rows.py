"""Workflows as rows: found for who may run them, saved as versions; and the steps of a run that are over. Synchronous."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction
from django.db.models import QuerySet

from agents import directory
from agents.access import Principal, may_use
from chat.errors import TurnError
from chat.models import Execution, FinishedStep, Workflow, WorkflowVersion


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """A version of a workflow, as a run needs it. `editor_id`: who saved it."""

    definition: Mapping[str, Any]
    editor_id: int | None


def find(principal: Principal, name_or_id: str, agent_id: UUID | None = None) -> Workflow:
    """A workflow that the caller may run. Raises workflow_not_found for any other, whatever the cause (WS-70)."""
    rows = Workflow.objects.filter(enabled=True, version__gt=0)
    found = _by(rows, name_or_id)
    host = directory.current().by_id.get(found.agent_id) if found else None
    if found is None or host is None or not may_use(principal, host) or agent_id not in (None, found.agent_id):
        raise TurnError("workflow_not_found")
    return found


def _by(rows: QuerySet[Workflow], name_or_id: str) -> Workflow | None:
    if not name_or_id.isprintable():  # PostgreSQL takes no NUL in a parameter (R0.2)
        return None
    try:
        by_id = rows.filter(id=UUID(name_or_id)).first()
    except ValueError:
        by_id = None
    return by_id or rows.filter(name=name_or_id).first()


def listed(agent_id: UUID, *, enabled_only: bool = True) -> list[Workflow]:
    """The workflows of an agent, by name."""
    rows = Workflow.objects.filter(agent_id=agent_id, version__gt=0)
    return list(rows.filter(enabled=True) if enabled_only else rows)


@transaction.atomic
def save(workflow: Workflow, editor: AbstractBaseUser | None) -> int:
    """Stores a checked workflow; a definition that changed becomes a version. Returns the new version's number, or 0."""
    last = WorkflowVersion.objects.filter(workflow_id=workflow.pk).first() if not workflow._state.adding else None
    changed = last is None or last.definition != workflow.definition
    if changed:
        workflow.version = last.number + 1 if last else 1
        workflow.editor_id = editor.pk if editor else None
    workflow.save()
    if changed:
        values = {"number": workflow.version, "definition": workflow.definition, "editor_id": workflow.editor_id}
        WorkflowVersion.objects.create(workflow=workflow, **values)
    return workflow.version if changed else 0


def version(workflow_id: str, number: int) -> Stored:
    """Raises workflow_not_found when the workflow was deleted."""
    row = WorkflowVersion.objects.filter(workflow_id=UUID(workflow_id), number=number).first()
    if row is None:
        raise TurnError("workflow_not_found")
    return Stored(definition=row.definition, editor_id=row.editor_id)


# The steps of a run


def finished(execution_id: UUID) -> dict[str, FinishedStep]:
    """What an earlier attempt, or the part of this one before a pause, has done already."""
    return {row.path: row for row in _steps(execution_id).exclude(path__contains="!")}


def cut_off(execution_id: UUID) -> list[Mapping[str, Any]]:
    """What tries of steps have used that came to nothing: they failed, or their process died."""
    return [spent for row in _steps(execution_id).filter(path__contains="!") for spent in row.spent]


def _steps(execution_id: UUID) -> QuerySet[FinishedStep]:
    return FinishedStep.objects.filter(execution_id=execution_id)


@transaction.atomic
def keep(execution_id: UUID, path: str, values: Mapping[str, Any], tried: str = "") -> None:
    """The step is over; whoever says so first is right. `tried`: the try that it came of, which is counted with it."""
    FinishedStep.objects.bulk_create([FinishedStep(execution_id=execution_id, path=path, **values)], ignore_conflicts=True)
    if tried:
        _steps(execution_id).filter(path=tried).delete()


def note_spent(execution_id: UUID, tried: str, spent: Sequence[Mapping[str, Any]]) -> None:
    """What a try of a step has used so far."""
    FinishedStep.objects.update_or_create(execution_id=execution_id, path=tried, defaults={"spent": spent})


def attempt(execution_id: UUID) -> int:
    return Execution.objects.filter(id=execution_id).values_list("attempt_number", flat=True).first() or 1
