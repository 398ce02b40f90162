"""Anthropic and Google, each against a loopback fake of its own API: what both must do."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import pytest

from agents.providers import build
from agents.providers.base import ProviderError, Reasoning, Text, ToolDefinition
from agents.specs import Sampling
from tests.agents.providers.asking import request_for
from tests.agents.providers.vendors import MODELS, STALL, Vendor, claude, gemini, vendor

WEATHER = ToolDefinition(
    name="get_weather",
    description="Weather of a city.",
    parameters={"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
)
CLOCK = ToolDefinition(name="clock")


@pytest.fixture(params=["anthropic", "google"])
async def fake(request: pytest.FixtureRequest) -> AsyncIterator[Vendor]:
    async with vendor(request.param) as made:
        yield made


def says(fake: Vendor, text: str, ended: bool = True) -> list[Any]:
    """An answer of this vendor; not ended: without a reason to stop."""
    return claude(text, stop="end_turn" if ended else None) if fake.kind == "anthropic" else gemini(text, finish="STOP" if ended else None)


def calls(fake: Vendor) -> list[Any]:
    if fake.kind == "anthropic":
        return claude(("tool", "call_1", "get_weather", '{"city": "Oslo"}'), ("tool", "call_2", "clock", ""), stop="tool_use")
    made = [
        {"functionCall": {"id": "call_1", "name": "get_weather", "args": {"city": "Oslo"}}},
        {"functionCall": {"id": "call_2", "name": "clock", "args": {}}},
    ]
    return gemini(*made)


async def test_text_is_streamed_with_usage_and_finish(fake: Vendor) -> None:
    fake.frames = says(fake, "Hello there")
    answer = await fake.ask()
    assert (answer.error, answer.text()) == (None, "Hello there")
    assert answer.usage is not None
    assert (answer.usage.input_tokens, answer.usage.output_tokens, answer.usage.cache_read_tokens) == (16, 9, 4)
    assert answer.finish is not None
    assert (answer.finish.reason, answer.finish.model) == ("stop", MODELS[fake.kind])


async def test_tool_calls_are_streamed(fake: Vendor) -> None:
    fake.frames = calls(fake)
    answer = await fake.ask(tools=(WEATHER, CLOCK))
    (first, second) = answer.calls
    assert (first[0], first[1], first[2].replace(" ", "")) == ("call_1", "get_weather", '{"city":"Oslo"}')
    assert (second[0], second[1]) == ("call_2", "clock")
    assert answer.finish is not None
    assert answer.finish.reason == "tool_calls"


async def test_a_stream_without_a_reason_to_stop_was_cut(fake: Vendor) -> None:
    fake.frames = says(fake, "Half", ended=False)
    answer = await fake.ask()
    assert answer.error is not None
    assert (answer.error.kind, answer.text()) == ("network", "Half")


async def test_garbage_is_invalid(fake: Vendor) -> None:
    fake.frames = [*says(fake, "Half", ended=False), b"event: content_block_delta\r\ndata: {nope}\r\n\r\n"]
    answer = await fake.ask()
    assert answer.error is not None
    assert (answer.error.kind, answer.text()) == ("invalid", "Half")


@pytest.mark.parametrize("began", [True, False])
async def test_silence_ends_in_a_timeout_and_closes_the_connection(fake: Vendor, began: bool) -> None:
    fake.frames = [*(says(fake, "Half", ended=False) if began else []), STALL]
    answer = await fake.ask(spec=fake.spec(first_token_timeout_s=10 if began else 0.5, idle_timeout_s=0.1))
    assert answer.error is not None
    assert (answer.error.kind, answer.text()) == ("timeout", "Half" * began)
    await left(fake)


async def test_closing_the_iterator_closes_the_upstream_connection(fake: Vendor) -> None:
    """R6.1"""
    fake.frames = [*says(fake, "Half", ended=False), STALL]
    request = request_for(fake.spec(), model=MODELS[fake.kind])
    async with aclosing(build(fake.spec()).stream(request)) as reads:
        assert isinstance((await anext(reads))[0], Text)
        assert fake.open == 1
    await left(fake)


async def test_cancelling_the_task_closes_the_upstream_connection(fake: Vendor) -> None:
    """R6.5"""
    fake.frames = [STALL]
    task = asyncio.create_task(fake.ask())
    async with asyncio.timeout(30):
        while not fake.open:  # noqa: ASYNC110  the server is not ours to signal
            await asyncio.sleep(0.005)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await left(fake)


async def left(fake: Vendor) -> None:
    async with asyncio.timeout(30):
        while not fake.left or fake.open:  # noqa: ASYNC110  the server is not ours to signal
            await asyncio.sleep(0.005)


REFUSALS: dict[str, list[tuple[int, str, str, str]]] = {
    "anthropic": [
        (400, "invalid_request_error", "max_tokens: too large", "bad_request"),
        (400, "invalid_request_error", "prompt is too long: 3 tokens > 2", "context_length"),
        (400, "invalid_request_error", "Your credit balance is too low", "auth"),
        (400, "invalid_request_error", "Output blocked by content policy", "content_filter"),
        (401, "authentication_error", "invalid x-api-key", "auth"),
        (403, "permission_error", "no", "auth"),
        (404, "not_found_error", "model: x", "bad_request"),
        (413, "request_too_large", "too large", "context_length"),
        (429, "rate_limit_error", "slow down", "rate_limit"),
        (500, "api_error", "boom", "overloaded"),
        (529, "overloaded_error", "Overloaded", "overloaded"),
    ],
    "google": [
        (400, "INVALID_ARGUMENT", "temperature", "bad_request"),
        (400, "INVALID_ARGUMENT", "The input token count (3) exceeds the maximum", "context_length"),
        (401, "UNAUTHENTICATED", "no key", "auth"),
        (403, "PERMISSION_DENIED", "no", "auth"),
        (404, "NOT_FOUND", "models/x is not found", "bad_request"),
        (429, "RESOURCE_EXHAUSTED", "slow down", "rate_limit"),
        (500, "INTERNAL", "boom", "overloaded"),
        (503, "UNAVAILABLE", "The model is overloaded", "overloaded"),
    ],
}


def refuse(fake: Vendor, status: int, code: str, message: str) -> None:
    fake.status, fake.headers = status, {"retry-after": "3"}
    error = {"type": code, "message": message} if fake.kind == "anthropic" else {"code": status, "status": code, "message": message}
    fake.error = {"type": "error", "error": error}


async def test_refusals_are_classified_and_not_repeated(fake: Vendor) -> None:
    for status, code, message, kind in REFUSALS[fake.kind]:
        refuse(fake, status, code, message)
        asked = len(fake.asked)
        answer = await fake.ask()
        assert answer.error is not None
        assert (answer.error.kind, answer.error.retry_after_s) == (kind, 3), message
        assert len(fake.asked) == asked + 1


async def test_a_server_that_is_not_there_is_a_network_failure(fake: Vendor, unused_tcp_port: int) -> None:
    answer = await fake.ask(spec=fake.spec(base_url=f"http://127.0.0.1:{unused_tcp_port}"))
    assert answer.error is not None
    assert answer.error.kind == "network"


async def test_a_part_that_cannot_be_sent_is_a_bad_request(fake: Vendor) -> None:
    answer = await fake.ask(messages=[{"role": "user", "content": [{"type": "hologram"}]}])
    assert answer.error is not None
    assert (answer.error.kind, fake.asked) == ("bad_request", [])


async def test_the_key_and_extra_headers_are_sent(fake: Vendor) -> None:
    fake.frames = says(fake, "Hi")
    await fake.ask(spec=fake.spec(headers={"X-Team": "ops"}))
    headers = {name.lower(): value for name, value in fake.asked[-1][1].items()}
    assert headers["x-team"] == "ops"
    assert "sk-vendor" in (headers.get("authorization", "") + headers.get("x-goog-api-key", ""))


async def test_without_a_key_none_is_taken_from_the_environment(fake: Vendor, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "GOOGLE_API_KEY", "GEMINI_API_KEY"):
        monkeypatch.setenv(name, "sk-of-the-environment")
    fake.frames = says(fake, "Hi")
    answer = await fake.ask(spec=fake.spec(api_key=""))
    assert answer.text() == "Hi"
    assert "sk-of-the-environment" not in str(fake.asked)


async def test_the_base_url_may_end_in_its_version(fake: Vendor) -> None:
    fake.frames = says(fake, "Hi")
    assert (await fake.ask(spec=fake.spec(base_url=f"{fake.url}/v1/"))).text() == "Hi"
    path = {"anthropic": "/v1/messages", "google": "/v1beta/models/"}[fake.kind]
    assert fake.asked[-1][0].startswith(path)


async def test_models_are_listed_sorted(fake: Vendor) -> None:
    names = [{"id": "b", "name": "models/b"}, {"id": "a", "name": "models/a", "supportedGenerationMethods": ["generateContent"]}]
    fake.listing = {"data": names, "models": [*names, {"name": "models/embedding", "supportedGenerationMethods": ["embedContent"]}]}
    assert await build(fake.spec()).models() == ["a", "b"]
    fake.listing = {"something": "else"}
    with pytest.raises(ProviderError) as raised:
        await build(fake.spec()).models()
    assert raised.value.kind == "invalid"
    refuse(fake, 401, "x", "no key")
    with pytest.raises(ProviderError) as raised:
        await build(fake.spec()).models()
    assert raised.value.kind == "auth"


async def test_reasoning_is_told_apart_from_text(fake: Vendor) -> None:
    thought = [("thinking", "Hmm", "sig")] if fake.kind == "anthropic" else [{"text": "Hmm", "thought": True}]
    fake.frames = (claude if fake.kind == "anthropic" else gemini)(*thought, "Hello")
    answer = await fake.ask()
    assert (answer.text(Reasoning), answer.text(Text)) == ("Hmm", "Hello")


@pytest.mark.parametrize("limit", [True, False])
async def test_the_output_limit_is_a_finish_reason(fake: Vendor, limit: bool) -> None:
    stop = ("max_tokens", "MAX_TOKENS") if limit else ("refusal", "SAFETY")
    fake.frames = claude("Hel", stop=stop[0]) if fake.kind == "anthropic" else gemini("Hel", finish=stop[1])
    answer = await fake.ask(sampling=Sampling(max_tokens=3))
    assert answer.finish is not None
    assert answer.finish.reason == ("length" if limit else "content_filter")


def test_importing_the_providers_imports_no_sdk() -> None:
    code = (
        "import sys, agents.providers.anthropic, agents.providers.google, agents.providers.chain\n"
        "from agents.specs import ProviderSpec\n"
        "for kind in agents.providers.PROVIDERS: agents.providers.build(ProviderSpec(id='x', name='x', kind=kind))\n"
        "print([name for name in ('pydantic_ai', 'anthropic', 'google.genai', 'openai', 'tenacity', 'yaml') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
