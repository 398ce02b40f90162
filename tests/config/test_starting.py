"""Starts wait for each other, on one machine and between machines."""

import re

import pytest

from tests.config.starts import Start
from tests.support import services

pytestmark = pytest.mark.live


@pytest.mark.postgres
def test_two_machines_that_start_at_once_on_one_postgresql_make_one_site(tmp_path, postgres_url):
    """Each has a DATA_DIR of its own, so that only the advisory lock is between them."""
    keys = {"SECRET_KEY": "one-secret-key-for-both-processes", "ENCRYPTION_KEYS": "c3dpdGNoYm9hcmQtdGVzdHMtMzItYnl0ZXMtbG9uZyE="}
    site = {"DATABASE_URL": services.new_database(postgres_url, "two_starts"), **keys}
    command = ("serve", "--listen", "127.0.0.1:0", "--server", "uvicorn")
    with Start(tmp_path / "one", *command, **site) as one, Start(tmp_path / "other", *command, **site) as other:
        one.ready()
        other.ready()
        said = "\n".join(one.lines + other.lines)
    assert len(re.findall("First start", said)) == 1
