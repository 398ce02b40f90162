"""OAI-68, OAI-16: bodies as well-known clients send them, odd keys and nulls included, are answered and reach the model clean."""

from typing import Any

import httpx2 as httpx
import pytest

from tests.support.server import Server
from tests.support.upstream import FakeUpstream
from tests.wire import openaiwire
from tests.wire.openaiwire import WEATHER, ask, user

pytestmark = pytest.mark.live

CALL = {"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": '{"city": "Oslo"}'}}
RESULT = {"role": "tool", "tool_call_id": "call_1", "content": "-3"}
NOTHING = (
    "frequency_penalty", "presence_penalty", "logit_bias", "logprobs", "top_logprobs", "max_tokens", "max_completion_tokens", "n", "stop",
    "seed", "tools", "tool_choice", "parallel_tool_calls", "functions", "function_call", "response_format", "reasoning_effort", "verbosity",
    "user", "metadata", "modalities", "audio", "prediction", "service_tier", "store", "stream_options", "web_search_options",
)  # fmt: skip
BODIES: dict[str, dict[str, Any]] = {
    "Open WebUI": {
        "messages": [{"role": "system", "content": "Be brief."}, *user("Hello"), {"role": "assistant", "content": "Hi"}, *user("Again")],
        "chat_id": "c1", "id": "m1", "session_id": "s1", "background_tasks": {"title_generation": True}, "features": {"web_search": False},
        "files": None, "params": {}, "tool_ids": None, "tool_servers": [],
        "variables": {"{{USER_NAME}}": "owner"}, "model_item": {"id": "root"},
        "stream_options": {"include_usage": True}, "keep_alive": "5m", "options": {"num_ctx": 4096},
    },
    "LibreChat": {
        "messages": [{"role": "user", "name": "owner", "content": [{"type": "text", "text": "Hello"}]}],
        "user": "65f0", "temperature": 1, "top_p": 1, "presence_penalty": 0, "frequency_penalty": 0, "stop": None, "max_tokens": 1024,
    },
    "LiteLLM": {"messages": user("Hello"), **dict.fromkeys(NOTHING), "drop_params": True, "litellm_metadata": {}, "num_retries": 2},
    "Vercel AI SDK": {
        "messages": [
            {"role": "developer", "content": "Be brief."}, {"role": "user", "content": [{"type": "text", "text": "Weather?"}]},
            {"role": "assistant", "content": "", "tool_calls": [CALL]}, RESULT,
        ],
        "tools": [WEATHER], "tool_choice": "auto", "reasoning_effort": None, "prompt_cache_key": "k", "safety_identifier": "s",
        "store": False, "service_tier": "auto", "max_completion_tokens": 500,
    },
    "LangChain": {
        "messages": [
            {"role": "system", "content": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}]},
            {"role": "user", "content": "Weather?"},
            {"role": "assistant", "content": None, "tool_calls": [CALL], "refusal": None, "annotations": [], "audio": None},
            {**RESULT, "name": "get_weather", "content": [{"type": "text", "text": "-3"}]},
        ],
        "tools": [{**WEATHER, "function": {**WEATHER["function"], "strict": None, "description": None}}],
        "tool_choice": {"type": "function", "function": {"name": "get_weather"}}, "parallel_tool_calls": False, "n": 1, "seed": 7,
        "logprobs": False, "metadata": {"thread": "t1"}, "modalities": ["text"],
    },
}  # fmt: skip
ASKED_OF_MODELS = {
    "model", "messages", "stream", "stream_options", "temperature", "top_p", "max_tokens", "max_completion_tokens", "presence_penalty",
    "frequency_penalty", "seed", "tools", "tool_choice", "parallel_tool_calls",
}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def agents(server: Server) -> None:
    openaiwire.prepare(server)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("name", BODIES)
def test_bodies_of_known_clients(client: httpx.Client, upstream: FakeUpstream, name: str, stream: bool) -> None:
    fields = dict(BODIES[name])
    answer = ask(client, fields.pop("messages"), **fields, stream=stream)
    assert answer.status_code == 200, answer.text
    assert '"finish_reason":"stop"' in answer.text
    assert set(upstream.last["body"]) <= ASKED_OF_MODELS


def test_retries_of_the_sdks_are_only_invited_where_they_help(client: httpx.Client, upstream: FakeUpstream) -> None:
    """OAI-70, R3.5: they repeat 409, 429 and 5xx by themselves, unless told not to."""
    away = ask(client, upstream.script(status=503))
    assert (away.status_code, "x-should-retry" in away.headers) == (503, False)
    assert int(away.headers["retry-after"]) >= 1
    conversation, key = {"X-Conversation-Id": "clients-retry"}, {"Idempotency-Key": "clients-retry"}
    assert ask(client, "Hello", headers={**conversation, **key}).status_code == 200
    assert ask(client, "Hello", headers={**conversation, **key, "x-stainless-retry-count": "1"}).headers["idempotent-replayed"] == "true"
