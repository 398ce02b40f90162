"""A server that is killed, and one that is asked to end (R12.5)."""

import json
from uuid import uuid4

import pytest

from tests.conftest import NewServer
from tests.faults.turns import SLOW, asking, content, execution, read_until_stored, streamed
from tests.support.clients import frames, http
from tests.support.waiting import until

pytestmark = pytest.mark.live


@pytest.mark.parametrize("kind", ["uvicorn", "daphne"])
def test_kill_9_leaves_no_run_running_and_keeps_the_text(new_server: NewServer, kind: str) -> None:
    """R12.5, R0.6: failed/interrupted with partial text; the next turn of the conversation works and sees it (R9.1)."""
    server = new_server(kind)
    name = f"killed-{uuid4()}"
    with http(server) as client:
        with streamed(client, name, {"chunks": 400, "delay_ms": 20, "text": "tok "}) as (response, told):
            execution_id = response.headers["x-execution-id"]
            read_until_stored(server, told)
            server.kill()
        server.start()
        ended = until(lambda: (found := execution(server, execution_id))["status"] != "running" and found)
        assert (ended["status"], ended["error_code"]) == ("failed", "interrupted")
        assert ended["response"].startswith("tok tok")
        again = client.post("/chat/run", json={"message": "Are you there?", "conversation_id": name, "agent": "root"})
        assert again.status_code == 200
        with client.stream("GET", f"/chat/stream/{name}?execution_id={execution_id}") as response:
            replayed = list(frames(response.iter_lines()))
    assert content(replayed) == ended["response"]
    assert json.loads(replayed[-1].data)["code"] == "interrupted"
    server.stop()


def test_sigterm_ends_running_streams_in_band(new_server: NewServer) -> None:
    """R12.5: no new runs, then the in-band error and the end mark; nothing is left running after the restart."""
    server = new_server("uvicorn", {"SHUTDOWN_SECONDS": "1"})
    with http(server) as client:
        body = {"model": "root", "stream": True, "messages": [{"role": "user", "content": asking({"endless": True, "delay_ms": 20})}]}
        with client.stream("POST", "/v1/chat/completions", json=body) as response:
            execution_id = response.headers["x-execution-id"]
            told = frames(response.iter_lines())
            next(told)
            assert server.process
            server.process.terminate()
            last = list(told)[-2:]
    assert json.loads(last[0].data)["error"]["code"] == "interrupted"
    assert last[1].data == "[DONE]"
    server.stop()
    server.start()
    assert execution(server, execution_id)["status"] == "failed"
    server.stop()


def test_an_edit_counts_from_the_next_turn_and_a_running_turn_keeps_its_version(new_server: NewServer) -> None:
    """R0.6 and acceptance 7, with the edit made by another process."""
    server = new_server("uvicorn")
    with http(server) as client:
        with streamed(client, f"edit-{uuid4()}", SLOW) as (response, told):
            running = response.headers["x-execution-id"]
            next(told)
            code = "from agents.models import Agent; from agents import versions; a = Agent.objects.get(name='root');"
            server.manage("shell", "-c", code + "a.instructions = 'Speak like a pirate.'; a.save(); versions.publish(a)")
            list(told)
        answer = client.post("/chat/run", json={"message": "Hello", "conversation_id": f"new-{uuid4()}", "agent": "root"})
    before, after = execution(server, running), execution(server, answer.headers["x-execution-id"])
    assert (before["status"], before["agent_version"], after["agent_version"]) == ("success", 1, 2)
    server.stop()


def test_a_revoked_key_is_refused_at_the_next_turn(new_server: NewServer) -> None:
    """R1.2, design §4: revoked by another process, refused before any model call."""
    server = new_server("uvicorn")
    with http(server, "guest") as client:
        assert client.post("/chat/run", json={"message": "Hello", "agent": "root"}).status_code == 200
        code = "from agents.models import ApiKey; from django.utils import timezone; k = ApiKey.objects.get(name='guest');"
        server.manage("shell", "-c", code + "k.revoked_at = timezone.now(); k.save()")
        assert client.post("/chat/run", json={"message": "Hello", "agent": "root"}).status_code == 401
    server.stop()
