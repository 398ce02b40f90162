"""Frames of clients are read within limits, and what cannot be read is said in a sentence of ours (WS-11, WS-15, WS-16)."""

from datetime import UTC, datetime
from typing import Any

import msgpack
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat.protocols.websocket.decoding import MAX_ENTRIES, Unreadable, decode

PLAIN = st.dictionaries(
    st.text(st.characters(codec="utf-8", exclude_characters="\0")),
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text(st.characters(codec="utf-8", exclude_characters="\0")),
)


def nested(depth: int) -> dict[str, Any]:
    return {"a": nested(depth - 1)} if depth > 1 else {}


@given(PLAIN)
def test_what_is_sent_is_read_in_either_encoding(frame: dict[str, Any]) -> None:
    assert decode(orjson.dumps(frame).decode()) == frame
    assert decode(msgpack.packb(frame)) == frame


def test_bytes_stay_bytes() -> None:
    """WS-11: str and bin are kept apart."""
    assert decode(msgpack.packb({"data": b"\xff", "text": "ü"})) == {"data": b"\xff", "text": "ü"}


@pytest.mark.parametrize(
    "data",
    [
        "", b"", "{", "[]", "1", "null", '"text"', "{} {}", '{"a": NaN}', '{"a": "\\ud800"}', '{"a": "\\u0000"}', '{"\\u0000": 1}',
        b"\xc1", b"\x81", b"\xdf\xff\xff\xff\xff", msgpack.packb([1]), msgpack.packb({1: 2}), msgpack.packb({b"key": 2}),
        msgpack.packb({}) * 2,
        msgpack.packb({"a": msgpack.ExtType(5, b"x")}), msgpack.packb({"when": datetime(2026, 1, 5, 9, 30, tzinfo=UTC)}, datetime=True),
        msgpack.packb({"a": "\0"}), b"\x81\xa1a\xa1\xff", msgpack.packb({"a": nested(80)}), orjson.dumps(nested(65)).decode(),
        "[" * 100_000, b"\x91" * 100_000, orjson.dumps({"a": [0] * MAX_ENTRIES}).decode(), msgpack.packb({"a": [0] * (MAX_ENTRIES + 1)}),
    ],
    ids=lambda data: repr(data[:20]),
)  # fmt: skip
def test_what_cannot_be_taken_has_a_reason(data: str | bytes) -> None:
    """WS-15: never an empty text."""
    with pytest.raises(Unreadable) as refused:
        decode(data)
    assert str(refused.value).endswith(".")


def test_the_limits_themselves_are_within() -> None:
    """WS-16."""
    assert decode(orjson.dumps(nested(64)).decode())
    assert decode(msgpack.packb({"a": [0] * (MAX_ENTRIES - 1)}))


@given(st.binary())
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        assert isinstance(decode(data), dict)
    except Unreadable as refused:
        assert str(refused)  # noqa: PT017 - either is right
