"""The environment of tests: what a developer has set for a server of their own must not leak into them."""

from collections.abc import Mapping, MutableMapping

# fmt: off
OURS = frozenset((
    "ALLOWED_HOSTS", "ALLOW_PRIVATE_ADDRESSES", "ANTHROPIC_API_KEY", "APPROVAL_SECONDS", "CELERY_BROKER_URL", "CONVERSATION_BUSY",
    "DATABASE_URL", "DATA_DIR", "DEBUG", "DJANGO_SETTINGS_MODULE", "EMAIL_FROM", "EMAIL_URL", "EMBEDDED_WORKER", "ENCRYPTION_KEYS",
    "GEMINI_API_KEY",
    "GOOGLE_API_KEY", "LOG_FORMAT", "LOG_LEVEL", "METRICS_TOKEN", "OLLAMA_HOST", "OPENAI_API_KEY", "OPENAI_BASE_URL", "PRODUCTION",
    "PUBLIC_BASE_URL", "PUBLIC_SESSION_TTL", "REDIS_URL", "REMOTE_FILE_HOSTS", "RUN_CACHE_TTL",
    "SECRET_KEY", "SHUTDOWN_SECONDS", "TIME_ZONE", "TRUSTED_PROXIES",
))
# fmt: on
PREFIXES = ("CHAT_", "JWT_", "PROVIDER_", "UPLOAD_", "WORKER_", "WS_")
PATIENT = {"PROVIDER_CIRCUIT_FAILURES": "0"}
"""Tests share a provider, and many have it fail: it is never left alone, but where a test says so."""
ON_SERVICES = {"TEST_DATABASE_URL": "DATABASE_URL", "TEST_REDIS_URL": "REDIS_URL"}
"""In-process tests run on a real PostgreSQL or Redis where the run names one in these."""


def cleaned(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment for a server, without any variable that configures Switchboard."""
    return {name: value for name, value in environ.items() if name not in OURS and not name.startswith(PREFIXES)} | PATIENT


def prepare(environ: MutableMapping[str, str], data_dir: str) -> None:
    """Makes `environ` that of in-process tests, before the settings are read."""
    kept = cleaned(environ)
    for name in set(environ) - set(kept):
        del environ[name]
    environ["DATA_DIR"] = data_dir
    environ.update({ours: environ[theirs] for theirs, ours in ON_SERVICES.items() if environ.get(theirs)})
