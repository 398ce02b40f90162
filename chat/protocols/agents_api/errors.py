"""Errors of this wire (AG-1): `detail` is a sentence, a list of field problems, or for a few codes an object clients branch on."""

from collections.abc import Callable, Mapping
from typing import Any

from agents.errors import SwitchboardError
from chat.views import native_envelope


def envelope(error: SwitchboardError, request_id: str) -> dict[str, Any]:
    told = _OBJECTS.get(error.code)
    if told is None:
        return native_envelope(error, request_id)
    return {"detail": told(error), "code": error.code, "request_id": request_id}


def _queue_full(error: SwitchboardError) -> dict[str, Any]:
    wait_s = error.retry_after_s or 1
    return {
        "error": "Agent queue is full",
        "agent": error.extra.get("agent"),
        "queue_length": error.extra.get("queue_length"),
        "retry_after": wait_s,
        "message": f"The agent is busy. Try again in {wait_s} seconds.",
    }


def _in_progress(error: SwitchboardError) -> dict[str, Any]:
    return {"error": error.code, "message": error.message, "execution_id": error.extra.get("execution_id")}


def _circuit_open(error: SwitchboardError) -> dict[str, Any]:
    return {"error": error.code, "retry_after_seconds": error.retry_after_s or 1, "message": error.message}


_OBJECTS: Mapping[str, Callable[[SwitchboardError], dict[str, Any]]] = {
    "queue_full": _queue_full,
    "request_in_progress": _in_progress,
    "circuit_open": _circuit_open,
}


def told_here(error: SwitchboardError, agent_name: str) -> SwitchboardError:
    """The refusal of a turn with what this wire adds to it: which agent, and the headers its clients know."""
    error.extra = {**error.extra, "agent": agent_name} if error.code == "queue_full" else error.extra
    if error.code == "circuit_open":
        error.headers["X-Circuit-Open"] = "true"
    if error.headers.get("Idempotent-Replayed"):
        error.headers["X-Idempotent-Replay"] = "true"
    return error


def field_problem(name: str, sentence: str) -> SwitchboardError:
    """422 for a field that has the right type but not the right value."""
    return SwitchboardError("validation_error", errors=[{"type": "value_error", "loc": ["body", name], "msg": sentence}])
