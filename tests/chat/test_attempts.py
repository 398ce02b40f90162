"""The events of a run that begins again (AG-32): what an earlier attempt said is void, and readers are told so, wherever they read."""

import pytest

from agents.ids import uuid7
from chat import eventcodec, eventship, watching
from chat.eventlog import ATTEMPT_NUMBERS, Follower, Log, registry
from chat.events import Gap, StepStarted, TextDelta, TurnEvent, TurnFinished, Usage
from chat.fold import fold

SECOND = 57 + ATTEMPT_NUMBERS


def said(*texts: str) -> list[TurnEvent]:
    return [TextDelta(1, text) for text in texts]


def log_of(*events: TurnEvent) -> Log:
    log = Log(uuid7())
    for event in events:
        log.append(event)
    return log


def entry(last: int, *events: TurnEvent | Gap) -> tuple[bytes, dict[bytes, bytes]]:
    """A flush as Redis keeps it: its id is the number of its last event."""
    return f"{last}-0".encode(), {b"e": eventcodec.encode(events)}


def test_a_log_that_begins_again_numbers_on_from_the_gap() -> None:
    log = log_of(*said("a", "b"))
    log.restart(SECOND)
    log.append(TextDelta(1, "c"))
    assert log.after(0) == log.after(2) == [(SECOND, Gap(1, SECOND, restart=True)), (SECOND + 1, TextDelta(1, "c"))]


@pytest.mark.parametrize("after", [0, 2, 57, SECOND])
def test_whatever_a_reader_had_of_the_first_attempt_it_misses_nothing(after: int) -> None:
    log = Log(uuid7())
    log.restart(SECOND)
    assert log.covers(after)


def test_a_log_that_begins_later_covers_only_who_has_the_rest() -> None:
    assert [Log(uuid7(), 10).covers(after) for after in (0, 9, 10, 11)] == [False, False, True, True]


async def test_a_reader_that_waits_is_told_of_the_restart_and_reads_on() -> None:
    log = log_of(*said("a", "b"))
    reader = Follower(log)
    assert [seq for seq, _ in await reader.next() or ()] == [1, 2]
    log.restart(SECOND)
    log.append(TurnFinished(finish_reason="stop", usage=Usage(), duration_ms=1))
    assert [seq for seq, _ in await reader.next() or ()] == [SECOND, SECOND + 1]
    assert await reader.next() is None


async def test_who_waits_for_a_run_whose_process_died_is_told_once_to_start_over() -> None:
    """The next attempt's log says it; that what came between is lost need not be said besides."""
    again = Log(uuid7())
    again.restart(SECOND)
    again.append(TurnFinished(finish_reason="stop", usage=Usage(), duration_ms=1))
    log = Log(again.execution_id, 20)
    await watching._copy(again, log)
    assert [(seq, type(event)) for seq, event in log.after(20)] == [(SECOND, Gap), (SECOND + 1, TurnFinished)]


def test_the_outcome_is_that_of_the_last_attempt() -> None:
    assert fold([*said("a"), Gap(1, 9, restart=True), *said("b")]).text == "b"
    assert fold([*said("a"), Gap(2, 9), *said("b")]).text == "ab"


def test_another_process_sees_the_restart_in_the_stream() -> None:
    log = Log(uuid7())
    eventship._take(log, [entry(2, *said("a", "b"))])
    eventship._take(log, [entry(SECOND + 1, Gap(1, SECOND, restart=True), TextDelta(1, "c"))])
    assert [seq for seq, _ in log.after(2)] == [SECOND, SECOND + 1]
    assert fold(log.after(0)).text == "c"


def test_who_reads_the_stream_late_has_the_last_attempt_only() -> None:
    log = Log(uuid7())
    eventship._take(log, [entry(2, *said("a", "b")), entry(SECOND + 1, Gap(1, SECOND, restart=True), StepStarted(1))])
    assert [event for _, event in log.after(0)] == [Gap(1, SECOND, restart=True), StepStarted(1)]


def test_what_redis_lost_is_a_gap_in_its_place() -> None:
    """R7.5: numbers stay what they are, and the hole is told."""
    log = Log(uuid7())
    eventship._take(log, [entry(2, *said("a", "b")), entry(7, *said("f", "g"))])
    assert log.after(0)[2:] == [(5, Gap(3, 5)), (6, TextDelta(1, "f")), (7, TextDelta(1, "g"))]
    assert [seq for seq, _ in log.after(4)] == [5, 6, 7]


def test_a_restart_that_redis_lost_is_told_all_the_same() -> None:
    log = Log(uuid7())
    eventship._take(log, [entry(2, *said("a", "b")), entry(SECOND + 2, TextDelta(1, "c"))])
    assert log.after(2) == [(SECOND + 1, Gap(1, SECOND + 1, restart=True)), (SECOND + 2, TextDelta(1, "c"))]


def test_who_watches_a_run_that_waits_has_the_log_that_it_begins_with() -> None:
    execution_id = uuid7()
    watched = registry.expect(execution_id)
    assert registry.get(execution_id) is registry.expect(execution_id) is watched
    del watched
    assert registry.get(execution_id) is None
