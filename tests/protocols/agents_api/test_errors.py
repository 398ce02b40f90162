"""Errors of the agents wire: objects for the codes whose clients branch on them (AG-1, AG-15, R3.5)."""

import orjson

from agents.errors import SwitchboardError
from chat.claims import queue_full
from chat.protocols.agents_api.errors import envelope, told_here
from chat.views import refuse


def answered(error: SwitchboardError) -> tuple[int, dict[str, object], dict[str, str]]:
    response = refuse(told_here(error, "analyst"), "req_1", envelope)
    return response.status_code, orjson.loads(response.content), dict(response.headers)


def test_a_sentence_is_the_rule() -> None:
    status, body, _ = answered(SwitchboardError("agent_not_found"))
    assert (status, body) == (404, {"detail": "Agent not found", "code": "agent_not_found", "request_id": "req_1"})


def test_an_open_circuit() -> None:
    """503 object, with a header of its own."""
    status, body, headers = answered(SwitchboardError("circuit_open", "Wait.", retry_after_s=45))
    assert (status, body["code"], body["detail"]) == (503, "circuit_open", {
        "error": "circuit_open", "retry_after_seconds": 45, "message": "Wait.",
    })  # fmt: skip
    assert (headers["X-Circuit-Open"], headers["Retry-After"]) == ("true", "45")


def test_a_full_queue() -> None:
    """AG-15: as the contract prints it."""
    status, body, headers = answered(queue_full(20))
    assert (status, headers["Retry-After"]) == (429, "30")
    assert body == {
        "detail": {
            "error": "Agent queue is full", "agent": "analyst", "queue_length": 20, "retry_after": 30,
            "message": "The agent is busy. Try again in 30 seconds.",
        },
        "code": "queue_full",
        "request_id": "req_1",
    }  # fmt: skip


def test_a_request_in_progress() -> None:
    _, body, headers = answered(SwitchboardError("request_in_progress", "Wait.", retry_after_s=1, extra={"execution_id": "e"}))
    assert body["detail"] == {"error": "request_in_progress", "message": "Wait.", "execution_id": "e"}
    assert list(body) == ["detail", "code", "request_id"]
    assert headers["Retry-After"] == "1"


def test_a_replayed_failure_says_so_in_both_headers() -> None:
    """R4.3."""
    _, _, headers = answered(SwitchboardError("run_failed", headers={"Idempotent-Replayed": "true"}))
    assert (headers["Idempotent-Replayed"], headers["X-Idempotent-Replay"]) == ("true", "true")
