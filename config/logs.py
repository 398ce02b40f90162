"""Logs: one line per request and whatever the code says, as JSON or for a terminal, on standard error.

Query strings, tokens in paths and secrets never reach them (R1.7, R0.9): every line passes redacted().
"""

import asyncio
import logging
import re
import sys
from collections.abc import Callable, Mapping, MutableMapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, TextIO

import orjson
from django.apps import apps
from django.core.exceptions import ImproperlyConfigured

from config.lean import leaving_out

with leaving_out("rich", "twisted"):  # structlog's prettier tracebacks and Twisted's own logger
    import structlog
    from structlog.typing import EventDict, Processor, WrappedLogger

_TOKEN_IN_PATH = re.compile(
    r"(/api/public/(?:link|chat|history|session|executions)/|/api/webhooks/|/attachment/(?!v1/)|/chat/(?=[\w-]{20}))([^/?\s\"']{6})[^/?\s\"']+"
)
_QUERY = re.compile(r"(/[^\s\"'?]*)\?[^\s\"']+")
_KEY = re.compile(r"\bsk-[A-Za-z0-9_-]{40,}|\beyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+|(?<=[Bb]earer )\S+")
_SILENT = ("uvicorn.access", "daphne.access", "django.server")
"""log_request() says it already."""
_TALKATIVE = ("celery.worker.strategy", "celery.app.trace")
"""They say twice of every call that it was made; what came of it stands in the runs."""
FORMATS = ("json", "console")

_access: Callable[[dict[str, Any]], None] | None = None


def configure(options: Mapping[str, Any]) -> None:
    """Django calls it at start with settings.LOGGING: `{"level": "INFO", "format": "json" | "console"}`."""
    global _access
    if options["format"] not in FORMATS or options["level"] not in logging.getLevelNamesMapping():
        given = f"got {options['format']} and {options['level']}"
        raise ImproperlyConfigured(f"LOG_FORMAT must be {' or '.join(FORMATS)}, LOG_LEVEL a level's name like INFO: {given}")
    render = _renderer(options["format"])
    _configure_stdlib(options["level"], render)
    structlog.configure(
        processors=[*_COMMON, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    listening = logging.getLevelNamesMapping()[options["level"]] <= logging.INFO
    _access = None if not listening else _json_lines(sys.stderr) if options["format"] == "json" else _rendered_lines(sys.stderr, render)


def log_request(method: str, path: str, status: int, duration_ms: float, request_id: str, address: str) -> None:
    """The one line of a request; `path` is without its query string."""
    if _access is not None:
        _access(
            {
                "event": "request",
                "method": method,
                "path": shown_path(path),
                "status": status,
                "duration_ms": round(duration_ms, 1),
                "request_id": request_id,
                "address": address,
                "level": "info",
            }
        )


def _json_lines(stream: TextIO) -> Callable[[dict[str, Any]], None]:
    """What structlog would write, in a tenth of the time: every request pays for it. Those that end together are written together."""
    lines: list[bytes] = []

    def write(event: dict[str, Any]) -> None:
        event["timestamp"] = datetime.now(UTC)
        lines.append(orjson.dumps(event, option=orjson.OPT_UTC_Z | orjson.OPT_APPEND_NEWLINE))
        asyncio.get_running_loop().call_soon(flush)

    def flush() -> None:
        if lines:
            text = b"".join(lines).decode()
            lines.clear()  # also those that cannot be written
            stream.write(text)
            stream.flush()

    return write


def _rendered_lines(stream: TextIO, render: Processor) -> Callable[[dict[str, Any]], None]:
    logger = structlog.wrap_logger(structlog.WriteLogger(stream), processors=[_stamp, render])
    return lambda event: logger.info(**event)


@lru_cache(maxsize=256)
def shown_path(path: str) -> str:
    """Tokens that are part of a path are recorded as their first 6 characters."""
    return _without_tokens(path)


def _without_tokens(text: str) -> str:
    return _TOKEN_IN_PATH.sub(r"\1\2…", text)


def redacted(text: str) -> str:
    """The text without keys, JWTs, query strings, tokens in paths and the secrets this site is configured with."""
    text = _KEY.sub("[redacted]", _QUERY.sub(r"\1", _without_tokens(text)))
    if not apps.ready:
        return text
    from agents import directory

    return directory.current().scrubber.text(text)


def _redact(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    for name, value in event.items():
        if isinstance(value, str) and name not in ("level", "timestamp", "logger"):
            event[name] = redacted(value)
    return event


_stamp = structlog.processors.TimeStamper(fmt="iso", utc=True)
_COMMON: list[Processor] = [
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.PositionalArgumentsFormatter(),
    _stamp,
]


def _renderer(form: str) -> Processor:
    if form == "json":
        return structlog.processors.JSONRenderer(serializer=_json)
    return structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback)


def _json(event: MutableMapping[str, Any], **_: Any) -> str:
    return orjson.dumps(event, default=str, option=orjson.OPT_NON_STR_KEYS).decode()


def _configure_stdlib(level: str, render: Processor) -> None:
    """Every stdlib logger ends in one handler; Django's own handlers and other access logs are taken away."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=_COMMON,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                _redact,
                render,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    logging.getLogger("django").handlers.clear()
    logging.getLogger("django.request").setLevel(logging.ERROR)
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)
    for name in _SILENT:
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = False
