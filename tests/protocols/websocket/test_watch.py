"""What a connection is told of the conversations that it watches, beside their runs."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

from agents.specs import AgentSpec
from chat.protocols.websocket.watch import Watch
from chat.requests import SessionRef
from tests.chat.workflows.specs import HOST


def watching(version: int) -> tuple[Watch, list[dict[str, Any]], AgentSpec]:
    """A watch of a conversation whose agent had this version when it was attached; what is sent; the agent."""
    sent: list[dict[str, Any]] = []
    helper = replace(HOST, name="helper", id=uuid4(), version=version)
    session = SessionRef(id=uuid4(), namespace="user:1", name=None, agent_id=helper.id, agent_name="helper", owner_id=1, wire="websocket")
    connection: Any = SimpleNamespace(send=sent.append, html=False)
    return Watch(connection, session, "t-1", own=True, reasoning=False, version=version), sent, helper


def test_a_new_version_of_the_agent_is_told_once() -> None:
    """WS-43: `updated` names the version that answers from now on."""
    watch, sent, helper = watching(3)
    for found in (helper, None, replace(helper, version=4), replace(helper, version=4), None):
        watch.agent_is(found)
    (told,) = sent
    assert (told["type"], told["event"], told["thread_id"]) == ("session", "updated", "t-1")
    assert told["agent"] == {"id": str(helper.id), "name": "helper", "version": 4}


def test_an_agent_that_was_not_there_has_no_earlier_version() -> None:
    watch, sent, helper = watching(0)
    watch.agent_is(replace(helper, version=2))
    assert sent == []
    watch.agent_is(replace(helper, version=3))
    assert [frame["agent"]["version"] for frame in sent] == [3]
