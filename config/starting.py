"""What comes before serving: one start at a time, the database brought up to date, the first start made once."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.conf import settings
from django.core.management import call_command
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from agents import first_start
from billing import pricelist
from billing.models import Price
from config.serving import Application

_ADVISORY_LOCK = 0x5357_4254_4352_4452
"""A number of our own among PostgreSQL's advisory locks."""


def prepare() -> None:
    """Database, agents of the first start and prices. Call it, and what follows it, within one_at_a_time()."""
    migrate()
    first_start.make_agents(os.environ)
    seed_prices()


def migrate() -> None:
    """Applies migrations if some are missing."""
    Path(settings.STATIC_ROOT).mkdir(parents=True, exist_ok=True)
    executor = MigrationExecutor(connection)
    if executor.migration_plan(executor.loader.graph.leaf_nodes()):
        call_command("migrate", verbosity=0, interactive=False)


def seed_prices() -> None:
    """Takes over the price list, once."""
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
