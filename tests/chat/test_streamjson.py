"""stream-json: AG-16 … AG-21, byte for byte, by a line parser and by an SSE parser."""

from typing import Any, Literal

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat.events import (
    StepFinished,
    StepStarted,
    TextDelta,
    ToolCalled,
    ToolReturned,
    TurnEvent,
    TurnFailed,
    TurnFinished,
    TurnStarted,
    Usage,
)
from chat.streamjson import Encoder, lines, wanted_form
from tests.protocols import story
from tests.support import golden

Told = dict[str, Any]


def encoded(events: Any, form: Literal["sse", "ndjson"] = "sse", **options: Any) -> bytes:
    return Encoder(form=form, **options).encode(events)


def by_lines(data: bytes) -> list[Told]:
    return [orjson.loads(line) for line in data.decode().splitlines()]


def by_frames(data: bytes) -> list[tuple[int | None, Told]]:
    found: list[tuple[int | None, Told]] = []
    for frame in data.decode().split("\n\n")[:-1]:
        fields = dict(line.split(": ", 1) for line in frame.split("\n"))
        found.append((int(fields["id"]) if "id" in fields else None, orjson.loads(fields["data"])))
    return found


@pytest.mark.parametrize("form", ["sse", "ndjson"])
@pytest.mark.parametrize("name", story.STORIES)
def test_each_story_in_bytes(name: str, form: Literal["sse", "ndjson"]) -> None:
    golden.check(f"streamjson/{name}.{form}", encoded(story.STORIES[name], form))


def test_the_order_is_init_steps_result() -> None:
    """AG-16."""
    told = [line["type"] for line in by_lines(encoded(story.WHOLE, "ndjson", partial=False))]
    assert [kind for kind in told if kind != "workflow"] == ["system", "assistant", "user", "user", "assistant", "result"]
    assert told.count("workflow") == 5, "a workflow's steps, in objects of their own"


@pytest.mark.parametrize("name", story.STORIES)
def test_every_object_has_its_number_and_its_session(name: str) -> None:
    """AG-16, R7.2: `seq` is the SSE id, and numbers never fall."""
    numbers = [0]
    for number, told in by_frames(encoded(story.STORIES[name])):
        assert number is not None
        assert number >= numbers[-1]
        numbers.append(number)
        if told["type"] in ("gap", "stream_end"):
            assert "seq" not in told
        else:
            assert told["seq"] == number
            assert told["session_id"] == story.SESSION


@pytest.mark.parametrize("name", story.STORIES)
def test_sse_ends_with_stream_end_and_lines_with_result(name: str) -> None:
    """AG-20, AG-21: also on failure."""
    told = by_frames(encoded(story.STORIES[name]))
    assert told[-1][1] == {"type": "stream_end"}
    assert told[-1][0] == told[-2][0] == story.STORIES[name][-1].seq
    assert by_lines(encoded(story.STORIES[name], "ndjson"))[-1]["type"] == "result"


def test_deltas_of_a_step_make_its_text() -> None:
    """AG-18; `?partial=false` leaves them out."""
    told = by_lines(encoded(story.WHOLE, "ndjson"))
    deltas = "".join(line["event"]["delta"]["text"] for line in told if line["type"] == "stream_event")
    texts = "".join(
        block["text"] for line in told if line["type"] == "assistant" for block in line["message"]["content"] if block["type"] == "text"
    )
    assert deltas == texts
    assert not [line for line in by_lines(encoded(story.WHOLE, "ndjson", partial=False)) if line["type"] == "stream_event"]


def test_usage_of_the_steps_sums_to_that_of_the_result() -> None:
    """AG-17, AG-19: in a whole run, a paused one, and one that failed in its second step."""
    for name in ("whole", "paused", "failed"):
        told = by_lines(encoded(story.STORIES[name], "ndjson"))
        for key in ("input_tokens", "output_tokens"):
            spent = sum(line["message"]["usage"][key] for line in told if line["type"] == "assistant")
            assert spent == told[-1]["usage"][key]


def test_empty_and_failed_outputs() -> None:
    """AG-17: `(no output)`; a failed call tells its sentence."""
    returned: list[ToolReturned] = [
        ToolReturned(call_id="a", name="x", output=""),
        ToolReturned(call_id="b", name="x", output=None, ok=False, error="No."),
        ToolReturned(call_id="c", name="x", output={"rows": [1]}),
    ]
    called = [ToolCalled(call_id=event.call_id, name="x", arguments={}) for event in returned]
    told = lines(story.numbered(*called, *returned, StepFinished(step=1, usage=Usage(), model="m")))
    blocks = [line["message"]["content"][0] for line in told if line["type"] == "user"]
    assert [(block["content"], block["is_error"]) for block in blocks] == [("(no output)", False), ("No.", True), ('{"rows":[1]}', False)]


@pytest.mark.parametrize(
    ("code", "subtype"),
    [("max_steps_reached", "error_max_turns"), ("timeout", "error_timeout"), ("provider_error", "error_during_execution")],
)
def test_failures_have_their_subtype(code: str, subtype: str) -> None:
    """AG-19, AG-20: an `error`, then the `result`."""
    told = lines(story.numbered(TurnFailed(code=code, message="No.", status=502)))
    assert told[0] == {"type": "error", "seq": 1, "session_id": None, "message": "No.", "code": code, "retryable": True}
    assert (told[1]["subtype"], told[1]["is_error"], told[1]["errors"]) == (subtype, True, ["No."])


def test_cancelled_and_paused_results() -> None:
    """AG-19."""
    cancelled, paused = lines(story.CANCELLED)[-1], lines(story.PAUSED)[-1]
    assert (cancelled["subtype"], cancelled["is_error"]) == ("cancelled", True)
    assert (paused["subtype"], paused["is_error"]) == ("paused", False)
    assert paused["approvals"] == [{"tool_call_id": "srv_refund000001", "name": "refund", "arguments": {"order": 1187, "amount": 20}}]


def test_visitors_see_text_and_tool_names_only() -> None:
    """AG-59."""
    for name in ("whole", "paused"):
        data = encoded(story.STORIES[name], "ndjson", public=True)
        for secret in (b"10 results", b"latest", b"1187", b"claude", b"usage", b"cost", b"The shop said no"):
            assert secret not in data
        assert b"web_search" in data
        assert "Grüße".encode() in data


def test_watchers_of_a_queued_run_hear_their_place() -> None:
    """AG-20: first, and in silence until the run begins."""
    encoder = Encoder(form="sse")
    encoder.queued(3)
    assert encoder.keep_alive == b'data: {"type":"status","status":"queued","position":3}\n\n'
    encoder.encode(story.WHOLE[:1])
    assert encoder.keep_alive == b": keep-alive\n\n"


def test_the_log_is_the_stream_without_deltas() -> None:
    """AG-12."""
    assert lines(story.WHOLE) == by_lines(encoded(story.WHOLE, "ndjson", partial=False))


def test_a_replay_from_storage_begins_with_restart() -> None:
    """R7.4: and what follows is the whole answer, also above the number that was asked for."""
    told = by_frames(encoded(story.REPLAYED, after=200))
    assert told[0] == (214, {"type": "gap", "from": 1, "to": 214, "restart": True})
    assert told[-2][1]["result"] == "All of it."


_STEP = st.tuples(st.text(max_size=6), st.integers(0, 2), st.booleans())


def _run(steps: list[tuple[str, int, bool]]) -> list[TurnEvent]:
    """Steps of (text, calls, whether text also comes after the calls)."""
    events: list[TurnEvent] = [TurnStarted(execution_id=story.EXECUTION, agent="a", version=1, model="m")]
    for step, (text, calls, trailing) in enumerate(steps, 1):
        made = [ToolCalled(call_id=f"{step}.{call}", name="t", arguments={}) for call in range(calls)]
        events += [StepStarted(step), TextDelta(2 * step, text), *made]
        events += [TextDelta(2 * step + 1, "after")] if trailing else []
        events += [ToolReturned(call_id=call.call_id, name="t", output=1) for call in made]
        events.append(StepFinished(step=step, usage=Usage(input_tokens=1, model_calls=1), model="m"))
    return [*events, TurnFinished(finish_reason="stop", usage=Usage(input_tokens=len(steps)), duration_ms=1)]


@given(steps=st.lists(_STEP, max_size=4), data=st.data())
def test_resuming_after_any_frame_loses_and_repeats_nothing(steps: list[tuple[str, int, bool]], data: st.DataObject) -> None:
    """R7.3: whoever has seen the frames up to id N gets exactly the others."""
    events = story.numbered(*_run(steps))
    told = by_frames(encoded(events))
    after = data.draw(st.sampled_from([number or 0 for number, _ in told]))
    rest = [(number, line) for number, line in told[:-1] if (number or 0) > after]
    assert by_frames(encoded(events, after=after)) == [*rest, told[-1]]
    assert [number for number, _ in told] == sorted(number or 0 for number, _ in told)


@pytest.mark.parametrize(
    ("stream", "accept", "query", "form"),
    [
        (None, "", None, None),
        (None, "*/*", None, None),
        (None, "application/json", None, None),
        (False, "text/event-stream", "sse", None),
        (None, "text/event-stream", "false", None),
        (None, "text/event-stream", None, "sse"),
        (None, "text/event-stream;q=0.9, application/x-ndjson", "ndjson", "sse"),
        (True, "application/json, text/event-stream", None, "sse"),
        (None, "application/x-ndjson", "sse", "ndjson"),
        (None, "*/*", "sse", "sse"),
        (True, "*/*", "sse", "sse"),
        (None, "*/*", "ndjson", "ndjson"),
        (None, "*/*", "true", "ndjson"),
        (True, "", None, "ndjson"),
        (None, "*/*", "yes", None),
    ],
)
def test_the_form_of_an_answer(stream: bool | None, accept: str, query: str | None, form: str | None) -> None:
    """AG-9."""
    assert wanted_form(stream, accept, query) == form
