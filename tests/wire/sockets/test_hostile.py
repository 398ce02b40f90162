"""Clients that mean harm or break: bombs, floods, strangers, two who stop at once, sudden ends, on each ASGI server (R12.3)."""

import socket as sockets
import threading
from contextlib import suppress
from uuid import uuid4

import msgpack
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection

from tests.faults.turns import execution
from tests.support.clients import http
from tests.support.server import Server
from tests.support.waiting import until
from tests.wire.sockets.client import Frame, Socket, is_event, is_type, text, two
from tests.wire.sockets.test_tools import CALL, call_of, offering

pytestmark = pytest.mark.live
ENDLESS = {"endless": True, "delay_ms": 30, "text": "tok "}
BOMBS = {
    "an array of four thousand million": b"\xdd\xff\xff\xff\xff",
    "a map of four thousand million": b"\xdf\xff\xff\xff\xff",
    "text of four thousand million": b"\xdb\xff\xff\xff\xff",
    "a hundred thousand arrays in arrays": b"\x91" * 100_000,
    "a hundred thousand lists in lists": "[" * 100_000,
    "an extension type": msgpack.packb({"type": "ping", "ts": msgpack.ExtType(5, b"x")}),
    "a timestamp": msgpack.packb({"type": "ping", "ts": msgpack.Timestamp(1)}),
    "a key that is no text": msgpack.packb({1: "x", "type": "ping"}),
    "two objects": msgpack.packb({"type": "ping"}) * 2,
    "half a surrogate": '{"type": "ping", "x": "\\ud800"}',
    "the character nobody stores": '{"content": "\\u0000"}',
    "a number that ends nowhere": '{"type": "ping", "ts": ' + "9" * 400_000 + "}",
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_frame_that_is_a_bomb_is_only_a_bad_frame(site: Server, bomb: str) -> None:
    """WS-15, WS-16: told in a sentence, and the connection stays."""
    with Socket(site) as socket:
        socket.connection.send(BOMBS[bomb])
        assert (error := socket.error())["code"] in ("invalid_frame", "invalid_message")
        assert error["fatal"] is False
        assert still_there(socket)


def test_ten_thousand_tiny_frames_end_one_connection_and_hurt_no_other(site: Server) -> None:
    """§10: the others are served meanwhile."""
    with Socket(site) as flood, Socket(site) as other:
        sending = threading.Thread(target=pour, args=(flood.connection, 10_000))
        sending.start()
        for _ in range(20):
            assert still_there(other)
        frames, code = flood.end()
        sending.join()
    assert (frames[-1]["code"], code) in (("rate_limited", 4429), ("invalid_frames", 4400))


def pour(connection: ClientConnection, count: int) -> None:
    with suppress(ConnectionClosed, OSError):
        for _ in range(count):
            connection.send("1")


@pytest.mark.parametrize("size", [1_048_577, 8_000_000])
def test_a_huge_frame_ends_its_connection_alone(site: Server, size: int) -> None:
    """WS-67: beyond the transport's own limit there is not always a close frame; the server goes on."""
    with Socket(site) as socket, Socket(site) as other:
        with suppress(ConnectionClosed, OSError):
            socket.connection.send("x" * size)
        assert gone(socket)
        assert still_there(other)


def test_a_message_that_never_ends_is_bounded(site: Server) -> None:
    """Fragments are counted together."""
    with Socket(site) as socket:
        with suppress(ConnectionClosed, OSError):
            socket.connection.send("x" * 10_000 for _ in range(400))
        assert gone(socket)


def test_closed_sockets_leave_nothing_behind(site: Server) -> None:
    """WS-77: counted until they are gone, said goodbye to or cut; those that asked for something and those that were idle."""
    until(lambda: open_sockets(site) == 0)
    lot = [Socket(site) for _ in range(40)]
    for socket in lot[:20]:
        socket.say("Go.", ENDLESS, thread_id=None)
        socket.send(type="stop")
    until(lambda: open_sockets(site) == 40)
    for number, socket in enumerate(lot):
        if number % 2:
            socket.connection.socket.shutdown(sockets.SHUT_RDWR)
        else:
            socket.connection.close()
    assert until(lambda: open_sockets(site) == 0)


def open_sockets(server: Server) -> int:
    with http(server, "admin") as client:
        lines = client.get("/metrics").text.splitlines()
    return int(float(next(line for line in lines if line.startswith("switchboard_open_sockets ")).split()[1]))


def gone(socket: Socket) -> bool:
    try:
        while True:
            socket.hear()
    except ConnectionClosed:
        return True


def still_there(socket: Socket) -> bool:
    mark = float(len(socket.heard))
    socket.send(type="ping", ts=mark)
    return bool(socket.until(is_type("pong"))[-1]["client_ts"] == mark)


def test_two_stops_at_once_stop_once(site: Server) -> None:
    """WS-26, WS-27: whether or not the provider reacts, each hears of one stop of the turn; who lost the race, of none."""
    name = f"stops-{uuid4()}"
    with two(site) as (phone, desk):
        phone.say("Hello.", thread_id=name)
        phone.turn()
        desk.send(type="attach", thread_id=name)
        desk.hear()
        phone.say("Go.", {"hang": True}, thread_id=name)
        execution_id = phone.hear()["execution_id"]
        desk.until(is_type("message"))
        both = [threading.Thread(target=stop, args=(socket, execution_id)) for socket in (phone, desk) for _ in range(3)]
        for each in both:
            each.start()
        told = [socket.turn() for socket in (phone, desk)]
        for each in both:
            each.join()
        for socket, frames in zip((phone, desk), told, strict=True):
            assert still_there(socket)
            stops = [frame["execution_id"] for frame in socket.heard if frame["type"] == "generation_stopped"]
            assert stops.count(execution_id) == 1
            assert set(stops) <= {execution_id, None}
            assert frames[-1]["status"] == "cancelled"


def stop(socket: Socket, execution_id: str) -> None:
    socket.send(type="stop", execution_id=execution_id)


def test_a_stranger_touches_nothing(site: Server) -> None:
    """WS-49, WS-52, WS-64, WS-70: calls, approvals, runs and threads of others, by their true ids."""
    name = f"touched-{uuid4()}"
    with Socket(site) as page, Socket(site, "stranger") as stranger:
        offering(page)
        page.say("Open my orders.", CALL, thread_id=name)
        told = page.until(is_type("tool_call"))
        session_id, execution_id, call = told[0]["session_id"], told[0]["execution_id"], call_of(told)
        offering(stranger)
        for frame, answer in touches(session_id, execution_id, call["id"]):
            stranger.send(frame)
            if answer is not None:
                heard = stranger.hear()
                assert {key: heard[key] for key in answer} == answer, frame
        assert still_there(stranger)
        page.send(type="tool_result", tool_call_id=call["id"], ok=True, result="mine")
        assert page.turn()[0]["result"] == "mine"
    assert not [frame for frame in stranger.heard if frame.get("execution_id") == execution_id]


def touches(session_id: str, execution_id: str, call_id: str) -> list[tuple[Frame, Frame | None]]:
    nothing, none = {"code": "session_not_found"}, {"type": "generation_stopped", "execution_id": None}
    return [
        ({"type": "tool_result", "tool_call_id": call_id, "ok": True, "result": "not yours"}, None),
        ({"type": "attach", "thread_id": session_id, "history": 100}, nothing),
        ({"type": "resume", "thread_id": session_id, "after": 0}, nothing),
        ({"type": "resume", "execution_id": execution_id}, nothing),
        ({"type": "resume", "execution_id": "../../etc/passwd"}, nothing),
        ({"type": "stop", "execution_id": execution_id}, none),
        ({"type": "stop", "thread_id": session_id}, none),
        ({"type": "stop", "job_id": "' OR 1=1 --"}, none),
        ({"type": "approval_response", "approval_id": execution_id, "approved": True}, {"code": "approval_not_found"}),
    ]


def test_what_others_run_is_not_in_the_status(site: Server) -> None:
    """WS-32, WS-70."""
    with Socket(site) as mine, Socket(site, "stranger") as stranger:
        mine.say("Go.", ENDLESS, thread_id=None)
        execution_id = mine.until(is_type("chunk"))[0]["execution_id"]
        for data in ({}, {"job_id": execution_id}, {"job_id": str(uuid4())}):
            stranger.send(command="get_status", data=data)
            stranger.hear()
            assert stranger.hear() == {"type": "status", "jobs": []}
        stranger.send(command="reconnect_job", data={"job_id": execution_id})
        assert stranger.until(is_type("error"))[-1]["code"] == "session_not_found"
        mine.send(type="stop")
        mine.turn()


def test_who_leaves_in_the_middle_leaves_the_turn_to_go_on(site: Server) -> None:
    """WS-65, R12.3: cut without a goodbye while a tool is called and while text comes; the turn is whole, and can be resumed."""
    name, script = f"cut-{uuid4()}", {"tools": [{"name": "clock"}], "chunks": 30, "delay_ms": 20, "text": "tok "}
    for moment in ("tool_call", "chunk"):
        with Socket(site) as socket:
            socket.say("Go.", script, agent="clockwork", thread_id=name)
            execution_id = socket.until(is_type(moment))[0]["execution_id"]
            socket.connection.socket.shutdown(sockets.SHUT_RDWR)
        found = until(lambda id=execution_id: (seen := execution(site, id))["status"] != "running" and seen)
        assert (found["status"], found["response"]) == ("success", "tok " * 30)
    with Socket(site) as socket:
        socket.send(type="resume", thread_id=name, execution_id=execution_id)
        assert text(socket.turn()) == "tok " * 30


def test_turns_that_nobody_watches_take_no_place_for_ever(site: Server) -> None:
    """WS-24: four at a time; what its connection stopped watching counts while it goes on, and not after."""
    with Socket(site) as socket:
        for number in range(5):
            name = f"unwatched-{number}-{uuid4()}"
            socket.say("Hello.", {"chunks": 3, "delay_ms": 50, "text": "tok "}, thread_id=name)
            execution_id = socket.until(is_event("accepted"))[-1]["execution_id"]
            socket.send(type="detach", thread_id=name)
            socket.until(is_event("detached"))
            assert until(lambda id=execution_id: execution(site, id)["status"] == "success")
