"""What an HTTP answer is to the model: JSON as a value, other text as text, everything else as a note."""

from typing import Any

import orjson

from agents.fetch import Answer
from agents.scrub import Scrubber
from agents.tools.base import ToolOutcome

_MAX_DEPTH = 64
_EXCERPT_CHARS = 2_000


def outcome_of(answer: Answer, scrubber: Scrubber) -> ToolOutcome:
    """Any status but 2xx is an error: the status and the beginning of the body. Secrets that were echoed are masked."""
    content = _content(answer)
    if 200 <= answer.status < 300:
        return ToolOutcome(output=scrubber.value(content))
    excerpt = content if isinstance(content, str) else orjson.dumps(content).decode()
    return ToolOutcome(output={"status": answer.status, "body": scrubber.text(excerpt)[:_EXCERPT_CHARS]}, is_error=True)


def _content(answer: Answer) -> Any:
    """None for an empty body. A JSON body that was cut, is nested too deep or holds U+0000 stays text."""
    if not answer.body:
        return None
    if not answer.cut and (answer.media_type in ("", "application/json") or answer.media_type.endswith("+json")):
        value = _json(answer.body)
        if value is not None:
            return value
    return _text(answer)


def _json(body: bytes) -> Any:
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return None if b"\\u0000" in body or _is_deeper(value, _MAX_DEPTH) else value


def _text(answer: Answer) -> str:
    try:
        text = answer.body.decode(answer.charset, errors="strict" if answer.media_type == "" else "replace")
    except (LookupError, UnicodeDecodeError):
        text = "\0"
    if "\0" in text[:_EXCERPT_CHARS] or answer.media_type.startswith(("image/", "audio/", "video/", "font/")):
        return f"[{len(answer.body)} bytes of {answer.media_type or 'unknown type'}, not shown]"
    note = f"\n[cut after {len(answer.body)} bytes]" if answer.cut else ""
    return text.replace("\0", "") + note


def _is_deeper(value: Any, levels: int) -> bool:
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    if children is None:
        return False
    return levels == 0 or any(_is_deeper(child, levels - 1) for child in children)
