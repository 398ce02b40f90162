"""Sockets over two web processes on Redis and PostgreSQL, one of them killed in the middle (WS-21, WS-50, WS-60, WS-78; issue 4)."""

from contextlib import ExitStack
from uuid import uuid4

import pytest
from websockets.exceptions import ConnectionClosed

from tests.faults.turns import execution
from tests.support.server import Server
from tests.wire.sockets.client import Frame, Socket, finished, is_event, is_type, kinds, numbers, text
from tests.wire.sockets.test_connecting import ticket
from tests.wire.sockets.test_tools import CALL, call_of, offering

pytestmark = [pytest.mark.live, pytest.mark.postgres, pytest.mark.redis]
Pair = tuple[Server, Server]
SLOW = {"chunks": 60, "delay_ms": 40, "text": "tok "}
RECOVERED_S = 90
"""By when the runs of a process that died on another machine have ended: its lease lapses, then somebody looks."""
ENDLESS = {"endless": True, "delay_ms": 30, "text": "tok "}


def attached(socket: Socket, thread_id: str, **fields: object) -> Frame:
    socket.send(type="attach", thread_id=thread_id, **fields)
    return socket.until(is_event("attached"))[-1]


def thread(server: Server) -> str:
    name = f"pair-{uuid4()}"
    with Socket(server) as socket:
        socket.say("Hello.", thread_id=name)
        socket.turn()
    return name


def test_devices_on_two_processes_see_the_same(redis_pg_servers: Pair) -> None:
    """WS-63: messages, text, stop, whoever is connected where."""
    first, second = redis_pg_servers
    name = thread(first)
    with Socket(first) as phone, Socket(second) as desk:
        for socket in (phone, desk):
            attached(socket, name)
        for here, there in ((phone, desk), (desk, phone)):
            here.say("Go.", SLOW, thread_id=name)
            mine, theirs = here.turn(), there.turn()
            assert (theirs[0]["role"], theirs[0]["id"]) == ("user", mine[0]["message_id"])
            assert text(mine) == text(theirs) == "tok " * 60
            assert set(numbers(theirs)) <= set(numbers(mine)), "text from elsewhere may come gathered"
            assert (kinds(theirs)[1:], numbers(theirs)[-1]) == (kinds(mine)[1:], numbers(mine)[-1])
        phone.say("On and on.", ENDLESS, thread_id=name)
        execution_id = phone.until(is_event("accepted"))[-1]["execution_id"]
        desk.until(is_type("chunk"))
        desk.send(type="stop", thread_id=name)
        for socket in (phone, desk):
            told = socket.turn()
            assert sum(frame["type"] == "generation_stopped" for frame in told) == 1
            assert (told[-1]["execution_id"], told[-1]["status"]) == (execution_id, "cancelled")


def test_a_turn_is_resumed_on_the_other_process(redis_pg_servers: Pair) -> None:
    """WS-60, WS-78: every frame above the cursor, then live, no loss and no duplicate at the seam."""
    first, second = redis_pg_servers
    name = thread(first)
    with Socket(first) as socket:
        socket.say("Go.", SLOW, thread_id=name)
        seen = socket.until(lambda frame: numbers([frame]) > [15])
    with Socket(second) as socket:
        socket.send(type="resume", thread_id=name, execution_id=seen[0]["execution_id"], after=numbers(seen)[-1])
        answer, *rest = socket.turn()
    assert (answer["event"], answer["status"]) == ("attached", "running")
    assert text(seen) + text(rest) == "tok " * 60
    assert numbers(seen) + numbers(rest) == sorted({*numbers(seen), *numbers(rest)})


def test_a_ticket_of_one_process_opens_a_socket_of_the_other_once(redis_pg_servers: Pair) -> None:
    """WS-5, R12.4."""
    first, second = redis_pg_servers
    issued = ticket(first)
    with Socket(second, None, ticket=issued) as socket:
        socket.send(type="ping")
        assert socket.hear()["type"] == "pong"
    with Socket(first, None, ticket=issued) as socket:
        assert socket.end()[1] == 4401


def test_a_pause_is_decided_on_the_other_process(redis_pg_servers: Pair) -> None:
    """WS-52: the run may go on in the other process; both devices see the rest."""
    first, second = redis_pg_servers
    name = f"pause-{uuid4()}"
    script = {"tools": [{"name": "clock"}], "text": "Now you know."}
    with Socket(first) as phone, Socket(second) as desk:
        phone.say("What time is it?", script, agent="careful", thread_id=name)
        told = phone.until(lambda frame: frame["type"] == "chunk" and frame["done"])
        attached(desk, name)
        again = desk.until(lambda frame: frame["type"] == "chunk" and frame["done"])
        assert again == told[1:]
        request = next(frame for frame in again if frame["type"] == "approval_request")
        desk.send(type="approval_response", approval_id=request["approval_id"], approved=True)
        for socket in (phone, desk):
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
            assert rest[-1]["status"] == "success"


def test_a_client_tool_is_taken_over_on_the_other_process(redis_pg_servers: Pair) -> None:
    """WS-50."""
    first, second = redis_pg_servers
    name = f"takeover-{uuid4()}"
    with Socket(first) as page:
        offering(page)
        page.say("Open my orders.", CALL, thread_id=name)
        call = call_of(page.until(is_type("tool_call")))
    with Socket(second) as page:
        offering(page)
        attached(page, name)
        page.until(lambda frame: frame["type"] == "tool_call" and frame["client"])
        page.send(type="tool_result", tool_call_id=call["id"], ok=True, result="Opened after all.")
        told = page.turn()
    assert (told[0]["result"], told[-1]["status"]) == ("Opened after all.", "success")


def test_sockets_are_counted_over_processes(redis_pg_servers: Pair) -> None:
    """§10: and the count of a process goes with it (see chat/protocols/websocket/counting.py)."""
    first, second = redis_pg_servers
    with ExitStack() as stack:
        opened = [stack.enter_context(Socket(server)) for server in (first, second) for _ in range(50)]
        for socket in opened:
            socket.send(type="ping")
            assert socket.hear()["type"] == "pong"
        with Socket(first) as one_more:
            (error,), code = one_more.end()
            assert (error["code"], code) == ("rate_limited", 4429)


def test_fifty_sockets_outlive_the_process_they_were_on(redis_pg_servers: Pair) -> None:
    """Issue 4, acceptance 4: all reconnect to the survivor; its turns complete, those of the dead one end `interrupted` for everybody."""
    dead, alive = redis_pg_servers
    threads = thread(alive), thread(alive)
    with ExitStack() as stack:
        keeper, loser = stack.enter_context(Socket(alive)), stack.enter_context(Socket(dead))
        watchers = [stack.enter_context(Socket(dead)) for _ in range(48)]
        for at, socket in enumerate(watchers):
            attached(socket, threads[at % 2])
        keeper.say("Go.", {**SLOW, "chunks": 250}, thread_id=threads[0])
        loser.say("Go.", ENDLESS, thread_id=threads[1])
        begun = [socket.hear()["execution_id"] for socket in (keeper, loser)]
        for socket in (loser, *watchers):
            socket.until(has_come_far)
        try:
            dead.kill()
            assert all(cut_off(socket) for socket in (loser, *watchers))
            again = [stack.enter_context(Socket(alive)) for _ in watchers]
            for at, socket in enumerate(again):
                last = numbers(watchers[at].heard)[-1]
                socket.send(type="attach", thread_id=threads[at % 2], after=last, execution_id=begun[at % 2])
            told = [socket.until(finished, RECOVERED_S) for socket in (keeper, *again)]
            stored = execution(alive, begun[1])
        finally:
            dead.start()
    kept, *ends = told
    whole = [text(before.heard) + text(after) for before, after in zip(watchers, ends, strict=True)]
    assert {text(kept), *whole[::2]} == {"tok " * 250}
    assert {frames[-1]["status"] for frames in (kept, *ends[::2])} == {"success"}
    assert {(frames[-1]["status"], frames[-1]["error_code"]) for frames in ends[1::2]} == {("failed", "interrupted")}
    assert (stored["status"], stored["error_code"]) == ("failed", "interrupted")
    assert {answer(frames) for frames in ends[1::2]} == {stored["response"]}, "whatever each had seen live, the message is what stands"
    assert stored["response"].startswith("tok tok ")


def has_come_far(frame: Frame) -> bool:
    return bool(numbers([frame]) > [10])


def answer(frames: list[Frame]) -> str:
    """What the final message says."""
    return str([frame for frame in frames if frame["type"] == "message" and frame["role"] == "assistant"][-1]["content"])


def cut_off(socket: Socket) -> bool:
    """Reads what is left; True when the connection ended without a close frame."""
    try:
        while True:
            socket.hear()
    except ConnectionClosed as closed:
        return closed.rcvd is None
