"""What logs hold and what they never hold: R1.7, R0.9, R3.4."""

import asyncio
import io
import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from config import logs

Lines = Callable[[], list[dict[str, Any]]]
KEY = "sk-" + "Ab3_" * 11
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJ1c2VyX2lkIjoxfQ.c2lnbmF0dXJl"
TOKEN = "Qm3vX8kLp2Rt5wYz7aBcDeFgHiJkN0sU"


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[Lines]:
    """Logging as in production, into memory; returns the lines so far."""
    stream = io.StringIO()
    kept = logging.getLogger().handlers
    with monkeypatch.context() as patch:
        patch.setattr("sys.stderr", stream)
        logs.configure({"level": "INFO", "format": "json"})
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    logs.configure(settings.LOGGING)
    logging.getLogger().handlers = kept


async def test_one_line_per_request(lines: Lines) -> None:
    logs.log_request("POST", "/chat/run", 200, 12.345, "req_1", "192.0.2.7")
    await asyncio.sleep(0)
    told = lines()
    assert len(told) == 1
    del told[0]["timestamp"]
    assert told[0] == {
        "event": "request",
        "method": "POST",
        "path": "/chat/run",
        "status": 200,
        "duration_ms": 12.3,
        "request_id": "req_1",
        "address": "192.0.2.7",
        "level": "info",
    }


async def test_lines_of_requests_that_end_together_keep_their_order(lines: Lines) -> None:
    for number in range(3):
        logs.log_request("GET", f"/{number}", 200, 1, "req_1", "192.0.2.7")
    await asyncio.sleep(0)
    assert [line["path"] for line in lines()] == ["/0", "/1", "/2"]


class Full(io.StringIO):
    """A standard error that takes nothing for a while."""

    takes = False

    def write(self, text: str) -> int:
        if not self.takes:
            raise OSError("No space left on device")
        return super().write(text)


async def test_lines_that_cannot_be_written_are_not_kept() -> None:
    stream = Full()
    write = logs._json_lines(stream)
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
    for number in range(3):
        write({"event": f"lost {number}"})
        await asyncio.sleep(0)
    stream.takes = True
    write({"event": "there again"})
    await asyncio.sleep(0)
    assert [json.loads(line)["event"] for line in stream.getvalue().splitlines()] == ["there again"]


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        (f"/chat/{TOKEN}", "/chat/Qm3vX8…"),
        (f"/api/public/chat/{TOKEN}", "/api/public/chat/Qm3vX8…"),
        (f"/api/public/executions/{TOKEN}/0b5c1f7e/status", "/api/public/executions/Qm3vX8…/0b5c1f7e/status"),
        (f"/api/webhooks/{TOKEN}kJ8sW2vQx0Z", "/api/webhooks/Qm3vX8…"),
        ("/chat/run", "/chat/run"),
        (f"/chat/stream/{TOKEN}", f"/chat/stream/{TOKEN}"),
        ("/api/agents/support/chat", "/api/agents/support/chat"),
    ],
)
async def test_tokens_in_paths_are_cut_to_six_characters(lines: Lines, path: str, shown: str) -> None:
    """R1.7."""
    logs.log_request("GET", path, 200, 1, "req_1", "192.0.2.7")
    await asyncio.sleep(0)
    logging.getLogger("switchboard").warning("about %s", path)
    assert [line.get("path", line["event"]) for line in lines()] == [shown, f"about {shown}"]


def test_no_secret_and_no_query_string(lines: Lines) -> None:
    """R1.7, R0.9: in messages, fields and tracebacks, from our loggers and from libraries."""
    logger = logging.getLogger("some.library")
    logger.error("GET /ws?token=%s with Bearer %s", JWT, KEY)
    structlog.get_logger("ours").info("told", header=f"authorization: Bearer {JWT}", key=KEY)
    try:
        raise ValueError(f"cannot use {KEY}")
    except ValueError:
        logger.exception("failed")
    told = lines()
    assert len(told) == 3
    for secret in (JWT, KEY, "token="):
        assert secret not in json.dumps(told)
    assert told[0]["event"] == "GET /ws with Bearer [redacted]"
    assert "cannot use [redacted]" in told[2]["exception"]


@pytest.mark.parametrize("name", ["uvicorn.access", "daphne.access", "django.server"])
def test_other_access_logs_are_silent(lines: Lines, name: str) -> None:
    logging.getLogger(name).info('"GET /ws?api_key=%s"', KEY)
    assert lines() == []


def test_a_bad_setting_stops_the_start() -> None:
    """R12.1."""
    for bad in ({"level": "LOUD", "format": "json"}, {"level": "INFO", "format": "xml"}):
        with pytest.raises(ImproperlyConfigured, match="LOG_"):
            logs.configure(bad)
