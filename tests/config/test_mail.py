"""EMAIL_URL: how codes reach visitors."""

from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from config.mail import settings_of

SMTP = "django.core.mail.backends.smtp.EmailBackend"


def told(url: str, production: bool = False) -> dict[str, Any]:
    return settings_of(url, production=production)


@pytest.mark.parametrize(
    ("url", "host", "port", "tls", "ssl"),
    [
        ("smtp://mail.example.com", "mail.example.com", 25, False, False),
        ("smtp+starttls://mail.example.com", "mail.example.com", 587, True, False),
        ("smtps://mail.example.com:2465", "mail.example.com", 2465, False, True),
        ("smtp://[2001:db8::1]:26", "2001:db8::1", 26, False, False),
    ],
)
def test_mail_servers(url: str, host: str, port: int, tls: bool, ssl: bool) -> None:
    found = told(url)
    assert found["EMAIL_BACKEND"] == SMTP
    assert (found["EMAIL_HOST"], found["EMAIL_PORT"], found["EMAIL_USE_TLS"], found["EMAIL_USE_SSL"]) == (host, port, tls, ssl)
    assert found["EMAIL_TIMEOUT"] == 10


def test_credentials_may_hold_any_character() -> None:
    found = told("smtps://me%40example.com:p%2Fa%3Ass@mail.example.com")
    assert (found["EMAIL_HOST_USER"], found["EMAIL_HOST_PASSWORD"]) == ("me@example.com", "p/a:ss")


def test_without_a_server_codes_are_printed_but_never_in_production() -> None:
    """A log is no place for codes."""
    assert told("")["EMAIL_BACKEND"].endswith("console.EmailBackend")
    assert told("", production=True)["EMAIL_BACKEND"].endswith("dummy.EmailBackend")
    assert told("console:", production=True)["EMAIL_BACKEND"].endswith("console.EmailBackend")
    assert told("file:///var/mails")["EMAIL_FILE_PATH"] == "/var/mails"


@pytest.mark.parametrize("url", ["mail.example.com", "smtp://", "http://mail.example.com", "smtp://host:port", "file://"])
def test_what_is_no_such_address_stops_the_start(url: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="EMAIL_URL"):
        told(url)
