"""Bursts are read by comparing bytes: to the same text as chunk by chunk, whatever stands among them."""

from collections.abc import Sequence
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.providers import bursts
from agents.providers.base import Usage
from agents.providers.chunks import AnswerReader

WORDS = ["Hello", " world", 'a "quoted" word', "back\\slash", "line\nend", "ünï – 漢字 🙂", "", '","', '"},"finish_reason":null}]}', "\\"]


def chunk(text: str, **fields: Any) -> bytes:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": None}
    return orjson.dumps({"id": "c1", "object": "chat.completion.chunk", "model": "m", "choices": [choice], **fields})


def block(chunks: Sequence[bytes]) -> bytes:
    return bursts.BORDER.join(chunks)


def one_by_one(chunks: Sequence[bytes]) -> str:
    return "".join(bursts.only_text(orjson.loads(each)) or "" for each in chunks)


def told(found: tuple[list[bytes], bursts.Run, list[bytes]]) -> str:
    before, run, after = found
    return one_by_one(before) + run.text + one_by_one(after)


def test_chunks_that_are_alike_are_one_run() -> None:
    chunks = [chunk(word) for word in WORDS * 4]
    found = bursts.split(block(chunks))
    assert found is not None
    assert (found[0], found[1].text, found[2]) == ([], "".join(WORDS * 4), [])


def test_what_stands_before_and_after_the_run_is_left() -> None:
    role, stop = b'{"choices":[{"delta":{"role":"assistant"}}]}', b'{"choices":[{"delta":{},"finish_reason":"stop"}]}'
    found = bursts.split(block([role, *[chunk("word ") for _ in range(30)], stop]))
    assert found is not None
    assert (found[0], found[1].text, found[2]) == ([role], "word " * 30, [stop])


@pytest.mark.parametrize(
    "odd",
    [
        chunk("x", usage={"prompt_tokens": 1}),
        chunk("x", created=7),
        b'{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"t","function":{"name":"f","arguments":"{}"}}]}}]}',
        b'{"error":{"message":"no"}}',
        b"[1, 2]",
        b"not JSON",
        chunk("x") + b"\ndata: " + chunk("y"),
    ],
)
def test_a_run_with_something_else_in_it_is_none(odd: bytes) -> None:
    some = [chunk("word ") for _ in range(12)]
    assert bursts.split(block([*some, odd, *some, chunk("end")])) is None


@pytest.mark.parametrize("middle", [b"[]", b"not JSON", b'"content":"a"', chunk("x", usage={"total_tokens": 1}), b'{"a":{"content":"x"}}'])
def test_what_is_not_text_alone_is_no_pattern(middle: bytes) -> None:
    assert bursts.split(block([middle] * 50)) is None


def test_a_field_of_the_same_name_is_not_taken_for_the_text() -> None:
    other = [
        orjson.dumps({"system": {"content": "word" if n == 15 else f"not this {n}"}, **orjson.loads(chunk("word"))}) for n in range(30)
    ]
    assert bursts.split(block(other)) is None


def test_a_run_of_nothing_is_no_error() -> None:
    reader = AnswerReader()
    deltas = reader.feed(b"data: " + block([chunk("") for _ in range(30)]) + b"\n\ndata: " + chunk("0") + b"\n\n")
    assert (reader.error, [delta.text for delta in deltas]) == (None, ["0"])  # type: ignore[union-attr]  # texts alone


def test_what_a_chunk_without_text_tells_beside_is_heard() -> None:
    usage = chunk("", x_groq={"usage": {"prompt_tokens": 7, "completion_tokens": 1}})
    chunks = [*[chunk("word ") for _ in range(15)], usage, *[chunk("a longer word ") for _ in range(6)]]
    reader = AnswerReader()
    reader.feed(b"data: " + block([*chunks, b'{"choices":[{"delta":{},"finish_reason":"stop"}]}']) + b"\n\ndata: [DONE]\n\n")
    assert [delta.input_tokens for delta in reader.finish() if isinstance(delta, Usage)] == [7]


def test_a_chunk_whose_string_does_not_end_is_no_text() -> None:
    broken = chunk("").replace(b'"content":""', b'"content":"')
    assert bursts.split(block([*[chunk("word ") for _ in range(9)], broken, *[chunk("word ") for _ in range(9)]])) is None


def test_a_short_block_is_not_looked_at() -> None:
    assert bursts.split(block([chunk("a"), chunk("b"), chunk("c")])) is None


pieces = st.builds(chunk, st.sampled_from(WORDS) | st.text(max_size=6)) | st.builds(
    chunk, st.text(max_size=3), created=st.integers(1, 2), usage=st.none()
)


@given(st.lists(pieces, min_size=12, max_size=40))
def test_a_burst_says_what_its_chunks_say(chunks: list[bytes]) -> None:
    found = bursts.split(block(chunks))
    assert found is None or told(found) == one_by_one(chunks)
    reader = AnswerReader()
    deltas = reader.feed(b"data: " + block(chunks) + b"\n\n")
    assert (reader.error, "".join(delta.text for delta in deltas)) == (None, one_by_one(chunks))  # type: ignore[union-attr]  # texts alone
