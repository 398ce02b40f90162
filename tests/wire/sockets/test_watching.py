"""Watching a thread from several devices and wires (websocket.md §8): attach, resume, detach, and who may not."""

import time
from contextlib import ExitStack
from uuid import uuid4

import pytest

from tests.support.clients import http, sdk, token
from tests.support.server import Server
from tests.wire.sockets.client import Frame, Socket, finished, is_event, is_type, kinds, numbers, text, two

pytestmark = pytest.mark.live
SLOW = {"chunks": 60, "delay_ms": 25, "text": "tok "}
ENDLESS = {"endless": True, "delay_ms": 25, "text": "tok "}


def attached(socket: Socket, thread_id: str, **fields: object) -> Frame:
    socket.send(type="attach", thread_id=thread_id, **fields)
    return socket.until(is_event("attached"))[-1]


def new_thread(server: Server, prefix: str) -> str:
    """A thread that has had one turn."""
    name = f"{prefix}-{uuid4()}"
    with Socket(server) as socket:
        socket.say("Hello.", thread_id=name)
        socket.turn()
    return name


def test_two_devices_see_the_same(site: Server) -> None:
    """WS-23, WS-63: the sender is not told its own words; the other one is; everything else is the same."""
    name = new_thread(site, "two")
    with two(site) as (phone, desk):
        for socket in (phone, desk):
            attached(socket, name)
        phone.say("Go.", SLOW, thread_id=name)
        mine, theirs = phone.turn(), desk.turn()
    assert (theirs[0]["type"], theirs[0]["role"], theirs[0]["origin"]) == ("message", "user", "websocket")
    assert theirs[0]["content"].startswith("Go.")
    assert theirs[0]["id"] == mine[0]["message_id"]
    assert theirs[1:] == mine[1:]


def test_a_late_joiner_gets_what_was_said_and_the_exact_tail(site: Server) -> None:
    """WS-62: messages, then the open run from its first event, then live; no loss, no duplicate at the seam."""
    name = new_thread(site, "late")
    with two(site) as (first, second):
        first.say("Go.", SLOW, thread_id=name)
        first.until(lambda frame: numbers([frame]) > [20])
        snapshot = attached(second, name, history=10)
        told = second.turn()
        first.turn()
        whole = first.heard
    assert (snapshot["agent"]["name"], snapshot["status"], snapshot["message_count"]) == ("root", "active", 2)
    (open_run,) = snapshot["active"]
    assert (open_run["execution_id"], open_run["status"]) == (whole[0]["execution_id"], "running")
    assert open_run["last_seq"] > 20
    history = [frame for frame in told if frame["type"] == "message" and frame["replay"]]
    assert [(frame["role"], frame["content"].split("\n")[0]) for frame in history] == [
        ("user", "Hello."), ("assistant", "Hello! How can I help?"), ("user", "Go."),
    ]  # fmt: skip
    assert text(told) == text(whole) == "tok " * 60
    assert numbers(told) == numbers(whole)


def test_several_sessions_over_one_socket(site: Server) -> None:
    """WS-20: frames of different runs may interleave, those of one never overtake each other."""
    names = [f"many-{uuid4()}" for _ in range(3)]
    with Socket(site) as socket:
        for name in names:
            socket.say("Go.", {**SLOW, "text": f"{name[-3:]} "}, thread_id=name)
        told: list[Frame] = []
        while sum(map(finished, told)) < 3:
            told.append(socket.hear())
    for name in names:
        mine = [frame for frame in told if frame["thread_id"] == name]
        assert text(mine) == f"{name[-3:]} " * 60
        assert numbers(mine) == sorted(numbers(mine))


def test_a_broken_connection_resumes_where_it_was(site: Server) -> None:
    """WS-18, WS-60: every frame above the cursor, then live."""
    name = new_thread(site, "resume")
    with Socket(site) as socket:
        socket.say("Go.", SLOW, thread_id=name)
        seen = socket.until(lambda frame: numbers([frame]) > [15])
    with Socket(site) as socket:
        socket.send(type="resume", thread_id=name, execution_id=seen[0]["execution_id"], after=numbers(seen)[-1])
        answer, *rest = socket.turn()
    assert (answer["event"], answer["after"], answer["status"]) == ("attached", numbers(seen)[-1], "running")
    assert answer["last_seq"] >= answer["after"]
    assert text(seen) + text(rest) == "tok " * 60
    assert numbers(seen) + numbers(rest) == sorted({*numbers(seen), *numbers(rest)})


def test_a_finished_turn_is_resumed_from_its_log(site: Server) -> None:
    """WS-61: as it was; without `execution_id` the newest one; `last_seq` and `resume_chat` are other names."""
    with Socket(site) as socket:
        socket.say("Go.", {"text": "One two three."}, thread_id=f"over-{uuid4()}")
        told = socket.turn()
        for asked in ({"type": "resume"}, {"type": "resume_chat", "last_seq": 0}):
            socket.send({**asked, "thread_id": told[0]["thread_id"]})
            answer, *again = socket.turn()
            assert (answer["event"], answer["status"], answer["last_seq"]) == ("attached", "success", told[-1]["seq"])
            assert again == told[1:]


def test_a_turn_of_yesterday_is_told_from_its_messages(new_server: object) -> None:
    """WS-61: `replay: true`; with a cursor it begins with a gap that says to start over."""
    server: Server = new_server("uvicorn", {"CHAT_RESUME_SECONDS": "1"})
    with Socket(server) as socket:
        socket.say("Go.", {"text": "One two three."}, thread_id="yesterday")
        told = socket.turn()
        for _ in range(2):  # logs are forgotten when others end
            socket.say("And?", thread_id=None)
            socket.turn()
            time.sleep(1.1)
        for after in (0, 3):
            socket.send(type="resume", thread_id="yesterday", after=after)
            answer, *again = socket.turn()
            assert answer["status"] == "success"
            gaps = [frame for frame in again if frame["type"] == "gap"]
            assert [(gap["from"], gap["to"], gap["restart"]) for gap in gaps] == ([(1, 3, True)] if after else [])
            message = next(frame for frame in again if frame["type"] == "message")
            assert (message["content"], message["replay"], message["id"]) == ("One two three.", True, told[-2]["id"])
            assert text(again) == "One two three."


def test_turns_of_other_wires_show_live(site: Server) -> None:
    """WS-63, acceptance: openai-python with a conversation id, /chat/stream and the agents API, event by event."""
    with Socket(site) as socket, http(site) as client, http(site, authorization=f"Bearer {token(site)}") as person:
        name = new_thread(site, "wires")
        session = attached(socket, name)
        with client.stream("POST", "/chat/stream", json={"message": "Go.", "conversation_id": name, "agent": "root"}) as answer:
            answer.read()
        body = {"message": "And you?", "session_id": session["session_id"]}
        assert person.post("/api/agents/root/chat", json=body).status_code == 200
        for origin in ("run", "agents"):
            told = socket.turn()
            assert (told[0]["role"], told[0]["origin"]) == ("user", origin)
            assert kinds(told) == ["message", "chunk", "chunk done", "message", "session finished"]
            assert text(told) == "Hello! How can I help?"
        conversation = f"sdk-{uuid4()}"
        official = sdk(site)
        official.chat.completions.create(
            model="root", messages=[{"role": "user", "content": "First."}], extra_headers={"X-Conversation-Id": conversation}
        )
        found = person.get("/api/agents/root/chat/sessions", params={"limit": 1}).json()["sessions"][0]
        attached(socket, found["id"])
        history = [{"role": "user", "content": "First."}, {"role": "assistant", "content": "Hello! How can I help?"}]
        official.chat.completions.create(
            model="root",
            messages=[*history, {"role": "user", "content": "Second."}],
            extra_headers={"X-Conversation-Id": conversation},
        )
        told = socket.turn()
    assert (told[0]["content"], told[0]["origin"]) == ("Second.", "openai")
    assert text(told) == "Hello! How can I help?"


def test_a_turn_that_waits_shows_on_the_other_device(site: Server) -> None:
    """WS-24, WS-63: the message at once, `started` when it leaves the queue."""
    name = new_thread(site, "waits")
    with two(site) as (phone, desk):
        attached(desk, name)
        phone.say("One.", {"chunks": 40, "delay_ms": 25, "text": "one "}, thread_id=name)
        phone.say("Two.", {"text": "two"}, thread_id=name)
        told = desk.turn() + desk.turn()
    words = [frame["content"].split("\n")[0] for frame in told if frame["type"] == "message" and frame["role"] == "user"]
    assert words == ["One.", "Two."]
    first_end = next(at for at, frame in enumerate(told) if finished(frame))
    assert is_event("started")(told[first_end + 1])
    assert "Two." in [frame.get("content", "").split("\n")[0] for frame in told[:first_end]]


def test_stop_from_another_device_after_a_reload(site: Server) -> None:
    """WS-27, WS-74: one `generation_stopped` for each who is attached; one who is not attached hears it once as well."""
    name = new_thread(site, "stop")
    with Socket(site) as phone, Socket(site) as desk, Socket(site) as bare:
        attached(desk, name)
        phone.say("Go.", ENDLESS, thread_id=name)
        execution_id = phone.hear()["execution_id"]
        phone.until(is_type("chunk"))
        bare.send(type="stop", thread_id=name)
        assert bare.hear()["execution_id"] == execution_id
        for socket in (phone, desk):
            told = socket.turn()
            assert sum(frame["type"] == "generation_stopped" for frame in told) == 1
            assert told[-1]["status"] == "cancelled"


def test_titles_closing_and_deleting_are_told(site: Server) -> None:
    """WS-43 `updated`, `closed`; a deleted thread is not watched any more, and its name is free."""
    name = new_thread(site, "renamed")
    with Socket(site) as socket, http(site, authorization=f"Bearer {token(site)}") as person:
        session = attached(socket, name)
        path = f"/api/agents/root/chat/sessions/{session['session_id']}"
        person.patch(path, json={"title": "A better title"})
        told = socket.hear()
        assert (told["event"], told["title"], told["thread_id"]) == ("updated", "A better title", name)
        person.post(f"{path}/close")
        assert socket.hear()["event"] == "closed"
        person.delete(path)
        assert socket.hear()["event"] == "detached"
        socket.send(type="attach", thread_id=name)
        assert socket.error()["code"] == "session_not_found"
        socket.say("Hello.", thread_id=name)
        assert socket.turn()[0]["created"]


def test_detached_is_detached(site: Server) -> None:
    name = new_thread(site, "detached")
    with two(site) as (phone, desk):
        attached(desk, name)
        desk.send(type="detach", thread_id=name)
        assert is_event("detached")(desk.hear())
        phone.say("Go.", thread_id=name)
        phone.turn()
        desk.send(type="ping")
        assert desk.hear()["type"] == "pong"


def test_others_do_not_see_a_thread(site: Server) -> None:
    """WS-64, WS-70: foreign and unknown are told alike."""
    with Socket(site) as mine:
        mine.say("Go.", ENDLESS, thread_id=f"secret-{uuid4()}")
        told = mine.until(is_type("chunk"))
        session_id, execution_id = told[0]["session_id"], told[0]["execution_id"]
        with Socket(site, "stranger") as stranger:
            for frame in (
                {"type": "attach", "thread_id": session_id},
                {"type": "attach", "thread_id": str(uuid4())},
                {"type": "resume", "thread_id": session_id},
                {"type": "resume", "thread_id": session_id, "execution_id": execution_id},
                {"type": "resume", "execution_id": execution_id},
                {"type": "resume", "execution_id": str(uuid4())},
            ):
                stranger.send(frame)
                error = stranger.error()
                assert (error["code"], error["message"]) == ("session_not_found", "Session not found")
            stranger.say("Mine now?", thread_id=session_id)
            assert stranger.turn()[0]["session_id"] != session_id
        mine.send(type="stop")
        mine.turn()


def test_a_manager_reads_and_does_not_write(site: Server) -> None:
    """WS-64."""
    with Socket(site, "guest") as theirs, Socket(site) as manager:
        theirs.say("Go.", agent="private", thread_id=f"managed-{uuid4()}")
        told = theirs.turn()
        session_id = told[0]["session_id"]
        attached(manager, session_id, history=2)
        assert [manager.hear()["role"] for _ in range(2)] == ["user", "assistant"]
        for more in ({}, {"agent": "private"}):
            manager.say("I say something.", **{"thread_id": session_id, "agent": None, **more})
            assert manager.error()["code"] == "session_not_found"
        theirs.say("More.", agent="private")
        theirs.turn()
        assert kinds(manager.turn()) == ["message", "chunk", "chunk done", "message", "session finished"]
        manager.send(type="stop", thread_id=session_id)
        assert manager.hear()["execution_id"] is None


def test_a_hundred_watchers_see_the_same(sockets_server: Server) -> None:
    """WS-63: equal order on all; the text may come gathered."""
    name = new_thread(sockets_server, "crowd")
    with ExitStack() as stack, Socket(sockets_server) as sender:
        crowd = [stack.enter_context(Socket(sockets_server)) for _ in range(99)]
        for socket in crowd:
            socket.send(type="attach", thread_id=name)
        for socket in crowd:
            socket.until(is_event("attached"))
        sender.say("Go.", {"chunks": 80, "delay_ms": 10, "text": "tok ", "tools": []}, thread_id=name)
        told = [socket.turn() for socket in (sender, *crowd)]
    assert {text(frames) for frames in told} == {"tok " * 80}
    assert {frames[-1]["seq"] for frames in told} == {told[0][-1]["seq"]}
    assert all(numbers(frames) == sorted(set(numbers(frames))) for frames in told)
    assert len({tuple(numbers(frames)[1:]) for frames in told[1:]}) == 1


def test_a_socket_may_begin_attached(site: Server) -> None:
    """WS-3: `thread_id` and `after` in the address."""
    name = new_thread(site, "begin")
    with Socket(site, thread_id=name) as socket:
        assert is_event("attached")(socket.hear())
    with Socket(site, thread_id="no-such-thread") as socket:
        assert socket.error()["code"] == "session_not_found"


def test_at_most_twenty_threads(sockets_server: Server) -> None:
    """WS-62."""
    with Socket(sockets_server) as socket, http(sockets_server) as client:
        for number in range(21):
            client.post("/chat/run", json={"message": "Hi.", "conversation_id": f"twenty-{number}", "agent": "root"})
            socket.send(type="attach", thread_id=f"twenty-{number}")
            told = socket.hear()
            assert told.get("event") == "attached" if number < 20 else told["code"] == "too_many_threads"
