"""The OpenAI-compatible client against a real HTTP server on loopback."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web

from agents.providers import build, http, openai_compatible
from agents.providers.base import Finish, ProviderError, Refusal, Text, ToolDefinition, Usage
from agents.specs import ProviderSpec, Sampling
from tests.agents.providers.asking import Answer, Fake, answer_to, request_for

WEATHER = ToolDefinition(
    name="get_weather",
    description="Weather of a city.",
    parameters={"type": "object", "properties": {"city": {"type": "string"}}},
    strict=True,
)


async def until(seen: Callable[[], bool]) -> None:
    """Waits for what must happen by itself (R6.1)."""
    async with asyncio.timeout(30):
        while not seen():  # noqa: ASYNC110  the server is not ours to signal
            await asyncio.sleep(0.005)


async def test_an_answer_is_streamed_with_its_usage_and_finish(fake: Fake) -> None:
    answer = await fake.ask({"text": "Hello there, friend", "delay_ms": 2})
    assert answer.error is None
    assert answer.text() == "Hello there, friend"
    assert answer.reads > 1
    assert answer.usage == Usage(input_tokens=412, output_tokens=9, cache_read_tokens=256)
    assert answer.finish is not None
    assert (answer.finish.reason, answer.finish.model) == ("stop", "fake")


async def test_a_hundred_chunks_in_one_write_are_few_deltas(fake: Fake) -> None:
    answer = await fake.ask({"chunks": 100, "burst": True})
    assert answer.text() == "tok " * 100
    assert len([delta for delta in answer.deltas if isinstance(delta, Text)]) <= 3


async def test_tool_calls_refusals_and_reasoning_arrive(fake: Fake) -> None:
    called = await fake.ask(
        {"reasoning": "I need a tool", "tools": [{"name": "get_weather", "arguments": {"city": "Oslo"}}, {"name": "clock"}]}
    )
    assert [(name, arguments) for _, name, arguments in called.calls] == [("get_weather", '{"city":"Oslo"}'), ("clock", "{}")]
    assert called.finish is not None
    assert called.finish.reason == "tool_calls"
    refused = await fake.ask({"refusal": "I can't."})
    assert refused.text(Refusal) == "I can't."


async def test_the_body_holds_everything_that_was_asked_for(fake: Fake) -> None:
    format_ = {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object"}}}
    sampling = Sampling(
        temperature=0.5, top_p=0.9, max_tokens=64, stop=("END",), presence_penalty=0.1, frequency_penalty=0.2, seed=7,
        logit_bias={"50256": -100}, reasoning_effort="low", verbosity="low",
    )  # fmt: skip
    image = [{"type": "text", "text": "What is it?"}, {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}]
    await fake.ask(
        messages=[{"role": "system", "content": "Be kind."}, {"role": "user", "content": image}],
        tools=(WEATHER,),
        tool_choice={"type": "function", "function": {"name": "get_weather"}},
        parallel_tool_calls=False,
        sampling=sampling,
        response_format=format_,
    )
    assert fake.body == {
        "model": "fake",
        "stream": True,
        "stream_options": {"include_usage": True},
        "temperature": 0.5,
        "top_p": 0.9,
        "max_tokens": 64,
        "stop": ["END"],
        "presence_penalty": 0.1,
        "frequency_penalty": 0.2,
        "seed": 7,
        "logit_bias": {"50256": -100},
        "reasoning_effort": "low",
        "verbosity": "low",
        "tools": [
            {
                "type": "function",
                "function": {"name": "get_weather", "description": "Weather of a city.", "parameters": WEATHER.parameters, "strict": True},
            }
        ],
        "tool_choice": {"type": "function", "function": {"name": "get_weather"}},
        "parallel_tool_calls": False,
        "response_format": format_,
        "messages": [{"role": "system", "content": "Be kind."}, {"role": "user", "content": image}],
    }


async def test_a_plain_request_asks_for_nothing_more(fake: Fake) -> None:
    await fake.ask("Hi")
    assert set(fake.body) == {"model", "stream", "stream_options", "messages"}


async def test_what_the_model_does_not_know_is_left_out(fake: Fake) -> None:
    """OAI-15"""
    sampling = Sampling(temperature=1, seed=3, max_tokens=5)
    await fake.ask(sampling=sampling, response_format={"type": "json_object"}, unsupported=("temperature", "max_tokens", "response_format"))
    assert set(fake.body) == {"model", "stream", "stream_options", "seed", "messages"}


async def test_options_add_to_the_body_and_name_the_output_limit(fake: Fake) -> None:
    spec = fake.spec(options={"body": {"provider": {"sort": "price"}}, "max_tokens_field": "max_completion_tokens"})
    await fake.ask(spec=spec, sampling=Sampling(max_tokens=5))
    assert (fake.body["provider"], fake.body["max_completion_tokens"]) == ({"sort": "price"}, 5)
    assert "max_tokens" not in fake.body


def test_only_openai_itself_has_the_new_name_of_the_output_limit() -> None:
    spec = ProviderSpec(id="o", name="o", kind="openai_compatible")
    request = request_for(spec, sampling=Sampling(max_tokens=5))
    assert b'"max_completion_tokens":5' in openai_compatible.build(spec)._body(request, True)


async def test_the_key_and_extra_headers_are_sent_and_nothing_surprising(fake: Fake) -> None:
    await fake.ask(spec=fake.spec(api_key="sk-secret", headers={"X-Team": "ops"}))
    headers = fake.seen.requests[-1]["headers"]
    assert (headers["authorization"], headers["x-team"], headers["user-agent"]) == ("Bearer sk-secret", "ops", "Switchboard")
    assert "cookie" not in headers
    await fake.ask(spec=fake.spec())
    assert "authorization" not in fake.seen.requests[-1]["headers"]


@pytest.mark.parametrize(
    ("script", "kind"),
    [
        ({"status": 401}, "auth"),
        ({"status": 429, "retry_after": "7"}, "rate_limit"),
        ({"status": 500}, "overloaded"),
        ({"status": 404}, "bad_request"),
        ({"status": 302}, "bad_request"),
        ({"status": 400, "error": {"error": {"code": "context_length_exceeded", "message": "too long"}}}, "context_length"),
        ({"text": "Half", "cut": True}, "network"),
        ({"text": "Half", "garbage": True}, "invalid"),
        ({"text": "Half", "error": {"error": {"code": 503, "message": "gone"}}}, "overloaded"),
    ],
)
async def test_failures_are_classified(fake: Fake, script: dict[str, Any], kind: str) -> None:
    answer = await fake.ask(script)
    assert answer.error is not None
    assert answer.error.kind == kind
    assert answer.text() == script.get("text", "")
    assert answer.error.retry_after_s == (7 if "retry_after" in script else None)


async def test_a_burst_that_is_cut_keeps_its_text(fake: Fake) -> None:
    """R9.1: what was said before the connection broke is kept, though both arrived together."""
    answer = await fake.ask({"text": "Half an answer", "cut": True, "burst": True})
    assert answer.error is not None
    assert (answer.error.kind, answer.text()) == ("network", "Half an answer")


async def test_a_server_that_is_not_there_is_a_network_failure(fake: Fake, unused_tcp_port: int) -> None:
    answer = await fake.ask(spec=fake.spec(base_url=f"http://127.0.0.1:{unused_tcp_port}/v1"))
    assert answer.error is not None
    assert answer.error.kind == "network"


async def test_an_address_that_is_none_is_not_retried(fake: Fake) -> None:
    answer = await fake.ask(spec=fake.spec(base_url="nonsense"))
    assert answer.error is not None
    assert answer.error.kind == "bad_request"


SILENCES: dict[str, dict[str, Any]] = {
    "never answers": {"hang": True},
    "headers too late": {"slow_headers_ms": 60_000},
    "no first token": {"text": "", "stall": True},
    "silence in the middle": {"text": "Half", "stall": True},
}


@pytest.mark.parametrize("name", SILENCES)
async def test_silence_ends_in_a_timeout_and_closes_the_connection(fake: Fake, name: str) -> None:
    first_token_timeout_s = 10 if "Half" in SILENCES[name].values() else 0.15
    answer = await fake.ask(SILENCES[name], fake.spec(first_token_timeout_s=first_token_timeout_s, idle_timeout_s=0.1))
    assert answer.error is not None
    assert (answer.error.kind, answer.text()) == ("timeout", SILENCES[name].get("text", ""))
    await until(lambda: fake.seen.stats["disconnects"] == 1 and fake.seen.stats["open"] == 0)


async def test_a_slow_answer_that_keeps_coming_never_times_out(fake: Fake) -> None:
    answer = await fake.ask({"chunks": 12, "delay_ms": 100}, fake.spec(first_token_timeout_s=1, idle_timeout_s=1))
    assert (answer.error, answer.text()) == (None, "tok " * 12)


async def test_time_our_own_reader_takes_is_not_the_providers(fake: Fake) -> None:
    answer = await ask_slowly(fake.spec(idle_timeout_s=0.5), {"chunks": 24, "delay_ms": 60}, 0.7)
    assert answer.text() == "tok " * 24
    assert answer.finish is not None


async def test_what_arrived_before_a_cut_is_read_by_a_slow_reader_too(fake: Fake) -> None:
    """R9.1: the connection broke while nobody was reading."""
    answer = await ask_slowly(fake.spec(), {"chunks": 4, "delay_ms": 10, "cut": True}, 0.1)
    assert answer.error is not None
    assert (answer.error.kind, answer.text()) == ("network", "tok " * 4)


async def ask_slowly(spec: ProviderSpec, script: dict[str, Any], pause_s: float) -> Answer:
    answer = Answer([])
    try:
        async for deltas in build(spec).stream(request_for(spec, script)):
            answer.deltas += deltas
            await asyncio.sleep(pause_s)
    except ProviderError as error:
        answer.error = error
    return answer


@pytest.mark.parametrize("script", [{"endless": True}, {"text": "Half", "stall": True}])
async def test_closing_the_iterator_closes_the_upstream_connection(fake: Fake, script: dict[str, Any]) -> None:
    """R6.1"""
    request = request_for(fake.spec(), script)
    async with aclosing(build(request.model.provider).stream(request)) as reads:
        await anext(reads)
        assert fake.seen.stats["open"] == 1
    await until(lambda: fake.seen.stats["disconnects"] == 1 and fake.seen.stats["open"] == 0)


@pytest.mark.parametrize("script", [{"hang": True}, {"endless": True}])
async def test_cancelling_the_task_closes_the_upstream_connection(fake: Fake, script: dict[str, Any]) -> None:
    """R6.5"""
    task = asyncio.create_task(fake.ask(script))
    await until(lambda: fake.seen.stats["open"] == 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: fake.seen.stats["disconnects"] == 1 and fake.seen.stats["open"] == 0)


async def test_a_finished_answer_leaves_its_connection_for_the_next(fake: Fake) -> None:
    for _ in range(3):
        await fake.ask({"chunks": 3, "delay_ms": 1})
    await until(lambda: http.pools.get().idle_connections() == 1)


async def test_stream_options_are_left_out_where_they_are_refused(fake: Fake) -> None:
    first = await fake.ask({"no_stream_options": True})
    assert (first.error, first.text()) == (None, "Hello! How can I help?")
    assert fake.seen.stats["requests"] == 2
    await fake.ask({"no_stream_options": True})
    assert fake.seen.stats["requests"] == 3
    assert "stream_options" not in fake.body


@pytest.mark.parametrize("script", [{"crlf": True}, {"comments": True}, {"done": False}, {"usage_everywhere": True}, {"whole": True}])
async def test_odd_servers_are_understood(fake: Fake, script: dict[str, Any]) -> None:
    answer = await fake.ask({**script, "text": "Hello there"})
    assert (answer.error, answer.text()) == (None, "Hello there")
    assert answer.usage == Usage(input_tokens=412, output_tokens=9, cache_read_tokens=256)


async def test_models_are_listed_sorted(fake: Fake) -> None:
    assert await build(fake.spec()).models() == ["fake", "fake-mini"]


async def serve(handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> tuple[web.AppRunner, ProviderSpec]:
    """A server of one handler, for what the fake upstream would never send."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return runner, ProviderSpec(id="s", name="s", kind="openai_compatible", base_url=f"http://127.0.0.1:{runner.addresses[0][1]}/v1")


async def test_a_redirect_is_not_followed_with_the_key() -> None:
    async def redirect(_: web.Request) -> web.Response:
        return web.Response(status=307, headers={"Location": "http://127.0.0.1:9/"})

    runner, spec = await serve(redirect)
    answer = await answer_to(request_for(spec))
    await runner.cleanup()
    assert answer.error is not None
    assert answer.error.kind == "bad_request"


async def test_a_huge_error_page_is_read_in_part_only() -> None:
    async def page(_: web.Request) -> web.Response:
        return web.Response(status=502, body=b"x" * 10_000_000)

    runner, spec = await serve(page)
    answer = await answer_to(request_for(spec))
    await runner.cleanup()
    assert answer.error is not None
    assert (answer.error.kind, len(answer.error.detail)) == ("overloaded", 2000)


@pytest.mark.parametrize("broken", [True, False], ids=["broken", "silent"])
async def test_after_the_reason_to_stop_nothing_can_go_wrong(broken: bool) -> None:
    """The answer is complete, though neither usage nor [DONE] ever come."""

    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b'data: {"choices":[{"delta":{"content":"All"},"finish_reason":"length"}]}\n\n')
        assert request.transport is not None
        if broken:
            request.transport.abort()
        else:
            await asyncio.sleep(30)
        return response

    runner, spec = await serve(handler)
    answer = await answer_to(request_for(replace(spec, idle_timeout_s=0.1)))
    await runner.cleanup()
    assert (answer.error, answer.text(), answer.finish) == (None, "All", Finish("length"))


async def test_an_endless_error_page_is_not_read_to_its_end() -> None:
    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(status=500)
        await response.prepare(request)
        while True:
            await response.write(b"x" * 16_384)
            await asyncio.sleep(0.001)

    runner, spec = await serve(endless)
    async with asyncio.timeout(30):
        answer = await answer_to(request_for(spec))
    await runner.cleanup()
    assert answer.error is not None
    assert answer.error.kind == "overloaded"


def test_tools_are_encoded_once_and_forgotten_in_the_end() -> None:
    tools = (WEATHER,)
    assert openai_compatible._encoded(tools) is openai_compatible._encoded(tools)
    for _ in range(openai_compatible.MAX_CACHED_TOOLS + 10):
        openai_compatible._encoded((WEATHER, WEATHER))
    assert len(openai_compatible._tools) == openai_compatible.MAX_CACHED_TOOLS


@pytest.mark.parametrize(("text", "names"), [('[{"id": "b"}, {"id": "a"}]', ["a", "b"]), ('{"data": []}', [])])
async def test_lists_of_models_are_read_in_both_forms(text: str, names: list[str]) -> None:
    runner, spec = await serve(listing(text))
    assert await build(spec).models() == names
    await runner.cleanup()


@pytest.mark.parametrize("text", ["<html>", '{"models": []}', "[1]"])
async def test_what_is_no_list_of_models_is_refused(text: str) -> None:
    runner, spec = await serve(listing(text))
    with pytest.raises(ProviderError) as raised:
        await build(spec).models()
    await runner.cleanup()
    assert raised.value.kind == "invalid"


def listing(text: str) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def handler(_: web.Request) -> web.StreamResponse:
        return web.Response(text=text)

    return handler


async def test_connections_are_kept_per_loop_and_close(fake: Fake) -> None:
    await fake.ask("Hi")
    first = http.pools.get()
    assert first.idle_connections() == 1
    await http.close()
    await until(lambda: first.idle_connections() == 0)
    assert http.pools.get() is not first


def test_connections_close_with_their_loop() -> None:
    async def opened() -> Any:
        return http.pools.get()

    asyncio.run(opened())
    assert not http.pools._values
