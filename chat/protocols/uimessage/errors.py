"""Errors of this wire: one envelope (UI-3), and the refusal of a field by its path."""

from typing import Any

from agents.errors import SwitchboardError


def envelope(error: SwitchboardError, request_id: str) -> dict[str, Any]:
    """`message` and `error` are the same text, since clients read one or the other; `errors` only for invalid fields."""
    fields = {"errors": error.errors} if error.errors else {}
    return {"message": error.message, "error": error.message, "code": error.code, **fields, "request_id": request_id, **error.extra}


def invalid(path: str, message: str, code: str = "invalid_request") -> SwitchboardError:
    """400 for one field; `message` is a sentence. The whole text is short: `useChat` shows it to people."""
    problem = {"path": path, "message": message}
    return SwitchboardError(code, f"{path}: {message[:1].lower()}{message[1:]}", status=400, errors=[problem])
