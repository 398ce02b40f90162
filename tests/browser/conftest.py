"""One Chromium for all browser tests; each test gets it with nothing remembered."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.support import services
from tests.support.browser import Browser, chromium


@pytest.fixture(scope="session")
def window() -> Iterator[Browser]:
    with ExitStack() as stack:
        try:
            opened = stack.enter_context(chromium())
        except services.Missing as missing:
            pytest.skip(str(missing))
        yield opened


@pytest.fixture
def browser(window: Browser) -> Iterator[Browser]:
    """Complaints of the page's scripts or policy fail the test."""
    window.get_log("browser")
    yield window
    assert window.complaints() == []
    window.execute_script("try { localStorage.clear() } catch {}")
    window.get("about:blank")
