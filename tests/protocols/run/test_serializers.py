"""What the run wire takes and refuses: RUN-4, RUN-5, R0.4."""

import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytest_django.fixtures import Settings

from agents.errors import SwitchboardError
from chat.fields import parse
from chat.protocols.run.serializers import RunRequest

ID_CHARS = string.ascii_letters + string.digits + "._:-"
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


def refused(body: dict[str, Any]) -> list[dict[str, Any]]:
    with pytest.raises(SwitchboardError) as refusal:
        parse(RunRequest, body)
    assert (refusal.value.status, refusal.value.code) == (422, "validation_error")
    return refusal.value.errors or []


def test_a_bad_conversation_id_is_told_as_in_run_4() -> None:
    problem = {
        "type": "string_pattern_mismatch",
        "loc": ["body", "conversation_id"],
        "msg": "1 to 128 characters of A-Z a-z 0-9 . _ : -",
    }
    for bad in ("a/b", "é", "a b", "x" * 129, "a\n", "\n"):
        assert refused({"message": "hi", "conversation_id": bad}) == [problem]


@pytest.mark.parametrize("message", ["", " ", "\n\t ", "\u2003"])
def test_a_blank_message_is_told_as_in_r3_2(message: str) -> None:
    assert refused({"message": message}) == [{"type": "string_too_short", "loc": ["body", "message"], "msg": "must not be empty"}]


@pytest.mark.parametrize(
    ("body", "place", "kind"),
    [
        ({}, "message", "missing"),
        ({"message": None}, "message", "string_type"),
        ({"message": 7}, "message", "string_type"),
        ({"message": ["hi"]}, "message", "string_type"),
        ({"message": "hi", "conversation_id": 7}, "conversation_id", "string_type"),
        ({"message": "hi", "agent": ["support"]}, "agent", "string_type"),
    ],
)
def test_wrong_types(body: dict[str, Any], place: str, kind: str) -> None:
    """RUN-4."""
    assert [(problem["loc"], problem["type"]) for problem in refused(body)] == [(["body", place], kind)]


def test_every_problem_is_told_at_once() -> None:
    assert len(refused({"conversation_id": "/", "agent": 1})) == 3


def test_the_longest_message(settings: Settings) -> None:
    settings.CHAT_MAX_MESSAGE_CHARS = 10
    assert parse(RunRequest, {"message": "🌍" * 10}).message == "🌍" * 10
    assert refused({"message": "🌍" * 11})[0]["type"] == "string_too_long"


@pytest.mark.parametrize("nothing", [None, ""])
def test_nothing_is_a_new_conversation(nothing: str | None) -> None:
    """Section 2: absent, null or "" are the same."""
    assert parse(RunRequest, {"message": "hi", "conversation_id": nothing, "agent": None, "other": 1}) == RunRequest(message="hi")


@given(text=st.text(min_size=1).filter(str.strip), name=st.text(ID_CHARS, min_size=1, max_size=128))
def test_messages_and_ids_are_taken_as_they_are(text: str, name: str) -> None:
    """RUN-5."""
    taken = parse(RunRequest, {"message": text, "conversation_id": name})
    assert (taken.message, taken.conversation_id) == (text, name)


@given(body=st.dictionaries(st.sampled_from(["message", "conversation_id", "agent", "x"]), JSON))
def test_any_object_is_taken_or_refused_in_the_one_form(body: dict[str, Any]) -> None:
    try:
        parse(RunRequest, body)
    except SwitchboardError as error:
        refusal = error
    else:
        return
    assert refusal.errors
    assert all(set(problem) == {"type", "loc", "msg"} and problem["loc"][0] == "body" for problem in refusal.errors)
