"""What visitors see of runs, in bytes: AG-59, AG-60."""

from typing import Any, Literal

import orjson
import pytest

from agents.errors import CODES, SwitchboardError
from chat.events import TextDelta, TurnFailed
from chat.protocols.public import answers
from chat.protocols.public.answers import RenderedEncoder, VisitorEncoder, response_of, sentence_for
from chat.protocols.public.codec import SENTENCES, veiled
from tests.protocols import story
from tests.support import golden

SESSION = "session_2Zk9pQ7rXw4tYb8nCd1eFg3hIj5kLm6oP0uVaSxTyB"
SECRETS = ("10 results", "latest", "1187", "claude", "usage", "cost", "The shop said no", "The numbers first", "300 seconds", story.SESSION)


def encoded(name: str, form: Literal["sse", "ndjson"] = "sse") -> bytes:
    return VisitorEncoder(SESSION, form=form).encode(story.STORIES[name])


def objects(data: bytes) -> list[dict[str, Any]]:
    return [orjson.loads(line[6:]) for line in data.split(b"\n") if line.startswith(b"data: ")]


@pytest.mark.parametrize("name", story.STORIES)
def test_each_story_in_bytes(name: str) -> None:
    golden.check(f"public/{name}.sse", encoded(name))
    golden.check(f"public/{name}.ndjson", encoded(name, "ndjson"))


@pytest.mark.parametrize("name", story.STORIES)
def test_each_story_with_html_in_bytes(name: str) -> None:
    golden.check(f"public/{name}-rendered.sse", RenderedEncoder(SESSION).encode(story.STORIES[name]))


@pytest.mark.parametrize("name", story.STORIES)
def test_inputs_outputs_costs_usage_models_and_limits_are_not_told(name: str) -> None:
    """AG-59, AG-60: text and tool names only."""
    for data in (encoded(name), encoded(name, "ndjson"), RenderedEncoder(SESSION).encode(story.STORIES[name])):
        assert [secret for secret in SECRETS if secret.encode() in data] == []


def test_the_stream_speaks_of_the_visitor_s_own_session() -> None:
    """AG-56; a verified visitor's is null (AG-61)."""
    assert {told["session_id"] for told in objects(encoded("whole")) if "session_id" in told} == {SESSION}
    assert {told["session_id"] for told in objects(VisitorEncoder(None).encode(story.WHOLE)) if "session_id" in told} == {None}


def test_a_paused_run_says_the_agent_s_notice() -> None:
    """AG-59, OAI-41."""
    result = next(told for told in objects(encoded("paused")) if told["type"] == "result")
    assert result["subtype"] == "paused"
    assert result["result"].endswith("\n\nThis step needs approval before it can continue.")
    assert result["approvals"] == [{"tool_call_id": "srv_refund000001", "name": "refund"}]
    assert response_of(story.PAUSED) == result["result"]


def test_a_limit_of_the_agent_is_a_failed_run() -> None:
    """AG-60: texts and codes never name the agent's limits."""
    failed = story.numbered(TurnFailed(code="max_steps_reached", message="20 steps", status=500))
    error, result = objects(VisitorEncoder(SESSION).encode(failed))[:2]
    assert (error["code"], error["message"]) == ("run_failed", SENTENCES["run_failed"])
    assert (result["subtype"], result["terminal_reason"], result["errors"]) == (
        "error_during_execution", "run_failed", [SENTENCES["run_failed"]],
    )  # fmt: skip
    assert sentence_for("max_steps_reached") == SENTENCES["run_failed"]


def test_refusals_tell_neither_rate_limits_nor_queues() -> None:
    """AG-60: what else the spine says of a refusal is for callers with a key."""
    error = SwitchboardError(
        "queue_full", retry_after_s=30, extra={"queue_length": 7, "execution_id": "x"}, headers={"x-ratelimit-limit-requests": "5"}
    )
    seen = answers.told(error)
    assert (seen.status, seen.code, seen.message, seen.retry_after_s) == (429, "queue_full", SENTENCES["queue_full"], 30)
    assert (seen.extra, seen.headers) == ({"execution_id": "x"}, {})
    assert answers.told(SwitchboardError("timeout", "longer than 300 seconds")).message == SENTENCES["timeout"]


def test_every_sentence_is_of_a_known_code() -> None:
    assert set(SENTENCES) <= set(CODES)


# The text as HTML


def page(data: bytes) -> dict[int, str]:
    """What a page shows that applies the frames: text number -> HTML."""
    texts: dict[int, list[str]] = {}
    for told in objects(data):
        if told["type"] == "rendered":
            texts.setdefault(told["block"], [])[told["from"] :] = told["html"]
        if told["type"] == "gap":
            texts.clear()
    return {block: "".join(blocks) for block, blocks in texts.items()}


def test_a_page_that_applies_the_frames_shows_the_whole_text() -> None:
    encoder = RenderedEncoder(SESSION)
    data = b"".join(encoder.encode([item]) for item in story.WHOLE)
    assert page(data) == {
        2: '<p>Let me look: "Grüße" 🌍</p>\n',
        3: "<p>Three findings stand out.</p>\n",
        4: "<p>I will not guess more.</p>\n",
    }


def test_html_comes_before_the_end_and_after_a_restart_anew() -> None:
    """R7.4: a gap that restarts empties the page."""
    data = RenderedEncoder(SESSION).encode(story.REPLAYED)
    assert page(data) == {1: "<p>All of it.</p>\n"}
    assert objects(data)[-1] == {"type": "stream_end"}


def test_tools_are_told_when_they_begin_and_when_they_end() -> None:
    tools = [told for told in objects(RenderedEncoder(SESSION).encode(story.WHOLE)) if told["type"] == "tool"]
    assert [(told["name"], told["ok"]) for told in tools] == [
        ("web_search", None),
        ("refund", None),
        ("web_search", True),
        ("refund", False),
    ]


def test_costly_rendering_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is dear rests; what was left out meanwhile comes with the end."""
    clock = iter(number / 100 for number in range(10_000))
    monkeypatch.setattr("chat.rendering.time.monotonic", lambda: next(clock))
    encoder = RenderedEncoder(SESSION)
    pieces = [encoder.encode(story.numbered(TextDelta(1, f"{number} "), first=number)) for number in range(1, 9)]
    assert [b"rendered" in piece for piece in pieces] == [True, *[False] * 7]
    assert page(b"".join(pieces) + encoder.encode(story.numbered(story.FINISH, first=9)))[1] == "<p>1 2 3 4 5 6 7 8</p>\n"


def test_only_what_is_named_is_for_visitors() -> None:
    """AG-59: an event that is added to the vocabulary is not shown until somebody says so."""
    shown = {type(item.event).__name__ for name in story.STORIES for item in veiled(story.STORIES[name], SESSION)}
    assert shown == {
        "TurnStarted", "StepStarted", "TextDelta", "RefusalDelta", "ToolCalled", "ToolReturned", "StepFinished", "TurnPaused",
        "TurnResumed", "TurnFinished", "TurnFailed", "TurnCancelled", "Gap",
    }  # fmt: skip
