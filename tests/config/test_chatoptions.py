"""OAI-6, OAI-7, OAI-8: options of `serve_chat` override the environment; what would make an open server is refused."""

from types import SimpleNamespace

import pytest
from django.core.management import get_commands, load_command_class

from config import chatoptions

SITE = SimpleNamespace(CHAT_API_KEY="", CHAT_CORS_ORIGIN="", CHAT_CONVERSATIONS_MAX=10_000)


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    for name in ("CHAT_API_KEY", "CHAT_API_KEY_ENV", "CHAT_LISTEN", "CHAT_CONVERSATIONS_MAX"):
        monkeypatch.delenv(name, raising=False)


def parsed(*arguments):
    command = load_command_class(get_commands()["serve_chat"], "serve_chat")
    return vars(command.create_parser("manage.py", "serve_chat").parse_args(arguments))


def settings(*arguments, site=SITE):
    options = parsed(*arguments)
    return chatoptions.settings_for(options, chatoptions.listen(options), site)


def refused(*arguments):
    with pytest.raises(chatoptions.OptionError) as error:
        settings(*arguments)
    return str(error.value)


def test_it_listens_on_loopback_port_8083_by_default_and_callers_need_no_key():
    assert str(chatoptions.listen(parsed())) == "127.0.0.1:8083"
    assert settings()["CHAT_ANONYMOUS"] is True
    assert settings()["CHAT_WIRE_ONLY"] is True


def test_an_option_wins_over_the_environment(monkeypatch):
    monkeypatch.setenv("CHAT_LISTEN", "127.0.0.1:9000")
    assert str(chatoptions.listen(parsed())) == "127.0.0.1:9000"
    assert str(chatoptions.listen(parsed("-l", "[::1]:9001"))) == "[::1]:9001"


@pytest.mark.parametrize("address", ["0.0.0.0:8083", "[::]:8083", "10.0.0.5:8083"])
def test_on_any_other_address_callers_need_a_key(address):
    assert settings("--listen", address)["CHAT_ANONYMOUS"] is False


def test_with_a_static_key_nobody_is_anonymous(monkeypatch):
    monkeypatch.setenv("MY_KEY", "from-variable")
    for arguments, key in ((("--api-key", "given"), "given"), (("--api-key-env", "MY_KEY"), "from-variable")):
        made = settings(*arguments)
        assert (made["CHAT_API_KEY"], made["CHAT_ANONYMOUS"]) == (key, False)
    monkeypatch.setenv("CHAT_API_KEY_ENV", "MY_KEY")
    assert settings()["CHAT_API_KEY"] == "from-variable"
    assert settings(site=SimpleNamespace(**{**vars(SITE), "CHAT_API_KEY": "of-the-site"}))["CHAT_API_KEY"] == "from-variable"


def test_a_key_variable_that_is_unset_or_empty_is_refused(monkeypatch):
    monkeypatch.setenv("EMPTY", " ")
    assert "'NO_SUCH' is not set" in refused("--api-key-env", "NO_SUCH")
    assert refused("--api-key-env", "EMPTY").startswith("--api-key-env")
    assert refused("--api-key-env", "").startswith("--api-key-env")
    assert refused("--api-key", "").startswith("--api-key")
    monkeypatch.setenv("CHAT_API_KEY_ENV", "NO_SUCH")
    assert refused().startswith("CHAT_API_KEY_ENV")


def test_two_keys_are_refused(monkeypatch):
    monkeypatch.setenv("MY_KEY", "x")
    assert refused("--api-key", "x", "--api-key-env", "MY_KEY") == "--api-key and --api-key-env cannot be used together"


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--listen", "8083"),
        ("--cors-origin", "example.com"),
        ("--cors-origin", "~("),
        ("--max-request-size", "1MB"),
        ("--request-timeout", "5 minutes"),
        ("--conversation-ttl", "x"),
    ],
)
def test_a_bad_value_is_refused_with_the_options_name(option, value):
    assert refused(option, value).startswith(f"{option}: ")


def test_sizes_and_durations_have_suffixes_and_zero_means_the_default():
    made = settings("--max-request-size", "2MiB", "--request-timeout", "1h30m", "--conversation-ttl", "90")
    assert (made["CHAT_MAX_REQUEST_SIZE"], made["CHAT_REQUEST_TIMEOUT"], made["CHAT_CONVERSATION_TTL"]) == (2 * 1_048_576, 5400, 90)
    made = settings("--max-request-size", "0", "--request-timeout", "-1", "--conversation-ttl", "0s")
    assert (made["CHAT_MAX_REQUEST_SIZE"], made["CHAT_REQUEST_TIMEOUT"], made["CHAT_CONVERSATION_TTL"]) == (1_048_576, 300, 1800)


def test_conversations_are_off_unless_asked_for_and_negative_means_off(monkeypatch):
    assert settings()["CHAT_CONVERSATIONS_MAX"] == 0
    assert settings("--conversations-max", "50")["CHAT_CONVERSATIONS_MAX"] == 50
    assert settings("--conversations-max=-3", "--max-idle-runtimes=-1")["CHAT_CONVERSATIONS_MAX"] == 0
    assert settings("--max-idle-runtimes=-1")["CHAT_MAX_IDLE_RUNTIMES"] == 0
    monkeypatch.setenv("CHAT_CONVERSATIONS_MAX", "10000")
    assert settings()["CHAT_CONVERSATIONS_MAX"] == 10_000


def test_cors_is_that_of_the_openai_wire_and_can_be_switched_off():
    site = SimpleNamespace(**{**vars(SITE), "CHAT_CORS_ORIGIN": "*"})
    made = settings(site=site)
    assert (made["CORS_ALLOW_ALL_ORIGINS"], made["CORS_ALLOW_METHODS"]) == (True, ["GET", "POST", "OPTIONS"])
    assert settings("--cors-origin", "", site=site)["WIRE_MIDDLEWARE"] == []
    assert "CORS_ALLOW_ALL_ORIGINS" not in settings()
