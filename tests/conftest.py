"""Fixtures of all tests: real services, live servers, the fake model server. Each is started once a session, when first asked for."""

import os
import shutil
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import pytest

from tests.support import cast, services
from tests.support.server import Server, ServerKind

if TYPE_CHECKING:
    from tests.support.upstream import FakeUpstream


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI nothing is skipped: a missing service, browser or Node.js is a failure there."""
    report = yield
    if os.environ.get("CI") and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome, report.longrepr = "failed", f"skipped in CI: {report.longrepr}"
    return report


T = TypeVar("T")
KINDS: tuple[ServerKind, ServerKind] = ("uvicorn", "daphne")
NewServer = Callable[..., Server]


def real(service: AbstractContextManager[T]) -> Iterator[T]:
    """A service, or its URL; where its program is missing the test is skipped."""
    with ExitStack() as stack:
        try:
            found = stack.enter_context(service)
        except services.Missing as missing:
            pytest.skip(str(missing))
        yield found


@pytest.fixture(autouse=True)
def _no_catalog_of_earlier_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test's rows are rolled back, and the catalog counter with them: what an earlier test left in memory would look current."""
    from agents import directory

    monkeypatch.setattr(directory, "_current", directory.Catalog())


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    yield from real(services.redis())


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    yield from real(services.postgres())


@pytest.fixture(scope="session")
def upstream() -> Iterator["FakeUpstream"]:
    from tests.support.upstream import FakeUpstream

    with FakeUpstream() as running:
        yield running


@pytest.fixture(scope="session")
def filled_data_dir(tmp_path_factory: pytest.TempPathFactory, upstream: "FakeUpstream") -> tuple[Path, dict[str, str]]:
    """An embedded database with the cast in it, made once and copied for every server; with the cast's keys."""
    folder = tmp_path_factory.mktemp("filled") / "data"
    return folder, cast.fill(Server(folder).env, upstream.url)


def factory(tmp_path_factory: pytest.TempPathFactory, filled_data_dir: tuple[Path, dict[str, str]]) -> Iterator[NewServer]:
    """Starts embedded servers with a fresh cast, `new_server(kind="daphne", env={...})`, and ends them when the fixture ends."""
    with ExitStack() as stack:

        def start(kind: ServerKind = "uvicorn", env: dict[str, str] | None = None) -> Server:
            folder = tmp_path_factory.mktemp("server") / "data"
            shutil.copytree(filled_data_dir[0], folder)
            server = Server(folder, kind, env)
            server.keys = filled_data_dir[1]
            return stack.enter_context(server)

        yield start


new_server = pytest.fixture(factory, name="new_server")
"""For one test."""
module_server = pytest.fixture(factory, name="module_server", scope="module")
"""For fixtures that the tests of one module share: an idle server costs the others time."""
lasting_server = pytest.fixture(factory, name="lasting_server", scope="session")
"""For fixtures that many modules share."""


@pytest.fixture(scope="session")
def server(lasting_server: NewServer) -> Server:
    """The embedded server on uvicorn that most wire tests share."""
    return lasting_server()


@pytest.fixture(scope="session")
def daphne_server(lasting_server: NewServer) -> Server:
    return lasting_server("daphne")


@pytest.fixture(scope="session", params=["uvicorn", "daphne"])
def any_server(request: pytest.FixtureRequest) -> Server:
    """Each supported ASGI server in turn."""
    server: Server = request.getfixturevalue("server" if request.param == "uvicorn" else "daphne_server")
    return server


@pytest.fixture(scope="session")
def redis_pg_servers(
    tmp_path_factory: pytest.TempPathFactory, redis_url: str, postgres_url: str, upstream: "FakeUpstream"
) -> Iterator[tuple[Server, Server]]:
    """Two web processes of one site on Redis and PostgreSQL, one on each ASGI server."""
    site = services.new_database(postgres_url, "two_servers")
    shared = {"REDIS_URL": redis_url, "DATABASE_URL": site, "SECRET_KEY": "one-secret-key-for-both-processes" * 2}
    shared["ENCRYPTION_KEYS"] = "c3dpdGNoYm9hcmQtdGVzdHMtMzItYnl0ZXMtbG9uZyE="
    first, second = (Server(tmp_path_factory.mktemp(kind) / "data", kind, shared) for kind in KINDS)
    first.keys = second.keys = cast.fill(first.env, upstream.url)
    with first, second:
        yield first, second
