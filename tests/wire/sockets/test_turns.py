"""Chat over a socket on each ASGI server (websocket.md §5, §7.1): turns, threads, modes, stop, what is refused."""

import json
from pathlib import Path
from uuid import uuid4

import msgpack
import pytest

from chat.claims import MAX_WAITING_TURNS
from tests.support.clients import http
from tests.support.server import Server
from tests.wire.sockets.client import Socket, finished, is_event, is_type, kinds, numbers, text

pytestmark = pytest.mark.live
SLOW = {"chunks": 200, "delay_ms": 25, "text": "tok "}
PLAIN = ["session accepted", "chunk", "chunk done", "message", "session finished"]

NOBODYS = "01a1fc95-7583-7bf5-bb2d-8c268c8b9391"
"""An id of nothing."""


def test_a_plain_turn(site: Server) -> None:
    """WS-22, WS-34, WS-36, WS-44, WS-46."""
    with Socket(site) as socket:
        socket.say("Hello.", id="c-1", thread_id=f"plain-{uuid4()}")
        told = socket.turn()
    assert kinds(told) == PLAIN
    accepted, message, end = told[0], told[-2], told[-1]
    assert (accepted["created"], accepted["status"], accepted["replayed"], accepted["client_message_id"]) == (True, "running", False, "c-1")
    assert accepted["agent"]["name"] == "root"
    assert message["content"] == text(told) == "Hello! How can I help?"
    assert (message["role"], message["status"], message["replay"], message["agent"]) == ("assistant", "complete", False, "root")
    assert (end["status"], end["finish_reason"], end["error_code"]) == ("success", "stop", None)
    assert end["usage"] == {"input_tokens": 412, "output_tokens": 9, "total_tokens": 421}
    assert numbers(told) == sorted(set(numbers(told)))
    assert {frame["execution_id"] for frame in told} == {accepted["execution_id"]}
    assert {frame["thread_id"] for frame in told} == {accepted["thread_id"]}


def test_the_published_message_without_type_in_messagepack(site: Server) -> None:
    """WS-80: model `gpt-3.5-turbo` names no agent here, so the default one answers; frames come as MessagePack."""
    with Socket(site, None, binary=True, api_key=site.keys["owner"], agent="root") as socket:
        socket.send({"role": "user", "content": "Hello world", "model": "gpt-3.5-turbo"})
        told = socket.turn()
    assert text(told) == "Hello! How can I help?"


def test_each_frame_of_the_client_sets_the_mode(site: Server) -> None:
    """WS-12: also for the rest of a turn, by control frames, and by frames that cannot be decoded."""
    with Socket(site, binary=True) as socket:
        raw = socket.connection
        raw.send(json.dumps({"content": f"Go.\n\n{json.dumps(SLOW)}", "agent": "root"}))
        assert isinstance(raw.recv(timeout=10), str)
        for data, kind in [
            (msgpack.packb({"type": "ping"}), bytes),
            ("not json", str),
            (b"\xc1", bytes),
            (json.dumps({"type": "pong"}), str),
        ]:
            raw.send(data)
            seen = [type(raw.recv(timeout=10)) for _ in range(12)]
            assert seen[-1] is kind
            assert sorted(map(str, seen)) in (sorted(map(str, seen[:at])) + sorted(map(str, seen[at:])) for at in range(len(seen) + 1))


def test_a_pinned_mode_stays(site: Server) -> None:
    """WS-13: by the address, or by `set_mode`."""
    with Socket(site) as socket:
        socket.connection.send(msgpack.packb({"type": "ping", "ts": 7}))
        answer = socket.connection.recv(timeout=10)
        assert isinstance(answer, str)
        assert json.loads(answer)["client_ts"] == 7
        socket.connection.send(json.dumps({"command": "set_mode", "data": {"mode": "binary"}}))
        assert isinstance(socket.connection.recv(timeout=10), bytes)
        socket.connection.send(json.dumps({"type": "ping"}))
        assert isinstance(socket.connection.recv(timeout=10), bytes)


def test_before_the_first_frame_the_server_speaks_messagepack(site: Server) -> None:
    """WS-12: a refusal too."""
    with Socket(site, None, binary=True) as socket:
        (error,), code = socket.end()
    assert (error["code"], code) == ("invalid_credentials", 4401)


def test_ping_and_stop_while_a_turn_streams(site: Server) -> None:
    """WS-26, WS-42, WS-76."""
    with Socket(site) as socket:
        socket.say("Go.", {"endless": True, "delay_ms": 25})
        socket.until(is_type("chunk"))
        socket.send(type="ping", ts=1.5)
        assert socket.until(is_type("pong"))[-1]["client_ts"] == 1.5
        socket.until(is_type("chunk"))
        socket.send(type="stop")
        told = socket.until(is_type("generation_stopped"))
        end = socket.turn()
    assert kinds(end) == ["chunk done", "message", "session finished"]
    assert (end[-2]["status"], end[-1]["status"], end[-1]["error_code"]) == ("incomplete", "cancelled", "cancelled")
    assert end[-2]["content"] == text(socket.heard) != ""
    assert kinds(told)[-1] == "generation_stopped"


def test_nothing_to_stop(site: Server) -> None:
    """WS-27: finished, unknown, and others' turns alike."""
    with Socket(site) as socket, Socket(site, "stranger") as stranger:
        socket.say("Go.", SLOW, thread_id=f"mine-{uuid4()}")
        accepted = socket.hear()
        for asked in ({}, {"execution_id": accepted["execution_id"]}, {"thread_id": accepted["thread_id"]}, {"job_id": "nonsense"}):
            stranger.send(type="stop", **asked)
            told = stranger.hear()
            assert (told["type"], told["execution_id"]) == ("generation_stopped", None)
        socket.send(type="stop", execution_id=accepted["execution_id"])
        assert socket.turn()[-1]["status"] == "cancelled"
        socket.send(type="stop", execution_id=accepted["execution_id"])
        assert socket.hear()["execution_id"] is None


def test_a_thread_is_one_conversation_unless_told_otherwise(site: Server) -> None:
    """WS-28."""
    with Socket(site) as socket:
        threads = []
        for more in ({}, {}, {"thread_id": None}, {"agent": "clockwork"}, {}):
            socket.say("Hello.", **more)
            told = socket.turn()
            threads.append((told[0]["thread_id"], told[0]["created"]))
    first, again, fresh, elsewhere, back = threads
    assert (first[1], again[1], fresh[1], elsewhere[1], back[1]) == (True, False, True, True, False)
    assert first[0] == again[0] != fresh[0] == back[0]


def test_a_name_for_a_thread_is_each_owners_own(site: Server) -> None:
    """WS-29: and the run wire means the same conversation by it."""
    name = f"shared-name-{uuid4()}"
    with Socket(site) as mine, Socket(site, "stranger") as theirs, http(site) as client:
        ids = []
        for socket in (mine, theirs):
            socket.say("Hello.", thread_id=name)
            told = socket.turn()
            assert told[0]["thread_id"] == name
            ids.append(told[0]["session_id"])
        answer = client.post("/chat/run", json={"message": "And again?", "conversation_id": name})
    assert ids[0] != ids[1]
    assert answer.headers["x-session-id"] == ids[0]


def test_a_thread_keeps_its_agent(site: Server) -> None:
    """WS-30: `model` counts when it names an agent, and only then."""
    name = f"kept-{uuid4()}"
    with Socket(site) as socket:
        socket.say("Hello.", thread_id=name)
        socket.turn()
        for more in ({"agent": "clockwork"}, {"agent": None, "model": "clockwork"}):
            socket.say("And now?", thread_id=name, **more)
            error = socket.error()
            assert (error["code"], error["error_type"], error["thread_id"], error["fatal"]) == (
                "conversation_agent_mismatch",
                "request",
                name,
                False,
            )
        socket.say("And now?", thread_id=name, agent=None, model="gpt-3.5-turbo")
        assert socket.turn()[-1]["status"] == "success"


def test_an_agent_that_another_process_has_just_published_answers(sockets_server: Server, tmp_path: Path) -> None:
    """An open socket need not connect again, nor wait for the next look at the catalog (OAI-10)."""
    with Socket(sockets_server) as socket:
        socket.say("Hello.", agent="newcomer")
        assert socket.error()["code"] == "agent_not_found"
        file = tmp_path / "agents.yaml"
        file.write_text("agents:\n  - {name: newcomer, provider: fake, model: fake}\n")
        sockets_server.manage("agents", "apply", str(file))
        socket.say("Hello.", agent="newcomer")
        assert socket.turn()[-1]["status"] == "success"


def test_the_same_id_starts_nothing_twice(site: Server) -> None:
    """WS-25: replayed and followed, running or ended; other content is refused."""
    message = {"id": f"c-{uuid4()}", "thread_id": None}
    with Socket(site) as socket, Socket(site) as after_a_break:
        socket.say("Go.", {"chunks": 30, "delay_ms": 30, "text": "tok "}, **message)
        first = socket.hear()
        after_a_break.say("Go.", {"chunks": 30, "delay_ms": 30, "text": "tok "}, **message)
        followed = after_a_break.turn()
        told = socket.turn()
        socket.say("Go.", {"chunks": 30, "delay_ms": 30, "text": "tok "}, id=message["id"])
        replayed = socket.turn()
        socket.say("Something else.", id=message["id"])
        assert socket.error()["code"] == "idempotency_key_reused"
    for again in (followed, replayed):
        assert (again[0]["event"], again[0]["replayed"], again[0]["execution_id"]) == ("accepted", True, first["execution_id"])
        assert text(again) == text(told) == "tok " * 30
        assert numbers(again) == numbers(told)


def test_a_second_message_waits_its_turn(site: Server) -> None:
    """WS-24, queue: `accepted` says so, `started` when it is time."""
    name = f"queue-{uuid4()}"
    with Socket(site) as socket:
        socket.say("One.", {"chunks": 20, "delay_ms": 20, "text": "one "}, thread_id=name)
        socket.say("Two.", {"text": "two"}, thread_id=name)
        told = socket.turn() + socket.turn()
    accepted = [frame for frame in told if frame.get("event") == "accepted"]
    assert [(frame["status"], frame["queue_position"]) for frame in accepted] == [("running", 0), ("queued", 1)]
    second = [frame for frame in told if frame["execution_id"] == accepted[1]["execution_id"]]
    assert kinds(second) == ["session accepted", "session started", "chunk", "chunk done", "message", "session finished"]
    ends = [at for at, frame in enumerate(told) if finished(frame)]
    assert told.index(next(frame for frame in second if frame.get("event") == "started")) > ends[0]


def test_so_many_messages_wait_in_a_thread_and_one_stop_ends_them_all(site: Server) -> None:
    """R8.4, WS-26: what is over the limit is refused; each turn that was stopped is told once, and none of them begins."""
    name = f"full-{uuid4()}"
    with Socket(site) as socket:
        for number in range(MAX_WAITING_TURNS + 2):
            socket.say(f"Number {number}.", {"hang": True}, thread_id=name)
        told = [socket.hear() for _ in range(MAX_WAITING_TURNS + 2)]
        accepted = [frame["execution_id"] for frame in told if frame.get("event") == "accepted"]
        assert [frame["code"] for frame in told if frame["type"] == "error"] == ["session_queue_full"]
        assert len(accepted) == MAX_WAITING_TURNS + 1
        socket.send(type="stop")
        ends = [socket.turn()[-1] for _ in accepted]
        assert {frame["execution_id"] for frame in ends} == set(accepted)
        assert {frame["status"] for frame in ends} == {"cancelled"}
        stops = [frame["execution_id"] for frame in socket.heard if frame["type"] == "generation_stopped"]
        assert sorted(stops) == sorted(accepted)
        socket.say("Hello.", thread_id=name)
        assert kinds(socket.turn()) == PLAIN


def test_an_agent_that_rests_says_so(site: Server) -> None:
    """§11."""
    with Socket(site) as socket:
        socket.say("Hello.", agent="resting")
        assert socket.error()["code"] == "agent_not_running"


@pytest.mark.parametrize(("agent", "outcome"), [("rejecting", "session_busy"), ("interrupting", "cancelled")])
def test_other_policies_for_a_second_message(site: Server, agent: str, outcome: str) -> None:
    """WS-24, R8.1."""
    name = f"{agent}-{uuid4()}"
    with Socket(site) as socket:
        socket.say("One.", SLOW, agent=agent, thread_id=name)
        socket.until(is_type("chunk"))
        socket.say("Two.", {"text": "two"}, agent=agent, thread_id=name)
        if agent == "rejecting":
            error = socket.until(is_type("error"))[-1]
            assert (error["code"], error["execution_id"]) == (outcome, None)
            assert error["retry_after"] >= 1
            socket.send(type="stop")
            socket.turn()
        else:
            assert socket.turn()[-1]["error_code"] == outcome
            assert text(socket.turn()) == "two"


def test_four_threads_side_by_side_and_no_more(site: Server) -> None:
    """WS-24."""
    with Socket(site) as socket:
        for _ in range(4):
            socket.say("Go.", SLOW, thread_id=None)
        socket.say("One more.", thread_id=None)
        error = socket.until(is_type("error"))[-1]
        assert error["code"] == "too_many_turns"
        for _ in range(4):
            socket.send(type="stop")
            socket.turn()
        socket.say("Now?", thread_id=None)
        assert socket.turn()[-1]["status"] == "success"


def test_a_turn_that_fails_has_its_normal_end(site: Server) -> None:
    """WS-41, WS-45."""
    with Socket(site) as socket:
        socket.say("Go.", {"status": 500, "error": {"error": {"message": "secret text"}}})
        told = socket.turn()
    assert kinds(told) == ["session accepted", "error", "chunk done", "session finished"]
    assert (told[1]["code"], told[1]["error_type"]) == ("provider_unavailable", "agent")
    assert told[1]["execution_id"] == told[0]["execution_id"]
    assert "secret" not in json.dumps(told)
    assert (told[-1]["status"], told[-1]["error_code"]) == ("failed", told[1]["code"])


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        ({"content": ""}, "invalid_message"),
        ({}, "invalid_message"),
        ({"content": []}, "invalid_message"),
        ({"content": [{"type": "text", "text": "  "}]}, "invalid_message"),
        ({"content": 5}, "invalid_message"),
        ({"content": "x", "role": "assistant"}, "invalid_message"),
        ({"content": "x", "thread_id": "y" * 129}, "invalid_message"),
        ({"content": "x", "tools": ["a"] * 65}, "invalid_message"),
        ({"content": "x", "agent": "nobody"}, "agent_not_found"),
        ({"content": "x", "agent": "private"}, None),
        ({"content": "x", "graph": {}}, "unsupported"),
        ({"content": "x", "workflow_id": "wf"}, "workflow_not_found"),
        ({"content": "x", "collections": ["folder"]}, "knowledge_not_found"),
        ({"content": "x", "agent": "root", "attachments": [NOBODYS]}, "attachment_not_found"),
        (
            {"content": [{"type": "image_url", "image_url": {"url": "https://example.com/x.png"}}], "agent": "root"},
            "remote_file_not_allowed",
        ),
        ({"content": [{"type": "image_url", "image_url": {"url": "http://127.0.0.1/x.png"}}], "agent": "root"}, "remote_file_not_allowed"),
        ({"content": [{"type": "image_url", "image": {"uri": "data:image/png;base64,!!!"}}], "agent": "root"}, "invalid_message"),
        ({"content": [{"type": "image_url", "image": {}}], "agent": "root"}, "invalid_message"),
        ({"type": "hello"}, "unknown_type"),
        ({"type": 5}, "unknown_type"),
        ({"command": "fly"}, "unknown_command"),
        ({"command": "stream_input", "data": {}}, "unsupported"),
        ({"command": "chat_message", "data": {"content": "x"}}, "invalid_message"),
        ({"command": "chat_message", "data": 5}, "invalid_message"),
        ({"command": "run_job", "data": {}}, "invalid_message"),
        ({"type": "client_tools_manifest", "tools": [{"name": "not a name"}]}, "invalid_manifest"),
        ({"type": "client_tools_manifest", "tools": [{"name": "a"}, {"name": "a"}]}, "invalid_manifest"),
        ({"type": "client_tools_manifest", "tools": [{"name": f"t{n}"} for n in range(65)]}, "invalid_manifest"),
        ({"type": "approval_response", "approval_id": NOBODYS, "approved": True}, "approval_not_found"),
        ({"type": "approval_response", "approval_id": "nonsense", "approved": True}, "approval_not_found"),
        ({"type": "resume", "thread_id": "nothing-of-this-name"}, "session_not_found"),
        ({"type": "resume", "thread_id": "x", "execution_id": NOBODYS}, "session_not_found"),
        ({"type": "attach", "thread_id": NOBODYS}, "session_not_found"),
        ({"type": "attach", "thread_id": "x", "history": 101}, "invalid_message"),
    ],
    ids=lambda value: json.dumps(value)[:60],
)
def test_what_is_refused_ends_nothing(sockets_server: Server, frame: dict[str, object], code: str | None) -> None:
    """WS-15, WS-41, WS-70: the guest has no agent of its own; `private` is shared with it."""
    with Socket(sockets_server, "guest") as socket:
        socket.send(frame)
        if code is None:
            assert socket.turn()[-1]["status"] == "success"
        else:
            error = socket.error()
            assert (error["code"], error["execution_id"], error["fatal"]) == (code, None, False)
        socket.send(type="ping")
        assert socket.hear()["type"] == "pong"


def test_unknown_and_forbidden_are_told_alike(sockets_server: Server) -> None:
    """WS-70."""
    with Socket(sockets_server, "stranger") as socket:
        told = []
        for name in ("private", "no-such-agent"):
            socket.send(content="x", agent=name)
            told.append({**socket.error(), "ts": 0, "request_id": ""})
    assert told[0] == told[1]


def test_an_envelope_is_acknowledged_and_then_obeyed(site: Server) -> None:
    """WS-32, WS-33."""
    name = f"envelope-{uuid4()}"
    with Socket(site) as socket:
        socket.send(
            command="chat_message", request_id="r-1", data={"thread_id": name, "role": "user", "content": "Hello.", "agent": "root"}
        )
        ack = socket.hear()
        told = socket.turn()
        assert ack == {"type": "ack", "command": "chat_message", "message": "Chat message accepted", "thread_id": name, "request_id": "r-1"}
        assert kinds(told) == PLAIN
        socket.send(command="ping", data={"ts": 3})
        assert kinds([socket.hear(), socket.hear()]) == ["ack", "pong"]
        socket.say("Slowly.", SLOW, thread_id=name)
        execution_id = socket.until(is_event("accepted"))[-1]["execution_id"]
        socket.send(command="get_status")
        jobs = socket.until(is_type("status"))[-1]["jobs"]
        assert (jobs[0]["job_id"], jobs[0]["thread_id"], jobs[0]["status"]) == (execution_id, name, "running")
        socket.send(command="cancel_job", data={"job_id": execution_id})
        assert socket.turn()[-1]["status"] == "cancelled"
        socket.send(command="reconnect_job", data={"job_id": execution_id})
        assert kinds(socket.turn())[:2] == ["ack", "session attached"]


def test_files_come_with_a_message(site: Server) -> None:
    """§5.1: bytes in MessagePack, base64 in JSON, uploads by id; a model that sees gets images as such."""
    from tests.support.files import png

    with http(site) as client:
        upload = client.post("/attachment/v1/upload", files={"file": ("notes.txt", b"The code is 4711.", "text/plain")}).json()
    part = {"type": "image_url", "image": {"type": "image", "data": png()}}
    with Socket(site, binary=True) as socket:
        socket.send(content=[{"type": "text", "text": "What is this?"}, part], agent="seeing", attachments=[upload["attachmentId"]])
        told = socket.turn()
        assert told[-1]["status"] == "success"
        socket.send(type="attach", thread_id=told[0]["thread_id"], history=2)
        socket.until(is_event("attached"))
        content = socket.hear()["content"]
    assert [item["type"] for item in content] == ["text", "image_url", "document"]
    assert content[1]["image"]["uri"].startswith("/attachment/")
    assert content[2]["document"]["asset_id"] == upload["attachmentId"]


def test_tools_can_be_limited_for_one_message(site: Server) -> None:
    """§5.1 `tools`: never more than the agent has."""
    call = {"tools": [{"name": "clock"}], "text": "Done."}
    with Socket(site) as socket:
        for tools, ok in ((None, True), (["clock", "other"], True), ([], False)):
            socket.say("What time is it?", call, agent="clockwork", thread_id=None, tools=tools)
            told = socket.turn()
            assert kinds(told) == ["session accepted", "tool_call", "tool_result", "chunk", "chunk done", "message", "session finished"]
            result = next(frame for frame in told if frame["type"] == "tool_result")
            assert result["ok"] is ok


def test_reasoning_for_who_asks(site: Server) -> None:
    """WS-35: the agent shows it, and the connection asked."""
    for query, heard in ({"reasoning": "true"}, "Hm."), ({}, ""):
        with Socket(site, **query) as socket:
            socket.say("Think.", {"reasoning": "Hm.", "text": "Yes."}, agent="thinking")
            told = socket.turn()
        assert "".join(frame["content"] for frame in told if frame["type"] == "chunk" and frame["thinking"]) == heard
        assert text(told) == "Yes."
