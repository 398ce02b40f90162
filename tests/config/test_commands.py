"""`manage.py agents …`, `create_api_key` and `prices seed`, as an operator calls them."""

from io import StringIO

import pytest
from cryptography.fernet import Fernet
from django.contrib.auth.models import User
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command, load_command_class

from agents.access import ALL_SCOPES
from agents.models import Agent, ApiKey, Provider, hash_key
from billing.models import Price

pytestmark = pytest.mark.django_db

FILE = "providers: [{name: demo, kind: demo}]\nagents: [{name: root, provider: demo, model: demo}]\n"


def manage(*arguments):
    out = StringIO()
    call_command(*arguments, stdout=out)
    return out.getvalue().splitlines()


@pytest.fixture
def owner():
    return User.objects.create_user("owner")


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "agents.yaml"
    path.write_text(FILE)
    return path


def test_applying_a_file_says_what_it_did_and_then_that_nothing_changed(file):
    assert manage("agents", "apply", str(file)) == ["provider demo: created", "agent root: created, published version 1"]
    assert manage("agents", "apply", str(file)) == ["provider demo: unchanged", "agent root: unchanged"]


def test_a_bad_file_among_good_ones_changes_nothing_and_is_named(file, tmp_path):
    bad = tmp_path / "bad.yaml"
    bad.write_text("agents: [{name: x, nme: y}]")
    with pytest.raises(CommandError, match=r"bad\.yaml: agents\[0\]\.nme: unknown key"):
        manage("agents", "apply", str(file), str(bad))
    with pytest.raises(CommandError, match=r"missing\.yaml: cannot be read"):
        manage("agents", "apply", str(tmp_path / "missing.yaml"))
    assert not Provider.objects.exists()


def test_agents_are_listed_with_state_access_and_model(file):
    manage("agents", "apply", str(file))
    assert [line.split() for line in manage("agents", "list")] == [["root", "v1", "signed_in", "demo:", "demo"]]


def test_a_key_is_printed_alone_and_only_its_hash_is_stored(owner):
    (plain,) = manage("create_api_key", "owner", "--name", "ci")
    key = ApiKey.objects.get()
    assert plain.startswith("sk-")
    assert len(plain) >= 46
    assert (key.owner, key.name, key.hash) == (owner, "ci", hash_key(plain))
    assert set(key.scopes) == ALL_SCOPES


def test_a_key_does_not_stand_among_warnings_of_the_settings():
    assert load_command_class("config", "create_api_key").requires_system_checks == []


def test_a_key_may_be_limited_to_scopes_and_agents(owner, file):
    manage("agents", "apply", str(file))
    manage("create_api_key", "owner", "--scope", "run", "--scope", "read", "--agent", "root")
    key = ApiKey.objects.get()
    assert (sorted(key.scopes), list(key.agents.all())) == (["read", "run"], [Agent.objects.get()])


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["nobody"], "there is no user 'nobody'"),
        (["owner", "--agent", "ghost"], "there is no agent 'ghost'"),
        (["owner", "--scope", "fly"], "'fly' is no scope"),
    ],
)
def test_an_unknown_user_agent_or_scope_makes_no_key(owner, arguments, sentence):
    with pytest.raises(CommandError, match=sentence):
        manage("create_api_key", *arguments)
    assert not ApiKey.objects.exists()


def test_seeding_prices_twice_adds_nothing_the_second_time():
    (line,) = manage("prices", "seed")
    assert line == f"{Price.objects.count()} prices added"
    assert manage("prices", "seed") == ["unchanged"]


def test_secrets_move_to_a_new_key_and_the_old_one_can_go(settings):
    old, new = Fernet.generate_key().decode(), Fernet.generate_key().decode()
    settings.ENCRYPTION_KEYS = [old]
    Provider.objects.create(name="demo", kind="demo", api_key="sk-upstream", headers='{"X-Team": "ops"}')
    Provider.objects.create(name="keyless", kind="demo")
    settings.ENCRYPTION_KEYS = [new, old]
    assert "providers: 2" in manage("reencrypt")
    settings.ENCRYPTION_KEYS = [new]
    provider = Provider.objects.get(name="demo")
    assert (provider.api_key, provider.headers) == ("sk-upstream", '{"X-Team": "ops"}')
    settings.ENCRYPTION_KEYS = [old]
    with pytest.raises(ImproperlyConfigured, match="ENCRYPTION_KEYS"):
        Provider.objects.get(name="demo")
