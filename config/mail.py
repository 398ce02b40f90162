"""EMAIL_URL as Django's mail settings: how codes reach the visitors of public links."""

from typing import Any
from urllib.parse import unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured

TIMEOUT_S = 10
_BACKENDS = "django.core.mail.backends."
_PORTS = {"smtp": 25, "smtp+starttls": 587, "smtps": 465}
_FORMS = "smtp://, smtp+starttls:// or smtps:// with user:password@host:port, or console:, or file:///folder"


def settings_of(url: str, *, production: bool) -> dict[str, Any]:
    """The EMAIL_… settings. Without a URL, mails go to the terminal; in production they are not sent then, for logs are no place for codes.

    Raises ImproperlyConfigured.
    """
    parts = urlsplit(url or ("none:" if production else "console:"))
    if parts.scheme in _PORTS and parts.hostname:
        return {
            "EMAIL_BACKEND": f"{_BACKENDS}smtp.EmailBackend",
            "EMAIL_HOST": parts.hostname,
            "EMAIL_PORT": _port(parts.netloc) or _PORTS[parts.scheme],
            "EMAIL_HOST_USER": unquote(parts.username or ""),
            "EMAIL_HOST_PASSWORD": unquote(parts.password or ""),
            "EMAIL_USE_TLS": parts.scheme == "smtp+starttls",
            "EMAIL_USE_SSL": parts.scheme == "smtps",
            "EMAIL_TIMEOUT": TIMEOUT_S,
        }
    if parts.scheme == "file" and parts.path:
        return {"EMAIL_BACKEND": f"{_BACKENDS}filebased.EmailBackend", "EMAIL_FILE_PATH": parts.path}
    if parts.scheme in ("console", "none"):
        return {"EMAIL_BACKEND": f"{_BACKENDS}{'console' if parts.scheme == 'console' else 'dummy'}.EmailBackend"}
    raise ImproperlyConfigured(f"EMAIL_URL must be {_FORMS}")


def _port(netloc: str) -> int | None:
    try:
        return urlsplit(f"//{netloc}").port
    except ValueError as error:
        raise ImproperlyConfigured("EMAIL_URL: the port is not a number") from error
