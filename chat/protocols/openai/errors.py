"""Errors of this wire: the envelope of OAI-59 and the refusals the parser raises, each with the JSON path at fault."""

from collections.abc import Mapping
from typing import Any

from agents.errors import SwitchboardError
from chat.protocols.openai.codec import error_object

_MODEL_NAME_SHOWN = 256
_MESSAGES = {
    "session_busy": "another request is already in flight for this conversation id",
    "not_found": "Unknown request URL. Its path is not one of this API.",
}


def envelope(error: SwitchboardError, request_id: str) -> dict[str, Any]:
    """`{"error": {message, type, param, code}}`, with `execution_id` beside them when a run failed (OAI-61)."""
    inner = error_object(error.code, _MESSAGES.get(error.code, error.message), error.status, error.param)
    if error.code == "rate_limited" and _tokens_ran_out(error.headers):
        inner["type"] = "tokens"
    if "execution_id" in error.extra:
        inner["execution_id"] = error.extra["execution_id"]
    return {"error": inner}


def _tokens_ran_out(headers: Mapping[str, str]) -> bool:
    """Which of the two limits refused (R14.3)."""
    return headers.get("x-ratelimit-remaining-tokens") == "0" and headers.get("x-ratelimit-remaining-requests") != "0"


def invalid(path: str, message: str, code: str = "invalid_value") -> SwitchboardError:
    """400: wrong type or out of range; `code` for the more special causes of sections 5 to 7."""
    return SwitchboardError(code, message, status=400, param=path)


def missing(path: str) -> SwitchboardError:
    return invalid(path, f"{path} is required", "missing_required_parameter")


def unsupported_parameter(path: str, message: str) -> SwitchboardError:
    return invalid(path, message, "unsupported_parameter")


def unsupported_value(path: str, message: str) -> SwitchboardError:
    return invalid(path, message, "unsupported_value")


def unsupported_part(path: str, message: str) -> SwitchboardError:
    return invalid(path, message, "unsupported_content_part")


def model_not_found(name: str) -> SwitchboardError:
    """One answer for unknown, unpublished and forbidden (OAI-11, R2.1)."""
    shown = name[:_MODEL_NAME_SHOWN]
    message = f"The model `{shown}` does not exist or you do not have access to it."
    return SwitchboardError("agent_not_found", message, param="model")
