"""Events as JSON and back: for Redis streams and for the state of paused runs. Not a wire: its form may change with the code."""

from collections.abc import Iterable, Sequence
from dataclasses import fields
from typing import Any, get_args

import orjson

from chat.events import Gap, PendingApproval, TurnEvent, Usage

CLASSES: dict[str, type] = {cls.__name__: cls for cls in (*get_args(TurnEvent), Gap)}
_FIELDS: dict[type, tuple[str, ...]] = {cls: tuple(field.name for field in fields(cls)) for cls in CLASSES.values()}


def encode(events: Iterable[TurnEvent | Gap]) -> bytes:
    """`[["TextDelta", {…}], …]`; values that JSON does not know become text."""
    return orjson.dumps([[type(event).__name__, event] for event in events], default=str, option=orjson.OPT_NON_STR_KEYS)


def decode(data: bytes | str) -> list[TurnEvent | Gap]:
    """The events of `encode`; unknown fields of a newer writer are left out."""
    return [_event(CLASSES[name], values) for name, values in orjson.loads(data) if name in CLASSES]


def _event(cls: type, values: dict[str, Any]) -> TurnEvent | Gap:
    known = {name: values[name] for name in _FIELDS[cls] if name in values}
    if "usage" in known:
        known["usage"] = Usage(**known["usage"])
    if "approval" in known:
        known["approval"] = PendingApproval(**known["approval"])
    if "approvals" in known:
        known["approvals"] = _approvals(known["approvals"])
    if "tools" in known:
        known["tools"] = tuple(known["tools"])
    event: TurnEvent | Gap = cls(**known)
    return event


def _approvals(values: Sequence[dict[str, Any]]) -> tuple[PendingApproval, ...]:
    return tuple(PendingApproval(**value) for value in values)
