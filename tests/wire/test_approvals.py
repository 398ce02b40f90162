"""Approvals on the spine (R15, R8.5), seen through the run and the OpenAI wire."""

import json
from typing import Any
from uuid import uuid4

import httpx2 as httpx
import pytest

from tests.conftest import NewServer
from tests.faults.turns import asking, execution
from tests.support.clients import frames, http, sdk
from tests.support.server import Server
from tests.support.waiting import until

pytestmark = pytest.mark.live
CALL = {"tools": [{"name": "clock", "arguments": {"timezone": "Europe/Oslo"}}], "text": "It is late."}


def paused(client: httpx.Client, name: str, agent: str = "careful") -> dict[str, Any]:
    answer = client.post("/chat/run", json={"message": asking(CALL), "conversation_id": name, "agent": agent})
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-execution-status"] == "paused"
    found: dict[str, Any] = answer.json()
    return found


def decide(client: httpx.Client, told: dict[str, Any], **body: Any) -> httpx.Response:
    call_id = told["approvals"][0]["tool_call_id"]
    return client.post(f"/api/executions/{told['execution_id']}/approvals/{call_id}", json=body)


def ended(server: Server, execution_id: str) -> dict[str, Any]:
    found: dict[str, Any] = until(lambda: (row := execution(server, execution_id))["status"] not in ("running", "paused") and row)
    return found


def test_a_call_that_needs_approval_pauses_and_goes_on_when_approved(server: Server, client: httpx.Client) -> None:
    """R15.1 to R15.3, RUN-16: the same execution goes on, its numbers continue."""
    name = f"pause-{uuid4()}"
    told = paused(client, name)
    assert (told["status"], told["approvals"][0]["name"]) == ("paused", "clock")
    assert execution(server, told["execution_id"])["status"] == "paused"
    decided = decide(client, told, approve=True)
    assert decided.json() == {
        "execution_id": told["execution_id"],
        "tool_call_id": told["approvals"][0]["tool_call_id"],
        "decision": "approved",
        "status": "running",
        "pending": 0,
    }
    row = ended(server, told["execution_id"])
    assert (row["status"], row["response"]) == ("success", "It is late.")
    assert row["tool_calls"][0]["success"] is True
    with client.stream("GET", f"/chat/stream/{name}") as response:
        seen = list(frames(response.iter_lines()))
    finals = [json.loads(frame.data) for frame in seen if frame.data and json.loads(frame.data)["is_final"]]
    assert [final["status"] for final in finals] == ["success"]


def test_the_next_turn_knows_the_approved_call(server: Server, client: httpx.Client, upstream: Any) -> None:
    """R9.3: call and result are in the history that follows."""
    name = f"after-{uuid4()}"
    told = paused(client, name)
    decide(client, told, approve=True)
    ended(server, told["execution_id"])
    assert client.post("/chat/run", json={"message": "Thanks.", "conversation_id": name}).status_code == 200
    roles = [message["role"] for message in upstream.last["body"]["messages"]]
    assert roles == ["user", "assistant", "tool", "assistant", "user"]


def test_a_denied_call_tells_the_model_why(server: Server, client: httpx.Client, upstream: Any) -> None:
    """R15.3: the result is `denied` plus the reason."""
    told = paused(client, f"deny-{uuid4()}")
    assert decide(client, told, approve=False, reason="Not now").json()["decision"] == "denied"
    assert ended(server, told["execution_id"])["status"] == "success"
    assert upstream.last["body"]["messages"][-1]["content"] == "denied: Not now"


def test_the_same_decision_again_is_the_same_answer_and_the_opposite_is_refused(server: Server, client: httpx.Client) -> None:
    """R15.3: compare-and-set."""
    told = paused(client, f"again-{uuid4()}")
    first = decide(client, told, approve=True)
    ended(server, told["execution_id"])
    again, opposite = decide(client, told, approve=True), decide(client, told, approve=False)
    assert (first.status_code, again.status_code) == (200, 200)
    assert again.json()["decision"] == "approved"
    assert (opposite.status_code, opposite.json()["code"]) == (409, "already_decided")
    assert opposite.headers["x-should-retry"] == "false"


def test_replaced_arguments_must_fit_the_tool(server: Server, client: httpx.Client) -> None:
    """R15.2: 422 on mismatch, and the approval stays open."""
    told = paused(client, f"arguments-{uuid4()}")
    wrong = decide(client, told, approve=True, arguments={"timezone": 3})
    assert (wrong.status_code, wrong.json()["code"]) == (422, "validation_error")
    assert decide(client, told, approve=True, arguments={"timezone": "Asia/Tokyo"}).status_code == 200
    row = ended(server, told["execution_id"])
    assert json.loads(row["tool_calls"][0]["output"])["timezone"] == "Asia/Tokyo"


def test_who_may_decide(server: Server, client: httpx.Client) -> None:
    """R15.2, R2.2: the stranger sees nothing, the owner of the run may not decide what a manager must, an administrator may."""
    told = paused(client, f"who-{uuid4()}", "supervised")
    with http(server, "stranger") as stranger, http(server, "admin") as admin:
        assert decide(stranger, told, approve=True).status_code == 404
        refused = decide(client, told, approve=True)
        assert (refused.status_code, refused.json()["code"]) == (403, "not_an_approver")
        assert decide(admin, told, approve=True).status_code == 200
    assert ended(server, told["execution_id"])["status"] == "success"


def test_a_new_message_supersedes_what_waits(server: Server, client: httpx.Client) -> None:
    """R8.5: the pending approvals are denied, the paused run ends cancelled, the new turn runs."""
    name = f"super-{uuid4()}"
    told = paused(client, name)
    answer = client.post("/chat/run", json={"message": "Never mind.", "conversation_id": name})
    assert answer.status_code == 200
    assert execution(server, told["execution_id"])["status"] == "cancelled"
    late = decide(client, told, approve=True)
    assert (late.status_code, late.json()["code"]) == (409, "already_decided")


def test_cancelling_what_waits(server: Server, client: httpx.Client) -> None:
    """R6.5: `cancelled_while_paused`."""
    told = paused(client, f"cancel-{uuid4()}")
    answer = client.post(f"/api/executions/{told['execution_id']}/cancel").json()
    assert (answer["status"], answer["result"]) == ("cancelled", "cancelled_while_paused")


def test_a_paused_run_survives_kill_9_and_goes_on_after_the_restart(new_server: NewServer) -> None:
    """R15: the pause is durable."""
    own = new_server("uvicorn")
    with http(own) as client:
        told = paused(client, f"durable-{uuid4()}")
        own.kill()
        own.start()
        assert decide(client, told, approve=True).status_code == 200
    assert ended(own, told["execution_id"])["response"] == "It is late."
    own.stop()


def test_an_approval_nobody_gives_expires(new_server: NewServer) -> None:
    """R15.4: cancelled with approval_expired."""
    own = new_server("uvicorn", {"APPROVAL_SECONDS": "1"})
    with http(own) as client:
        told = paused(client, f"expire-{uuid4()}")
    row = until(lambda: (row := execution(own, told["execution_id"]))["status"] == "cancelled" and row)
    assert row["error_code"] == "approval_expired"
    own.stop()


def test_the_openai_wire_tells_of_the_pause(server: Server) -> None:
    """OAI-41: stop, the notice, the extra key and header."""
    ask = sdk(server).chat.completions.with_raw_response.create
    raw = ask(model="careful", messages=[{"role": "user", "content": asking(CALL)}])
    answer = raw.parse()
    assert raw.headers["x-execution-status"] == "paused"
    assert answer.choices[0].finish_reason == "stop"
    assert "approval" in (answer.choices[0].message.content or "")
    assert answer.model_extra
    assert answer.model_extra["switchboard"]["status"] == "paused"
