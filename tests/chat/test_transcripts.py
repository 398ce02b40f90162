"""The encoded history says the same as the stored messages, however it came about: built, grown, cut, or read back."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid4

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat import history
from chat.history import StoredMessage, provider_messages
from chat.transcripts import Cache, Transcript, build, digest
from tests.chat.test_history import BROKEN_ROW, assistant, check_valid, client_call, contents, result, text, user

SESSION = UUID(int=7)
SYSTEM = b'{"role":"system","content":"Be kind."}'
AMPLE = 1_000_000


def sent(transcript: Transcript, *new: str, budget: int = AMPLE) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = orjson.loads(
        transcript.messages_json(b"", [{"role": "user", "content": words} for words in new], budget)
    )
    return messages


def numbered(rows: Sequence[StoredMessage]) -> list[StoredMessage]:
    return [
        StoredMessage(role=row.role, parts=row.parts, position=index, id=uuid4(), status=row.status, active=row.active)
        for index, row in enumerate(rows)
    ]


def talk(turns: int) -> list[StoredMessage]:
    return numbered([message for turn in range(turns) for message in (user(f"question {turn}"), assistant(f"answer {turn}"))])


def thawed(transcript: Transcript) -> Transcript | None:
    head = orjson.loads(orjson.dumps(transcript.head()))
    return Transcript.thawed(SESSION, head, transcript.fragment, transcript.records)


# What is sent


@given(st.lists(BROKEN_ROW, max_size=12), st.integers(0, 12), st.sampled_from([None, "hello", "new"]))
def test_a_transcript_sends_what_the_stored_messages_say_r9_2(rows: list[StoredMessage], split: int, new: str | None) -> None:
    stored = numbered(rows)
    grown = build(SESSION, 3, stored[:split]).grow(stored[split:], version=4)
    expected = provider_messages([*stored, *([user(new)] if new else [])], None)
    assert sent(grown, *([new] if new else [])) == expected
    assert sent(build(SESSION, 4, stored), *([new] if new else [])) == expected
    again = thawed(grown)
    assert again is not None
    assert sent(again, *([new] if new else [])) == expected
    assert list(again.entries()) == list(grown.entries())


@given(st.lists(BROKEN_ROW, max_size=12), st.integers(0, 150))
def test_what_fits_is_valid_ends_the_same_and_is_within_the_budget_r9_2g(rows: list[StoredMessage], budget: int) -> None:
    transcript = build(SESSION, 1, numbered(rows))
    whole, cut = sent(transcript, "new"), sent(transcript, "new", budget=budget)
    check_valid(cut)
    assert cut[-1] == whole[-1]
    newest_turn = sent(transcript, "new", budget=0)
    assert cut == newest_turn or sum(map(history.estimate_tokens, cut)) <= budget


def test_the_system_message_comes_first_and_is_never_cut_r9_2g() -> None:
    messages = orjson.loads(build(SESSION, 1, talk(50)).messages_json(SYSTEM, [{"role": "user", "content": "now"}], 30))
    assert contents(messages) == ["Be kind.", "question 48", "answer 48", "question 49", "answer 49", "now"]


@pytest.mark.parametrize(("most", "first"), [(None, 0), (100, 0), (99, 1), (4, 48), (3, 49), (1, 50), (0, 50)])
def test_no_more_messages_are_sent_than_a_wire_allows_in_whole_turns_ws_31(most: int | None, first: int) -> None:
    messages = orjson.loads(build(SESSION, 1, talk(50)).messages_json(b"", [{"role": "user", "content": "now"}], AMPLE, most))
    assert contents(messages) == [f"{word} {turn}" for turn in range(first, 50) for word in ("question", "answer")] + ["now"]


def test_an_empty_history_sends_the_new_message_alone() -> None:
    assert sent(Transcript(SESSION), "hi") == [{"role": "user", "content": "hi"}]


def test_a_retry_after_a_mute_failure_appears_once_r9_2a() -> None:
    failed = build(SESSION, 1, numbered([user("a"), assistant("b"), user("hi", status="failed")]))
    assert contents(sent(failed, "hi")) == ["a", "b", "hi"]
    assert contents(sent(failed, "else")) == ["a", "b", "hi\n\nelse"]
    retried = failed.append(user=[text("hi")], assistant=[text("hello")], position=3, user_id=uuid4(), assistant_id=uuid4())
    assert contents(sent(retried, "next")) == ["a", "b", "hi", "hello", "next"]


def test_open_client_calls_are_known_and_answered_oai_52() -> None:
    asked = build(SESSION, 1, numbered([user("weather?"), assistant(client_call("c1"), client_call("c2"))]))
    assert asked.open_calls == ["c1", "c2"]
    answered = asked.append(user=[result("c1"), result("c2")], assistant=[text("Cold.")], position=2, user_id=uuid4(), assistant_id=uuid4())
    assert answered.open_calls == []
    assert not answered.loose
    assert [message["role"] for message in sent(answered, "ok")] == ["user", "assistant", "tool", "tool", "assistant", "user"]


# Growing


def test_a_turn_moves_version_positions_and_counts() -> None:
    grown = build(SESSION, 4, talk(2)).append(user=[text("q")], assistant=[text("a")], position=4, user_id=uuid4(), assistant_id=uuid4())
    assert (grown.version, grown.next_position, grown.message_count, grown.count) == (5, 6, 6, 6)


def test_two_transcripts_grown_from_one_do_not_see_each_other() -> None:
    base = build(SESSION, 1, talk(1))
    left, right = (base.grow(numbered([user(word), assistant(word)]), version=2) for word in ("left", "right"))
    assert contents(sent(left))[2:] == ["left", "left"]
    assert contents(sent(right))[2:] == ["right", "right"]
    assert contents(sent(base)) == ["question 0", "answer 0"]


def test_what_grew_is_told_for_the_copy_in_the_store() -> None:
    base = build(SESSION, 1, talk(2))
    grown = base.grow(talk(1), version=2)
    fragment, records = grown.grown()
    assert grown.base == (1, base.size, 4)
    assert base.fragment + fragment == grown.fragment
    assert base.records + records == grown.records


# Entries, for clients that resend their history


def test_every_message_has_an_entry_with_role_id_and_the_digest_of_its_trimmed_text_oai_52() -> None:
    stored = numbered([user("  hi "), assistant("hello"), user("failed", status="failed")])
    entries = list(build(SESSION, 1, stored).entries())
    assert [(entry.role, entry.position, entry.message_id) for entry in entries] == [
        (message.role, message.position, message.id) for message in stored
    ]
    assert [entry.digest for entry in entries] == [digest("hi"), digest("hello"), digest("failed ")]


# Cutting, for branches


@pytest.mark.parametrize("position", [0, 2, 4, 6])
def test_a_cut_before_a_turn_leaves_what_was_before_it_ag_26(position: int) -> None:
    stored = talk(3)
    cut = build(SESSION, 1, stored).cut(position, version=2)
    assert cut is not None
    assert (cut.version, cut.message_count) == (2, position)
    assert sent(cut, "new") == provider_messages([*stored[:position], user("new")])
    assert sent(cut.grow(talk(1), version=3)) == provider_messages([*stored[:position], *talk(1)])


def test_a_cut_inside_a_turn_is_left_to_the_database() -> None:
    assert build(SESSION, 1, talk(3)).cut(3, version=2) is None


def test_a_cut_leaves_the_longer_transcript_as_it_was() -> None:
    whole = build(SESSION, 1, talk(3))
    cut = whole.cut(2, version=2)
    assert cut is not None
    cut.grow(numbered([user("other"), assistant("way")]), version=3)
    assert sent(whole) == provider_messages(talk(3))


# Reading back


def test_pieces_that_do_not_belong_together_are_not_read() -> None:
    transcript = build(SESSION, 1, talk(2))
    head = orjson.loads(orjson.dumps(transcript.head()))
    assert Transcript.thawed(SESSION, head, transcript.fragment[:-1], transcript.records) is None
    assert Transcript.thawed(SESSION, head, transcript.fragment, b"") is None


# The cache


def test_the_least_recently_used_transcript_leaves_first() -> None:
    one, two, three = (build(UUID(int=number), 1, talk(10)) for number in (1, 2, 3))
    cache = Cache(2 * one.weight + 10)
    cache.put(one)
    cache.put(two)
    assert cache.get(one.session_id) is one
    cache.put(three)
    assert (cache.get(one.session_id), cache.get(two.session_id), cache.get(three.session_id)) == (one, None, three)


def test_a_transcript_too_large_for_the_cache_is_not_kept() -> None:
    cache = Cache(1000)
    cache.put(build(SESSION, 1, talk(50)))
    assert cache.get(SESSION) is None


def test_a_newer_version_takes_the_place_of_the_older() -> None:
    cache = Cache(10_000)
    older = build(SESSION, 1, talk(1))
    newer = older.grow(talk(1), version=2)
    cache.put(older)
    cache.put(newer)
    cache.drop(UUID(int=9))
    assert cache.get(SESSION) is newer
    cache.drop(SESSION)
    assert cache.get(SESSION) is None


@given(
    earlier=st.lists(st.text(), max_size=3),
    asked=st.text(),
    answer=st.lists(
        st.one_of(
            st.builds(lambda text: {"type": "text", "block": 1, "text": text}, st.text()),
            st.builds(lambda text: {"type": "reasoning", "block": 1, "text": text}, st.text()),
            st.just({"type": "step", "step": 1, "model": "m"}),
        ),
        max_size=4,
    ),
)
def test_a_plain_turn_is_appended_as_any_other_is(earlier: list[str], asked: str, answer: list[dict[str, object]]) -> None:
    """The short way of text for text makes the same bytes, records and counts as the long one (R9.2)."""
    before = build(SESSION, 3, [])
    for index, words in enumerate(earlier):
        said = [{"type": "text", "text": words}]
        before = before.grow([StoredMessage(role=("user", "assistant")[index % 2], parts=said, position=index, id=uuid4())], version=3)
    user_id, assistant_id = uuid4(), uuid4()
    user = [{"type": "text", "text": asked}]
    short = before.append(user=user, assistant=answer, position=8, user_id=user_id, assistant_id=assistant_id)
    messages = [StoredMessage(role="user", parts=user, position=8, id=user_id)]
    if answer:
        messages.append(StoredMessage(role="assistant", parts=answer, position=9, id=assistant_id))
    long = before.grow(messages, version=4, next_position=10)
    assert (short.fragment, short.records, short.head()) == (long.fragment, long.records, long.head())
