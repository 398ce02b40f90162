"""Puts tool calls together from the pieces servers send: with and without index, id or name, in pieces or whole."""

import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from agents.providers.base import Delta, ToolCallPart


@dataclass(slots=True)
class _Call:
    index: int
    key: Any
    id: str = ""
    name: str = ""
    waiting: str = ""
    """Arguments that came before the name did."""


class CallReader:
    """Gives every call of an answer the next index and an id; later pieces carry neither id nor name."""

    def __init__(self) -> None:
        self._calls: list[_Call] = []

    @property
    def seen(self) -> bool:
        return bool(self._calls)

    def read(self, pieces: Iterable[Mapping[str, Any]], deltas: list[Delta]) -> None:
        for piece in pieces:
            function = piece.get("function") or {}
            call = self._call(piece.get("index"), piece.get("id") or "", function.get("name") or "")
            arguments = _text(function.get("arguments"))
            if call.name:
                self._continue(call, arguments, deltas)
            else:
                self._begin(call, piece.get("id") or "", function.get("name") or "", arguments, deltas)

    @property
    def nameless(self) -> bool:
        """A call never got its name."""
        return any(not call.name for call in self._calls)

    def _call(self, key: Any, call_id: str, name: str) -> _Call:
        """The call a piece belongs to; a piece without index, id and name continues the last one."""
        known = self._known(key, call_id, name)
        if known is None or _is_another(known, call_id, name):
            known = _Call(index=len(self._calls), key=key)
            self._calls.append(known)
        return known

    def _known(self, key: Any, call_id: str, name: str) -> _Call | None:
        if key is not None:
            return next((call for call in reversed(self._calls) if call.key == key), None)
        if call_id:
            return next((call for call in self._calls if call.id == call_id), None)
        return self._calls[-1] if self._calls and not (name and self._calls[-1].name) else None

    def _begin(self, call: _Call, call_id: str, name: str, arguments: str, deltas: list[Delta]) -> None:
        call.id = call.id or call_id
        call.waiting += arguments
        if name:
            call.id = call.id or f"call_{secrets.token_hex(12)}"
            call.name = name
            deltas.append(ToolCallPart(call.index, call.id, name, call.waiting))

    def _continue(self, call: _Call, arguments: str, deltas: list[Delta]) -> None:
        if not arguments:
            return
        last = deltas[-1] if deltas else None
        if isinstance(last, ToolCallPart) and last.index == call.index:
            last.arguments += arguments
        else:
            deltas.append(ToolCallPart(call.index, "", "", arguments))


def _is_another(known: _Call, call_id: str, name: str) -> bool:
    """Some servers give every parallel call the index 0: a named piece with another id or name begins a new call."""
    return bool(name and known.name) and (name != known.name or bool(call_id and call_id != known.id))


def _text(arguments: Any) -> str:
    """Arguments as the model's own text; some servers send them decoded."""
    if arguments is None or isinstance(arguments, str):
        return arguments or ""
    return orjson.dumps(arguments).decode()
