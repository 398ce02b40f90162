"""The event reader, fed whole, byte by byte, and cut at random."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.providers import sse
from agents.providers.sse import EventReader
from tests.agents.providers.asking import Feed

A, B = b'{"a":1}', b'{"b":[2]}'
STREAMS: dict[str, tuple[bytes, list[object], bool]] = {
    "events": (b"data: " + A + b"\n\ndata: " + B + b"\n\n", [{"a": 1}, {"b": [2]}], False),
    "done": (b"data: " + A + b"\n\ndata: [DONE]\n\n", [{"a": 1}], True),
    "only done": (b"data: [DONE]\n\n", [], True),
    "done without its blank line": (b"data: " + A + b"\n\ndata: [DONE]", [{"a": 1}], True),
    "crlf": (b"data: " + A + b"\r\n\r\ndata: " + B + b"\r\n\r\ndata: [DONE]\r\n\r\n", [{"a": 1}, {"b": [2]}], True),
    "cr": (b"data: " + A + b"\r\rdata: " + B + b"\r\r", [{"a": 1}, {"b": [2]}], False),
    "no space after the colon": (b"data:" + A + b"\n\ndata:" + B + b"\n\n", [{"a": 1}, {"b": [2]}], False),
    "comments": (b": keep-alive\n\ndata: " + A + b"\n\n: x\n\n: y\ndata: " + B + b"\n\n", [{"a": 1}, {"b": [2]}], False),
    "event, id and retry": (b"event: chunk\nid: 7\nretry: 10\ndata: " + A + b"\n\n", [{"a": 1}], False),
    "many blank lines": (b"\n\n\ndata: " + A + b"\n\n\n\n\ndata: " + B + b"\n\n\n", [{"a": 1}, {"b": [2]}], False),
    "data in several lines": (b'data: {\ndata: "a": 1\ndata: }\n\n', [{"a": 1}], False),
    "data in several lines, crlf": (b'data: {\r\ndata: "a": 1\r\ndata: }\r\n\r\n', [{"a": 1}], False),
    "one line end per event": (b"data: " + A + b"\ndata: " + B + b"\ndata: [DONE]\n\n", [{"a": 1}, {"b": [2]}], True),
    "last event unfinished": (b"data: " + A + b"\n\ndata: " + B, [{"a": 1}, {"b": [2]}], False),
    "empty data": (b"data:\n\ndata: " + A + b"\n\n", [{"a": 1}], False),
    "borders inside JSON": (b'data: {"t":"\\n\\ndata: [DONE]"}\n\n', [{"t": "\n\ndata: [DONE]"}], False),
    "nothing": (b"", [], False),
}


def read(pieces: list[bytes] | tuple[bytes, ...]) -> tuple[list[object], EventReader]:
    reader = EventReader()
    values = [value for piece in pieces for value in reader.feed(piece)]
    return values + reader.finish(), reader


@pytest.mark.parametrize("name", STREAMS)
def test_every_form_of_event_is_read_however_it_is_cut(name: str, cut: Feed) -> None:
    data, values, done = STREAMS[name]
    found, reader = read(list(cut(data)))
    assert (found, reader.done, reader.broken, reader.foreign) == (values, done, "", False)


def test_what_came_before_something_unreadable_is_still_returned(cut: Feed) -> None:
    found, reader = read(list(cut(b"data: " + A + b"\n\ndata: {nope\n\ndata: " + B + b"\n\n")))
    assert found[0] == {"a": 1}
    assert "not JSON" in reader.broken


def test_a_page_is_recognised_as_no_event_stream(cut: Feed) -> None:
    assert read(list(cut(b"<html>\n\n<body>Bad gateway</body></html>")))[1].foreign


def test_an_event_without_end_is_not_kept_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "MAX_EVENT_BYTES", 100)
    reader = EventReader()
    assert [reader.feed(b"data: " + b"x" * 60), reader.feed(b"x" * 60)] == [[], []]
    assert reader.broken == "an event is too long"


texts = st.text(max_size=20)
chunks = st.lists(st.dictionaries(texts, texts | st.integers(-9, 9) | st.none(), max_size=3), max_size=8)
line_ends = st.sampled_from([b"\n", b"\r\n", b"\r"])


@given(chunks, line_ends, st.data())
def test_any_stream_cut_anywhere_gives_the_same_values(values: list[dict[str, object]], end: bytes, data: st.DataObject) -> None:
    prefixes = [b"data: ", b"data:", b": a comment" + end + b"data: ", b"event: chunk" + end + b"data: "]
    stream = b"".join(data.draw(st.sampled_from(prefixes)) + orjson.dumps(value) + end + end for value in values)
    places = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    pieces = [stream[start:stop] for start, stop in zip([0, *places], [*places, len(stream)], strict=True)]
    found, reader = read(pieces)
    assert (found, reader.broken) == (values, "")
