"""What this wire refuses, as error frames (websocket.md §2.1, §6.5, §11): codes, sentences, and the closes that some of them mean."""

import time
from collections.abc import Mapping
from typing import Any, Literal

from agents.errors import SwitchboardError
from chat.protocols.websocket.frames import Frame, error_body

Kind = Literal["connection", "request"]

CLOSES: Mapping[str, int] = {
    "invalid_frames": 4400,
    "invalid_credentials": 4401,
    "origin_not_allowed": 4403,
    "insufficient_scope": 4403,
    "path_not_found": 4404,
    "slow_consumer": 4410,
    "frame_too_large": 4413,
    "rate_limited": 4429,
    "internal_error": 4500,
    "shutting_down": 4503,
}
"""What a connection is closed with when it ends with an error of this code."""

SENTENCES: Mapping[str, str] = {
    "invalid_frame": "The frame could not be read.",
    "invalid_frames": "Too many frames could not be read.",
    "invalid_message": "The message is not valid.",
    "unknown_type": "There is no frame of this type.",
    "unknown_command": "There is no command of this name.",
    "unsupported": "This is not supported here.",
    "invalid_credentials": "Missing or invalid credentials.",
    "origin_not_allowed": "Pages of this origin may not connect.",
    "path_not_found": "There is no socket at this path.",
    "frame_too_large": "The frame is too large. Send less, and upload files first.",
    "slow_consumer": "Too much is waiting to be read. Connect again and resume.",
    "too_many_connections": "Too many connections are open.",
    "too_many_turns": "Too many turns of this connection are running.",
    "too_many_threads": "This connection watches too many threads.",
    "invalid_manifest": "The tool manifest is not valid.",
    "invalid_params": "The parameters are not valid.",
    "invalid_arguments": "The arguments do not fit the tool's schema.",
    "workflow_not_found": "Workflow not found",
    "knowledge_not_found": "Knowledge folder not found",
    "remote_file_not_allowed": "Files may not be fetched from this address.",
}
"""Codes that only this wire has; the others are those of agents.errors."""


def refusal(code: str, message: str = "", **values: Any) -> SwitchboardError:
    """An error with this wire's own sentence."""
    return SwitchboardError(code, message or SENTENCES.get(code, ""), **values)


def frame_of(error: SwitchboardError, kind: Kind = "request", **more: Any) -> Frame:
    """The error as a frame; `more` are `thread_id`, `request_id`, `command`, `fatal` …"""
    code, message = _TRANSLATED.get(error.code, error.code), error.message
    if error.code == "validation_error":
        message = _first_problem(error) or SENTENCES[code]
    return Frame(error_body(code, message, kind=kind, ts=now(), retry_after=_retry_after(error), **more))


_TRANSLATED: Mapping[str, str] = {"validation_error": "invalid_message", "request_too_large": "frame_too_large"}


def _first_problem(error: SwitchboardError) -> str:
    """`content: must not be empty`: where, and what."""
    for problem in error.errors or ():
        place = ".".join(str(step) for step in problem["loc"] if step != "body")
        return f"{place}: {problem['msg']}" if place else str(problem["msg"])
    return ""


def _retry_after(error: SwitchboardError) -> int | None:
    waits = error.status in (429, 503) or error.code in ("session_busy", "request_in_progress")
    return max(1, error.retry_after_s or 1) if waits else None


def now() -> float:
    """Unix time, to the hundredth of a second."""
    return round(time.time(), 2)
