"""The queue as rows: who is next, how many at a time, and what becomes of a run that is put back (AG-31, AG-32)."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from chat import backlog, process, taking
from chat.errors import TurnError
from chat.eventlog import ATTEMPT_NUMBERS
from chat.models import Execution, Message
from chat.records import WAITING_POSITION
from tests.chat.queueing import agent, lapse, principal, queue, session, states, take, taken

pytestmark = pytest.mark.django_db
SOON = datetime.now(UTC) + timedelta(hours=1)


def test_runs_start_by_priority_then_arrival() -> None:
    spec = agent()
    for text, priority in (("first", 5), ("low", 1), ("second", 5), ("high", 9)):
        queue(spec, text, priority=priority)
    assert taken(spec) == ["high", "first", "second", "low"]


def test_a_run_is_held_by_the_process_that_took_it_and_by_no_other() -> None:
    spec = agent()
    row = queue(spec)
    assert take(spec)
    row.refresh_from_db()
    assert (row.process, row.status) == (process.NAME, "queued")
    assert row.lease_until
    assert take(spec) is None


def test_no_more_than_its_capacity_are_held_at_a_time() -> None:
    spec = agent()
    for number in range(3):
        queue(spec, str(number))
    assert taken(spec, limit=2) == ["0", "1"]
    Execution.objects.filter(message="0").update(status="success", lease_until=None)
    assert taken(spec, limit=2) == ["2"]


def test_who_takes_a_run_hears_whether_another_may_start() -> None:
    spec = agent()
    for _ in range(3):
        queue(spec)
    assert [found.more for found in (take(spec, 3), take(spec, 3), take(spec, 3)) if found] == [True, True, False]


def test_a_run_that_waits_for_its_time_lets_others_pass() -> None:
    spec = agent()
    queue(spec, "later", not_before=SOON, priority=9)
    queue(spec, "now")
    assert taken(spec) == ["now"]


def test_runs_of_one_conversation_start_one_by_one() -> None:
    """AG-34: they would only wait for each other's turn lock, in a worker's place."""
    spec = agent()
    one, other = session(spec), session(spec)
    for text, place in (("a", one), ("b", one), ("c", other), ("d", None)):
        queue(spec, text, session=place)
    assert taken(spec) == ["a", "c", "d"]
    Execution.objects.filter(message="a").update(status="success", lease_until=None)
    assert taken(spec) == ["b"]


def test_the_agent_with_the_fewest_running_is_next() -> None:
    busy, idle, full = agent("busy"), agent("idle"), agent("full")
    for spec in (busy, busy, full, full, idle):
        queue(spec)
    take(busy)
    take(full)
    assert taking.startable({busy.id: 10, idle.id: 10, full.id: 1}) == [idle.id, busy.id]


def test_the_queue_of_an_agent_is_bounded() -> None:
    spec = agent(max_queued_tasks=2)
    queue(spec)
    queue(spec)
    with pytest.raises(TurnError) as refused:
        queue(spec)
    assert (refused.value.code, refused.value.extra) == ("queue_full", {"queue_length": 2})
    take(spec)
    assert queue(spec).status == "queued"


def test_the_place_in_the_queue_counts_those_that_start_sooner() -> None:
    spec = agent()
    first, second, urgent = queue(spec), queue(spec), queue(spec, priority=9)
    assert [backlog.position(row) for row in (first, second, urgent)] == [2, 3, 1]


def test_a_question_in_a_conversation_waits_for_its_place() -> None:
    spec = agent()
    row = queue(spec, "Long version.", session=session(spec), stored_parts=({"type": "text", "text": "Short?"},))
    asked = Message.objects.get(execution_id=row.id)
    assert (asked.position, asked.status, asked.source, asked.text, row.message) == (
        WAITING_POSITION, "pending", "task", "Short?", "Long version.",
    )  # fmt: skip
    found = take(spec)
    assert found
    assert found.question == asked.id


# Putting back


@pytest.mark.parametrize(("fields", "back", "after"), [
    ({}, "waits", ("queued", 2, "")),
    ({"status": "queued"}, "waits", ("queued", 1, "")),
    ({"max_attempts": 1}, "spent", ("running", 1, "")),
    ({"attempt_number": 2}, "not ours", ("running", 2, "")),
    ({"status": "cancelled"}, "not ours", ("cancelled", 1, "")),
    ({"status": "paused"}, "not ours", ("paused", 1, "")),
])  # fmt: skip
def test_a_run_that_is_put_back(fields: dict[str, Any], back: str, after: tuple[str, int, str]) -> None:
    """AG-32: for its next attempt if it had begun, and only by who has this attempt."""
    row = queue(agent(), max_attempts=3)
    lapse(row, **fields)
    assert taking.put_back(row.id, 1, 7) == back
    assert states([row]) == [after]


def test_the_next_attempt_begins_anew_and_numbers_its_events_above_all_of_the_last() -> None:
    spec = agent()
    row = queue(spec, session=session(spec))
    lapse(row)
    Message.objects.filter(execution_id=row.id).update(position=4)
    assert taking.put_back(row.id, 1, 57) == "waits"
    row.refresh_from_db()
    assert (row.started_at, row.lease_until, row.process, row.last_seq) == (None, None, "", 57 + ATTEMPT_NUMBERS)
    assert Message.objects.get(execution_id=row.id).position == WAITING_POSITION
    assert take(spec)


def test_a_process_that_renewed_its_lease_meanwhile_keeps_its_run() -> None:
    row = queue(agent())
    lapse(row)
    row.refresh_from_db()
    seen = row.lease_until
    Execution.objects.filter(id=row.id).update(lease_until=SOON)
    assert taking.put_back(row.id, 1, 0, seen) == "not ours"
    assert states([row]) == [("running", 1, "")]


def test_a_rate_binds_all_runs_of_the_same_caller() -> None:
    """R14.1: one of them found the window full; none of the others need find out."""
    spec = agent()
    for who in ("owner", "owner", "guest"):
        queue(spec, who, by=principal(who))
    found = take(spec)
    assert found
    taking.postpone(found.row.id, SOON, others=True)
    assert taken(spec) == ["guest"]


def test_a_run_that_nobody_could_be_told_of_is_withdrawn_unless_a_worker_has_it() -> None:
    """AG-30."""
    spec = agent()
    lost, found = queue(spec, priority=1, session=session(spec)), queue(spec)
    take(spec)
    assert [backlog.withdraw(row.id, "store_unavailable") for row in (lost, found)] == [True, False]
    assert states([lost, found]) == [("failed", 1, "store_unavailable"), ("queued", 1, "")]
    assert not Message.objects.exists()
