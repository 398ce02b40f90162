"""Tools over a socket (websocket.md §6.3, §7.2, §7.3): the server's, the client's own, and those that need approval."""

from typing import Any
from uuid import uuid4

import pytest

from tests.support.clients import http
from tests.support.server import Server
from tests.wire.sockets.client import Frame, Socket, is_event, is_type, kinds, numbers, text

pytestmark = pytest.mark.live
OPEN_PAGE = {
    "name": "open_page",
    "description": "Open a page of the app",
    "parameters": {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]},
}
CALL = {"tools": [{"name": "open_page", "arguments": {"path": "/orders"}}], "text": "It is open."}
CLOCK = {"tools": [{"name": "clock"}], "text": "Now you know."}
TWICE = {"tools": [{"name": "clock"}, {"name": "clock"}], "text": "Now you know."}


def offering(socket: Socket, *tools: dict[str, Any]) -> None:
    """Declares the client's tools; there is no reply unless they are refused."""
    socket.send(type="client_tools_manifest", tools=list(tools or (OPEN_PAGE,)))
    socket.send(type="attach", thread_id="surely-not-there")
    assert socket.error()["code"] == "session_not_found"


def call_of(frames: list[Frame]) -> Frame:
    return next(frame for frame in frames if frame["type"] == "tool_call")


def test_the_servers_tools_are_shown(site: Server) -> None:
    """WS-37, WS-38, WS-44."""
    with Socket(site) as socket:
        socket.say("What time is it?", TWICE, agent="clockwork", thread_id=None)
        told = socket.turn()
        assert kinds(told) == ["session accepted", "tool_call", "tool_result", "chunk", "chunk done", "message", "session finished"]
        calls, results = ([frame for frame in told if frame["type"] == kind] for kind in ("tool_call", "tool_result"))
        assert [call["id"] for call in calls] == [call["tool_call_id"] for call in calls]
        assert {call["id"] for call in calls} == {result["id"] for result in results}
        assert all(call["id"].startswith("srv_") and call["client"] is False and call["args"] == {} for call in calls)
        assert all(result["ok"] and result["error"] is None and result["duration_ms"] >= 0 for result in results)
        socket.send(type="tool_result", tool_call_id=calls[0]["id"], ok=True, result="mine")
        socket.send(type="attach", thread_id=told[0]["thread_id"], history=2)
        socket.until(is_event("attached"))
        history = [socket.hear() for _ in range(5)]
    assert [frame["role"] for frame in history] == ["user", "assistant", "tool", "tool", "assistant"]
    assert [call["name"] for call in history[1]["tool_calls"]] == ["clock", "clock"]
    assert history[2]["tool_call_id"] == calls[0]["id"]


def test_a_client_runs_its_own_tool(site: Server) -> None:
    """WS-47 … WS-49: the one who sent the message is asked, the others see it, all get the result."""
    name = f"client-{uuid4()}"
    with Socket(site) as page, Socket(site) as other:
        page.say("Hello.", thread_id=name)
        page.turn()
        other.send(type="attach", thread_id=name)
        other.hear()
        offering(page)
        page.say("Open my orders.", CALL, thread_id=name)
        call = call_of(page.until(is_type("tool_call")))
        seen = call_of(other.until(is_type("tool_call")))
        assert (call["client"], call["name"], call["args"]) == (True, "open_page", {"path": "/orders"})
        assert {**seen, "client": True} == call
        other.send(type="tool_result", tool_call_id=call["id"], ok=True, result="not mine to answer")
        page.send(type="tool_result", tool_call_id="unknown", ok=True, result="ignored")
        page.send(type="tool_result", tool_call_id=call["id"], ok=True, result={"opened": True})
        for socket in (page, other):
            told = socket.turn()
            assert (told[0]["type"], told[0]["ok"], told[0]["result"], told[0]["id"]) == ("tool_result", True, {"opened": True}, call["id"])
            assert text(told) == "It is open."
        with http(site) as client:
            execution = client.get(f"/api/executions/{call['execution_id']}").json()
    assert execution["status"] == "success"


def test_a_clients_failure_is_the_models_to_handle(site: Server) -> None:
    """WS-49."""
    with Socket(site) as page:
        offering(page)
        page.say("Open my orders.", CALL)
        call = call_of(page.until(is_type("tool_call")))
        page.send(type="tool_result", tool_call_id=call["id"], ok=False, error="There is no such page.")
        told = page.turn()
    assert (told[0]["ok"], told[0]["error"], told[0]["result"]) == (False, "There is no such page.", None)
    assert told[-1]["status"] == "success"


def test_stop_while_a_client_tool_is_awaited(site: Server) -> None:
    """WS-38: the open call still gets its one result."""
    with Socket(site) as page:
        offering(page)
        page.say("Open my orders.", CALL)
        page.until(is_type("tool_call"))
        page.send(type="stop")
        told = page.turn()
    assert kinds(told) == ["tool_result", "generation_stopped", "chunk done", "session finished"]
    assert told[0]["ok"] is False


def test_nobody_answers(new_server: Any) -> None:
    """WS-49: the model is told, and the turn goes on."""
    server: Server = new_server("uvicorn", {"WS_CLIENT_TOOL_SECONDS": "1"})
    with Socket(server) as page:
        offering(page)
        page.say("Open my orders.", CALL)
        told = page.turn()
    result = next(frame for frame in told if frame["type"] == "tool_result")
    assert (result["ok"], result["error"]) == (False, "The tool did not answer within 1 seconds.")
    assert told[-1]["status"] == "success"


def test_a_call_is_taken_over_when_its_connection_is_lost(site: Server) -> None:
    """WS-50: by the first of the same principal that attaches and whose manifest names the tool."""
    name = f"lost-{uuid4()}"
    with Socket(site) as page:
        offering(page)
        page.say("Open my orders.", CALL, thread_id=name)
        call = call_of(page.until(is_type("tool_call")))
    with Socket(site) as without, Socket(site) as page:
        offering(page)
        without.send(type="attach", thread_id=name)
        assert call_of(without.until(is_type("tool_call")))["client"] is False
        page.send(type="attach", thread_id=name)
        page.until(lambda frame: frame["type"] == "tool_call" and frame["client"])
        page.send(type="tool_result", tool_call_id=call["id"], ok=True, result="Opened after all.")
        told = page.turn()
    assert (told[0]["result"], told[-1]["status"]) == ("Opened after all.", "success")


def test_an_agent_may_ignore_clients_tools(site: Server) -> None:
    """R11.2: a call to a tool that nobody has is an error for the model."""
    with Socket(site) as page:
        offering(page)
        page.say("Open my orders.", CALL, agent="closed")
        told = page.turn()
    assert call_of(told)["client"] is False
    assert "There is no tool named" in next(frame for frame in told if frame["type"] == "tool_result")["error"]


def test_a_client_tool_must_not_shadow_the_agents(site: Server) -> None:
    """WS-47, R11.3: told at the manifest when the agent is known, and at the message in any case."""
    shadow = {"name": "clock"}
    with Socket(site, agent="clockwork") as socket:
        socket.send(type="client_tools_manifest", tools=[shadow])
        assert socket.error()["code"] == "invalid_manifest"
    with Socket(site) as socket:
        offering(socket, shadow)
        socket.say("What time is it?", agent="clockwork")
        assert socket.error()["code"] == "invalid_manifest"


def paused(socket: Socket, agent: str = "careful", script: dict[str, Any] = CLOCK, **fields: Any) -> list[Frame]:
    socket.say("What time is it?", script, agent=agent, **fields)
    return socket.until(lambda frame: frame["type"] == "chunk" and frame["done"])


def requests_of(frames: list[Frame]) -> list[Frame]:
    return [frame for frame in frames if frame["type"] == "approval_request"]


def test_a_pause_and_an_approval(site: Server) -> None:
    """WS-34, WS-51, WS-52: numbers go on; everybody attached sees it."""
    name = f"approve-{uuid4()}"
    with Socket(site) as page, Socket(site) as phone:
        told = paused(page, thread_id=name)
        assert kinds(told) == ["session accepted", "tool_call", "approval_request", "session paused", "chunk done"]
        (request,) = requests_of(told)
        assert (request["approver"], request["name"], request["message"]) == ("caller", "clock", "The agent wants to run clock.")
        phone.send(type="attach", thread_id=name)
        snapshot = phone.hear()
        assert [run["status"] for run in snapshot["active"]] == ["paused"]
        again = phone.until(lambda frame: frame["type"] == "chunk" and frame["done"])
        assert again == told[1:]
        phone.send(type="approval_response", approval_id=request["approval_id"], approved=True)
        for socket in (page, phone):
            rest = socket.turn()
            assert kinds(rest) == [
                "approval_resolved",
                "session resumed",
                "tool_result",
                "chunk",
                "chunk done",
                "message",
                "session finished",
            ]
            assert (rest[0]["approved"], rest[0]["by"], rest[2]["ok"]) == (True, "caller", True)
            assert numbers(rest)[0] > numbers(told)[-1]
            assert rest[-1]["status"] == "success"
        with http(site) as client:
            stored = client.get(f"/api/agents/careful/chat/sessions/{told[0]['session_id']}").json()["messages"]
        assert rest[-2]["id"] == stored[-1]["id"]
        page.send(type="approval_response", approval_id=request["approval_id"], approved=True)
        page.send(type="tool_approval_response", approval_id=request["approval_id"], approved=False)
        assert page.error()["code"] == "already_decided"


def test_several_calls_wait_together_and_one_is_denied(site: Server) -> None:
    """WS-51, WS-53."""
    with Socket(site) as socket:
        first, second = requests_of(paused(socket, script=TWICE, thread_id=None))
        socket.send(type="approval_response", approval_id=first["approval_id"], approved=True)
        socket.send(type="approval_response", approval_id=second["approval_id"], approved=False, reason="Once is enough")
        told = socket.turn()
    resolved = {frame["approval_id"]: frame for frame in told if frame["type"] == "approval_resolved"}
    assert resolved[first["approval_id"]]["approved"] is True
    assert (resolved[second["approval_id"]]["approved"], resolved[second["approval_id"]]["reason"]) == (False, "Once is enough")
    results = {frame["id"]: frame for frame in told if frame["type"] == "tool_result"}
    assert results[first["tool_call_id"]]["ok"] is True
    assert results[second["tool_call_id"]]["error"] == "denied: Once is enough"


def test_who_may_decide(site: Server) -> None:
    """WS-52: the tool's setting says who; others do not even see that there is an approval."""
    with Socket(site) as socket, Socket(site, "stranger") as stranger, Socket(site, "admin") as admin:
        (request,) = requests_of(paused(socket, "supervised", thread_id=None))
        answer = {"type": "approval_response", "approval_id": request["approval_id"], "approved": True}
        socket.send(answer)
        assert socket.error()["code"] == "not_an_approver"
        stranger.send(answer)
        assert stranger.error()["code"] == "approval_not_found"
        admin.send(answer)
        assert socket.turn()[-1]["status"] == "success"


def test_replaced_arguments_must_fit(site: Server) -> None:
    """WS-52: else the approval stays open."""
    with Socket(site) as socket:
        (request,) = requests_of(paused(socket, thread_id=None))
        socket.send(type="approval_response", approval_id=request["approval_id"], approved=True, arguments=[1])
        assert socket.error()["code"] == "invalid_arguments"
        socket.send(type="approval_response", approval_id=request["approval_id"], approved=True, arguments={})
        assert socket.turn()[-1]["status"] == "success"


def test_a_new_message_supersedes_a_pause(site: Server) -> None:
    """WS-53, R8.5."""
    name = f"superseded-{uuid4()}"
    with Socket(site) as socket:
        told = paused(socket, thread_id=name)
        socket.say("Never mind.", {"text": "Fine."}, agent="careful", thread_id=name)
        rest = socket.turn() + socket.turn()
    ends = {frame["execution_id"]: frame for frame in rest if is_event("finished")(frame)}
    assert ends.pop(told[0]["execution_id"])["status"] == "cancelled"
    assert [end["status"] for end in ends.values()] == ["success"]
    old = [frame for frame in rest if frame["execution_id"] == told[0]["execution_id"]]
    assert kinds(old) == ["tool_result", "generation_stopped", "chunk done", "session finished"]
