"""Stored runs as events (R7.4): what a watcher of a finished run is told of it."""

from typing import Any

import pytest

from chat.events import ToolCalled, ToolReturned, TurnFinished, TurnStarted
from chat.models import ChatSession, Execution, Message
from chat.replay import events_of

pytestmark = pytest.mark.django_db
CALL = {"type": "tool", "call_id": "srv_1", "provider_id": "c1", "name": "look_up", "arguments": {}, "client": False, "called_s": 7.5}
STEP = {"type": "step", "step": 1, "model": "m"}


def stored(*parts: dict[str, Any], conversation: bool = True) -> Execution:
    session = ChatSession.objects.create(namespace="user:1", agent_name="a", wire="run") if conversation else None
    steps = [] if conversation else [{"step": 1, "parts": list(parts)}]
    row = Execution.objects.create(agent_name="a", principal="user:1", status="success", session=session, steps=steps)
    if session:
        Message.objects.create(session=session, execution_id=row.id, position=0, role="user", text="Hello")
        Message.objects.create(session=session, execution_id=row.id, position=1, role="assistant", parts=list(parts))
    return row


def test_its_first_and_its_last_event_name_the_message() -> None:
    row = stored(STEP, {"type": "text", "block": 1, "text": "Hi."})
    first, *_, last = events_of(row)
    message_id = str(Message.objects.get(execution_id=row.id, role="assistant").id)
    assert isinstance(first, TurnStarted)
    assert isinstance(last, TurnFinished)
    assert (first.message_id, last.message_id) == (message_id, message_id)


def test_a_run_without_a_conversation_has_no_message() -> None:
    first, *_, last = events_of(stored(STEP, {"type": "text", "block": 1, "text": "Hi."}, conversation=False))
    assert isinstance(first, TurnStarted)
    assert isinstance(last, TurnFinished)
    assert (first.message_id, last.message_id) == ("", "")


@pytest.mark.parametrize("conversation", [True, False])
def test_a_call_that_was_cut_off_has_no_result(conversation: bool) -> None:
    done = {**CALL, "call_id": "srv_2", "output": "10", "ok": True, "error": "", "duration_ms": 3}
    events = events_of(stored(STEP, CALL, done, conversation=conversation))
    assert [(event.call_id, event.called_s) for event in events if isinstance(event, ToolCalled)] == [("srv_1", 7.5), ("srv_2", 7.5)]
    assert [event.call_id for event in events if isinstance(event, ToolReturned)] == ["srv_2"]
