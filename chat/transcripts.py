"""A conversation's history kept encoded, so that a turn of a long one costs little more than a turn of a short one.

A Transcript is a value that shares its bytes with the ones grown from it. Its fragment holds what can no longer change;
`loose` are the newest messages whose form depends on what follows (a turn without an answer, open client calls).
"""

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b
from struct import Struct
from typing import Any, Literal, NamedTuple, Self
from uuid import UUID

from django.conf import settings

from chat.cleaning import clean, content_text
from chat.history import ProviderMessage, StoredMessage, Turn, encode, estimate_tokens, open_calls, text_of, turns_of, without_retries
from chat.requests import Part

_RECORD = Struct(">IBQI16s16s")
RECORD_BYTES = _RECORD.size
_ASSISTANT, _BOUNDARY, _USER_FIRST = 1, 2, 4
_NO_ID = bytes(16)


class Entry(NamedTuple):
    """One stored message. `boundary`: history can be cut right before it; `offset`, `tokens_before`: where its group begins."""

    position: int
    role: Literal["user", "assistant"]
    digest: bytes
    message_id: UUID | None
    boundary: bool
    offset: int
    tokens_before: int


class Transcript:
    """The history of `session_id` at `version`; `tokens` is the estimate for the fragment alone."""

    __slots__ = (
        "_buffer", "_records", "base", "count", "loose", "message_count", "next_position", "session_id", "size", "tokens", "version",
    )  # fmt: skip

    def __init__(self, session_id: UUID, version: int = 0) -> None:
        self.session_id = session_id
        self.version = version
        self.next_position = 0
        self.message_count = 0
        self._buffer = bytearray()
        self._records = bytearray()
        self.size = 0
        self.count = 0
        self.tokens = 0
        self.loose: tuple[StoredMessage, ...] = ()
        self.base: tuple[int, int, int] | None = None
        """Version, size and count of what this was grown from by grow()."""

    @property
    def open_calls(self) -> list[str]:
        """Ids of client calls the conversation ends with (OAI-52)."""
        return open_calls([message for turn in turns_of(self.loose) for message in turn.messages])

    @property
    def fragment(self) -> bytes:
        """The settled provider messages, joined by commas."""
        return bytes(self._buffer[: self.size])

    @property
    def records(self) -> bytes:
        return bytes(self._records[: self.count * RECORD_BYTES])

    @property
    def weight(self) -> int:
        """About how many bytes this takes in memory."""
        return 600 + self.size + self.count * RECORD_BYTES + sum(len(part.get("text") or "") + 300 for m in self.loose for part in m.parts)

    def append(self, *, user: Sequence[Part], assistant: Sequence[Part], position: int, user_id: UUID, assistant_id: UUID) -> "Transcript":
        """The history after a turn that succeeded, at the next version; its user message is at `position`."""
        plain = None if self.loose else _plain_exchange(user, assistant)
        if plain is not None:
            return self._append_plain(*plain, position, user_id, assistant_id)
        asked = StoredMessage(role="user", parts=user, position=position, id=user_id)
        answered = StoredMessage(role="assistant", parts=assistant, position=position + 1, id=assistant_id)
        return self.grow([asked, answered] if assistant else [asked], version=self.version + 1, next_position=position + 2)

    def _append_plain(self, asked: str, answered: str, position: int, user_id: UUID, assistant_id: UUID) -> "Transcript":
        """What append() does with text for text, which nearly every turn is: the same bytes, without looking for anything else."""
        grown = self._copy(self.version + 1)
        buffer = grown._buffer
        if self.size:
            buffer += b","
        offset, tokens = len(buffer), grown.tokens
        grown._records += _RECORD.pack(position, _BOUNDARY | _USER_FIRST, offset, tokens, digest(asked), user_id.bytes)
        grown._records += _RECORD.pack(position + 1, _ASSISTANT, offset, tokens, digest(answered), assistant_id.bytes)
        messages = [{"role": "user", "content": asked}, {"role": "assistant", "content": answered}]
        buffer += encode(messages)
        grown.size, grown.count = len(buffer), grown.count + 2
        grown.tokens = tokens + sum(map(estimate_tokens, messages))
        grown.message_count += 2
        grown.next_position = position + 2
        return grown

    def grow(self, messages: Iterable[StoredMessage], *, version: int, next_position: int | None = None) -> "Transcript":
        """The history with some more stored messages."""
        grown = self._copy(version)
        group: list[Turn] = []
        turns = turns_of([*self.loose, *messages])
        for turn in turns:
            group.append(turn)
            if grown._settle(group):
                group = []
        grown.loose = tuple(message for turn in group for message in turn.stored)
        newest = [message for turn in turns for message in turn.stored][len(self.loose) :]
        grown.message_count += len(newest)
        after_newest = max((message.position + 1 for message in newest), default=0)
        grown.next_position = max(self.next_position, after_newest) if next_position is None else next_position
        return grown

    def _copy(self, version: int) -> "Transcript":
        """A transcript that may grow: it shares the bytes with this one unless another has grown from this one before."""
        copy = Transcript(self.session_id, version)
        records_size = self.count * RECORD_BYTES
        shared = len(self._buffer) == self.size and len(self._records) == records_size
        copy._buffer = self._buffer if shared else self._buffer[: self.size]
        copy._records = self._records if shared else self._records[:records_size]
        copy.size, copy.count, copy.tokens = self.size, self.count, self.tokens
        copy.next_position, copy.message_count = self.next_position, self.message_count
        copy.base = (self.version, self.size, self.count)
        return copy

    def _settle(self, group: Sequence[Turn]) -> bool:
        """Encodes turns that nothing can change any more. False while a try may be repeated, a call answered, a question joined."""
        rough = [message for turn in without_retries(group, None) for message in turn.messages]
        if group[-1].mute or open_calls(rough):
            return False
        first = self.size == 0
        messages = clean(rough, first=first)
        if not messages or messages[-1]["role"] == "user":
            return False
        if not first:
            self._buffer += b","
        flags = _BOUNDARY | (_USER_FIRST if messages[0]["role"] == "user" else 0)
        offset = len(self._buffer)
        for message in (message for turn in group for message in turn.stored):
            self._records += _record(message, flags, offset, self.tokens)
            self.count += 1
            flags = 0
        self._buffer += encode(messages)
        self.size = len(self._buffer)
        self.tokens += sum(map(estimate_tokens, messages))
        return True

    def messages_json(
        self, system: bytes, new_user: Sequence[ProviderMessage], budget_tokens: int, most_messages: int | None = None
    ) -> bytes:
        """The whole JSON array: `system` (one encoded message, or b""), history cut to the budget (R9.2g), the new user input.

        `budget_tokens` is for everything but the system message; of the stored messages about the newest `most_messages` are
        taken, whole turns of them. The newest turn is never cut.
        """
        tail = self._tail(new_user)
        surplus = self.tokens + sum(map(estimate_tokens, tail)) - budget_tokens
        oldest = 0 if most_messages is None else max(0, self.count + len(self.loose) - most_messages)
        start = self._first_kept(surplus, oldest) if surplus > 0 or oldest else 0
        pieces: list[bytes | memoryview] = [system] if system else []
        if start < self.size:
            pieces.append(memoryview(self._buffer)[start : self.size])
        if tail := clean(tail, first=start == self.size):
            pieces.append(encode(tail))
        return b"[" + b",".join(pieces) + b"]"

    def _tail(self, new_user: Sequence[ProviderMessage]) -> list[ProviderMessage]:
        if not self.loose:
            return list(new_user)
        new_text = "\n\n".join(content_text(message["content"]) for message in new_user if message["role"] == "user")
        turns = without_retries(turns_of(self.loose), new_text)
        return [message for turn in turns for message in turn.messages] + list(new_user)

    def _first_kept(self, surplus: int, oldest: int) -> int:
        """The offset of the oldest turn that stays when `surplus` tokens and what stands before `oldest` must go; else the end."""
        low, high = min(oldest, self.count), self.count
        while low < high:
            middle = (low + high) // 2
            if self._at(middle)[3] >= surplus:
                high = middle
            else:
                low = middle + 1
        for index in range(low, self.count):
            _, flags, offset, *_ = self._at(index)
            if flags & _USER_FIRST:
                return int(offset)
        return self.size

    def _at(self, index: int) -> tuple[Any, ...]:
        return _RECORD.unpack_from(self._records, index * RECORD_BYTES)

    def entries(self) -> Iterator[Entry]:
        """Every message of the history, in order, the loose ones last."""
        with memoryview(self._records)[: self.count * RECORD_BYTES] as records:
            packed = list(_RECORD.iter_unpack(records))
        flags = _BOUNDARY
        for message in self.loose:
            packed.append(_RECORD.unpack(_record(message, flags, self.size, self.tokens)))
            flags = 0
        return map(_entry, packed)

    def cut(self, position: int, *, version: int) -> "Transcript | None":
        """The history without the messages from `position` on; None when it must be built from the database (a cut inside a turn)."""
        left = self._copy(version)
        left.base = None
        for index, entry in enumerate(self.entries()):
            if entry.position < position:
                continue
            if not entry.boundary:
                return None
            left.size, left.tokens, left.count = max(0, entry.offset - 1), entry.tokens_before, min(index, self.count)
            left.message_count = index
            return left
        left.loose = self.loose
        return left

    def head(self) -> dict[str, Any]:
        """All but the two byte strings, as JSON values; thawed() makes a transcript of the three again."""
        loose = [(m.role, list(m.parts), m.position, m.id, m.status, m.incomplete) for m in self.loose]
        return {
            "version": self.version, "next_position": self.next_position, "message_count": self.message_count, "size": self.size,
            "count": self.count, "tokens": self.tokens, "loose": loose,
        }  # fmt: skip

    def grown(self) -> tuple[bytes, bytes]:
        """What the last grow() added to fragment and records."""
        _, size, count = self.base or (0, 0, 0)
        return bytes(self._buffer[size : self.size]), bytes(self._records[count * RECORD_BYTES : self.count * RECORD_BYTES])

    @classmethod
    def thawed(cls, session_id: UUID, head: dict[str, Any], fragment: bytes, records: bytes) -> Self | None:
        """None when the pieces do not belong together (one of them was lost by the store)."""
        if len(fragment) != head["size"] or len(records) != head["count"] * RECORD_BYTES:
            return None
        transcript = cls(session_id, head["version"])
        transcript.next_position, transcript.message_count = head["next_position"], head["message_count"]
        transcript.size, transcript.count, transcript.tokens = head["size"], head["count"], head["tokens"]
        transcript._buffer, transcript._records = bytearray(fragment), bytearray(records)
        transcript.loose = tuple(_thawed_message(row) for row in head["loose"])
        return transcript


def _plain_exchange(user: Sequence[Part], assistant: Sequence[Part]) -> tuple[str, str] | None:
    """The texts of a turn that is one text asked and one text answered, with nothing else in it that history keeps."""
    if len(user) != 1 or user[0]["type"] != "text":
        return None
    answers = [part for part in assistant if part["type"] not in ("step", "reasoning")]
    if len(answers) != 1 or answers[0]["type"] != "text" or sum(part["type"] == "step" for part in assistant) > 1:
        return None
    asked, answered = user[0]["text"], answers[0]["text"]
    return (asked, answered) if asked.strip() and answered.strip() else None


def build(session_id: UUID, version: int, stored: Iterable[StoredMessage]) -> Transcript:
    """The transcript of a conversation read from the database."""
    built = Transcript(session_id, version).grow(stored, version=version)
    built.base = None
    return built


def digest(text: str) -> bytes:
    """What two texts are compared by when a client resends its history: trimmed, hashed (OAI-52)."""
    return blake2b(text.strip().encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _record(message: StoredMessage, flags: int, offset: int, tokens: int) -> bytes:
    role = _ASSISTANT if message.role == "assistant" else 0
    message_id = message.id.bytes if message.id else _NO_ID
    return _RECORD.pack(message.position, flags | role, offset, tokens, digest(text_of(message.parts)), message_id)


def _entry(record: tuple[Any, ...]) -> Entry:
    position, flags, offset, tokens, text_digest, message_id = record
    return Entry(
        position,
        "assistant" if flags & _ASSISTANT else "user",
        text_digest,
        UUID(bytes=message_id) if message_id != _NO_ID else None,
        bool(flags & _BOUNDARY),
        offset,
        tokens,
    )


def _thawed_message(row: Sequence[Any]) -> StoredMessage:
    role, parts, position, message_id, status, incomplete = row
    id_ = UUID(message_id) if message_id else None
    return StoredMessage(role=role, parts=parts, position=position, id=id_, status=status, incomplete=incomplete)


class Cache:
    """The newest transcripts of this process, least recently used out first, bounded by bytes."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._kept: OrderedDict[UUID, tuple[Transcript, int]] = OrderedDict()
        self._bytes = 0

    def get(self, session_id: UUID) -> Transcript | None:
        kept = self._kept.get(session_id)
        if kept is None:
            return None
        self._kept.move_to_end(session_id)
        return kept[0]

    def put(self, transcript: Transcript) -> None:
        self.drop(transcript.session_id)
        weight = transcript.weight
        self._kept[transcript.session_id] = (transcript, weight)
        self._bytes += weight
        while self._bytes > self._max_bytes:
            self.drop(next(iter(self._kept)))

    def drop(self, session_id: UUID) -> None:
        kept = self._kept.pop(session_id, None)
        if kept:
            self._bytes -= kept[1]

    def clear(self) -> None:
        self._kept.clear()
        self._bytes = 0


cache = Cache(settings.CHAT_HISTORY_CACHE_BYTES)
