"""The run wire in bytes: RUN-14 … RUN-25 and RUN-30, byte for byte and for any text in any pieces."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat.events import Gap, Numbered, TextDelta, TurnFinished, Usage
from chat.protocols.run.codec import Encoder, whole
from tests.protocols import story
from tests.support import golden

CONVERSATION = "my-conversation"


def encoded(events: list[Numbered], after: int = 0) -> bytes:
    return Encoder(CONVERSATION, story.EXECUTION, after).encode(events)


def frames(data: bytes) -> list[tuple[int, dict[str, Any]]]:
    """(id, object) of each frame; fails on anything that is not exactly `id`, `data`, blank line (RUN-18)."""
    found = []
    for frame in data.decode().split("\n\n")[:-1]:
        number, line = frame.split("\n")
        assert number.startswith("id: ")
        assert line.startswith("data: ")
        found.append((int(number[4:]), orjson.loads(line[6:])))
    return found


def content(data: bytes) -> str:
    return "".join(told["content"] for _, told in frames(data))


@pytest.mark.parametrize("name", story.STORIES)
def test_each_story_in_bytes(name: str) -> None:
    golden.check(f"run/{name}.sse", encoded(story.STORIES[name]))


@pytest.mark.parametrize("name", story.STORIES)
def test_one_final_event_and_it_is_the_last(name: str) -> None:
    """RUN-20, RUN-23, RUN-25: in success, failure, cancellation, pause and replay."""
    told = [told for _, told in frames(encoded(story.STORIES[name]))]
    assert [event["is_final"] for event in told] == [False] * (len(told) - 1) + [True]
    assert told[-1]["content"] == ""


def test_text_events_have_three_keys_in_order() -> None:
    """RUN-19."""
    for _, told in frames(encoded(story.WHOLE))[:-1]:
        assert list(told) == ["content", "is_final", "metrics"]
        assert told["content"]
        assert told["metrics"] is None


def test_metrics_have_the_eight_keys() -> None:
    """RUN-21; cost has at most six decimals (R0.3)."""
    final = frames(encoded(story.CANCELLED))[-1][1]
    keys = "input_tokens output_tokens total_tokens cost_usd duration_ms first_token_ms model_calls tool_calls"
    assert list(final["metrics"]) == keys.split()
    assert final["metrics"]["cost_usd"] == 0.0


def test_numbers_are_those_of_the_events() -> None:
    """RUN-22: tools and reasoning leave their numbers out."""
    assert [number for number, _ in frames(encoded(story.WHOLE))] == [4, 5, 24, 25, 26, 28]


@pytest.mark.parametrize("name", ["whole", "paused", "failed"])
def test_stream_and_whole_answer_have_the_same_text(name: str) -> None:
    """RUN-14, RUN-20, OAI-36."""
    events = story.STORIES[name]
    assert content(encoded(events)) == whole(events, CONVERSATION, story.EXECUTION)["response"]


def test_blocks_are_parted_by_a_blank_line() -> None:
    assert content(encoded(story.WHOLE)) == 'Let me look: "Grüße" 🌍\n\n\nThree findings stand out.\n\nI will not guess more.'


def test_an_empty_block_parts_nothing() -> None:
    """OAI-36: the blank line stands only where both sides have text."""
    events = story.numbered(TextDelta(1, ""), TextDelta(2, "a"), TextDelta(3, ""), TextDelta(4, "b"), story.FINISH)
    assert content(encoded(events)) == "a\n\nb"


def test_the_whole_answer_has_two_keys() -> None:
    """RUN-14."""
    assert list(whole(story.WHOLE, CONVERSATION, story.EXECUTION)) == ["response", "conversation_id"]


def test_a_paused_whole_answer_says_what_waits() -> None:
    """RUN-16."""
    answer = whole(story.PAUSED, CONVERSATION, story.EXECUTION)
    assert list(answer) == ["response", "conversation_id", "status", "execution_id", "approvals"]
    assert answer["approvals"] == [{"tool_call_id": "srv_refund000001", "name": "refund", "arguments": {"order": 1187, "amount": 20}}]


def test_a_gap_is_an_empty_text_event() -> None:
    """RUN-30."""
    data = encoded([Numbered(57, Gap(first=41, last=57))])
    assert data == b'id: 57\ndata: {"content":"","is_final":false,"metrics":null,"type":"gap","from":41,"to":57}\n\n'


@given(pieces=st.lists(st.tuples(st.integers(1, 3), st.text(max_size=8)), max_size=12), data=st.data())
def test_resuming_anywhere_loses_and_repeats_nothing(pieces: list[tuple[int, str]], data: st.DataObject) -> None:
    """R7.3: what came up to N, and what a resumed stream brings after N, are the bytes of the uninterrupted one."""
    end = TurnFinished(finish_reason="stop", usage=Usage(), duration_ms=1)
    events = story.numbered(*(TextDelta(block, text) for block, text in sorted(pieces, key=lambda piece: piece[0])), end)
    after = data.draw(st.integers(0, len(events)))
    assert encoded(events[:after]) + encoded(events, after) == encoded(events)


@given(text=st.text(min_size=1), cuts=st.lists(st.integers(0, 40)))
def test_any_text_survives_in_any_batches(text: str, cuts: list[int]) -> None:
    events = story.numbered(*(TextDelta(1, char) for char in text), story.FINISH)
    encoder, at, made = Encoder(CONVERSATION, story.EXECUTION), 0, b""
    for cut in sorted({*cuts, len(events)}):
        made += encoder.encode(events[at:cut])
        at = max(at, cut)
    assert content(made) == text
