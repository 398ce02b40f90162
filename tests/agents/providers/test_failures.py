"""How refusals of providers are classified."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import orjson
import pytest
from multidict import CIMultiDict

from agents.providers.failures import MAX_DETAIL_CHARS, failure, reported, retry_after_s

OPENAI_CONTEXT = {
    "error": {
        "message": "This model's maximum context length is 8192 tokens.",
        "type": "invalid_request_error",
        "code": "context_length_exceeded",
    }
}
AZURE_FILTER = {"error": {"message": "The response was filtered", "code": "x", "innererror": {"code": "ResponsibleAIPolicyViolation"}}}
REFUSALS: dict[str, tuple[int, Any, str]] = {
    "wrong key": (401, {"error": {"message": "Incorrect API key provided", "code": "invalid_api_key"}}, "auth"),
    "no access": (403, {"error": {"message": "no"}}, "auth"),
    "empty account": (402, {"error": {"message": "Insufficient credits", "code": 402}}, "auth"),
    "no quota, though 429": (429, {"error": {"message": "You exceeded your quota", "code": "insufficient_quota"}}, "auth"),
    "too many requests": (429, {"error": {"message": "Rate limit reached", "type": "tokens", "code": "rate_limit_exceeded"}}, "rate_limit"),
    "too many tokens a minute": (429, {"error": {"message": "too many tokens per minute"}}, "rate_limit"),
    "OpenAI context": (400, OPENAI_CONTEXT, "context_length"),
    "vLLM context": (
        400,
        {"object": "error", "message": "This model's maximum context length is 10", "type": "BadRequestError", "code": 400},
        "context_length",
    ),
    "llama.cpp context": (400, {"error": {"code": 400, "message": "…", "type": "exceed_context_size_error"}}, "context_length"),
    "Anthropic context": (400, {"error": {"type": "invalid_request_error", "message": "prompt is too long: 1 > 0"}}, "context_length"),
    "too large": (413, "Request Entity Too Large", "context_length"),
    "OpenAI filter": (400, {"error": {"message": "…", "code": "content_policy_violation"}}, "content_filter"),
    "Azure filter": (400, AZURE_FILTER, "content_filter"),
    "OpenRouter moderation": (
        403,
        {"error": {"code": 403, "message": "…", "metadata": {"reasons": ["x"], "flagged_input": "y"}}},
        "content_filter",
    ),
    "unknown model": (404, {"error": {"message": "The model does not exist", "code": "model_not_found"}}, "bad_request"),
    "bad field": (400, {"error": {"message": "temperature", "type": "invalid_request_error"}}, "bad_request"),
    "list of errors": (400, [{"error": {"code": 400, "message": "Invalid value", "status": "INVALID_ARGUMENT"}}], "bad_request"),
    "validation": (422, {"detail": [{"loc": ["body"], "msg": "field required"}]}, "bad_request"),
    "redirect": (302, "", "bad_request"),
    "conflict": (409, {}, "overloaded"),
    "slow request": (408, {}, "timeout"),
    "crash": (500, {"error": "boom"}, "overloaded"),
    "bad gateway": (502, "<html>context length</html>", "overloaded"),
    "unavailable": (503, {"error": {"message": "loading model"}}, "overloaded"),
    "Anthropic overloaded": (529, {"error": {"type": "overloaded_error"}}, "overloaded"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_every_refusal_has_its_kind(name: str) -> None:
    status, body, kind = REFUSALS[name]
    error = failure(status, body.encode() if isinstance(body, str) else orjson.dumps(body))
    assert error.kind == kind
    assert str(status) in error.detail


def test_only_what_may_pass_by_itself_is_retried() -> None:
    retried = {name for name, (status, body, _) in REFUSALS.items() if failure(status, orjson.dumps(body)).retryable}
    assert retried == {name for name, (_, _, kind) in REFUSALS.items() if kind in ("rate_limit", "overloaded", "network")}


def test_the_text_of_a_provider_is_kept_short_for_managers() -> None:
    assert len(failure(400, b"x" * 100_000).detail) == MAX_DETAIL_CHARS


def test_an_error_inside_a_stream_may_carry_its_status_as_code() -> None:
    assert reported({"error": {"code": 429, "message": "slow down"}}).kind == "rate_limit"
    assert reported({"error": {"code": "502", "message": "upstream"}}).kind == "overloaded"
    assert reported({"error": {"message": "who knows"}}).kind == "overloaded"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "7"}, 7),
        ({"retry-after": "1.5"}, 1.5),
        ({"Retry-After": "-3"}, 0),
        ({"retry-after-ms": "250", "Retry-After": "1"}, 0.25),
        ({"Retry-After": "Thu, 01 Jan 1970 00:00:00 GMT"}, 0),
        ({"Retry-After": "soon"}, None),
        ({}, None),
    ],
)
def test_retry_after_is_read(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after_s(CIMultiDict(headers)) == seconds


def test_retry_after_may_be_a_date() -> None:
    then = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    seconds = retry_after_s(CIMultiDict({"Retry-After": then}))
    assert seconds is not None
    assert 3500 < seconds <= 3600
