"""What becomes of a model's answer when it was asked for a title (chat.titles)."""

import pytest

from chat import titles
from chat.events import Numbered, TextDelta, TurnEvent, TurnFailed, TurnFinished, Usage

FINISHED = TurnFinished(finish_reason="stop", usage=Usage(), duration_ms=1, cost_usd=None, message_id="m")
FAILED = TurnFailed(code="provider_error", message="No.", status=502, usage=Usage(), duration_ms=1, message_id="m")


def title(text: str, end: TurnEvent = FINISHED) -> str:
    return titles._title([Numbered(1, TextDelta(1, text)), Numbered(2, end)])


@pytest.mark.parametrize(
    ("text", "given"),
    [
        ("Tea at noon", "Tea at noon"),
        ('"Tea at noon."\n', "Tea at noon"),
        ("**Tea at noon**", "Tea at noon"),
        ("Title: Tea at noon", "Tea at noon"),
        ("\n\n# Tea at noon\n\nI chose this because …", "Tea at noon"),
        ("„Tee am Mittag“", "Tee am Mittag"),
        ("  ", ""),
        ("word " * 40, "word " * 15 + "word…"),
    ],
)
def test_the_first_line_without_ornaments(text: str, given: str) -> None:
    assert title(text) == given


def test_a_call_that_failed_gives_no_title() -> None:
    assert title("Half a tit", FAILED) == ""
