"""Starts wait for each other, on one machine and between machines; what they need beside serving is done by a child process."""

import os
import re
import signal

import pytest
from django.core.management import CommandError

from config import starting
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


def doubled(number):
    return number * 2


def refused():
    raise CommandError("not like this", returncode=2)


def killed():
    os.kill(os.getpid(), signal.SIGKILL)


def test_work_done_apart_gives_its_result():
    assert starting.apart(doubled, 21) == 42


def test_a_refusal_of_work_done_apart_keeps_its_sentence_and_exit_code():
    with pytest.raises(CommandError, match="not like this") as caught:
        starting.apart(refused)
    assert caught.value.returncode == 2


def test_work_that_dies_apart_ends_the_start():
    with pytest.raises(CommandError, match="nothing is served"):
        starting.apart(killed)


def test_a_database_that_cannot_be_used_ends_the_start_with_its_own_error(tmp_path):
    (tmp_path / "switchboard.sqlite3").write_text("this is no database")
    code, errors = Start(tmp_path, "serve", "--listen", "127.0.0.1:0").refused()
    assert code == 1
    assert "file is not a database" in errors
    assert errors.endswith("CommandError: the start failed: nothing is served")
