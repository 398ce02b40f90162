"""The house keeps its own rules: each import contract breaks when it is violated, the map names every file, SDKs load lazily."""

import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
VIOLATIONS = {
    "floors": [
        ("agents/access.py", "import chat.events"),
        ("chat/events.py", "import billing.models"),
        ("billing/models.py", "import tasks.models"),
        ("tasks/models.py", "import config.settings"),
    ],
    "chat": [("chat/loop.py", "import chat.turns"), ("chat/store.py", "import chat.loop"), ("chat/newcomer.py", "import chat.events")],
    "rooms": [("chat/protocols/run/views.py", "import chat.protocols.openai.codec")],
    "codecs": [
        ("chat/protocols/run/codec.py", "import django.http"),
        ("chat/protocols/openai/codec.py", "import chat.models"),
        ("chat/streamjson.py", "import agents.errors"),
        ("chat/protocols/run/codec.py", "import chat.protocols.run.serializers"),
    ],
    "sdks": [("chat/loop.py", "import pydantic_ai"), ("agents/specs.py", "import anthropic"), ("config/checks.py", "import google.genai")],
    "kinds": [
        ("agents/providers/demo/__init__.py", "import agents.providers.openai_compatible"),
        ("agents/tools/clock.py", "import agents.tools.http"),
    ],
    "values": [("agents/specs.py", "import agents.models"), ("agents/access.py", "from django.conf import settings")],
}
"""Contract -> what is planted, one at a time, to see it break."""


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The packages and the contracts, to be spoilt."""
    folder = tmp_path_factory.mktemp("house")
    shutil.copy(ROOT / "pyproject.toml", folder)
    for package in CONTRACTS["root_packages"]:
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def lint(folder: Path, *contracts: str) -> tuple[int, str]:
    """Exit code and output of lint-imports, limited to some contracts."""
    only = [word for contract in contracts for word in ("--contract", contract)]
    run = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    done = subprocess.run([sys.executable, "-c", run, "--no-logo", *only], cwd=folder, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def test_every_contract_is_kept(copy: Path) -> None:
    code, output = lint(copy)
    assert code == 0, output


def test_every_contract_has_a_violation_that_proves_it() -> None:
    assert set(VIOLATIONS) == {contract["id"] for contract in CONTRACTS["contracts"]}


@pytest.mark.parametrize(
    ("contract", "path", "line"), [(contract, *planted) for contract, many in VIOLATIONS.items() for planted in many], ids=str
)
def test_a_contract_breaks_when_it_is_violated(copy: Path, contract: str, path: str, line: str) -> None:
    file = copy / path
    before = file.read_text() if file.exists() else None
    file.write_text(f"{before or ''}\n\ndef planted() -> None:\n    {line}\n")
    try:
        code, output = lint(copy, contract)
    finally:
        restore(file, before)
    assert code == 1, output
    assert re.search(r"BROKEN|are not listed as layers|not listed", output), output


def restore(file: Path, before: str | None) -> None:
    if before is None:
        file.unlink()
    else:
        file.write_text(before)


def test_the_map_names_every_file_and_no_other() -> None:
    tracked = subprocess.run(["git", "ls-files", "*.py"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    wanted = {path for path in tracked if mapped(path)}
    lines = re.findall(r"^\| `([^`]+\.py)` \| (.+) \|$", (ROOT / "docs/map.md").read_text(), re.MULTILINE)
    named = [path for path, _ in lines]
    assert sorted(named) == sorted(wanted)
    assert all(len(text.strip()) > 10 for _, text in lines)


def mapped(path: str) -> bool:
    """Tests, migrations and empty package files explain themselves."""
    if path.startswith("tests/") or "/migrations/" in path:
        return False
    return not path.endswith("__init__.py") or bool((ROOT / path).read_text().strip())


def test_no_process_pays_for_a_provider_it_does_not_use() -> None:
    """design.md §4: SDKs are imported on first use, which keeps an idle process small."""
    loaded = "import config.asgi, sys; print(*sorted(set(sys.modules) & {'pydantic_ai', 'anthropic', 'google.genai', 'openai', 'httpx2'}))"
    done = subprocess.run([sys.executable, "-c", loaded], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
