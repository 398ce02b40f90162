"""The frames of our own page: text as HTML beside the chunks, complete before anything else is told."""

import pytest

from chat.events import Gap, Numbered, ReasoningDelta, TextDelta, ToolCalled, TurnEvent
from chat.protocols.websocket.codec import Teller
from chat.protocols.websocket.frames import Body
from chat.protocols.websocket.painting import PaintedTeller

CALL = ToolCalled(call_id="call_9", name="order_lookup", arguments={})


def told(*events: TurnEvent | Gap) -> list[Body]:
    teller = PaintedTeller(thread_id="t-1", execution_id="e-1", reasoning=True)
    return [frame.body for number, event in enumerate(events, 1) for frame in teller.tell([Numbered(number, event)])]


def page(frames: list[Body]) -> dict[int, str]:
    """What a page shows that does as the frames say."""
    texts: dict[int, list[str]] = {}
    for frame in frames:
        if frame["type"] == "rendered":
            pieces = texts.setdefault(frame["block"], [])
            assert frame["from"] <= len(pieces)
            pieces[frame["from"] :] = frame["html"]
    return {block: "".join(pieces) for block, pieces in texts.items()}


def test_texts_are_html_block_by_block() -> None:
    frames = told(TextDelta(1, "**a"), TextDelta(1, "b**\n\n"), TextDelta(1, "<i>"), CALL, TextDelta(2, "`c`"), CALL)
    assert page(frames) == {1: "<p><strong>ab</strong></p>\n<p>&lt;i&gt;</p>\n", 2: "<p><code>c</code></p>\n"}


def test_all_text_is_there_before_what_follows_it() -> None:
    frames = told(*(TextDelta(1, f"{number} ") for number in range(50)), CALL)
    before = frames[: next(place for place, frame in enumerate(frames) if frame["type"] == "tool_call")]
    assert page(before)[1] == f"<p>{' '.join(map(str, range(50)))}</p>\n"


def test_the_frames_of_everybody_are_among_them_unchanged() -> None:
    events = (ReasoningDelta(1, "hm"), TextDelta(1, "a"), CALL)
    teller = Teller(thread_id="t-1", execution_id="e-1", reasoning=True)
    plain = [frame.body for number, event in enumerate(events, 1) for frame in teller.tell([Numbered(number, event)])]
    assert [frame for frame in told(*events) if frame["type"] != "rendered"] == plain


def test_what_is_told_at_once_is_rendered_a_few_times(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page that is reloaded in the middle of a long answer."""
    monkeypatch.setattr("chat.rendering.time.monotonic", lambda: 1.0)
    frames = told(*(TextDelta(1, f"{number} ") for number in range(1000)), CALL)
    assert len([frame for frame in frames if frame["type"] == "rendered"]) == 2
    assert page(frames)[1].endswith(" 999</p>\n")


def test_what_is_told_anew_is_rendered_anew() -> None:
    frames = told(TextDelta(1, "old"), Gap(first=1, last=1, restart=True), TextDelta(1, "new"), CALL)
    last = [frame for frame in frames if frame["type"] == "rendered"][-1]
    assert (last["from"], last["html"]) == (0, ["<p>new</p>\n"])
