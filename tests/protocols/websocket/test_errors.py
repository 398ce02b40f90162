"""What is refused, as frames and as closes (websocket.md §2.1, §6.5, §11)."""

import pytest

from agents.errors import CODES, SwitchboardError
from chat.protocols.websocket.errors import CLOSES, SENTENCES, frame_of, refusal

KEYS = {
    "type", "code", "message", "error", "error_type", "retry_after", "fatal", "thread_id", "execution_id", "request_id", "ts",
}  # fmt: skip


def test_closes_are_those_that_reach_the_client() -> None:
    """WS-9: 1000 or 4400 to 4599."""
    assert all(4400 <= code <= 4599 for code in CLOSES.values())


@pytest.mark.parametrize("code", [*SENTENCES, *CODES])
def test_an_error_says_the_same_twice_and_nothing_of_ours(code: str) -> None:
    """WS-40: every key is there, the text is one of ours, and what happened inside stays inside."""
    error = SwitchboardError(code, detail="/srv/secret sk-123") if code in CODES else refusal(code)
    body = frame_of(error).body
    assert body.keys() == KEYS
    assert body["message"] == body["error"] != ""
    assert "sk-123" not in str(body)
    assert (body["error_type"], body["fatal"], body["execution_id"]) == ("request", False, None)
