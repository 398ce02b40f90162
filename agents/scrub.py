"""No secret leaves (R0.9): known secrets and keys of this site are masked in texts, in JSON values and in streams.

The scan goes left to right; at each place the longest known secret wins, then a key of this site. A place is *open* when
text still to come could change its verdict: a stream holds back from the first open place and lets everything before it go.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import quote

import orjson

MASK = "[redacted]"
MIN_SECRET_CHARS = 8
_HEAD_CHARS = 3
_KEY_HEAD = "sk-"
_ISSUED_KEY_CHARS = len(_KEY_HEAD) + 43
_LONGEST_KEY_CHARS = len(_KEY_HEAD) + 128
_KEY_RUN = re.compile(rf"{_KEY_HEAD}[A-Za-z0-9_-]{{0,128}}")


class Scrubber:
    """Masks `secrets` of at least 8 characters (as they are, JSON-escaped and percent-encoded) and keys that `is_site_key` knows."""

    def __init__(self, secrets: Iterable[str], is_site_key: Callable[[str], bool]) -> None:
        known = {form for secret in secrets if len(secret) >= MIN_SECRET_CHARS for form in _forms(secret)}
        self._is_site_key = is_site_key
        self._longest = max(map(len, known), default=0)
        self._by_head: dict[str, list[str]] = {}
        for secret in sorted(known, key=len, reverse=True):
            self._by_head.setdefault(secret[:_HEAD_CHARS], []).append(secret)
        self._suspect = _suspect_pattern({*self._by_head, _KEY_HEAD})

    def text(self, text: str) -> str:
        """The text without secrets; the same object when there are none."""
        if self._suspect.search(text) is None:
            return text
        return self.scan(text, final=True)[0]

    def value(self, value: Any) -> Any:
        """A JSON value with every string in it scrubbed, names of object members included."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {self.text(name): self.value(member) for name, member in value.items()}
        if isinstance(value, list | tuple):
            return [self.value(element) for element in value]
        return value

    def stream(self) -> "Stream":
        """A new stream: one per block of text."""
        return Stream(self)

    def is_clean(self, text: str) -> bool:
        """Whether `text` neither holds nor ends in anything like a secret: one pass of one pattern."""
        return self._suspect.search(text) is None

    def scan(self, text: str, *, final: bool) -> tuple[str, str]:
        """What may go, masked, and the tail that waits for more text (empty when `final`)."""
        done: list[str] = []
        start = looked = 0
        while suspect := self._suspect.search(text, looked):
            place = suspect.start()
            if not final and self._is_open(text, place):
                return "".join((*done, text[start:place])), text[place:]
            if end := self._secret_end(text, place):
                done += text[start:place], MASK
                start = looked = end
            else:
                looked = place + 1
        return ("".join((*done, text[start:])) if done else text), ""

    def _is_open(self, text: str, place: int) -> bool:
        """Whether more text could make, or lengthen, a secret that begins at `place`."""
        rest = len(text) - place
        if rest < _HEAD_CHARS:
            return True
        head = text[place : place + _HEAD_CHARS]
        if rest < self._longest:
            tail = text[place:]
            if any(len(secret) > rest and secret.startswith(tail) for secret in self._by_head.get(head, ())):
                return True
        run = _KEY_RUN.match(text, place)
        return run is not None and run.end() == len(text) and rest < _LONGEST_KEY_CHARS

    def _secret_end(self, text: str, place: int) -> int:
        """Where the secret that begins at `place` ends; 0 when none does."""
        for secret in self._by_head.get(text[place : place + _HEAD_CHARS], ()):
            if text.startswith(secret, place):
                return place + len(secret)
        run = _KEY_RUN.match(text, place)
        if run is None or run.end() - place < _ISSUED_KEY_CHARS:
            return 0
        ends = (run.end(), place + _ISSUED_KEY_CHARS)
        return next((end for end in ends if self._is_site_key(text[place:end])), 0)


class Stream:
    """Scrubs text that arrives in pieces: whatever the pieces, their sum is what Scrubber.text() makes of the whole."""

    __slots__ = ("_held", "_scrubber")

    def __init__(self, scrubber: Scrubber) -> None:
        self._scrubber = scrubber
        self._held = ""

    def feed(self, text: str) -> str:
        """What may be sent now; may be empty. The same object when it is clean and nothing was held back."""
        if not self._held and self._scrubber.is_clean(text):
            return text
        done, self._held = self._scrubber.scan(self._held + text, final=False)
        return done

    def end(self) -> str:
        """What was held back, at the end of the block."""
        done, self._held = self._scrubber.scan(self._held, final=True)[0], ""
        return done


def _forms(secret: str) -> set[str]:
    """How a secret may be written: plain, inside JSON text, in a URL."""
    escaped = orjson.dumps(secret).decode()[1:-1]
    return {secret, escaped, quote(secret), quote(secret, safe="")}


def _suspect_pattern(heads: set[str]) -> re.Pattern[str]:
    """Finds the places worth a look: the head of a secret, or the beginning of a head at the end of the text."""
    tree: dict[str, dict[str, set[str]]] = {}
    for head in heads:
        tree.setdefault(head[0], {}).setdefault(head[1], set()).add(head[2])
    return re.compile("|".join(f"{re.escape(first)}(?:{_seconds(tree[first])})" for first in sorted(tree)))


def _seconds(branch: Mapping[str, set[str]]) -> str:
    ends = (f"{re.escape(second)}(?:[{re.escape(''.join(sorted(thirds)))}]|\\Z)" for second, thirds in sorted(branch.items()))
    return "|".join((*ends, r"\Z"))
