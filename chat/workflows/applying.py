"""Workflows of an agents file: made and changed by name, checked like those of the admin. Twice changes nothing."""

from django.core.exceptions import ValidationError

from agents import directory
from agents.agentsfile import ApplyError, WorkflowEntry
from agents.apply import Change
from agents.models import Agent
from chat.models import Workflow
from chat.workflows import rows
from chat.workflows.checking import check
from chat.workflows.definition import DefinitionError

_COLUMNS = ("display_name", "description", "enabled", "definition")


def apply(entries: list[WorkflowEntry]) -> list[Change]:
    """In the caller's transaction, after the agents. Raises ApplyError with the path of everything that is wrong."""
    directory.load()
    return [_apply(f"workflows[{index}]", entry) for index, entry in enumerate(entries)]


def _apply(path: str, entry: WorkflowEntry) -> Change:
    row = Workflow.objects.filter(name=entry.name).first()
    workflow = row or Workflow(name=entry.name)
    values = entry.given(*_COLUMNS)
    if entry.agent or row is None:
        values["agent_id"] = _agent_id(f"{path}.agent", entry.agent)
    changed = row is None or any(getattr(row, name) != value for name, value in values.items())
    for name, value in values.items():
        setattr(workflow, name, value)
    _check(path, workflow)
    if not changed:
        return Change(kind="workflow", name=entry.name, what="unchanged")
    version = rows.save(workflow, None)
    return Change(kind="workflow", name=entry.name, what="created" if row is None else "changed", version=version)


def _agent_id(path: str, name: str) -> object:
    found = Agent.objects.filter(name=name).values_list("pk", flat=True).first()
    if found is None:
        raise ApplyError(f"{path}: there is no agent {name!r}" if name else f"{path}: is required")
    return found


def _check(path: str, workflow: Workflow) -> None:
    """A file is the operator's: its steps may name every agent, as far as those who run it may use it then."""
    catalog = directory.current()
    try:
        check(workflow.definition, catalog.by_id.get(workflow.agent_id), catalog.by_name, lambda agent: True)
        workflow.full_clean(exclude=["editor"], validate_unique=False)
    except DefinitionError as error:
        raise ApplyError(*(f"{path}.definition: {problem}" for problem in error.problems)) from error
    except ValidationError as error:
        raise ApplyError(*(f"{path}.{name}: {' '.join(texts)}" for name, texts in error.message_dict.items())) from error
