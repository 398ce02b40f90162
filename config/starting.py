"""What comes before serving: one start at a time, the database brought up to date, the first start made once.

All of it is done by apart(), in a child process: migrations and the price list take up to 25 MB, which Python would never give back.
"""

import fcntl
import multiprocessing
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import connection, connections

from billing.models import Price
from config.transport import Application

if TYPE_CHECKING:
    from agents.first_start import Made

_ADVISORY_LOCK = 0x5357_4254_4352_4452
"""A number of our own among PostgreSQL's advisory locks."""


P = ParamSpec("P")
T = TypeVar("T")


def apart(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """What `work` gives, or the CommandError it raises, worked out in a child process.

    Call it before there are threads or connections: the child is a fork. What it fails with otherwise it prints, and the start ends.
    """
    fork = multiprocessing.get_context("fork")
    here, there = fork.Pipe(duplex=False)
    child = fork.Process(target=_tell, args=(there, work, args, kwargs))
    child.start()
    there.close()
    try:
        result: T | CommandError = here.recv()
    except EOFError as error:
        raise CommandError("the start failed: nothing is served") from error
    finally:
        child.join()
    if isinstance(result, CommandError):
        raise result
    return result


def _tell(there: Connection, work: Callable[..., object], args: tuple[object, ...], kwargs: dict[str, object]) -> None:
    try:
        result = work(*args, **kwargs)
    except CommandError as error:
        result = error
    connections.close_all()
    there.send(result)


def prepare() -> None:
    """Database, agents of the first start and prices. Call it, and what follows it, within one_at_a_time()."""
    from agents import first_start  # here, as everything that serving does without

    migrate()
    first_start.make_agents(os.environ)
    seed_prices()


def first_site() -> "Made | None":
    """The whole of a start: prepare(), then the administrator, once."""
    from agents import first_start

    with one_at_a_time():
        prepare()
        return first_start.make_administrator()


def migrate() -> None:
    """Applies migrations if some are missing."""
    from django.db.migrations.executor import MigrationExecutor

    Path(settings.STATIC_ROOT).mkdir(parents=True, exist_ok=True)
    executor = MigrationExecutor(connection)
    if executor.migration_plan(executor.loader.graph.leaf_nodes()):
        call_command("migrate", verbosity=0, interactive=False)


def seed_prices() -> None:
    """Takes over the price list, once."""
    from billing import pricelist

    if not Price.objects.exists():
        pricelist.seed()


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """Starts wait for each other: by a file on this machine, and between machines by an advisory lock of PostgreSQL."""
    with (Path(settings.DATA_DIR) / "start.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        if connection.vendor != "postgresql":
            yield
            return
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(%s)", [_ADVISORY_LOCK])
            try:
                yield
            finally:
                cursor.execute("SELECT pg_advisory_unlock(%s)", [_ADVISORY_LOCK])


def application() -> Application:
    """The site, with its routes imported: what is broken stops the start, not the first request."""
    from config import asgi, urls

    assert urls.urlpatterns
    return asgi.application
