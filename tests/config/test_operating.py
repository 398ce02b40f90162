"""Every variable that is read is explained in docs/operating.md and listed in .env.example; every key of an agents file is documented."""

import re
from pathlib import Path

import pytest

from agents.agentsfile import AgentEntry, AgentsFile, ProviderEntry, ToolEntry, parse
from agents.first_start import VENDORS
from agents.providers import PROVIDERS
from agents.tools import TOOLS
from config import env

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("config", "agents", "chat", "billing", "tasks")
READ = re.compile(
    r"""env\.(?:text|flag|integer|size|duration|words|networks|url)\(\s*"([A-Z_0-9]+)"|environ(?:\.get\(|\[)\s*"([A-Z_0-9]+)\""""
)
GUIDE = (ROOT / "docs/operating.md").read_text()
EXAMPLE = (ROOT / ".env.example").read_text()
NOT_OURS = {"DJANGO_SETTINGS_MODULE"}


def variables():
    """Names of every environment variable that the code reads."""
    sources = [path.read_text() for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    found = {name for source in sources for groups in READ.findall(source) for name in groups if name}
    return found | {vendor.variable for vendor in VENDORS.values()}


def compose_variables():
    return set(re.findall(r"\$\{([A-Z_]+):?-", (ROOT / "docker-compose.yml").read_text()))


def test_the_search_finds_what_is_read():
    assert {"DATA_DIR", "CHAT_RATE_RPM", "JWT_ACCESS_LIFETIME", "OPENAI_API_KEY", "CHAT_LISTEN", "DATABASE_URL"} <= variables()


def test_every_variable_is_explained():
    explained = set(re.findall(r"`([A-Z][A-Z_0-9]+)`", GUIDE))
    assert variables() - NOT_OURS - explained == set()


def test_every_variable_is_in_the_example_and_none_is_invented():
    listed = set(re.findall(r"^# ([A-Z_0-9]+)=", EXAMPLE, re.MULTILINE))
    assert listed == (variables() - NOT_OURS) | compose_variables()


def test_the_example_sets_nothing():
    assert [line for line in EXAMPLE.splitlines() if line and not line.startswith("#")] == []


@pytest.mark.parametrize("entry", [AgentEntry, ProviderEntry, ToolEntry])
def test_every_key_of_an_agents_file_is_documented(entry):
    rows = [line.split("|")[1] for line in GUIDE.splitlines() if line.startswith("| `")]
    documented = {name for row in rows for name in re.findall(r"`([a-z_]+)`", row)} | {"config"}
    assert set(entry.model_fields) - documented == set()


def test_every_kind_is_documented():
    for kind in (*PROVIDERS, *TOOLS):
        assert f"`{kind}`" in GUIDE


def test_the_least_file_of_the_guide_is_a_valid_one():
    (text,) = re.findall(r"```yaml\n(providers:.*?)```", GUIDE, re.DOTALL)
    assert isinstance(parse(text, {"LOCAL_KEY": "x"}), AgentsFile)


def test_documented_defaults_are_the_real_ones(settings):
    for name, shown in re.findall(r"^\| `([A-Z_]+)` \| `([0-9][0-9A-Za-z]*)`", GUIDE, re.MULTILINE):
        if hasattr(settings, name):
            parse_value = env.parse_size if shown.endswith("iB") else env.parse_duration
            assert parse_value(shown, 0) == getattr(settings, name), name
