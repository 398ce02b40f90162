"""What was said before: as provider messages, as seeds, and aligned with what is stored (OAI-24, OAI-25, OAI-29, OAI-52, OAI-53)."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.errors import SwitchboardError
from chat.cleaning import clean
from chat.history import StoredMessage, provider_messages, user_messages
from chat.protocols.openai.alignment import NO_RESULT, Continuation, Known, continued
from chat.protocols.openai.history import input_parts, provider_history, seeds, split
from chat.protocols.openai.messages import Entry, check_pairs, check_user, parse_messages
from chat.requests import Part
from chat.transcripts import Entry as Stored
from chat.transcripts import digest

NOTICE = "This step needs approval before it can continue."
PNG = "data:image/png;base64,iVBORw0KGgo="


def entries(*messages: tuple[str, Any] | dict[str, Any]) -> tuple[Entry, ...]:
    """Messages as dicts, or short: ("user", "text")."""
    full = [{"role": each[0], "content": each[1]} if isinstance(each, tuple) else each for each in messages]
    return parse_messages(full).entries


def calls(*ids: str, content: str | None = None) -> dict[str, Any]:
    made = [{"id": call_id, "type": "function", "function": {"name": "f", "arguments": f'{{"of":"{call_id}"}}'}} for call_id in ids]
    return {"role": "assistant", "content": content, "tool_calls": made}


def result(call_id: str, content: str = "done") -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": call_id, "content": content}


def stored(*lines: tuple[str, str]) -> list[Stored]:
    """Stored messages at positions 10, 11, …; `u` and `a` for the roles."""
    roles = {"u": "user", "a": "assistant"}
    return [Stored(10 + n, roles[role], digest(text), None, True, 0, 0) for n, (role, text) in enumerate(lines)]


def texts(parts: tuple[Part, ...]) -> list[str]:
    return [part["text"] if part["type"] == "text" else f"{part['call_id']}={part['output']}" for part in parts]


def told(more: Continuation) -> tuple[list[str], int | None, list[tuple[str, list[str]]]]:
    seeded = [(seed.role[0], [part.get("text") or part.get("call_id", "") for part in seed.parts]) for seed in more.seed]
    return texts(more.parts), more.cut_position, seeded


# Pairs


@pytest.mark.parametrize(
    ("messages", "param"),
    [
        ([("user", "x"), calls("1")], "messages[1].tool_calls"),
        ([("user", "x"), calls("1", "2"), result("1")], "messages[1].tool_calls"),
        ([("user", "x"), calls("1"), ("user", "y"), result("1")], "messages[1].tool_calls"),
        ([("user", "x"), result("1")], "messages[1].tool_call_id"),
        ([("user", "x"), calls("1"), result("1"), result("1")], "messages[3].tool_call_id"),
        ([("user", "x"), calls("1", "1"), result("1")], "messages[1].tool_calls"),
        ([("user", "x"), calls("1"), result("2")], "messages[2].tool_call_id"),
    ],
)
def test_calls_and_results_come_in_pairs(messages: list[Any], param: str) -> None:
    """OAI-24."""
    with pytest.raises(SwitchboardError) as caught:
        check_pairs(entries(*messages))
    assert (caught.value.code, caught.value.param, caught.value.status) == ("invalid_tool_history", param, 400)


def test_a_paired_history_is_fine_and_ours_is_left_out() -> None:
    """OAI-24: results of server calls may come back without complaint."""
    check_pairs(entries(("user", "x"), calls("1", "2"), result("2"), result("1"), calls("3"), result("3")))
    check_pairs(entries(("user", "x"), calls("srv_abc", content="Noon."), result("srv_abc"), ("user", "y")))
    check_pairs(entries(("user", "x"), result("srv_gone"), ("user", "y")))


@pytest.mark.parametrize("messages", [[("system", "x")], [("user", "  ")], [("assistant", "x")], [calls("1"), result("1")]])
def test_somebody_must_have_asked(messages: list[Any]) -> None:
    """OAI-20."""
    with pytest.raises(SwitchboardError, match="no user message provided"):
        check_user(entries(*messages))


# Stateless


def test_the_new_input_is_all_that_follows_the_last_answer() -> None:
    """R9.2e: neighbouring user messages are one input."""
    before, new = split(entries(("user", "a"), ("assistant", "b"), ("user", "c"), ("user", "d")))
    assert provider_history(before) == ({"role": "user", "content": "a"}, {"role": "assistant", "content": "b"})
    assert texts(input_parts(new)) == ["c", "d"]


def test_results_are_input_and_their_calls_are_history() -> None:
    before, new = split(entries(("user", "Weather?"), calls("call_1"), result("call_1", "-3")))
    assert provider_history(before)[1] == {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"of":"call_1"}'}}],
    }
    assert input_parts(new) == ({"type": "tool_result", "call_id": "call_1", "output": "-3"},)


def test_pictures_of_earlier_messages_are_kept() -> None:
    picture = {"type": "image_url", "image_url": {"url": PNG, "detail": "low"}}
    history = provider_history(entries({"role": "user", "content": [{"type": "text", "text": "Look"}, picture]}, ("assistant", "I see.")))
    assert history[0] == {"role": "user", "content": [{"type": "text", "text": "Look"}, picture]}


STEP = (
    {"role": "assistant", "content": "Let me look.", "tool_calls": [*calls("call_own")["tool_calls"], *calls("call_1")["tool_calls"]]},
    {"role": "tool", "tool_call_id": "call_own", "content": "noon"},
)


def test_a_kept_step_takes_the_place_of_the_client_s_copy() -> None:
    """OAI-29: the model sees the whole of it, in the history as in the seeds of a conversation."""
    said = entries(("user", "x"), calls("call_1"), result("call_1"))
    said = (said[0], said[1]._replace(step=STEP), said[2])
    assert provider_history(said) == (
        {"role": "user", "content": "x"},
        *STEP,
        {"role": "tool", "tool_call_id": "call_1", "content": "done"},
    )
    parts = seeds(said[:2])[1].parts
    assert [(part["call_id"], part["client"], part.get("output")) for part in parts if part["type"] == "tool"] == [
        ("call_own", False, "noon"),
        ("call_1", True, None),
    ]


# Seeds: what a conversation is opened with says the same as the stateless call


MESSAGES = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["user", "assistant"]), st.sampled_from(["a", "b", "c d"])),
        st.sampled_from([(calls("1"), result("1")), (calls("1", "2", content="Hm."), result("2"), result("1"))]),
    ),
    max_size=8,
)


@given(MESSAGES)
def test_seeds_say_what_the_messages_said(drawn: list[Any]) -> None:
    """OAI-53: for the model it is the same history."""
    messages = [message for each in drawn for message in ([each] if isinstance(each[0], str) else each)]
    before, new = split(entries(*messages, ("user", "new")))
    rows = [StoredMessage(role=seed.role, parts=seed.parts, position=n) for n, seed in enumerate(seeds(before))]
    rows.append(StoredMessage(role="user", parts=input_parts(new), position=len(rows)))
    assert provider_messages(rows) == clean([*provider_history(before), *user_messages(input_parts(new))])


# Hits


A_B = (("u", "a"), ("a", "b"))
HITS: dict[str, tuple[tuple[tuple[str, str], ...], list[Any], tuple[list[str], int | None, list[Any]]]] = {
    "only the new message": (A_B, [("user", "c")], (["c"], None, [])),
    "the last of several": (A_B, [("user", "x"), ("user", "c")], (["c"], None, [])),
    "the same again, without history": (A_B, [("user", "a")], (["a"], None, [])),
    "the whole history": (A_B, [("user", "a"), ("assistant", "b"), ("user", "c")], (["c"], None, [])),
    "trimmed": (A_B, [("user", " a\n"), ("assistant", "b "), ("user", "c")], (["c"], None, [])),
    "the answer edited": (A_B, [("user", "a"), ("assistant", "B"), ("user", "c")], (["c"], 11, [("a", ["B"])])),
    "the question edited": (A_B, [("user", "A"), ("assistant", "b"), ("user", "c")], (["c"], 10, [("u", ["A"]), ("a", ["b"])])),
    "asked again": ((*A_B, ("u", "c"), ("a", "d")), [("user", "a"), ("assistant", "b"), ("user", "c")], (["c"], 12, [])),
    "asked otherwise": ((*A_B, ("u", "c"), ("a", "d")), [("user", "a"), ("assistant", "b"), ("user", "C")], (["C"], 12, [])),
    "more than we know": (
        A_B,
        [("user", "a"), ("assistant", "b"), ("user", "x"), ("assistant", "y"), ("user", "c")],
        (["c"], None, [("u", ["x"]), ("a", ["y"])]),
    ),
    "a question that failed": (
        A_B,
        [("user", "a"), ("assistant", "b"), ("user", "lost"), ("user", "c")],
        (["c"], None, [("u", ["lost"])]),
    ),
    "questions stored as one": (
        (("u", "a\n\nb"), ("a", "c")),
        [("user", "a"), ("user", "b"), ("assistant", "c"), ("user", "d")],
        (["d"], None, []),
    ),
    "nothing stored": ((), [("user", "a"), ("assistant", "b"), ("user", "c")], (["c"], None, [("u", ["a"]), ("a", ["b"])])),
    "continue": (A_B, [("user", "a"), ("assistant", "b")], (["Continue."], None, [])),
    "what a paused turn was told": (
        (("u", "a"), ("a", "So far, and then the rest")),
        [("user", "a"), ("assistant", f"So far\n\n{NOTICE}"), ("user", "c")],
        (["c"], None, []),
    ),
    "a paused turn without a word": (
        (("u", "a"), ("a", "")),
        [("user", "a"), ("assistant", NOTICE), ("user", "c")],
        (["c"], None, []),
    ),
    "tools are not compared": (
        (("u", "a"), ("a", ""), ("u", ""), ("a", "b")),
        [("user", "a"), calls("1"), result("1"), ("assistant", "b"), ("user", "c")],
        (["c"], None, []),
    ),
    "the answer after tools edited": (
        (("u", "a"), ("a", ""), ("u", ""), ("a", "b")),
        [("user", "a"), calls("1"), result("1"), ("assistant", "B"), ("user", "c")],
        (["c"], 11, [("a", ["1"]), ("u", ["1"]), ("a", ["B"])]),
    ),
}


@pytest.mark.parametrize("case", HITS)
def test_a_hit_appends_or_branches(case: str) -> None:
    """OAI-52: parts, where the conversation branches, and what the client puts there instead."""
    known, messages, expected = HITS[case]
    assert told(continued(Known(stored(*known)), entries(*messages), NOTICE)) == expected


OPEN = Known(stored(("u", "a"), ("a", "")), ("call_1", "call_2"))


def test_open_calls_are_answered_by_trailing_results() -> None:
    """OAI-52: with the history, without it, and where a result is missing."""
    both = [result("call_2", "two"), result("call_1", "one")]
    assert told(continued(OPEN, entries(*both))) == (["call_1=one", "call_2=two"], None, [])
    assert told(continued(OPEN, entries(("user", "a"), calls("call_1", "call_2"), *both))) == (["call_1=one", "call_2=two"], None, [])
    assert texts(continued(OPEN, entries(both[1])).parts) == ["call_1=one", f"call_2={NO_RESULT}"]


def test_a_message_after_the_results_comes_with_them() -> None:
    said = entries(("user", "a"), calls("call_1", "call_2"), result("call_1"), result("call_2"), ("user", "and?"))
    assert told(continued(OPEN, said)) == (["call_1=done", "call_2=done", "and?"], None, [])


def test_open_calls_may_be_left_open() -> None:
    assert told(continued(OPEN, entries(("user", "never mind")))) == (["never mind"], None, [])


def test_results_that_come_twice_branch_where_they_are_stored() -> None:
    """No text is ever put into the prompt twice."""
    known = Known(stored(("u", "a"), ("a", ""), ("u", ""), ("a", "b")), (), {"call_1": 12}.get)
    assert told(continued(known, entries(("user", "a"), calls("call_1"), result("call_1")))) == (["call_1=done"], 12, [])


def test_an_edited_history_with_results_branches_with_them() -> None:
    known = Known(stored(("u", "a"), ("a", "b"), ("u", "c"), ("a", "")), ("call_1",))
    said = entries(("user", "A"), ("assistant", "b"), ("user", "c"), calls("call_1"), result("call_1"))
    expected = (["call_1=done"], 10, [("u", ["A"]), ("a", ["b"]), ("u", ["c"]), ("a", ["call_1"])])
    assert told(continued(known, said)) == expected


@pytest.mark.parametrize("messages", [[("system", "x")], [("assistant", "x")], [result("call_9")]])
def test_a_hit_needs_a_usable_message(messages: list[Any]) -> None:
    """OAI-52."""
    with pytest.raises(SwitchboardError, match="no user message provided"):
        continued(OPEN, entries(*messages))


LINES = st.lists(st.tuples(st.sampled_from("ua"), st.sampled_from(["a", "b", "c", ""])), max_size=8)


@given(LINES, LINES, st.sampled_from("xyz"))
def test_after_any_branch_the_conversation_is_what_the_client_told(
    known: list[tuple[str, str]], lines: list[tuple[str, str]], new: str
) -> None:
    """OAI-52: kept, seeded and new texts together are the client's texts, each once, for every resent history."""
    names = {"u": "user", "a": "assistant"}
    said = entries(*[(names[role], text) for role, text in lines], ("user", new))
    if not any(entry.role == "assistant" for entry in said[:-1]):
        return
    more = continued(Known(stored(*known)), said)
    kept = [text for n, (_, text) in enumerate(known) if text and (more.cut_position is None or 10 + n < more.cut_position)]
    seeded = [part["text"] for seed in more.seed for part in seed.parts]
    assert [*kept, *seeded, *texts(more.parts)] == [entry.text for entry in said]
