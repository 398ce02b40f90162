"""R12.1: what the environment says is read with its units, and what nobody could mean stops the start with the variable's name."""

from ipaddress import ip_network

import pytest
from django.core.exceptions import ImproperlyConfigured

from config import env


@pytest.mark.parametrize(
    ("said", "bytes_meant"), [("1048576", 1_048_576), ("512KiB", 524_288), ("10MiB", 10_485_760), ("0", 7), ("-5", 7), ("", 7)]
)
def test_sizes(monkeypatch, said, bytes_meant):
    monkeypatch.setenv("A_SIZE", said)
    assert env.size("A_SIZE", 7) == bytes_meant


@pytest.mark.parametrize(("said", "seconds"), [("90", 90), ("90s", 90), ("5m", 300), ("1h30m", 5400), ("0s", 7), ("-5", 7), ("", 7)])
def test_durations(monkeypatch, said, seconds):
    monkeypatch.setenv("A_DURATION", said)
    assert env.duration("A_DURATION", 7) == seconds


def test_networks(monkeypatch):
    monkeypatch.setenv("PROXIES", "10.1.2.3/8, ::1")
    assert env.networks("PROXIES") == [ip_network("10.0.0.0/8"), ip_network("::1/128")]


def test_addresses(monkeypatch):
    monkeypatch.setenv("STORE", "redis://:secret@store:6379/0")
    assert env.url("STORE", "redis", "unix") == "redis://:secret@store:6379/0"
    assert env.url("NO_SUCH_VARIABLE", "redis") == ""


@pytest.mark.parametrize(
    ("read", "said"),
    [
        (lambda: env.size("BAD", 1), "10 MB"),
        (lambda: env.duration("BAD", 1), "5y"),
        (lambda: env.integer("BAD", 1), "many"),
        (lambda: env.flag("BAD"), "perhaps"),
        (lambda: env.networks("BAD"), "10.0.0.0/33"),
        (lambda: env.networks("BAD"), "proxy.lan"),
        (lambda: env.url("BAD", "http", "https"), "agents.example.com"),
        (lambda: env.url("BAD", "http", "https"), "https://"),
        (lambda: env.url("BAD", "redis"), "http://store"),
    ],
)
def test_what_nobody_could_mean(monkeypatch, read, said):
    monkeypatch.setenv("BAD", said)
    with pytest.raises(ImproperlyConfigured, match="BAD"):
        read()


def test_a_refusal_does_not_repeat_a_password(monkeypatch):
    monkeypatch.setenv("BAD", "redis:/:hunter22@store")
    with pytest.raises(ImproperlyConfigured) as refused:
        env.url("BAD", "redis")
    assert "hunter22" not in str(refused.value)


def test_a_database_that_vanished_is_noticed_unless_the_operator_says_when(tmp_path):
    options = env.database("postgres://owner@db.example.com/site?tcp_user_timeout=20000&sslmode=require", tmp_path)["OPTIONS"]
    assert (options["keepalives_idle"], options["tcp_user_timeout"], options["sslmode"]) == (30, "20000", "require")
