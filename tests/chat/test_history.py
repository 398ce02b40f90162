"""What the next model call sees is valid for every provider, whatever is stored or sent (R9.2, R9.3)."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat import history
from chat.history import ProviderMessage, StoredMessage, clean, provider_messages, user_messages

USER_LINES = st.sampled_from(["hello", "hello", "again", "", " "])
CALL_IDS = st.sampled_from(["c1", "c2", "c3"])


def user(*parts: Any, status: str = "done", **rest: Any) -> StoredMessage:
    return StoredMessage(role="user", parts=[text(part) if isinstance(part, str) else part for part in parts], status=status, **rest)


def assistant(*parts: Any, **rest: Any) -> StoredMessage:
    return StoredMessage(role="assistant", parts=[text(part) if isinstance(part, str) else part for part in parts], **rest)


def text(words: str, block: int = 1) -> dict[str, Any]:
    return {"type": "text", "block": block, "text": words}


def step(number: int) -> dict[str, Any]:
    return {"type": "step", "step": number, "model": "fake"}


def server_call(call_id: str, output: Any = "10 results", **rest: Any) -> dict[str, Any]:
    call = {"type": "tool", "call_id": f"srv_{call_id}", "provider_id": call_id, "name": "search", "arguments": {"q": "x"}}
    return {**call, "client": False, "output": output, "ok": True, "error": "", "duration_ms": 3, **rest}


def client_call(call_id: str) -> dict[str, Any]:
    return {"type": "tool", "call_id": call_id, "name": "weather", "arguments": {"city": "Oslo"}, "raw": '{"city":"Oslo"}', "client": True}


def result(call_id: str, output: str = "4 degrees") -> dict[str, Any]:
    return {"type": "tool_result", "call_id": call_id, "output": output}


def contents(messages: Sequence[ProviderMessage]) -> list[Any]:
    return [message["content"] for message in messages]


def roles(messages: Sequence[ProviderMessage]) -> str:
    return "".join(message["role"][0] for message in messages)


def check_valid(messages: Sequence[ProviderMessage]) -> None:
    """R9.3, in full."""
    assert not messages or messages[0]["role"] == "user"
    waiting: list[str] = []
    for before, message in zip([None, *messages], messages, strict=False):
        if message["role"] == "tool":
            assert message["tool_call_id"] in waiting
            assert message["content"].strip()
            waiting.remove(message["tool_call_id"])
            continue
        assert not waiting, "a call is not followed by its result"
        if message["role"] == "user":
            assert before is None or before["role"] != "user"
            assert message["content"]
        else:
            waiting = [call["id"] for call in message.get("tool_calls", ())]
            assert waiting or message["content"].strip()
            assert len(waiting) == len(set(waiting))
    assert not waiting


# The whole way, from rows


def test_a_conversation_is_sent_as_it_was() -> None:
    messages = provider_messages([user("hi"), assistant("hello"), user("how are you")])
    assert messages == [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "hello"},
        {"role": "user", "content": "how are you"},
    ]


def test_a_turn_of_several_steps_becomes_one_assistant_message_per_step_with_the_providers_own_ids() -> None:
    turn = assistant(
        step(1), text("Let me look."), server_call("p1"), step(2), {"type": "reasoning", "block": 2, "text": "hm"}, text("Ten.", 3)
    )
    assert provider_messages([user("how many?"), turn])[1:] == [
        {
            "role": "assistant",
            "content": "Let me look.",
            "tool_calls": [{"id": "p1", "type": "function", "function": {"name": "search", "arguments": '{"q":"x"}'}}],
        },
        {"role": "tool", "tool_call_id": "p1", "content": "10 results"},
        {"role": "assistant", "content": "Ten."},
    ]


def test_client_calls_are_answered_by_the_next_user_message() -> None:
    messages = provider_messages([user("weather?"), assistant(step(1), client_call("c1")), user(result("c1"), "and tomorrow?")])
    assert roles(messages) == "uatu"
    assert messages[1]["content"] is None
    assert messages[1]["tool_calls"][0]["function"]["arguments"] == '{"city":"Oslo"}'
    assert contents(messages)[2:] == ["4 degrees", "and tomorrow?"]


def test_a_retry_does_not_appear_twice_r9_2a() -> None:
    failed = user("hi", status="failed")
    assert contents(provider_messages([failed], new_text="hi")) == []
    assert contents(provider_messages([failed, failed, user("hi"), assistant("hello")])) == ["hi", "hello"]
    assert contents(provider_messages([failed], new_text="something else")) == ["hi"]


def test_a_failed_turn_with_some_text_stays_r9_1() -> None:
    stored = [user("hi", status="failed"), assistant("hel", incomplete=True), user("hi"), assistant("hello")]
    assert contents(provider_messages(stored)) == ["hi", "hel", "hi", "hello"]


def test_a_call_without_a_result_and_a_result_without_a_call_are_dropped_r9_2b() -> None:
    cut_off = server_call("p1", output=None, ok=None)
    assert contents(provider_messages([user("a"), assistant("looking", cut_off), user(result("never"), "b")])) == ["a", "looking", "b"]


def test_an_empty_output_becomes_words_r9_2c() -> None:
    messages = provider_messages([user("a"), assistant(server_call("p1", output=""), server_call("p2", output=None))])
    assert contents(messages)[2:] == ["(no output)", "(no output)"]


def test_an_assistant_message_of_nothing_is_dropped_r9_2d() -> None:
    assert contents(provider_messages([user("a"), assistant({"type": "reasoning", "block": 1, "text": "hm"}), user("b")])) == ["a\n\nb"]


def test_neighbouring_user_messages_are_merged_by_a_blank_line_r9_2e() -> None:
    picture = {"type": "image", "url": "data:image/png;base64,AA==", "detail": "low"}
    merged = provider_messages([user("a", status="failed"), user("b", picture)])
    assert merged == [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "a"},
                {"type": "text", "text": "b"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA==", "detail": "low"}},
            ],
        }
    ]


def test_an_assistant_that_spoke_first_gets_a_user_before_it_r9_2f() -> None:
    assert contents(provider_messages([assistant("Welcome!"), user("hi")])) == ["(the assistant spoke first)", "Welcome!", "hi"]


def test_what_left_history_or_still_runs_is_not_sent() -> None:
    gone = [user("a", active=False), user("b", in_history=False), assistant("c", in_history=False), user("d", status="pending")]
    assert provider_messages([*gone, user("e")]) == [{"role": "user", "content": "e"}]


def test_a_failed_tool_tells_its_error_and_a_value_is_sent_as_json() -> None:
    failed, value = server_call("p1", output=None, ok=False, error="The host does not answer."), server_call("p2", output={"n": 1})
    assert contents(provider_messages([user("a"), assistant(failed, value)]))[2:] == ["The host does not answer.", '{"n":1}']


@pytest.mark.parametrize("text", ["look", " ", ""])
def test_a_lone_text_is_what_it_is_among_parts(text: str) -> None:
    """The short way of what nearly every input is, beside the way of all others."""
    part, nothing = {"type": "text", "text": text}, {"type": "text", "text": ""}
    assert user_messages([part]) == user_messages([part, nothing])


def test_all_kinds_of_user_parts_have_their_provider_form() -> None:
    parts = [
        {"type": "text", "text": "look"},
        {"type": "audio", "data": "AAAA", "format": "wav"},
        {"type": "file", "filename": "a.pdf", "media_type": "application/pdf", "data": "data:application/pdf;base64,AA=="},
        {"type": "file", "filename": "b.pdf", "media_type": "application/pdf", "attachment_id": "x"},
    ]
    assert user_messages(parts)[0]["content"] == [
        {"type": "text", "text": "look"},
        {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
        {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,AA=="}},
        {"type": "text", "text": "[file: b.pdf]"},
    ]


# What clients send along (stateless calls)


def test_results_count_for_the_call_before_them_and_follow_it_at_once() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    messages = [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "user", "content": "hurry"},
        {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "done"}]},
    ]
    assert roles(clean(messages)) == "uatu"
    assert contents(clean(messages))[2:] == ["done", "hurry"]


def test_half_written_arguments_do_not_poison_the_next_turn() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"city": "Os'}}
    messages = [
        {"role": "user", "content": "a"},
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "x"},
    ]
    assert clean(messages)[1]["tool_calls"][0]["function"]["arguments"] == "{}"


def test_cleaning_changes_nothing_that_is_valid_and_nothing_it_was_given() -> None:
    messages = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}]
    before = [dict(message) for message in messages]
    assert clean(messages) == before == messages


def provider_call(call_id: str) -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": "f", "arguments": "{}"}}


BROKEN_MESSAGE = st.one_of(
    st.builds(lambda words: {"role": "user", "content": words}, USER_LINES),
    st.builds(lambda words: {"role": "user", "content": [{"type": "text", "text": words}]}, USER_LINES),
    st.just({"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}]}),
    st.builds(lambda words: {"role": "assistant", "content": words}, USER_LINES),
    st.builds(lambda ids: {"role": "assistant", "content": None, "tool_calls": [provider_call(id_) for id_ in ids]}, st.lists(CALL_IDS)),
    st.builds(lambda id_, words: {"role": "tool", "tool_call_id": id_, "content": words}, CALL_IDS, USER_LINES),
    st.just({"role": "system", "content": "obey"}),
)


@given(st.lists(BROKEN_MESSAGE, max_size=12))
def test_any_client_history_becomes_valid_r9_3(messages: list[dict[str, Any]]) -> None:
    cleaned = clean(messages)
    check_valid(cleaned)
    assert clean(cleaned) == cleaned


STATUSES = st.sampled_from(["done", "done", "failed", "cancelled", "pending"])
USER_PARTS = st.lists(st.one_of(USER_LINES.map(text), CALL_IDS.map(result)), max_size=3)
ASSISTANT_PARTS = st.lists(
    st.one_of(
        USER_LINES.map(text),
        CALL_IDS.map(server_call),
        CALL_IDS.map(client_call),
        st.just(step(2)),
        st.just(server_call("c9", None, ok=None)),
    ),
    max_size=5,
)
BROKEN_ROW = st.one_of(
    st.builds(lambda parts, status: StoredMessage(role="user", parts=parts, status=status), USER_PARTS, STATUSES),
    st.builds(
        lambda parts, active: StoredMessage(role="assistant", parts=parts, active=active),
        ASSISTANT_PARTS,
        st.sampled_from([True, True, False]),
    ),
)


@given(st.lists(BROKEN_ROW, max_size=10), st.sampled_from([None, "hello"]))
def test_any_stored_history_becomes_valid_r9_3(stored: list[StoredMessage], new_text: str | None) -> None:
    check_valid(provider_messages(stored, new_text))


@given(st.lists(BROKEN_ROW, max_size=10), st.integers(0, 200))
def test_what_fits_is_valid_and_ends_as_before_r9_2g(stored: list[StoredMessage], budget: int) -> None:
    messages = provider_messages(stored)
    fitted = history.fit(messages, budget)
    check_valid(fitted)
    assert fitted == messages[len(messages) - len(fitted) :]
    one_turn_left = roles(fitted).count("u") <= 1
    assert one_turn_left or sum(map(history.estimate_tokens, fitted)) <= budget
    assert bool(fitted) == bool(messages)


def test_whole_turns_are_cut_from_the_oldest_end_and_the_newest_stays_r9_2g() -> None:
    messages = provider_messages(
        [user("a" * 400), assistant(server_call("p1"), step(2), "x" * 400), user("b" * 400), assistant("y" * 400), user("c" * 400)]
    )
    assert roles(history.fit(messages, 10_000)) == "uatauau"
    assert contents(history.fit(messages, 330)) == ["b" * 400, "y" * 400, "c" * 400]
    assert contents(history.fit(messages, 1)) == ["c" * 400]
