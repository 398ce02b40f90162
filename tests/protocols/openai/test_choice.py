"""Which agent answers, and what errors look like (sections 3 and 11 of the contract)."""

from typing import Any

import pytest
from pytest_django import Settings

from agents.access import Principal
from agents.errors import CODES, SwitchboardError
from agents.specs import AgentSpec
from chat.claims import queue_full, rate_limited
from chat.errors import TurnError
from chat.gates import RateState
from chat.protocols.openai.choice import choose, named, shown, usable
from chat.protocols.openai.errors import envelope
from tests.protocols.openai.agents import agent

OWNER = Principal(kind="user", key="user:1", namespace="user:1", user_id=1)
STRANGER = Principal(kind="user", key="user:2", namespace="user:2", user_id=2)
AGENTS: dict[str, AgentSpec] = {
    "mine": agent(name="mine", owner_id=1),
    "other": agent(name="other", owner_id=1, display_name="The other", description="It is.", created_at_s=1767225600),
    "theirs": agent(name="theirs", owner_id=2),
}


@pytest.fixture(autouse=True)
def plain(settings: Settings) -> None:
    settings.CHAT_AGENT = settings.CHAT_DEFAULT_AGENT = ""
    settings.CHAT_UNKNOWN_MODEL = "strict"


def refusal(principal: Principal, model: str) -> dict[str, Any]:
    with pytest.raises(SwitchboardError) as caught:
        choose(principal, AGENTS, model)
    error: dict[str, Any] = envelope(caught.value, "req_1")["error"]
    return {"status": caught.value.status, **error}


def test_the_model_is_the_agent_s_name() -> None:
    assert choose(OWNER, AGENTS, "mine").name == "mine"


@pytest.mark.parametrize("model", ["gpt-4", "Mine", "theirs", "mine ", "\N{GRINNING FACE}"])
def test_unknown_and_forbidden_are_the_same(model: str) -> None:
    """OAI-11, R2.1: with case, and nothing is trimmed."""
    assert refusal(OWNER, model) == {
        "status": 404,
        "message": f"The model `{model}` does not exist or you do not have access to it.",
        "type": "invalid_request_error",
        "param": "model",
        "code": "model_not_found",
    }


def test_without_a_model_strict_asks_for_one(settings: Settings) -> None:
    """OAI-13."""
    missing = refusal(OWNER, "")
    assert (missing["status"], missing["code"], missing["param"]) == (400, "missing_required_parameter", "model")
    settings.CHAT_AGENT = "other"
    assert choose(OWNER, AGENTS, "").name == "other"


def test_a_pinned_agent_is_the_only_one(settings: Settings) -> None:
    """OAI-3, OAI-5."""
    settings.CHAT_AGENT = "other"
    assert [each.name for each in usable(OWNER, AGENTS)] == ["other"]
    assert refusal(OWNER, "mine")["code"] == "model_not_found"
    assert refusal(STRANGER, "other")["code"] == "model_not_found"


@pytest.mark.parametrize(
    ("principal", "model", "pinned", "default", "answers"),
    [
        (OWNER, "mine", "", "other", "mine"),
        (OWNER, "gpt-4", "", "other", "other"),
        (OWNER, "", "", "other", "other"),
        (OWNER, "theirs", "", "other", "other"),
        (OWNER, "gpt-4", "mine", "other", "mine"),
        (STRANGER, "gpt-4", "", "", "theirs"),
        (STRANGER, "gpt-4", "", "other", "theirs"),
        (STRANGER, "gpt-4", "mine", "", None),
        (OWNER, "gpt-4", "", "", None),
        (OWNER, "gpt-4", "", "theirs", None),
    ],
)
def test_fallback_never_leaves_what_the_caller_may_use(
    settings: Settings, principal: Principal, model: str, pinned: str, default: str, answers: str | None
) -> None:
    """OAI-12, R2.3."""
    settings.CHAT_UNKNOWN_MODEL, settings.CHAT_AGENT, settings.CHAT_DEFAULT_AGENT = "fallback", pinned, default
    if answers is None:
        assert refusal(principal, model)["code"] == "model_not_found"
    else:
        assert choose(principal, AGENTS, model).name == answers


def test_an_agent_as_a_model(settings: Settings) -> None:
    """OAI-3, OAI-4."""
    settings.CHAT_OWNED_BY = "acme"
    assert shown(named(OWNER, AGENTS, "other")) == {
        "id": "other",
        "object": "model",
        "created": 1767225600,
        "owned_by": "acme",
        "name": "The other",
        "description": "It is.",
    }
    assert shown(AGENTS["mine"])["name"] == "mine"
    assert [each.name for each in usable(OWNER, AGENTS)] == ["mine", "other"]


ENVELOPES = [
    ("invalid_json", 400, "invalid_request_error", "invalid_json"),
    ("invalid_request", 400, "invalid_request_error", "invalid_value"),
    ("bad_host", 400, "invalid_request_error", "bad_host"),
    ("invalid_credentials", 401, "invalid_request_error", "invalid_api_key"),
    ("insufficient_scope", 403, "invalid_request_error", "insufficient_scope"),
    ("not_found", 404, "invalid_request_error", "unknown_url"),
    ("method_not_allowed", 405, "invalid_request_error", "method_not_allowed"),
    ("session_busy", 409, "invalid_request_error", "conversation_busy"),
    ("request_in_progress", 409, "invalid_request_error", "request_in_progress"),
    ("cancelled", 409, "invalid_request_error", "cancelled"),
    ("request_too_large", 413, "invalid_request_error", "request_too_large"),
    ("unsupported_media_type", 415, "invalid_request_error", "unsupported_media_type"),
    ("idempotency_key_reused", 422, "invalid_request_error", "idempotency_key_reused"),
    ("rate_limited", 429, "requests", "rate_limit_exceeded"),
    ("budget_exhausted", 429, "insufficient_quota", "insufficient_quota"),
    ("queue_full", 429, "requests", "queue_full"),
    ("session_queue_full", 429, "requests", "session_queue_full"),
    ("internal_error", 500, "server_error", "internal_error"),
    ("run_failed", 500, "server_error", "run_failed"),
    ("max_steps_reached", 500, "server_error", "max_steps_reached"),
    ("structured_output_failed", 500, "server_error", "structured_output_failed"),
    ("interrupted", 500, "server_error", "interrupted"),
    ("provider_error", 502, "server_error", "provider_error"),
    ("provider_unavailable", 503, "server_error", "provider_unavailable"),
    ("agent_not_running", 503, "server_error", "agent_not_running"),
    ("store_unavailable", 503, "server_error", "store_unavailable"),
    ("shutting_down", 503, "server_error", "shutting_down"),
    ("timeout", 504, "server_error", "timeout"),
]


@pytest.mark.parametrize(("code", "status", "kind", "name"), ENVELOPES)
def test_the_error_table(code: str, status: int, kind: str, name: str) -> None:
    """OAI-59: always all four keys."""
    error = SwitchboardError(code)
    inner = envelope(error, "req_1")["error"]
    assert list(inner) == ["message", "type", "param", "code"]
    assert (error.status, inner["type"], inner["code"], inner["param"]) == (status, kind, name, None)


def test_messages_that_the_contract_names() -> None:
    assert envelope(SwitchboardError("invalid_credentials"), "")["error"]["message"] == "missing or invalid bearer token"
    busy = envelope(SwitchboardError("session_busy"), "")["error"]["message"]
    assert busy == "another request is already in flight for this conversation id"


def test_every_code_of_ours_has_a_name_on_this_wire() -> None:
    """No code of another wire leaks: what is not in the contract's table can't be raised on this one's paths."""
    elsewhere = {"validation_error", "manager_required", "not_an_approver", "already_decided", "conversation_agent_mismatch"}
    elsewhere |= {"agent_not_found", "session_not_found", "execution_not_found", "approval_not_found", "attachment_not_found"}
    elsewhere |= {"client_left", "approval_expired", "circuit_open", "message_not_found", "model_not_allowed"}
    elsewhere |= {"email_unavailable", "link_invalid", "quota_exhausted", "session_token_invalid", "session_token_required"}
    elsewhere |= {"invalid_cron", "invalid_timezone", "schedule_not_found", "schedule_timeout_exceeds_agent_cap", "queue_timeout"}
    elsewhere |= {"invalid_signature", "no_webhook_url", "invalid_params", "workflow_failed", "workflow_not_found"}
    assert elsewhere | {row[0] for row in ENVELOPES} >= {code for code, (status, _) in CODES.items() if status != 402}


@pytest.mark.parametrize(
    ("state", "kind"),
    [
        (RateState(5, 6, 1000, 10, 30), "requests"),
        (RateState(5, 2, 1000, 1001, 30), "tokens"),
        (RateState(5, 6, 1000, 1001, 30), "requests"),
    ],
)
def test_a_rate_limit_says_which_one(state: RateState, kind: str) -> None:
    """OAI-59: `requests / tokens`."""
    assert envelope(rate_limited(state), "")["error"]["type"] == kind


def test_only_the_execution_s_id_is_told_beside_the_four() -> None:
    """OAI-61."""
    failed = TurnError("run_failed", extra={"execution_id": "e1"})
    assert envelope(failed, "")["error"]["execution_id"] == "e1"
    assert list(envelope(queue_full(3), "")["error"]) == ["message", "type", "param", "code"]
