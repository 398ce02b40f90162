"""Messages as objects (AG-17, AG-22): what is shown of each part, and of what a model refused."""

from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest

from chat.branches import ROOT
from chat.models import ChatSession, Execution, Message
from chat.sessionviews import branched_views, cost_of, files, message_view, tool_calls

SESSION = ChatSession(agent_name="analyst", namespace="user:7")
CALL = {"type": "tool", "call_id": "srv_1", "name": "web_search", "arguments": {"q": "latest"}, "client": False}


def message(*parts: Any, role: str = "assistant", text: str = "", **fields: Any) -> Message:
    return Message(session=SESSION, role=role, parts=list(parts), text=text, position=0, **fields)


@pytest.mark.parametrize(
    ("returned", "output", "success"),
    [
        ({"output": "10 results", "ok": True, "duration_ms": 640}, "10 results", True),
        ({"output": {"rows": [1]}, "ok": True, "duration_ms": 1}, '{"rows":[1]}', True),
        ({"output": "", "ok": True, "duration_ms": 1}, "(no output)", True),
        ({"output": None, "ok": False, "error": "No such city.", "duration_ms": 1}, "No such city.", False),
        ({"output": None, "ok": False, "error": "", "duration_ms": 1}, "(no output)", False),
        ({"duration_ms": 1}, None, None),
        ({}, None, None),
    ],
)
def test_what_came_of_a_call(returned: dict[str, Any], output: str | None, success: bool | None) -> None:
    """AG-17, AG-22: as text, `(no output)` for nothing, null for a call that never returned."""
    (call,) = tool_calls([CALL | returned])
    assert call == {
        "id": "srv_1", "tool": "web_search", "input": {"q": "latest"}, "output": output, "success": success,
        "duration_ms": returned.get("duration_ms"),
    }  # fmt: skip


def test_a_refusal_is_what_was_said() -> None:
    refused = message({"type": "refusal", "text": "I will "}, {"type": "refusal", "text": "not."})
    assert message_view(refused, SESSION, {})["content"] == "I will not."


def test_files_are_named_never_shown() -> None:
    parts = [
        {"type": "image", "url": "data:image/png;base64,AAAA"},
        {"type": "image", "url": "https://example.com/cat.png"},
        {"type": "file", "filename": "a.pdf", "media_type": "application/pdf", "attachment_id": "x", "data": "data:…", "text": "…"},
        {"type": "text", "text": "Hello"},
    ]
    assert files(parts) == [
        {"name": "image", "mimetype": "image/png", "attachment_id": None},
        {"name": "image", "mimetype": None, "attachment_id": None},
        {"name": "a.pdf", "mimetype": "application/pdf", "attachment_id": "x"},
    ]


def test_what_a_turn_cost_stands_with_its_answer() -> None:
    """AG-22: a price that is not known is null, never 0."""
    run = Execution(id=uuid4(), cost_usd=None, context_tokens=2610, context_window=200000, output_tokens=310, duration_ms=8420)
    shown = message_view(message(execution_id=run.id), SESSION, {run.id: run})
    assert [shown[name] for name in ("cost", "context_used", "context_max", "output_tokens", "execution_time_ms")] == [
        None, 2610, 200000, 310, 8420,
    ]  # fmt: skip
    asked = message_view(message(role="user", execution_id=run.id), SESSION, {run.id: run})
    assert [asked[name] for name in ("cost", "context_used", "output_tokens", "execution_time_ms")] == [None] * 4


def test_parents_in_and_between_branches() -> None:
    """AG-26."""
    first, second, anew, branch = (message(text=text) for text in "abcd")
    anew.parent_id, branch.parent_id = ROOT, first.id
    shown = branched_views([second, anew, branch], first, SESSION, {})
    assert [view["parent_id"] for view in shown] == [str(first.id), None, str(first.id)]


@pytest.mark.parametrize(
    ("tokens", "cost_usd", "shown"),
    [(0, None, 0.0), (91, None, None), (91, Decimal(0), 0.0), (91, Decimal("0.001310"), 0.00131)],
    ids=["nothing yet", "no price", "free", "priced"],
)
def test_a_cost_that_nobody_knows_is_null(tokens: int, cost_usd: Decimal | None, shown: float | None) -> None:
    """R0.3: null when unknown, never 0."""
    assert cost_of(ChatSession(output_tokens=tokens, cost_usd=cost_usd)) == shown
