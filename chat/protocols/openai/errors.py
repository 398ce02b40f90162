"""Errors of this wire: the envelope of OAI-59 and the refusals the parser raises, each with the JSON path at fault."""

from typing import Any

from agents.errors import SwitchboardError
from chat.protocols.openai.codec import error_object

_MODEL_NAME_SHOWN = 256


def envelope(error: SwitchboardError, request_id: str) -> dict[str, Any]:
    """`{"error": {message, type, param, code}}`; further keys of the error stand beside them (OAI-61)."""
    inner = error_object(error.code, error.message, error.status, error.param)
    kind = error.extra.get("limit")
    if kind in ("requests", "tokens"):
        inner["type"] = kind
    return {"error": {**inner, **{key: value for key, value in error.extra.items() if key != "limit"}}}


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
