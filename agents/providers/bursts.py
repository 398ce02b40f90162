"""Bursts of chunks that differ in their text alone: found by comparing bytes, so that a hundred of them cost one JSON decode of the texts.

A chunk from the middle of the burst is decoded. What stands before and after its text stands between the texts of its neighbours, too,
if they are alike; between the same bytes, every JSON string makes the same chunk with another text.
"""

import re
from typing import Any

import orjson

BORDER = b"\n\ndata: "
_LEAST_BYTES = 1024
_CONTENT = re.compile(rb'"content":\s*"((?:[^"\\]|\\.)*)"')


class Run:
    """The text of neighbouring chunks that hold text alone."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text


def split(block: bytes) -> tuple[list[bytes], Run, list[bytes]] | None:
    """A run of such chunks, and the events before and after it; None when there is none. `block` begins within `data: `."""
    around = _around(block) if len(block) >= _LEAST_BYTES else None
    if around is None:
        return None
    before, after = around
    chunks = block.split(BORDER)
    least = len(before) + len(after)
    insides = [chunk.removeprefix(before).removesuffix(after) for chunk in chunks]
    first, end = 0, len(chunks)
    while len(insides[first]) + least != len(chunks[first]):
        first += 1
    while len(insides[end - 1]) + least != len(chunks[end - 1]):
        end -= 1
    run = insides[first:end]
    if sum(map(len, run)) + least * len(run) != sum(map(len, chunks[first:end])):
        return None  # what one between them lacks of both is still in its inside, and makes the sum too large
    texts = _strings(run)
    return None if texts is None else (chunks[:first], Run("".join(texts)), chunks[end:])


def _around(block: bytes) -> tuple[bytes, bytes] | None:
    """What stands before and after the text of the chunk in the middle, if that holds text alone."""
    start = block.find(BORDER, len(block) // 2) + len(BORDER)
    end = block.find(BORDER, start)
    if start < len(BORDER) or end < 0:
        return None
    chunk = block[start:end]
    content = _CONTENT.search(chunk)
    if content is None or _CONTENT.search(chunk, content.end()):
        return None
    try:
        text = only_text(orjson.loads(chunk))
    except ValueError:
        return None
    if not text or _strings([content[1]]) != [text]:
        return None
    return chunk[: content.start(1)], chunk[content.end(1) :]


def _strings(pieces: list[bytes]) -> list[str] | None:
    """Insides of JSON strings, decoded; None if they are not just that."""
    try:
        strings: list[str] = orjson.loads(b'["' + b'","'.join(pieces) + b'"]')
    except ValueError:
        return None
    return strings if len(strings) == len(pieces) else None


def only_text(chunk: dict[str, Any]) -> str | None:
    """The text of a chunk that says nothing else, as ninety-nine of a hundred do."""
    try:
        choice = chunk["choices"][0]
        delta = choice["delta"]
        text: str = delta["content"]
    except (LookupError, TypeError):
        return None
    if text.__class__ is not str or len(delta) > 2 or (len(delta) == 2 and "role" not in delta):
        return None
    return None if choice.get("finish_reason") or chunk.get("usage") or chunk.get("error") else text
