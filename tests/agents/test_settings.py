"""Settings that are looked up once."""

from typing import Any

from agents.settings import look_again, settings


def test_what_is_overridden_is_looked_up_again(settings: Any) -> None:
    found = settings_seen()
    settings.CHAT_RATE_RPM = found + 1
    assert settings_seen() == found + 1


def test_what_was_set_by_hand_counts_once_a_process_begins_to_serve(monkeypatch: Any) -> None:
    from django.conf import settings as django

    found = settings_seen()
    monkeypatch.setattr(django, "CHAT_RATE_RPM", found + 1)
    assert settings_seen() == found
    look_again()
    assert settings_seen() == found + 1
    monkeypatch.undo()
    look_again()


def settings_seen() -> int:
    return int(settings.CHAT_RATE_RPM)
