"""R0.4: what a request body may be."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.errors import SwitchboardError
from chat.jsonbody import _depth, parse_object

LEAVES = st.none() | st.booleans() | st.integers(-100, 100) | st.text('[]{}"\\ü,:u0', max_size=8)
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text('[]{}"\\', max_size=3), inner, max_size=4)
)


def depth(value: Any) -> int:
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inside is None else 1 + max(map(depth, inside), default=0)


@given(VALUES)
def test_depth_is_told_by_brackets_outside_of_strings(value: Any) -> None:
    assert _depth(json.dumps(value).encode()) == depth(value)
    assert _depth(json.dumps(value, ensure_ascii=False).encode()) == depth(value)


@pytest.mark.parametrize(
    "body",
    [
        b'{"a": ' + b"[" * 63 + b"]" * 63 + b"}",
        b'{"a": "' + b"[" * 200 + b'"}',
        b'{"a": "\\\\u0000"}',
        b'{"a": [' + b"[]," * 200 + b"{}]}",
        '{"ä": "\\ud83d\\ude00 \u2028"}'.encode(),
    ],
)
def test_bodies_that_are_read(body: bytes) -> None:
    assert parse_object(body) == json.loads(body)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "invalid_json"),
        (b"{} {}", "invalid_json"),
        (b"\xef\xbb\xbf{}", "invalid_json"),
        (b'{"a": NaN}', "invalid_json"),
        (b'{"a": "\xff"}', "invalid_json"),
        (b'{"a": "\\ud800"}', "invalid_json"),
        (b'{"a": "\\u0000"}', "invalid_json"),
        (b'{"a": "\\\\\\u0000"}', "invalid_json"),
        (b'{"\\u0000": 1}', "invalid_json"),
        (b'{"a": ' + b"[" * 64 + b"]" * 64 + b"}", "invalid_json"),
        (b'{"a": ' + b'["]",' * 70 + b"1" + b',"["]' * 70 + b"}", "invalid_json"),
        (b"[]", "invalid_request"),
        (b"null", "invalid_request"),
    ],
)
def test_bodies_that_are_refused(body: bytes, code: str) -> None:
    with pytest.raises(SwitchboardError) as refused:
        parse_object(body)
    assert refused.value.code == code
