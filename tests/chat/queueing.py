"""An agent, somebody who asks it, and runs that wait: for tests of the queue without a worker."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction

from agents import directory, versions
from agents.access import Principal
from agents.ids import uuid7
from agents.models import Agent, Provider
from agents.specs import AgentSpec
from chat import backlog, taking
from chat.jobs import Job
from chat.models import ChatSession, Execution
from chat.requests import TaskRequest
from chat.sessions import ref_of
from chat.taking import Look, Taken


def agent(name: str = "worker", **fields: Any) -> AgentSpec:
    """A published agent of its own provider, which anybody may use who is signed in."""
    provider = Provider.objects.create(name=name, kind="demo", options={"script": ["text done"]})
    row = Agent.objects.create(name=name, provider=provider, model="demo", access="signed_in", **fields)
    versions.publish(row)
    return directory.load().by_name[name]


def principal(name: str = "owner") -> Principal:
    user, _ = User.objects.get_or_create(username=name)
    return Principal(kind="user", key=f"user:{user.pk}", namespace=f"user:{user.pk}", user_id=user.pk)


@transaction.atomic
def queue(spec: AgentSpec, text: str = "Work.", **fields: Any) -> Execution:
    """A run that waits."""
    asked = fields.pop("by", None) or principal()
    task = TaskRequest(principal=asked, agent=spec, parts=({"type": "text", "text": text},), **fields)
    return backlog.stored(task, uuid7())


def session(spec: AgentSpec, owner: Principal | None = None) -> Any:
    """A stored conversation, as requests name it."""
    asked = owner or principal()
    row = ChatSession.objects.create(
        namespace=asked.namespace, agent_id=spec.id, agent_name=spec.name, owner_id=asked.user_id, wire="agents"
    )
    return ref_of(row)


class Told(Job):
    """A job of the store that no event loop waits for."""

    def __init__(self, kind: Any, value: Any) -> None:
        self.kind, self.value, self.result = kind, value, None


@transaction.atomic
def take(spec: AgentSpec, limit: int = 10) -> Taken | None:
    """What a worker gets that looks at the queue of the agent."""
    assert spec.id
    job = Told(taking.take, Look(agent_id=spec.id, limit=limit))
    taking.take([job])
    taken: Taken | None = job.result
    return taken


def taken(spec: AgentSpec, limit: int = 10) -> list[str]:
    """The messages of the runs that workers get, one after the other, until there are none."""
    found = []
    while (one := take(spec, limit)) is not None:
        found.append(one.row.message)
    return found


def lapse(row: Execution, **fields: Any) -> None:
    """The process that holds the run is not heard of any more."""
    ago = datetime.now(UTC) - timedelta(seconds=60)
    Execution.objects.filter(id=row.id).update(**{"status": "running", "process": "gone", "lease_until": ago, "started_at": ago, **fields})


def states(rows: Sequence[Execution]) -> list[tuple[str, int, str]]:
    """Status, attempt and error of each run, as stored."""
    found = {row.id: (row.status, row.attempt_number, row.error_code) for row in Execution.objects.all()}
    return [found[row.id] for row in rows]
