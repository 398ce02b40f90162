"""A hit: how the messages of a request continue a stored conversation (OAI-52). Pure.

Law: a request without an assistant message before its last user message only adds to the transcript. One that resends
history is compared with it by role and trimmed text, without reasoning, tools and files; where they differ the client's
version wins: the conversation branches there, nothing stored is deleted, and no text gets into the prompt twice.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import takewhile
from typing import NamedTuple

from agents.values import value
from chat.protocols.openai.history import input_parts, seeds, tool_result
from chat.protocols.openai.messages import Entry, no_user_message
from chat.requests import Part, Seed
from chat.transcripts import Entry as Stored
from chat.transcripts import digest

NO_RESULT = "(no result supplied)"
_BLANK = digest("")


@value
class Continuation:
    """`parts` are the turn's input; from `cut_position` on stored messages leave history, and `seed` comes in their place."""

    parts: tuple[Part, ...]
    cut_position: int | None = None
    seed: tuple[Seed, ...] = ()


class Known(NamedTuple):
    """What is stored: entries in order, the client calls it ends with, and where a call's result stands (None: nowhere)."""

    entries: Sequence[Stored]
    open_calls: Sequence[str] = ()
    result_position: Callable[[str], int | None] = lambda call_id: None


def continued(known: Known, entries: Sequence[Entry], notice: str = "") -> Continuation:
    """`notice` ends the text of a paused turn (OAI-41) and is no part of what is stored. Raises invalid_value."""
    if len(entries) == 1 and entries[0].role == "user":  # as nearly always: what the rest would make of it
        return Continuation(parts=input_parts(entries))
    results = _trailing_results(entries)
    last_user = max((index for index, entry in enumerate(entries) if entry.role == "user"), default=-1)
    asked = entries[-1:] if last_user == len(entries) - 1 else ()
    answers = _answers(known.open_calls, results)
    if results and not answers and not asked and (again := _asked_again(known, results)) is not None:
        return again
    if not asked and not answers:
        asked = entries[last_user : last_user + 1] if last_user >= 0 else ()
    if not asked and not answers:
        raise no_user_message()
    parts = answers + input_parts(asked)
    if all(entry.role != "assistant" for entry in entries[: max(0, last_user)]):
        return Continuation(parts=parts)
    end = last_user if asked else len(entries)
    told = [entry for entry in entries[:end] if entry.role != "tool" or entry.call_id not in results]
    kept, heard = _agreement(known.entries, told, notice)
    if kept == len(known.entries) and heard == len(told):
        return Continuation(parts=parts)
    cut = known.entries[kept].position if kept < len(known.entries) else None
    own = input_parts([*results.values(), *asked]) if heard < len(told) else parts
    return Continuation(parts=own, cut_position=cut, seed=seeds(told[heard:]))


def _trailing_results(entries: Sequence[Entry]) -> Mapping[str, Entry]:
    """Tool messages after the last assistant message, by the id they answer."""
    found: dict[str, Entry] = {}
    for entry in reversed(entries):
        if entry.role == "assistant":
            break
        if entry.role == "tool":
            found[entry.call_id] = entry
    return found


def _answers(open_calls: Sequence[str], results: Mapping[str, Entry]) -> tuple[Part, ...]:
    """A result for every open call, if the request has one for any of them."""
    if not any(call_id in results for call_id in open_calls):
        return ()
    return tuple(tool_result(call_id, results[call_id].text if call_id in results else NO_RESULT) for call_id in open_calls)


def _asked_again(known: Known, results: Mapping[str, Entry]) -> Continuation | None:
    """The same results once more, for another answer: the conversation branches where they are stored."""
    positions = [position for call_id in results if (position := known.result_position(call_id)) is not None]
    if not positions:
        return None
    return Continuation(parts=input_parts(list(results.values())), cut_position=min(positions))


def _agreement(stored: Sequence[Stored], told: Sequence[Entry], notice: str) -> tuple[int, int]:
    """How many stored and how many told entries agree from the start: all of both when only silent ones remain."""
    spoken = [index for index, entry in enumerate(stored) if entry.digest != _BLANK]
    lines = [index for index, entry in enumerate(told) if entry.role != "tool" and entry.text.strip()]
    texts = [told[index] for index in lines]
    matched = at = 0
    while at < len(lines):
        stored_step, told_step = _step(stored[spoken[matched]] if matched < len(spoken) else None, texts, at, notice)
        if not told_step:
            break
        matched, at = matched + stored_step, at + told_step
    if matched == len(spoken) and at == len(lines):
        return len(stored), len(told)
    return (spoken[matched - 1] + 1 if matched else 0), (lines[at - 1] + 1 if at else 0)


def _step(stored: Stored | None, texts: Sequence[Entry], at: int, notice: str) -> tuple[int, int]:
    """How many stored entries (0 or 1) and how many of `texts` from `at` on are the same; (0, 0): they differ.

    User messages that stand together were stored as one. What a paused turn was told stands for whatever came of it.
    """
    line = texts[at]
    paused = bool(notice) and line.role == "assistant" and line.text.strip().endswith(notice.strip())
    if stored is None or stored.role != line.role or paused:
        return int(paused and stored is not None and stored.role == "assistant"), int(paused)
    run = [entry.text for entry in takewhile(lambda entry: entry.role == "user", texts[at:])] or [line.text]
    for count in range(len(run), 0, -1):
        if digest("\n\n".join(run[:count])) == stored.digest:
            return 1, count
    return 0, 0
