"""Django's settings for what every turn looks at: Django's own object calls a function of Python's at each look.

Modules through which every turn passes import these, and so does their whole room; commands, pages and background work import Django's.
"""

from typing import Any

from django.conf import settings as _django
from django.core.signals import setting_changed


class _Settings:
    """As of the first look at each since the process began to serve; what a test overrides is looked up again."""

    def __getattr__(self, name: str) -> Any:
        found = getattr(_django, name)
        setattr(self, name, found)
        return found


settings = _Settings()


def look_again() -> None:
    """After settings were set by hand: options of a command are."""
    vars(settings).clear()


def _forget(*, setting: str, **_: Any) -> None:
    vars(settings).pop(setting, None)


setting_changed.connect(_forget)
