"""What keeps an unsafe server from starting, and what it only warns of."""

import fcntl
from types import SimpleNamespace

import pytest
from django.core.checks import run_checks
from django.core.management import CommandError

from config import checks
from config.management.commands import serve
from config.serving import parse_address

LOCAL, PUBLIC = parse_address("127.0.0.1:8000"), parse_address("0.0.0.0:8000")
SAFE = {
    "PRODUCTION": True,
    "DEBUG": False,
    "SECRET_KEY": "k3J-9fQz7wXv2LmP0sTbYhRcDgUeNaViOx",
    "ENCRYPTION_KEYS": ["c3dpdGNoYm9hcmQtdGVzdHMtMzItYnl0ZXMtbG9uZyE="],
    "ALLOWED_HOSTS": ["agents.example.com"],
    "PUBLIC_BASE_URL": "https://agents.example.com",
    "REDIS_URL": "redis://redis",
}


@pytest.fixture
def safe(settings, monkeypatch, tmp_path):
    settings.DATA_DIR = tmp_path
    for name, value in SAFE.items():
        setattr(settings, name, value)
    monkeypatch.setenv("SECRET_KEY", SAFE["SECRET_KEY"])
    monkeypatch.setenv("ENCRYPTION_KEYS", SAFE["ENCRYPTION_KEYS"][0])
    monkeypatch.delenv("WEB_CONCURRENCY", raising=False)
    monkeypatch.setattr(checks, "connection", SimpleNamespace(vendor="postgresql"))
    return settings


def ids(address=PUBLIC, **options):
    return {message.id.removeprefix("switchboard.") for message in checks.before_serving(address, **options)}


def test_a_server_set_up_for_production_has_nothing_to_complain_of(safe):
    assert ids() == set()


@pytest.mark.parametrize(
    ("setting", "value", "found"),
    [
        ("SECRET_KEY", "short", "E002"),
        ("SECRET_KEY", "change-me-" * 5, "E002"),
        ("SECRET_KEY", "django-insecure-k3J-9fQz7wXv2LmP0sTbYhRcDgUeNaViOx", "E002"),
        ("SECRET_KEY", "a" * 60, "E002"),
        ("DEBUG", True, "E003"),
        ("ALLOWED_HOSTS", ["*"], "E004"),
        ("ENCRYPTION_KEYS", ["not-a-key"], "E001"),
        ("ENCRYPTION_KEYS", [], "E001"),
        ("CHAT_UNKNOWN_MODEL", "lenient", "E009"),
        ("CONVERSATION_BUSY", "wait", "E010"),
        ("PUBLIC_BASE_URL", "", "W001"),
        ("PUBLIC_BASE_URL", "http://agents.example.com", "W002"),
        ("REDIS_URL", "", "W003"),
    ],
)
def test_each_unsafe_setting_is_found(safe, setting, value, found):
    setattr(safe, setting, value)
    assert ids() == {found}


def test_a_database_in_a_file_is_warned_of(safe, monkeypatch):
    monkeypatch.setattr(checks, "connection", SimpleNamespace(vendor="sqlite"))
    assert ids() == {"W004"}


def test_wildcard_cors_with_credentials_is_found(safe):
    safe.CORS_ALLOW_ALL_ORIGINS, safe.CORS_ALLOW_CREDENTIALS = True, True
    assert ids() == {"E005"}


def test_several_processes_need_redis(safe, monkeypatch):
    monkeypatch.setenv("WEB_CONCURRENCY", "4")
    assert ids() == set()
    safe.REDIS_URL = ""
    assert ids() == {"E006", "W003"}


def test_a_second_process_without_redis_is_warned_of(safe, tmp_path):
    """R12.4: nothing is shared by two processes then."""
    (tmp_path / "owners").mkdir()
    with (tmp_path / "owners" / "another").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert ids() == set()
        safe.REDIS_URL, safe.PRODUCTION = "", False
        assert ids(LOCAL) == {"W006"}
    assert ids(LOCAL) == set()


def test_keys_that_live_on_one_machine_only_are_warned_of(safe, monkeypatch):
    monkeypatch.delenv("SECRET_KEY")
    assert ids() == {"W005"}


def test_a_named_but_missing_static_key_is_found(safe, monkeypatch):
    monkeypatch.setenv("CHAT_API_KEY_ENV", "NO_SUCH_KEY")
    safe.CHAT_API_KEY = ""
    assert ids() == {"E008"}


def test_on_this_machine_alone_development_settings_are_fine(safe):
    safe.PRODUCTION, safe.DEBUG, safe.SECRET_KEY, safe.PUBLIC_BASE_URL, safe.REDIS_URL = False, True, "short", "", ""
    assert ids(LOCAL) == set()


def test_an_anonymous_server_needs_its_host_check_also_on_this_machine(safe):
    """OAI-8: nothing else keeps a web page from reaching it by DNS rebinding."""
    safe.PRODUCTION, safe.ALLOWED_HOSTS = False, ["*"]
    assert ids(LOCAL) == set()
    assert ids(LOCAL, anonymous=True) == {"E004"}


def test_serving_other_machines_without_production_settings_is_refused_in_one_sentence(safe):
    safe.PRODUCTION = False
    with pytest.raises(CommandError, match=r"0\.0\.0\.0:8000 can be reached from other machines.*Set PRODUCTION=true") as refused:
        serve._refuse(PUBLIC)
    assert refused.value.returncode == 2


def test_errors_stop_the_start_and_warnings_are_said(safe, capsys):
    safe.PUBLIC_BASE_URL = ""
    serve._refuse(PUBLIC)
    assert "PUBLIC_BASE_URL is not set" in capsys.readouterr().err
    safe.DEBUG = True
    with pytest.raises(CommandError, match="DEBUG is on"):
        serve._refuse(PUBLIC)


def test_an_unset_public_base_url_is_warned_of_by_a_system_check(safe):
    """R0.10."""
    safe.PUBLIC_BASE_URL = ""
    assert "switchboard.W001" in {message.id for message in run_checks(tags=["security"])}


def test_check_deploy_lists_everything(safe):
    safe.DEBUG = True
    found = {message.id for message in run_checks(tags=["security"], include_deployment_checks=True)}
    assert "switchboard.E003" in found
