"""Frames of clients: JSON text or MessagePack, as one object within limits (WS-11, WS-15, WS-16). No I/O."""

from typing import Any

import msgpack
import orjson

MAX_DEPTH = 64
MAX_ENTRIES = 10_000
_PLAIN = (str, int, float, bool, bytes, type(None))


class Unreadable(ValueError):
    """Why a frame cannot be taken, in a sentence of ours."""


def decode(data: str | bytes) -> dict[str, Any]:
    """The object of one frame; text is JSON, bytes are MessagePack. Raises Unreadable."""
    value = _json(data) if isinstance(data, str) else _msgpack(data)
    if not isinstance(value, dict):
        raise Unreadable("A frame must hold one object.")
    _check(value)
    return value


def _json(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise Unreadable(f"The frame is not valid JSON (at position {error.pos}).") from None


def _msgpack(data: bytes) -> Any:
    """Buffers are bounded by the frame; extension types, also timestamps, are refused by _check or here."""
    try:
        return msgpack.unpackb(data, max_array_len=MAX_ENTRIES, max_map_len=MAX_ENTRIES, ext_hook=_no_extension)
    except Unreadable:
        raise
    except (ValueError, RecursionError, msgpack.exceptions.UnpackException) as error:
        raise Unreadable("The frame is not valid MessagePack.") from error


def _no_extension(code: int, data: bytes) -> Any:
    raise Unreadable("Extension types are not taken.")


def _check(value: Any) -> None:
    """Level by level, so that no input costs more than its size."""
    level, depth, entries = [value], 0, 0
    while level:
        depth += 1
        inner = [item for value in level for item in _inside(value)]
        entries += len(inner)
        if entries > MAX_ENTRIES:
            raise Unreadable(f"The frame has more than {MAX_ENTRIES} entries.")
        level = [item for item in inner if isinstance(item, dict | list)]
        if level and depth >= MAX_DEPTH:
            raise Unreadable(f"The frame nests deeper than {MAX_DEPTH} levels.")


def _inside(value: Any) -> list[Any]:
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str):
                raise Unreadable("Keys must be text.")
            _check_text(key)
        value = list(value.values())
    for item in value:
        if isinstance(item, str):
            _check_text(item)
        elif not isinstance(item, _PLAIN) and not isinstance(item, dict | list):
            raise Unreadable("Extension types are not taken.")
    found: list[Any] = value
    return found


def _check_text(text: str) -> None:
    if "\0" in text:
        raise Unreadable("The frame contains the character U+0000.")
