"""What a process that serves wires keeps in memory, and what it does without."""

import subprocess
import sys

import pytest

from config.lean import leaving_out
from tests.support.server import ROOT

SERVING = """
import sys, django
django.setup(set_prefix=False)
from config.management.commands import serve
from config import starting, uvicornserver
starting.application()
print(*sorted(sys.modules))
"""


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    """Modules of a process that is about to serve, in one process on SQLite."""
    env = {"DATA_DIR": str(tmp_path_factory.mktemp("data")), "DJANGO_SETTINGS_MODULE": "config.settings"}
    done = subprocess.run([sys.executable, "-c", SERVING], cwd=ROOT, env=env, capture_output=True, text=True, check=True)
    return frozenset(done.stdout.split())


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("psycopg", "the database is SQLite"),
        ("redis", "there is one process"),
        ("requests", "wires and providers use aiohttp"),
        ("jsonschema_rs", "no answer has had to keep to a schema"),
        ("nh3", "no page has shown Markdown"),
        ("markdown_it", "no page has shown Markdown"),
        ("jinja2", "templates are Django's"),
        ("rich", "tracebacks in logs are plain"),
        ("twisted", "uvicorn serves"),
        ("unfold.admin", "nobody has opened the admin"),
        ("agents.admin", "nobody has opened the admin"),
        ("agents.agentsfile", "the first start is done by a child process"),
        ("genai_prices", "the price list is read by a child process"),
        ("django.db.migrations.executor", "migrations are applied by a child process"),
        ("pydantic_ai", "no agent uses a provider that needs it"),
    ],
)
def test_a_process_that_serves_wires_does_without(loaded, name, why):
    assert name not in loaded, why


def test_what_is_left_out_can_be_imported_afterwards():
    with leaving_out("this"), pytest.raises(ModuleNotFoundError):
        import this  # noqa: F401
    assert "this" not in sys.modules


def test_what_is_loaded_already_stays():
    with leaving_out("json"):
        import json
    assert sys.modules["json"] is json
