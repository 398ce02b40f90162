"""Frames of the WebSocket wire, byte for byte in both encodings (WS-79), and what holds for every run (WS-14 … WS-18, WS-34 … WS-45)."""

import math
from datetime import UTC, datetime
from decimal import Decimal
from itertools import pairwise
from typing import Any
from uuid import UUID

import msgpack
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat.events import Gap, Numbered, TextDelta, TurnEvent, TurnStarted
from chat.protocols.websocket.codec import Teller
from chat.protocols.websocket.frames import Frame
from chat.protocols.websocket.values import cut, part_of, safe
from chat.readings import gathered
from tests.protocols import story
from tests.protocols.websocket.stories import BEGUN, EXECUTION, FINISHED, STORIES, THREAD, VALUES, numbered
from tests.support import golden

ALL = {**STORIES, **{f"story_{name}": [item.event for item in items] for name, items in story.STORIES.items()}}
REASONS = {"reasoning": {"reasoning": True}, "silent": {}}


def frames(events: list[Numbered], **options: Any) -> list[Frame]:
    return Teller(thread_id=THREAD, execution_id=EXECUTION, **options).tell(events)


def bodies(name: str, **options: Any) -> list[dict[str, Any]]:
    return [frame.body for frame in frames(numbered(STORIES[name]), **options)]


def kinds(name: str) -> list[str]:
    """Types in order; of chunks whether they are the last, of session frames their event."""
    told = bodies(name)
    return [
        f"{body['type']} {body['event']}" if body["type"] == "session" else f"{body['type']}{' done' * body.get('done', False)}"
        for body in told
    ]


@pytest.mark.parametrize("name", STORIES)
def test_each_story_in_bytes(name: str) -> None:
    """WS-79: the text frames one a line, the binary ones one after the other."""
    told = frames(numbered(STORIES[name]), reasoning=True)
    golden.check(f"websocket/{name}.jsonl", "".join(f"{frame.text}\n" for frame in told).encode())
    golden.check(f"websocket/{name}.msgpack", b"".join(frame.binary for frame in told))


@pytest.mark.parametrize("name", ALL)
def test_both_encodings_hold_the_same(name: str) -> None:
    """WS-11."""
    for frame in frames(numbered([event for event in ALL[name] if not isinstance(event, Gap)])):
        assert msgpack.unpackb(frame.binary) == orjson.loads(frame.text)


@pytest.mark.parametrize("name", STORIES)
def test_a_replay_equals_the_live_frames(name: str) -> None:
    """WS-79: told at once, or one event after the other."""
    teller = Teller(thread_id=THREAD, execution_id=EXECUTION)
    live = [frame.binary for item in numbered(STORIES[name]) for frame in teller.tell([item])]
    assert [frame.binary for frame in frames(numbered(STORIES[name]))] == live


@pytest.mark.parametrize("name", STORIES)
def test_numbers_grow_and_only_the_last_frame_of_an_event_bears_one(name: str) -> None:
    """WS-18, WS-19."""
    for item in numbered(STORIES[name]):
        told = [frame.body.get("seq") for frame in _after(numbered(STORIES[name])[: item.seq - 1], item)]
        assert told in ([], [*[None] * (len(told) - 1), item.seq])


def _after(before: list[Numbered], item: Numbered) -> list[Frame]:
    teller = Teller(thread_id=THREAD, execution_id=EXECUTION)
    teller.tell(before)
    return teller.tell([item])


@pytest.mark.parametrize("name", STORIES)
def test_every_frame_names_its_thread_and_run(name: str) -> None:
    """WS-17."""
    for body in bodies(name):
        assert (body["thread_id"], body["execution_id"]) == (THREAD, EXECUTION)
        if body["type"] in ("job_update", "node_update", "output_update", "log_update"):
            assert (body["job_id"], body["workflow_id"]) == (EXECUTION, "wf-report")


@pytest.mark.parametrize("name", STORIES)
def test_an_end_is_told_once_and_last(name: str) -> None:
    """WS-34, WS-43: one empty done chunk at each end and each pause; `finished` is the last frame."""
    told = bodies(name)
    done = [body for body in told if body["type"] == "chunk" and body["done"]]
    assert len(done) == 1 + (name in ("paused_and_approved", "expired"))
    assert all(body["content"] == "" for body in done)
    assert [body.get("event") for body in told].index("finished") == len(told) - 1


@pytest.mark.parametrize("name", STORIES)
def test_every_call_is_followed_by_one_result(name: str) -> None:
    """WS-38: also when the turn fails or is stopped before the tool answered."""
    told = bodies(name)
    calls = [body["tool_call_id"] for body in told if body["type"] == "tool_call"]
    assert [body["tool_call_id"] for body in told if body["type"] == "tool_result"] == calls


@pytest.mark.parametrize("name", [name for name in STORIES if "job" not in name])
def test_the_chunks_of_a_turn_are_its_message(name: str) -> None:
    """WS-36: joined texts equal `content`, blank lines between model calls among them."""
    told = bodies(name)
    text = "".join(body["content"] for body in told if body["type"] == "chunk" and not body["thinking"])
    message = next((body for body in told if body["type"] == "message"), None)
    assert text == (message["content"] if message else "")


@pytest.mark.parametrize(
    ("name", "order"),
    [
        ("plain", ["chunk", "chunk", "chunk done", "message", "session finished"]),
        ("tool", ["chunk", "tool_call", "tool_result", "chunk", "chunk done", "message", "session finished"]),
        ("failed", ["chunk", "tool_call", "tool_result", "error", "chunk done", "message", "session finished"]),
        ("failed_mute", ["error", "chunk done", "session finished"]),
        ("stopped", ["chunk", "chunk", "generation_stopped", "chunk done", "message", "session finished"]),
        ("stopped_in_queue", ["generation_stopped", "chunk done", "session finished"]),
        (
            "paused_and_approved",
            ["chunk", "tool_call", "approval_request", "session paused", "chunk done", "approval_resolved", "session resumed",
             "tool_result", "chunk", "chunk done", "message", "session finished"],
        ),
        (
            "expired",
            ["tool_call", "approval_request", "session paused", "chunk done", "tool_result", "error", "chunk done", "session finished"],
        ),
    ],
)  # fmt: skip
def test_the_order_of_frames(name: str, order: list[str]) -> None:
    """WS-26, WS-44, WS-45, WS-51 … WS-53."""
    assert kinds(name) == order


def test_a_run_that_waited_is_told_to_have_started() -> None:
    """WS-43."""
    waited = TurnStarted(execution_id=EXECUTION, agent="support", version=1, model="fake", waited=True)
    (frame,) = frames(numbered([waited]))
    assert (frame.body["event"], frame.body["seq"]) == ("started", 1)
    assert frames(numbered([BEGUN])) == []


def test_reasoning_is_told_only_to_who_asked() -> None:
    """WS-35: as thinking, and never part of the message."""
    told = bodies("tool", reasoning=True)
    assert [body["content"] for body in told if body["type"] == "chunk" and body["thinking"]] == ["Hm."]
    assert next(body for body in told if body["type"] == "message")["content"] == "Let me look.\n\nIt was shipped."
    assert not any(body["thinking"] for body in bodies("tool") if body["type"] == "chunk")


def test_a_client_tool_is_marked_for_who_is_to_answer() -> None:
    """WS-48: the shared frame says `client: false`."""
    called = next(frame for frame in frames(numbered(STORIES["client_tool"])) if frame.body["type"] == "tool_call")
    assert (called.awaits, called.body["client"]) == ("call_1", False)


def test_every_value_is_a_part_of_a_jobs_message() -> None:
    """WS-58: in the order of the outputs; a bare number loses nothing."""
    message = next(body for body in bodies("job") if body["type"] == "message")
    texts = [part.get("text") for part in message["content"]]
    assert texts == ["Sales rose.", "1041.5", "true", "[1,2,3]", "one\ntwo", "null", None, '{"a":{"b":[null,"1180591620717411303424"]}}']
    assert message["content"][6] == VALUES["picture"]


def test_what_came_before_a_restart_is_forgotten() -> None:
    """WS-61: a stored replay after a gap does not repeat the text."""
    items = [Numbered(3, TextDelta(1, "old")), Numbered(7, Gap(1, 7, restart=True)), *numbered([TextDelta(1, "new"), FINISHED])]
    told = [frame.body for frame in frames(items, replay=True)]
    assert (told[1]["type"], told[1]["from"], told[1]["to"], told[1]["restart"]) == ("gap", 1, 7, True)
    message = next(body for body in told if body["type"] == "message")
    assert (message["content"], message["replay"]) == ("new", True)


def test_adjacent_text_is_merged_and_nothing_else() -> None:
    """WS-69: text joined, the number of the last."""
    told = frames(numbered(STORIES["plain"]))
    merged = told[0].merged(told[1])
    assert merged is not None
    assert (merged.body["content"], merged.body["seq"]) == ('Hello! "Grüße" 🌍', 4)
    assert merged.merged(told[2]) is None  # the done chunk
    assert told[0].merged(Frame({**told[1].body, "execution_id": "another"})) is None
    assert [first.merged(second) for first, second in pairwise(told[2:])] == [None] * (len(told) - 3)


@given(st.lists(st.tuples(st.integers(1, 3), st.text(min_size=1)), min_size=1), st.data())
def test_gathered_text_says_the_same(pieces: list[tuple[int, str]], data: Any) -> None:
    """However the deltas come together, the text is the same."""
    events: list[TurnEvent] = [TextDelta(block, text) for block, text in pieces]
    items = numbered(events)
    parts = data.draw(st.integers(0, len(items)))
    told = frames([*gathered(items[:parts]), *gathered(items[parts:])]) if 0 < parts < len(items) else frames(list(gathered(items)))
    assert "".join(frame.body["content"] for frame in told) == "".join(frame.body["content"] for frame in frames(items))
    assert told[-1].body["seq"] == items[-1].seq


VALUE = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(codec=None))
    | st.binary()
    | st.uuids()
    | st.datetimes()
    | st.decimals(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(codec=None)) | st.integers(), inner) | st.tuples(inner),
    max_leaves=20,
)


@given(VALUE)
def test_any_value_passes_both_encoders_alike(value: Any) -> None:
    """WS-14."""
    frame = Frame({"value": safe(value)})
    assert msgpack.unpackb(frame.binary) == orjson.loads(frame.text)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (datetime(2026, 11, 20, 10, 15, 4, 120_000, UTC), "2026-11-20T10:15:04.120Z"),
        (UUID(EXECUTION), EXECUTION),
        (Decimal("20.00"), "20.00"),
        (b"hi", "aGk="),
        (math.nan, None),
        (-math.inf, None),
        (2**64, "18446744073709551616"),
        (-(2**63), -(2**63)),
        ({1: {2}}, {"1": [2]}),
        ("\ud800", "?"),
        (True, True),
    ],
    ids=repr,
)
def test_values_that_json_does_not_know(value: Any, told: Any) -> None:
    """WS-14."""
    assert safe(value) == told
    assert type(safe(value)) is type(told)


def test_a_long_result_is_cut() -> None:
    """WS-39: above 64 KiB of JSON."""
    whole, long = "x" * 65_534, ["ü" * 40_000]
    assert cut(whole) == whole
    assert cut([1, 2]) == [1, 2]
    shown = cut(long)
    assert (shown["truncated"], shown["size"], len(shown["preview"])) == (True, 80_004, 4_000)


@pytest.mark.parametrize("value", [0, "", [], {}, {"type": "image"}, ["a", 1], 1.5, False, None])
def test_any_output_is_a_part(value: Any) -> None:
    assert part_of(value)["type"] == "text"
