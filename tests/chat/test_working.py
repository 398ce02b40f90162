"""A queued run begins only if it still may, runs on the spine, and is put back when its process cannot finish it."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User

from agents import directory, versions
from agents.access import ALL_SCOPES
from agents.models import Agent, ApiKey, Tool
from agents.specs import AgentSpec
from chat import approvals, finished, process, queued, records, store, turns, working
from chat.eventlog import Follower
from chat.events import Gap
from chat.models import ChatSession, Execution, Message
from chat.queued import enqueue
from chat.requests import TaskRequest
from chat.store import run
from chat.turns import Turn
from tests.chat.queueing import agent, principal, queue, session, take

pytestmark = pytest.mark.django_db(transaction=True)
LONG = "/demo delay 60000\n/demo text never"


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    """Nobody hears what is announced, and no rate is counted that a test did not ask for."""
    monkeypatch.setattr(queued, "_announce", queued._nobody)
    monkeypatch.setattr(finished, "_followers", [])
    monkeypatch.setattr(finished, "_wishes", [])
    monkeypatch.setattr(finished, "_telling", set())
    settings.CHAT_RATE_RPM = settings.CHAT_RATE_TPM = 0


async def ended(execution: Execution) -> Execution:
    """The run as it is stored when it has ended here."""
    turn = turns.find(execution.id)
    if turn is not None and turn.task is not None:
        await asyncio.wait([turn.task], timeout=10)
    await run(execution.refresh_from_db)
    return execution


async def worked(execution: Execution) -> Execution:
    """The run after this process has looked at its agent's queue."""
    assert execution.agent_id
    await working.work(execution.agent_id)
    return await ended(execution)


async def begun(execution: Execution) -> Turn:
    assert execution.agent_id
    turn = await working.take_up(execution.agent_id)
    assert turn
    reader = Follower(turn.log)
    async with asyncio.timeout(30):
        await reader.next()
    reader.close()
    return turn


def change(model: Any, **fields: Any) -> Callable[[], None]:
    def write() -> None:
        model.objects.update(**fields)
        directory.load()

    return write


async def test_a_queued_run_is_a_run_like_any_other() -> None:
    spec = await run(agent)
    row = await worked(await run(queue, spec, "Please."))
    assert (row.status, row.response, row.agent_version, row.attempt_number) == ("success", "done", 1, 1)
    assert row.started_at
    assert row.queued_at
    assert row.queue_ms is not None
    assert row.lease_until is None


async def test_a_worker_runs_what_waits_until_nothing_is_left() -> None:
    spec, other = await run(agent), await run(agent, "other")
    rows = [await run(queue, one) for one in (spec, spec, other)]
    assert spec.id
    await working.work(spec.id)
    assert [(await ended(row)).status for row in rows] == ["success"] * 3


async def test_a_run_uses_the_version_that_is_published_when_it_starts() -> None:
    spec = await run(agent)
    row = await run(queue, spec)

    def publish() -> None:
        stored = Agent.objects.get(id=spec.id)
        stored.provider.options = {"script": ["text newer"]}
        stored.provider.save()
        stored.instructions = "Be new."
        stored.save()
        versions.publish(stored)

    await run(publish)
    await worked(row)
    assert (row.response, row.agent_version) == ("newer", 2)


async def test_a_turn_of_a_conversation_has_its_history_and_is_stored_there() -> None:
    """AG-34, AG-22: source `task`; what is kept of the question may differ from what was asked."""
    spec = await run(agent)
    place = await run(session, spec)
    await worked(await run(queue, spec, "The long version.", session=place, stored_parts=({"type": "text", "text": "Short"},)))
    second = await worked(await run(queue, spec, "And then?", session=place))
    said = await run(lambda: list(Message.objects.order_by("position").values_list("role", "text", "status", "source")))
    assert said == [
        ("user", "Short", "done", "task"), ("assistant", "done", "done", "task"),
        ("user", "And then?", "done", "task"), ("assistant", "done", "done", "task"),
    ]  # fmt: skip
    assert second.session_id == place.id


@pytest.mark.parametrize(("spoil", "code"), [
    (change(User, is_active=False), "invalid_credentials"),
    (change(ApiKey, revoked_at=datetime.now(UTC)), "invalid_credentials"),
    (change(Agent, access="private"), "agent_not_found"),
    (change(Agent, published=None), "agent_not_found"),
    (lambda: (ChatSession.objects.all().delete(), directory.load()), "session_not_found"),
])  # fmt: skip
async def test_a_run_that_may_not_begin_any_more_ends_and_says_why(spoil: Callable[[], None], code: str) -> None:
    spec = await run(agent)
    asked = await run(principal)

    def key() -> ApiKey:
        return ApiKey.issue(owner=User.objects.get(), name="k", scopes=sorted(ALL_SCOPES))[0]

    issued = await run(key)
    by = asked.__class__(**{name: getattr(asked, name) for name in asked.__slots__} | {"key": f"key:{issued.pk}", "api_key_id": issued.pk})
    row = await run(queue, spec, session=await run(session, spec), by=by)
    await run(spoil)
    await worked(row)
    assert (row.status, row.error_code) == ("failed", code)


async def test_a_schedule_whose_creator_lost_access_is_skipped() -> None:
    spec = await run(agent)
    row = await run(queue, spec, trigger="schedule")
    await run(change(User, is_active=False))
    await worked(row)
    assert (row.status, row.skip_reason) == ("skipped", "owner_lost_access")


async def test_runs_of_an_agent_that_is_switched_off_wait() -> None:
    spec = await run(agent)
    row = await run(queue, spec)
    await run(change(Agent, enabled=False))
    assert (await worked(row)).status == "queued"
    await run(change(Agent, enabled=True))
    assert (await worked(row)).status == "success"


async def test_what_a_task_asks_for_is_bounded_by_the_agent() -> None:
    """Section 6: tools named, timeout lowered and never raised."""

    def two_tools() -> AgentSpec:
        made = agent(run_timeout_s=100)
        stored = Agent.objects.get(id=made.id)
        for name in ("one", "two"):
            stored.agent_tools.create(tool=Tool.objects.create(name=name, kind="clock"))
        versions.publish(stored)
        return directory.load().by_name[made.name]

    spec = await run(two_tools)
    await run(queue, spec, allowed_tools=("two",), timeout_s=10, max_steps=3, instructions=("Be brief.",))
    await run(queue, spec, allowed_tools=(), timeout_s=1000)
    found = [await working.request_of(taken) for taken in (await run(take, spec), await run(take, spec)) if taken]
    assert [[tool.name for tool in request.agent.tools] for request in found] == [["two"], []]
    assert [(request.timeout_s, request.max_steps, request.instructions, request.tools) for request in found] == [
        (10, 3, ("Be brief.",), True), (100, None, (), False),
    ]  # fmt: skip


async def test_a_run_beyond_its_callers_rate_waits_for_the_next_minute(settings: Any) -> None:
    """R14.1: counted when it starts; then it waits instead of failing, and its caller's other runs with it."""
    settings.CHAT_RATE_RPM = 1
    spec = await run(agent)
    rows = [await run(queue, spec) for _ in range(3)]
    assert spec.id
    await working.work(spec.id)
    statuses = [(await ended(row)).status for row in rows]
    assert statuses == ["success", "queued", "queued"]
    for row in rows[1:]:
        assert row.not_before
        assert row.not_before <= datetime.now(UTC) + timedelta(seconds=61)
        assert row.lease_until is None


async def test_a_process_that_ends_puts_its_runs_back() -> None:
    """R12.5, AG-32: no end is told; the next attempt is another worker's."""
    spec = await run(agent)
    row = await run(queue, spec, LONG)
    turn = await begun(row)
    turn.stop("interrupted")
    await ended(row)
    assert (row.status, row.attempt_number, row.process, row.lease_until) == ("queued", 2, "", None)
    assert turn.execution_id not in turns.running()
    assert not turn.log.complete


async def test_the_next_attempt_in_the_same_process_tells_its_readers_to_start_over() -> None:
    spec = await run(agent)
    row = await run(queue, spec, LONG)
    first = await begun(row)
    seen = first.log.last_seq
    first.stop("interrupted")
    await ended(row)
    second = await begun(row)
    assert second.log.after(seen)[0] == (second.log.base + 1, Gap(1, second.log.base + 1, restart=True))
    assert second.log.base > seen
    second.stop("cancelled")
    assert (await ended(row)).status == "cancelled"


async def test_a_run_that_may_begin_once_only_is_not_repeated() -> None:
    """AG-32: max_attempts 1, for tasks whose tools must not run twice."""
    spec = await run(agent)
    row = await run(queue, spec, LONG, max_attempts=1)
    (await begun(row)).stop("interrupted")
    await ended(row)
    assert (row.status, row.error_code, row.attempt_number) == ("failed", "interrupted", 1)


async def test_what_an_earlier_attempt_still_writes_is_refused() -> None:
    """AG-32: the first attempt ends after it was taken for dead; only the second one's end counts."""
    spec = await run(agent)
    row = await run(queue, spec, "/demo delay 300\n/demo text stale", session=await run(session, spec))
    first = await begun(row)
    await run(lambda: Execution.objects.filter(id=row.id).update(attempt_number=2, status="queued", process="", lease_until=None))
    assert first.task
    await asyncio.wait([first.task], timeout=10)
    await run(row.refresh_from_db)
    assert (row.status, row.response) == ("queued", "")
    assert not first.log.complete
    await worked(row)
    assert (row.status, row.response, row.attempt_number) == ("success", "stale", 2)
    assert await run(Message.objects.filter(role="assistant").count) == 1


async def test_a_lease_is_renewed_by_its_own_process_only() -> None:
    spec = await run(agent)
    row = await run(queue, spec, LONG)
    turn = await begun(row)
    long_ago = datetime.now(UTC) - timedelta(hours=1)
    for name, renews in (("another", False), (process.NAME, True)):
        await run(lambda name=name: Execution.objects.filter(id=row.id).update(process=name, lease_until=long_ago))
        await store.write(records.renew, [row.id])
        await run(row.refresh_from_db)
        assert (row.lease_until != long_ago) is renews
    turn.stop("cancelled")
    await ended(row)


async def test_who_is_told_of_ends_is_told_again_until_it_worked(monkeypatch: pytest.MonkeyPatch) -> None:
    """chat.finished: a follower that fails, or a process that dies before it told, is made up for."""
    spec, heard, fails = await run(agent), [], [True]

    async def told(execution_id: Any) -> None:
        heard.append(execution_id)
        if fails.pop():
            raise RuntimeError("not yet")

    finished.follow(told)
    monkeypatch.setattr(finished, "_AT_LEAST", timedelta(0))
    row = await worked(await run(queue, spec))
    await asyncio.gather(*finished._telling)
    fails.append(False)
    await finished.sweep()
    await finished.sweep()
    await run(row.refresh_from_db)
    assert heard == [row.id, row.id]
    assert row.unreported is None


async def test_a_run_is_accepted_only_if_somebody_could_be_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """AG-30: 503, the execution is failed."""
    spec = await run(agent)

    async def broken(agent_id: Any) -> None:
        raise queued.TurnError("store_unavailable")

    monkeypatch.setattr(queued, "_announce", broken)
    task = TaskRequest(principal=await run(principal), agent=spec, parts=({"type": "text", "text": "Work."},))
    with pytest.raises(queued.TurnError):
        await enqueue(task)
    row = await run(Execution.objects.get)
    assert (row.status, row.error_code, row.unreported) == ("failed", "store_unavailable", None)


async def test_a_run_that_was_approved_and_lost_its_process_begins_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """AG-32 after R15: from the beginning, and what was said before the pause is not said twice."""

    def careful() -> AgentSpec:
        made = agent()
        stored = Agent.objects.get(id=made.id)
        stored.agent_tools.create(tool=Tool.objects.create(name="one", kind="clock"), requires_approval=True)
        versions.publish(stored)
        return directory.load().by_name[made.name]

    spec = await run(careful)
    place = await run(session, spec)
    row = await worked(await run(queue, spec, '/demo text First.\n/demo tool one {"timezone": "UTC"}\n/demo delay 60000', session=place))
    assert row.status == "paused"
    (call,) = [approval.tool_call_id for approval in await run(lambda: list(row.approvals.all()))]
    await approvals.decide(row.id, call, await run(principal), approve=True)
    turns.running()[row.id].stop("interrupted")
    await ended(row)
    assert (row.status, row.attempt_number) == ("queued", 2)
    assert await run(lambda: list(Message.objects.values_list("role", "position"))) == [("user", records.WAITING_POSITION)]
    assert (await run(ChatSession.objects.get)).message_count == 0
    again = await worked(row)
    assert (again.status, again.attempt_number) == ("paused", 2)
    assert await run(Message.objects.filter(role="assistant").count) == 1
