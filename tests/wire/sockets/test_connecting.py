"""Who may connect, and how a socket ends, on each ASGI server (websocket.md §1, §2, §10): codes 4400 … 4503 with a frame that says why."""

import json
import signal
import time
from uuid import uuid4

import msgpack
import pytest

from tests.conftest import NewServer
from tests.support.clients import http, token
from tests.support.server import Server
from tests.support.waiting import early_in_the_minute, until
from tests.wire.sockets.client import Socket, is_event, is_type

pytestmark = pytest.mark.live
ELSEWHERE = "https://elsewhere.example"


def refused(server: Server, person: str | None = None, **options: object) -> tuple[str, int]:
    """The code of the error frame and of the close; the error is the only frame, and fatal."""
    with Socket(server, person, **options) as socket:
        (error,), code = socket.end()
    assert (error["type"], error["fatal"], error["error_type"]) == ("error", True, "connection")
    assert error["message"]
    return error["code"], code


def welcome(server: Server, person: str | None = None, **options: object) -> bool:
    with Socket(server, person, **options) as socket:
        socket.send(type="ping")
        return socket.hear()["type"] == "pong"


def ticket(server: Server, person: str = "owner") -> str:
    with http(server, person) as client:
        answer = client.post("/api/ws/ticket")
    assert answer.status_code == 200
    assert answer.json()["expires_in"] == 30
    return str(answer.json()["ticket"])


@pytest.mark.parametrize("path", ["/chat", "/chat/", "/ws", "/ws/"])
def test_one_consumer_has_four_paths(site: Server, path: str) -> None:
    """WS-1."""
    assert welcome(site, "owner", path=path)


@pytest.mark.parametrize("path", ["/", "/chat/run", "/chat/stream", "/ws/voice/x", "/chats", "/v1/chat"])
def test_there_is_no_other(site: Server, path: str) -> None:
    """WS-2."""
    assert refused(site, "owner", path=path) == ("path_not_found", 4404)


@pytest.mark.parametrize("path", ["/chat", "/ws", "/chat/"])
def test_plain_http_is_told_to_upgrade(site: Server, path: str) -> None:
    """WS-2."""
    with http(site) as client:
        for method in ("GET", "POST"):
            answer = client.request(method, path)
            assert (answer.status_code, answer.headers["upgrade"], answer.json()["code"]) == (426, "websocket", "upgrade_required")


def test_every_credential_works_in_its_place(site: Server) -> None:
    """WS-4: header, ticket, `api_key` (also a JWT), `token` (also a key)."""
    key, jwt = site.keys["owner"], token(site)
    assert welcome(site, "owner")
    assert welcome(site, headers={"Authorization": f"bearer {jwt}"})
    assert welcome(site, ticket=ticket(site))
    for name in ("api_key", "token"):
        for value in (key, jwt):
            assert welcome(site, **{name: value})


def test_a_ticket_opens_one_socket(site: Server) -> None:
    """WS-5: deleted by its first use; bound to the principal."""
    issued = ticket(site, "guest")
    with Socket(site, None, ticket=issued) as socket:
        socket.say("Hello.", agent="private")
        assert socket.turn()[-1]["status"] == "success"
        assert refused(site, ticket=issued) == ("invalid_credentials", 4401)


def test_a_bad_first_credential_is_not_rescued(site: Server) -> None:
    """WS-4, WS-6: no anonymous mode."""
    key = site.keys["owner"]
    for options in (
        {},
        {"headers": {"Authorization": "Bearer nonsense"}, "api_key": key},
        {"headers": {"Authorization": "Basic x"}, "api_key": key},
        {"ticket": "nonsense", "api_key": key},
        {"api_key": "sk-" + "x" * 43, "token": key},
        {"headers": {"Cookie": "sessionid=x"}},
    ):
        assert refused(site, **options) == ("invalid_credentials", 4401)


def test_pages_of_other_origins_are_refused(site: Server) -> None:
    """WS-7: before any credential is looked at."""
    for origin in (ELSEWHERE, "null", f"http://127.0.0.1:{site.port + 1}"):
        assert refused(site, "owner", headers={"Origin": origin}) == ("origin_not_allowed", 4403)
        assert refused(site, headers={"Origin": origin}) == ("origin_not_allowed", 4403)
    assert welcome(site, "owner", headers={"Origin": f"http://127.0.0.1:{site.port}"})


def test_a_frame_over_the_limit_is_answered_and_the_end(site: Server) -> None:
    """§10, WS-67: ours is below the transport's own limit."""
    with Socket(site) as socket:
        socket.connection.send("x" * 1_000_000)
        assert socket.hear()["code"] == "invalid_frame"
        socket.connection.send("x" * 1_000_001)
        (error,), code = socket.end()
    assert (error["code"], code) == ("frame_too_large", 4413)


def test_garbage_is_borne_nineteen_times(site: Server) -> None:
    """WS-15, 4400; and an empty binary frame has a text of ours."""
    with Socket(site) as socket:
        for data in [b"", b"\xc1", "", "{", "[]", '{"type": "hm"}', '{"content": 1}', msgpack.packb([1]), *["nonsense"] * 11]:
            socket.connection.send(data)
            error = socket.hear()
            assert (error["type"], error["fatal"]) == ("error", False)
            assert error["message"]
        socket.connection.send("nonsense")
        (error,), code = socket.end()
    assert (error["code"], error["fatal"], code) == ("invalid_frames", True, 4400)


def test_too_many_frames(site: Server) -> None:
    """§10: dropped and told; five times, and the connection ends."""
    with Socket(site) as socket:
        for _ in range(200):
            socket.send(type="ping")
        frames, code = socket.end()
    assert 119 <= sum(frame["type"] == "pong" for frame in frames) <= 130
    errors = [frame for frame in frames if frame["type"] == "error"]
    assert [error["code"] for error in errors] == ["rate_limited"] * 5
    assert [error["fatal"] for error in errors] == [False] * 4 + [True]
    assert code == 4429
    assert all(error["retry_after"] >= 1 for error in errors)


@pytest.fixture(scope="module", params=["uvicorn", "daphne"])
def strict(request: pytest.FixtureRequest, module_server: NewServer) -> Server:
    """Few sockets, short lives, one welcome origin."""
    return module_server(
        request.param, {"WS_MAX_PER_PRINCIPAL": "2", "WS_MAX_PER_ADDRESS": "3", "WS_ALLOWED_ORIGINS": ELSEWHERE, "JWT_ACCESS_LIFETIME": "4"}
    )


def test_so_many_sockets_for_one_principal_and_one_address(strict: Server) -> None:
    """§10; a place that falls free can be taken."""
    with Socket(strict) as first, Socket(strict) as second:
        for socket in (first, second):
            socket.send(type="ping")
            socket.hear()
        assert refused(strict, "owner") == ("rate_limited", 4429)
        with Socket(strict, "guest") as third:
            third.send(type="ping")
            third.hear()
            assert refused(strict, "stranger") == ("rate_limited", 4429)
    assert until(lambda: admitted(strict, "owner"))


def admitted(server: Server, person: str) -> bool:
    with Socket(server, person) as socket:
        socket.send(type="ping")
        return socket.hear()["type"] == "pong"


def test_an_operator_may_welcome_other_origins(strict: Server) -> None:
    """WS-7."""
    assert welcome(strict, "owner", headers={"Origin": ELSEWHERE})


def test_a_token_that_expires_ends_the_connection_unless_it_is_renewed(strict: Server) -> None:
    """WS-10: checked before every turn; `auth` with the same principal's token renews it, another's ends it."""
    with Socket(strict, None, token=token(strict)) as socket:
        socket.send(type="auth", token=token(strict))
        assert is_event("auth")(socket.hear())
        time.sleep(4.1)
        socket.say("Hello.")
        (error,), code = socket.end()
        assert (error["code"], code) == ("invalid_credentials", 4401)
    with Socket(strict) as socket:
        socket.send(type="auth", token=token(strict, "guest"))
        assert socket.end()[1] == 4401


def test_after_many_failures_an_address_waits(sockets_server: Server) -> None:
    """R1.8: 4429 before any credential is checked."""
    early_in_the_minute()
    assert [refused(sockets_server, source="127.0.0.2")[1] for _ in range(21)] == [4401] * 20 + [4429]
    assert refused(sockets_server, "owner", source="127.0.0.2")[1] == 4429


def test_a_key_that_may_do_nothing_here_is_refused(sockets_server: Server) -> None:
    """WS-6: `run` to send and stop, `read` to attach and resume; without both there is nothing to do."""
    for scopes, code in (("manage", 4403), ("read", None), ("run", None)):
        key = sockets_server.keys[f"owner:{scopes}"]
        if code:
            assert refused(sockets_server, api_key=key) == ("insufficient_scope", code)
            continue
        with Socket(sockets_server, None, api_key=key) as socket:
            socket.say("Hello.")
            assert socket.hear()["type"] == ("error" if scopes == "read" else "session")
            socket.send(type="attach", thread_id="nothing")
            assert socket.until(is_type("error"))[-1]["code"] == ("session_not_found" if scopes == "read" else "insufficient_scope")


@pytest.mark.parametrize("kind", ["uvicorn", "daphne"])
def test_a_server_that_ends_says_so(new_server: NewServer, kind: str) -> None:
    """WS-66: idle connections at once; those with a turn after its last frame; new messages are refused."""
    server = new_server(kind, {"SHUTDOWN_SECONDS": "1"})
    with Socket(server) as idle, Socket(server) as busy:
        busy.say("Go.", {"endless": True, "delay_ms": 30, "text": "tok "}, thread_id=f"end-{uuid4()}")
        busy.until(is_type("chunk"))
        assert server.process
        server.process.send_signal(signal.SIGTERM)
        (error,), code = idle.end()
        assert (error["code"], error["retry_after"], code) == ("shutting_down", 5, 4503)
        frames, code = busy.end()
    assert code == 4503
    ends = [frame for frame in frames if frame["type"] == "session"]
    assert (ends[-1]["event"], ends[-1]["error_code"]) == ("finished", "interrupted")
    assert frames[-1]["code"] == "shutting_down"


def test_no_address_of_a_socket_is_logged_with_its_query(sockets_server: Server) -> None:
    """R1.7."""
    key = sockets_server.keys["owner"]
    assert welcome(sockets_server, api_key=key)
    lines = until(lambda: [line for line in sockets_server.log.splitlines() if "WEBSOCKET" in line])
    assert json.loads(lines[-1])["path"] == "/chat"
    assert key not in sockets_server.log
    assert "api_key" not in sockets_server.log
