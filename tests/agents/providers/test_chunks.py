"""The chunk reader: a table of what servers send, fed whole and byte by byte, and the deltas it must give."""

from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.providers.base import Delta, Finish, Reasoning, Refusal, Text, ToolCallPart, Usage
from agents.providers.chunks import AnswerReader, usage_from
from tests.agents.providers.asking import Answer, Feed

DONE = b"data: [DONE]\n\n"


def event(value: Any) -> bytes:
    return b"data: " + orjson.dumps(value) + b"\n\n"


def say(finish: str | None = None, **delta: Any) -> bytes:
    return event({"id": "c", "model": "m-1", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})


def call(finish: str | None = None, **piece: Any) -> bytes:
    name, arguments = piece.pop("name", None), piece.pop("arguments", None)
    return say(finish, tool_calls=[{**piece, "function": {"name": name, "arguments": arguments}}])


STOP = say("stop") + DONE
CALLED = say("tool_calls") + DONE


def read(pieces: Any) -> tuple[Answer, AnswerReader]:
    reader, answer = AnswerReader(), Answer([])
    for piece in pieces:
        answer.deltas += reader.feed(piece)
        if reader.error or reader.done:
            break
    if not reader.error:
        answer.deltas += reader.finish()
    answer.error = reader.error
    return answer, reader


def told(answer: Answer) -> list[tuple[str, str]]:
    """Texts by kind, neighbours joined: how they were cut into reads must not matter."""
    joined: list[tuple[str, str]] = []
    for delta in answer.deltas:
        if isinstance(delta, Text | Reasoning | Refusal):
            kind = type(delta).__name__
            before = joined.pop()[1] if joined and joined[-1][0] == kind else ""
            joined.append((kind, before + delta.text))
    return joined


HELLO = [("Text", "Hello")]
THOUGHT = [("Reasoning", "Hmm"), ("Text", "Hello")]
TEXTS: dict[str, tuple[bytes, list[tuple[str, str]]]] = {
    "pieces": (say(role="assistant", content="") + say(content="Hel") + say(content="lo") + STOP, HELLO),
    "role in every chunk": (say(role="assistant", content="Hel") + say(role="assistant", content="lo") + STOP, HELLO),
    "no done": (say(content="Hello") + say("stop"), HELLO),
    "done without a finish reason": (say(content="Hello") + DONE, HELLO),
    "text with the finish reason": (say("stop", content="Hello") + DONE, HELLO),
    "nulls everywhere": (say(content=None, tool_calls=None, refusal=None) + say(content="Hello", reasoning=None) + STOP, HELLO),
    "chunks without choices": (event({"choices": []}) + event({"object": "ping"}) + say(content="Hello") + STOP, HELLO),
    "null choices": (event({"choices": None}) + say(content="Hello") + STOP, HELLO),
    "content as parts": (say(content=[{"type": "text", "text": "Hel"}, "l", {"text": "o"}]) + STOP, HELLO),
    "unknown parts": (say(content=[{"type": "image"}, {"type": "text", "text": "Hello"}]) + STOP, HELLO),
    "reasoning_content": (say(reasoning_content="Hmm") + say(content="Hello") + STOP, THOUGHT),
    "reasoning": (say(reasoning="Hm") + say(reasoning="m") + say(content="Hello") + STOP, THOUGHT),
    "reasoning twice in one chunk": (say(reasoning="Hmm", reasoning_content="Hmm") + say(content="Hello") + STOP, THOUGHT),
    "reasoning with text": (say(reasoning="Hmm", content="Hello") + STOP, THOUGHT),
    "reasoning_details": (
        say(content="", reasoning_details=[{"type": "reasoning.text", "text": "H"}, {"type": "reasoning.summary", "summary": "mm"}])
        + say(content="Hello", reasoning_details=[{"type": "reasoning.encrypted", "data": "x"}])
        + STOP,
        THOUGHT,
    ),
    "thinking": (say(thinking="Hmm") + say(content="Hello") + STOP, THOUGHT),
    "thinking as a part": (
        say(content=[{"type": "thinking", "thinking": [{"type": "text", "text": "Hmm"}]}, {"type": "text", "text": "Hello"}]) + STOP,
        THOUGHT,
    ),
    "refusal": (say(refusal="I ca") + say(refusal="n't.") + STOP, [("Refusal", "I can't.")]),
    "message instead of delta": (event({"choices": [{"message": {"content": "Hello"}, "finish_reason": "stop"}]}) + DONE, HELLO),
    "one JSON object": (
        orjson.dumps({"choices": [{"message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}]}),
        HELLO,
    ),
    "one JSON object, indented": (
        b"\n" + orjson.dumps({"choices": [{"message": {"content": "Hello"}, "finish_reason": "stop"}]}, option=2),
        HELLO,
    ),
    "byte order mark": (b"\xef\xbb\xbf" + say(content="Hello") + STOP, HELLO),
    "nothing": (STOP, []),
}


@pytest.mark.parametrize("name", TEXTS)
def test_text_reasoning_and_refusals_are_read_in_every_form(name: str, cut: Feed) -> None:
    data, expected = TEXTS[name]
    answer, _ = read(cut(data))
    assert answer.error is None
    assert told(answer) == expected
    assert answer.finish is not None
    assert answer.finish.reason == "stop"


ONE = [("call_1", "get_weather", '{"city":"Oslo"}')]
TWO = [*ONE, ("call_2", "clock", "{}")]
CALLS: dict[str, tuple[bytes, list[tuple[str, str, str]]]] = {
    "pieces": (
        call(index=0, id="call_1", name="get_weather", arguments="")
        + call(index=0, arguments='{"city":')
        + call(index=0, arguments='"Oslo"}')
        + CALLED,
        ONE,
    ),
    "two at once": (
        call(index=0, id="call_1", name="get_weather", arguments='{"city":"Oslo"}')
        + call(index=1, id="call_2", name="clock", arguments="{}")
        + CALLED,
        TWO,
    ),
    "pieces of two calls in turn": (
        call(index=0, id="call_1", name="get_weather", arguments='{"city":')
        + call(index=1, id="call_2", name="clock", arguments="{")
        + call(index=0, arguments='"Oslo"}')
        + call(index=1, arguments="}")
        + CALLED,
        TWO,
    ),
    "no index, whole calls": (
        call(id="call_1", name="get_weather", arguments='{"city":"Oslo"}') + call(id="call_2", name="clock", arguments="{}") + CALLED,
        TWO,
    ),
    "no index, pieces": (
        call(id="call_1", name="get_weather", arguments='{"city":')
        + call(arguments='"Oslo"}')
        + call(id="call_2", name="clock")
        + call(arguments="{}")
        + CALLED,
        TWO,
    ),
    "the same index for every call": (
        call(index=0, id="call_1", name="get_weather", arguments='{"city":"Oslo"}')
        + call(index=0, id="call_2", name="clock", arguments="{}")
        + CALLED,
        TWO,
    ),
    "id and name repeated in every piece": (
        call(index=0, id="call_1", name="get_weather", arguments='{"city":')
        + call(index=0, id="call_1", name="get_weather", arguments='"Oslo"}')
        + CALLED,
        ONE,
    ),
    "another id in every later piece": (
        call(index=0, id="call_1", name="get_weather", arguments='{"city":') + call(index=0, id="call_9", arguments='"Oslo"}') + CALLED,
        ONE,
    ),
    "name after id and arguments": (
        call(index=0, id="call_1", arguments='{"city":') + call(index=0, name="get_weather", arguments='"Oslo"}') + CALLED,
        ONE,
    ),
    "indexes that do not begin at 0": (call(index=3, id="call_1", name="get_weather", arguments='{"city":"Oslo"}') + CALLED, ONE),
    "decoded arguments": (call(index=0, id="call_1", name="get_weather", arguments={"city": "Oslo"}) + CALLED, ONE),
    "no arguments": (call(index=0, id="call_1", name="clock") + CALLED, [("call_1", "clock", "")]),
    "finish reason stop": (call(index=0, id="call_1", name="get_weather", arguments='{"city":"Oslo"}') + STOP, ONE),
    "one JSON object": (
        orjson.dumps(
            {
                "choices": [
                    {
                        "finish_reason": "tool_calls",
                        "message": {
                            "content": None,
                            "tool_calls": [
                                {"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": '{"city":"Oslo"}'}}
                            ],
                        },
                    }
                ]
            }
        ),
        ONE,
    ),
}


@pytest.mark.parametrize("name", CALLS)
def test_tool_calls_are_put_together_from_every_form(name: str, cut: Feed) -> None:
    data, expected = CALLS[name]
    answer, _ = read(cut(data))
    assert answer.error is None
    assert answer.calls == expected
    assert answer.finish is not None
    assert answer.finish.reason == "tool_calls"


def test_calls_without_ids_are_given_different_ones(cut: Feed) -> None:
    answer, _ = read(cut(call(name="a", arguments="{}") + call(name="b", arguments="{}") + CALLED))
    (first, *_), (second, *_) = answer.calls
    assert first.startswith("call_")
    assert second.startswith("call_")
    assert first != second
    assert [name for _, name, _ in answer.calls] == ["a", "b"]


def test_the_legacy_function_call_is_a_tool_call(cut: Feed) -> None:
    data = say(function_call={"name": "clock", "arguments": ""}) + say(function_call={"arguments": "{}"}) + say("function_call") + DONE
    answer, _ = read(cut(data))
    assert [(name, arguments) for _, name, arguments in answer.calls] == [("clock", "{}")]
    assert answer.finish is not None
    assert answer.finish.reason == "tool_calls"


def test_later_pieces_of_a_call_carry_neither_id_nor_name() -> None:
    answer, _ = read([call(index=0, id="c", name="clock", arguments="{"), call(index=0, id="c", name="clock", arguments="}"), CALLED])
    assert answer.deltas[:2] == [ToolCallPart(0, "c", "clock", "{"), ToolCallPart(0, "", "", "}")]


@pytest.mark.parametrize(
    ("told_reason", "reason"),
    [
        ("stop", "stop"),
        ("length", "length"),
        ("max_tokens", "length"),
        ("MAX_TOKENS", "length"),
        ("model_length", "length"),
        ("content_filter", "content_filter"),
        ("SAFETY", "content_filter"),
        ("tool_calls", "stop"),
        ("end_turn", "stop"),
        ("eos", "stop"),
        ("something new", "stop"),
    ],
)
def test_finish_reasons_become_the_four_of_OAI_37(told_reason: str, reason: str) -> None:
    answer, _ = read([say(content="x") + say(told_reason) + DONE])
    assert answer.finish == Finish(reason, "m-1")


def test_a_finish_reason_may_come_with_the_last_text() -> None:
    answer, _ = read([say(content="He") + say("length", content="llo")])
    assert (answer.text(), answer.finish) == ("Hello", Finish("length", "m-1"))


def test_a_call_cut_by_the_output_limit_stays_cut() -> None:
    answer, _ = read([call(index=0, id="c", name="clock", arguments="{") + say("length") + DONE])
    assert answer.finish is not None
    assert answer.finish.reason == "length"


def test_neighbouring_pieces_of_one_read_are_one_delta() -> None:
    answer, _ = read([b"".join(say(content=f"{n} ") for n in range(100)), STOP])
    assert answer.deltas[0] == Text("".join(f"{n} " for n in range(100)))


USAGES: list[tuple[dict[str, Any], Usage]] = [
    ({"prompt_tokens": 412, "completion_tokens": 9}, Usage(input_tokens=412, output_tokens=9)),
    (
        {
            "prompt_tokens": 10,
            "completion_tokens": 8,
            "total_tokens": 18,
            "prompt_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 2},
            "completion_tokens_details": {"reasoning_tokens": 5},
        },
        Usage(input_tokens=10, output_tokens=8, cache_read_tokens=4, cache_write_tokens=2, reasoning_tokens=5),
    ),
    (
        {"prompt_tokens": 10, "completion_tokens": 3, "total_tokens": 18, "completion_tokens_details": {"reasoning_tokens": 5}},
        Usage(input_tokens=10, output_tokens=8, reasoning_tokens=5),
    ),
    (
        {"prompt_tokens": 10, "completion_tokens": 1, "prompt_cache_hit_tokens": 6},
        Usage(input_tokens=10, output_tokens=1, cache_read_tokens=6),
    ),
    ({"prompt_tokens": 1, "prompt_tokens_details": None, "completion_tokens_details": None}, Usage(input_tokens=1)),
    ({"prompt_tokens": None, "completion_tokens": "many"}, Usage()),
]


@pytest.mark.parametrize(("raw", "usage"), USAGES)
def test_usage_is_read_as_servers_write_it(raw: dict[str, Any], usage: Usage) -> None:
    assert usage_from(raw) == usage


@pytest.mark.parametrize(
    "data",
    [
        say(content="x") + say("stop") + event({"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 2}}) + DONE,
        event({"choices": [{"delta": {"content": "x"}}], "usage": {"prompt_tokens": 7, "completion_tokens": 1}})
        + event({"choices": [{"delta": {}, "finish_reason": "stop"}], "usage": {"prompt_tokens": 7, "completion_tokens": 2}})
        + DONE,
        say(content="x")
        + event({"choices": [{"delta": {}, "finish_reason": "stop"}], "x_groq": {"usage": {"prompt_tokens": 7, "completion_tokens": 2}}}),
        orjson.dumps(
            {"choices": [{"message": {"content": "x"}, "finish_reason": "stop"}], "usage": {"prompt_tokens": 7, "completion_tokens": 2}}
        ),
    ],
    ids=["in the last chunk", "in every chunk", "of groq", "of a whole answer"],
)
def test_the_last_usage_wins_and_comes_before_the_finish(data: bytes, cut: Feed) -> None:
    answer, _ = read(cut(data))
    assert answer.deltas[-2] == Usage(input_tokens=7, output_tokens=2)
    assert answer.finish is not None


def test_no_usage_is_told_when_there_was_none(cut: Feed) -> None:
    assert read(cut(say(content="x") + STOP))[0].usage is None


ERRORS: dict[str, tuple[bytes, str]] = {
    "error object": (event({"error": {"message": "Overloaded", "code": 503}}), "overloaded"),
    "error with a code": (event({"error": {"message": "Slow down", "code": "rate_limit_exceeded"}}), "rate_limit"),
    "error beside choices": (
        event({"error": {"code": 429, "message": "x"}, "choices": [{"delta": {}, "finish_reason": "error"}]}),
        "rate_limit",
    ),
    "error text": (event({"error": "something broke"}), "overloaded"),
    "object error": (event({"object": "error", "message": "maximum context length is 10", "code": 400}), "context_length"),
    "finish reason error": (say("error"), "overloaded"),
    "cut": (say(content=""), "network"),
    "cut in a frame": (b'data: {"choices": [{"del', "network"),
    "cut after comments": (b": processing\n\n: processing\n\n", "network"),
    "garbage": (b"data: {nope}\n\n", "invalid"),
    "a number": (b"data: 42\n\n", "invalid"),
    "choices of another kind": (event({"choices": [1]}), "invalid"),
    "a page": (b"<html>\n\nBad gateway</html>", "invalid"),
    "broken JSON object": (b'{"choices": [', "invalid"),
    "error as JSON object": (b'{"error": {"message": "no", "code": "invalid_api_key"}}', "auth"),
    "error as JSON list": (b'[{"error": {"message": "no", "code": 404}}]', "bad_request"),
    "a call without a name": (call(index=0, id="c", arguments="{}") + CALLED, "invalid"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_failures_inside_a_stream_are_classified_and_keep_what_was_said(name: str, cut: Feed) -> None:
    data, kind = ERRORS[name]
    before = b"" if data[:1] in (b"{", b"[", b"<") else say(content="Hello")
    answer, _ = read(cut(before + data))
    assert answer.error is not None
    assert answer.error.kind == kind
    assert answer.text() == ("Hello" if before else "")
    assert answer.finish is None


def test_nothing_at_all_is_a_cut_answer() -> None:
    answer, _ = read([])
    assert answer.error is not None
    assert answer.error.kind == "network"


def test_an_answer_that_is_finished_is_not_cut_by_what_follows() -> None:
    answer, reader = read([say(content="x") + say("stop"), b"data: {half a fra"])
    assert (reader.finished, answer.error, answer.text()) == (True, None, "x")


words = st.text(max_size=8)
deltas = st.one_of(
    st.fixed_dictionaries({"content": words}),
    st.fixed_dictionaries({"reasoning_content": words}),
    st.fixed_dictionaries({"role": st.just("assistant"), "content": words}),
    st.fixed_dictionaries({"refusal": words, "content": st.none()}),
)


def _expected(said: list[dict[str, Any]]) -> dict[type, str]:
    fields = {Text: "content", Reasoning: "reasoning_content", Refusal: "refusal"}
    return {kind: "".join(delta.get(name) or "" for delta in said) for kind, name in fields.items()}


@given(st.lists(deltas, max_size=10), st.data())
def test_any_answer_cut_anywhere_says_the_same(said: list[dict[str, Any]], data: st.DataObject) -> None:
    stream = b"".join(say(**delta) for delta in said) + STOP
    places = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    answer, _ = read(stream[start:stop] for start, stop in zip([0, *places], [*places, len(stream)], strict=True))
    assert {kind: answer.text(kind) for kind in (Text, Reasoning, Refusal)} == _expected(said)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats() | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner),
)
fields = st.sampled_from(
    ["choices", "delta", "message", "content", "tool_calls", "function", "name", "arguments", "index", "id", "usage", "error", "text"]
)
strange = st.recursive(json_values, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(fields, inner, max_size=4), max_leaves=12)


@settings(max_examples=60)
@given(st.lists(strange, max_size=4))
def test_whatever_a_server_sends_ends_in_deltas_or_a_classified_error(values: list[Any]) -> None:
    answer, _ = read([b"".join(event(value) for value in values) + STOP])
    known: tuple[type[Delta], ...] = (Text, Reasoning, Refusal, ToolCallPart, Usage, Finish)
    assert all(isinstance(delta, known) for delta in answer.deltas)
    assert (answer.error is None) == (answer.finish is not None)
