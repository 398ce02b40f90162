"""The official Python SDK drives our agents (OAI-71)."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Literal

import openai
import pytest
from openai.types.chat import ChatCompletionToolUnionParam
from pydantic import BaseModel

from tests.support import clients
from tests.support.server import Server
from tests.support.upstream import FakeUpstream
from tests.support.waiting import early_in_the_minute
from tests.wire import openaiwire
from tests.wire.openaiwire import WEATHER, user

pytestmark = pytest.mark.live
TOOLS: list[ChatCompletionToolUnionParam] = [WEATHER]
CALL = [{"name": "get_weather", "arguments": {"city": "Oslo"}}]


class Answer(BaseModel):
    city: str
    mood: Literal["good", "bad"]


@pytest.fixture(scope="module", autouse=True)
def agents(any_server: Server) -> None:
    openaiwire.prepare(any_server)


@pytest.fixture
def sdk(any_server: Server) -> Iterator[openai.OpenAI]:
    with clients.sdk(any_server) as client:
        yield client


def test_models_are_listed(sdk: openai.OpenAI) -> None:
    """OAI-3: sorted, with their real times."""
    models = list(sdk.models.list())
    assert [model.id for model in models] == sorted(model.id for model in models)
    assert "root" in {model.id for model in models}
    assert all(model.object == "model" and model.owned_by == "switchboard" and model.created > 1_700_000_000 for model in models)


def test_a_model_is_retrieved(sdk: openai.OpenAI) -> None:
    """OAI-4."""
    assert sdk.models.retrieve("root").id == "root"
    with pytest.raises(openai.NotFoundError) as caught:
        sdk.models.retrieve("org/nobody")
    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")


def test_create(sdk: openai.OpenAI) -> None:
    """OAI-35, OAI-38."""
    answer = sdk.chat.completions.create(model="root", messages=user("Hello"))
    assert answer.choices[0].message.content == "Hello! How can I help?"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (412, 9, 421)
    assert answer.usage.prompt_tokens_details
    assert answer.usage.prompt_tokens_details.cached_tokens == 256


def test_create_streams_with_usage(sdk: openai.OpenAI) -> None:
    """OAI-44 … OAI-46."""
    options = {"include_usage": True}
    chunks = list(sdk.chat.completions.create(model="root", messages=user("Hello"), stream=True, stream_options=options))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks[:-1]) == "Hello! How can I help?"
    assert [chunk.usage for chunk in chunks[:-1]] == [None] * (len(chunks) - 1)
    assert chunks[-1].usage.total_tokens == 421
    assert len({(chunk.id, chunk.created) for chunk in chunks}) == 1


def test_the_stream_helper_with_text(sdk: openai.OpenAI) -> None:
    with sdk.chat.completions.stream(model="root", messages=user("Hello")) as stream:
        deltas = [event.delta for event in stream if event.type == "content.delta"]
    assert "".join(deltas) == "Hello! How can I help?" == stream.get_final_completion().choices[0].message.content


def test_the_stream_helper_with_client_tools(sdk: openai.OpenAI, upstream: FakeUpstream) -> None:
    """OAI-28, OAI-47: two calls at once, their arguments unchanged."""
    said = user(upstream.script(tools=[*CALL, {"name": "get_weather", "arguments": {"city": "Rome"}}]))
    with sdk.chat.completions.stream(model="root", messages=said, tools=TOOLS) as stream:
        done = [event for event in stream if event.type == "tool_calls.function.arguments.done"]
    final = stream.get_final_completion().choices[0]
    assert [event.arguments for event in done] == ['{"city":"Oslo"}', '{"city":"Rome"}']
    assert final.finish_reason == "tool_calls"
    assert final.message.tool_calls
    assert [call.function.name for call in final.message.tool_calls] == ["get_weather", "get_weather"]


def test_a_client_tool_is_answered(sdk: openai.OpenAI, upstream: FakeUpstream) -> None:
    """Section 6: the loop that every client writes."""
    said = user(upstream.script(tools=CALL, text="It is -3."))
    first = sdk.chat.completions.create(model="root", messages=said, tools=TOOLS).choices[0]
    assert (first.finish_reason, first.message.content) == ("tool_calls", None)
    said.append(first.message.model_dump(exclude_none=True))
    said.append({"role": "tool", "tool_call_id": first.message.tool_calls[0].id, "content": '{"c": -3}'})
    second = sdk.chat.completions.create(model="root", messages=said, tools=TOOLS).choices[0]
    assert (second.finish_reason, second.message.content) == ("stop", "It is -3.")
    roles = [message["role"] for message in upstream.last["body"]["messages"]]
    assert roles == ["user", "assistant", "tool"]


def test_parse_with_a_schema(sdk: openai.OpenAI) -> None:
    """OAI-31, OAI-32: also when the first answer has to be repaired."""
    for script in ("/demo json", "/demo json broken"):
        answer = sdk.chat.completions.parse(model="oai-fast", messages=user(script), response_format=Answer)
        assert isinstance(answer.choices[0].message.parsed, Answer)


def test_the_stream_helper_with_a_schema(sdk: openai.OpenAI) -> None:
    with sdk.chat.completions.stream(model="oai-fast", messages=user("/demo json"), response_format=Answer) as stream:
        parsed = stream.until_done().get_final_completion().choices[0].message.parsed
    assert isinstance(parsed, Answer)


def test_a_refusal_is_one(sdk: openai.OpenAI) -> None:
    """OAI-34: not validated, no error."""
    answer = sdk.chat.completions.parse(model="oai-fast", messages=user("/demo refusal I won't."), response_format=Answer)
    message = answer.choices[0].message
    assert (message.refusal, message.content, message.parsed) == ("I won't.", None, None)


def test_an_error_in_the_stream_is_raised(sdk: openai.OpenAI, upstream: FakeUpstream) -> None:
    """OAI-48."""
    said = user(upstream.script(chunks=3, cut=True))
    stream = sdk.chat.completions.create(model="root", messages=said, stream=True)
    seen: list[str] = []
    with pytest.raises(openai.APIError) as caught:
        seen.extend(chunk.choices[0].delta.content or "" for chunk in stream)
    assert caught.value.message == "The model provider is not available."
    assert caught.value.body == {
        "message": "The model provider is not available.",
        "type": "server_error",
        "param": None,
        "code": "provider_unavailable",
    }


def test_401_and_404_raise_their_classes(any_server: Server, sdk: openai.OpenAI) -> None:
    """OAI-59: with our message."""
    with (
        clients.sdk(any_server, api_key="sk-nobody") as nobody,
        pytest.raises(openai.AuthenticationError, match="missing or invalid bearer token"),
    ):
        nobody.models.list()
    with pytest.raises(openai.NotFoundError, match="The model `gpt-4` does not exist"):
        sdk.chat.completions.create(model="gpt-4", messages=user("Hello"))


def test_429_raises_its_class(new_server: Callable[..., Server]) -> None:
    """R14.3, OAI-59: with the wait that the SDK obeys, and the six headers."""
    slow = new_server(env={"CHAT_RATE_RPM": "1"})
    early_in_the_minute()
    with clients.sdk(slow) as sdk:
        sdk.chat.completions.create(model="root", messages=user("Hello"))
        with pytest.raises(openai.RateLimitError, match="Too many requests") as caught:
            sdk.chat.completions.create(model="root", messages=user("Hello"))
    headers = caught.value.response.headers
    assert (caught.value.code, caught.value.type) == ("rate_limit_exceeded", "requests")
    assert int(headers["retry-after"]) >= 1
    assert headers["x-ratelimit-remaining-requests"] == "0"
    slow.stop()


def test_the_async_client_streams(any_server: Server) -> None:
    """The other half of the SDK, with many at once."""

    async def all_at_once() -> list[str]:
        async with openai.AsyncOpenAI(base_url=f"{any_server.base_url}/v1", api_key=any_server.keys["owner"], max_retries=0) as client:
            return list(await asyncio.gather(*(said(client) for _ in range(20))))

    async def said(client: openai.AsyncOpenAI) -> str:
        stream = await client.chat.completions.create(model="root", messages=user("Hello"), stream=True)
        return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

    assert asyncio.run(all_at_once()) == ["Hello! How can I help?"] * 20
