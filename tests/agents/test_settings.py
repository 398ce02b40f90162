"""Settings that are looked up once."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import settings as of_django

from agents.settings import look_again
from agents.settings import settings as ours


@pytest.fixture(autouse=True)
def afterwards_as_before() -> Iterator[None]:
    yield
    look_again()


def test_what_is_overridden_is_looked_up_again(settings: Any) -> None:
    before = ours.CHAT_RATE_RPM
    settings.CHAT_RATE_RPM = before + 1
    assert before + 1 == ours.CHAT_RATE_RPM


def test_what_was_set_by_hand_counts_once_a_process_begins_to_serve(monkeypatch: pytest.MonkeyPatch) -> None:
    before = ours.CHAT_RATE_RPM
    monkeypatch.setattr(of_django, "CHAT_RATE_RPM", before + 1)
    assert before == ours.CHAT_RATE_RPM
    look_again()
    assert before + 1 == ours.CHAT_RATE_RPM


def test_what_there_is_not_is_said() -> None:
    with pytest.raises(AttributeError):
        _ = ours.NO_SUCH_SETTING
