"""A fake model server on the test's own loop, and the ways a stream may be cut."""

from collections.abc import AsyncIterator

import pytest

from tests.agents.providers.asking import Fake, Feed
from tests.support.upstream import serving


@pytest.fixture
async def fake() -> AsyncIterator[Fake]:
    async with serving() as (port, seen):
        yield Fake(f"http://127.0.0.1:{port}", seen)


CUTS: dict[str, Feed] = {
    "whole": lambda data: [data],
    "byte by byte": lambda data: [data[place : place + 1] for place in range(len(data))],
}


@pytest.fixture(params=CUTS)
def cut(request: pytest.FixtureRequest) -> Feed:
    """How the network cuts a stream into reads."""
    return CUTS[request.param]
