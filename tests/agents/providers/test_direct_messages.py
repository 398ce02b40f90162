"""What Anthropic and Google are sent for a Chat Completions request."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from agents.providers.base import ToolDefinition
from agents.specs import Sampling
from tests.agents.providers.vendors import Vendor, claude, gemini, vendor

PNG = "data:image/png;base64,iVBORw0KGgo="
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER = ToolDefinition(name="get_weather", description="Weather of a city.", parameters=CITY)
CLOCK = ToolDefinition(name="clock")
FORMAT = {"type": "json_schema", "json_schema": {"name": "place", "schema": CITY}}


def called(*call_ids: str) -> dict[str, Any]:
    calls = [{"id": each, "type": "function", "function": {"name": "get_weather", "arguments": '{"city":"Oslo"}'}} for each in call_ids]
    return {"role": "assistant", "content": "I look", "tool_calls": calls}


def returned(call_id: str) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": call_id, "content": "-3"}


TALK = [
    {"role": "system", "content": "Be kind."},
    {"role": "developer", "content": "Answer in French."},
    {"role": "user", "content": [{"type": "text", "text": "Look"}, {"type": "image_url", "image_url": {"url": PNG}}]},
    called("a", "b"),
    returned("a"),
    returned("b"),
    {"role": "user", "content": "Well?"},
]


@pytest.fixture
async def anthropic() -> AsyncIterator[Vendor]:
    async with vendor("anthropic") as fake:
        fake.frames = claude("Hello")
        yield fake


@pytest.fixture
async def google() -> AsyncIterator[Vendor]:
    async with vendor("google") as fake:
        fake.frames = gemini("Hello")
        yield fake


async def test_claude_is_sent_the_whole_conversation(anthropic: Vendor) -> None:
    await anthropic.ask(messages=TALK, tools=(WEATHER,))
    assert anthropic.body["system"] == "Be kind.\n\nAnswer in French."
    user, assistant, results = anthropic.body["messages"]
    assert [part["type"] for part in user["content"]] == ["text", "image"]
    assert user["content"][1]["source"] == {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}
    assert [part.get("text") or (part["id"], part["input"]) for part in assistant["content"]] == [
        "I look",
        ("a", {"city": "Oslo"}),
        ("b", {"city": "Oslo"}),
    ]
    assert [part.get("tool_use_id") or part["text"] for part in results["content"]] == ["a", "b", "Well?"]
    assert anthropic.body["tools"] == [{"name": "get_weather", "description": "Weather of a city.", "input_schema": CITY}]


async def test_gemini_is_sent_the_whole_conversation(google: Vendor) -> None:
    await google.ask(messages=TALK, tools=(WEATHER,))
    assert [part["text"] for part in google.body["systemInstruction"]["parts"]] == ["Be kind.", "Answer in French."]
    user, model, *rest = google.body["contents"]
    assert user["parts"] == [{"text": "Look"}, {"inlineData": {"data": "iVBORw0KGgo=", "mime_type": "image/png"}}]
    assert [part.get("text") or part["functionCall"]["id"] for part in model["parts"]] == ["I look", "a", "b"]
    parts = [part for content in rest for part in content["parts"]]
    assert [part.get("text") or part["functionResponse"]["id"] for part in parts] == ["a", "b", "Well?"]


async def test_claude_is_sent_what_it_knows_of_the_sampling(anthropic: Vendor) -> None:
    sampling = Sampling(temperature=1.7, top_p=0.9, max_tokens=64, stop=("END",), seed=3)
    await anthropic.ask(
        model="claude-3-haiku-20240307", sampling=sampling, tools=(WEATHER,), tool_choice="required", parallel_tool_calls=False
    )
    body = anthropic.body
    assert (body["temperature"], body["top_p"], body["max_tokens"], body["stop_sequences"]) == (1, 0.9, 64, ["END"])
    assert body["tool_choice"] == {"type": "any", "disable_parallel_tool_use": True}


async def test_gemini_is_sent_what_it_knows_of_the_sampling(google: Vendor) -> None:
    sampling = Sampling(temperature=1.7, top_p=0.9, max_tokens=64, stop=("END",), seed=3, presence_penalty=0.1, frequency_penalty=0.2)
    named = {"type": "function", "function": {"name": "clock"}}
    await google.ask(sampling=sampling, tools=(WEATHER, CLOCK), tool_choice=named)
    config = google.body["generationConfig"]
    assert (config["temperature"], config["topP"], config["maxOutputTokens"], config["stopSequences"]) == (1.7, 0.9, 64, ["END"])
    assert (config["seed"], config["presencePenalty"], config["frequencyPenalty"]) == (3, 0.1, 0.2)
    assert google.body["toolConfig"]["functionCallingConfig"] == {"mode": "ANY", "allowedFunctionNames": ["clock"]}


async def test_what_the_model_does_not_know_is_left_out(google: Vendor) -> None:
    """OAI-15"""
    await google.ask(sampling=Sampling(temperature=1, seed=3), unsupported=("temperature", "response_format"), response_format=FORMAT)
    config = google.body["generationConfig"]
    assert (config.get("temperature"), config["seed"], config.get("responseJsonSchema")) == (None, 3, None)


@pytest.mark.parametrize(("effort", "thinking"), [("none", {"type": "disabled"}), ("high", {"type": "adaptive"}), (None, None)])
async def test_reasoning_effort_is_claudes_thinking(anthropic: Vendor, effort: Any, thinking: Any) -> None:
    await anthropic.ask(sampling=Sampling(reasoning_effort=effort))
    assert anthropic.body.get("thinking") == thinking


async def test_settings_of_the_operator_are_added(anthropic: Vendor) -> None:
    await anthropic.ask(spec=anthropic.spec(options={"settings": {"anthropic_metadata": {"user_id": "u"}, "max_tokens": 7}}))
    assert (anthropic.body["metadata"], anthropic.body["max_tokens"]) == ({"user_id": "u"}, 7)


async def test_a_format_is_handed_over_natively_where_possible(anthropic: Vendor, google: Vendor) -> None:
    """OAI-32"""
    await anthropic.ask(response_format=FORMAT)
    assert anthropic.body["output_config"]["format"]["schema"]["required"] == ["city"]
    assert "system" not in anthropic.body
    await google.ask(response_format=FORMAT)
    assert google.body["generationConfig"]["responseJsonSchema"]["required"] == ["city"]


async def test_a_format_is_an_instruction_elsewhere(anthropic: Vendor, google: Vendor) -> None:
    """OAI-32"""
    await anthropic.ask(model="claude-3-haiku-20240307", response_format=FORMAT)
    assert '"required": ["city"]' in str(anthropic.body["system"])
    await google.ask(tools=(WEATHER,), response_format=FORMAT)
    assert '"required": ["city"]' in str(google.body["systemInstruction"])
    await google.ask(response_format={"type": "json_object"})
    assert google.body["generationConfig"]["responseMimeType"] == "application/json"


async def test_thoughts_go_back_with_the_results_of_their_calls(anthropic: Vendor) -> None:
    anthropic.frames = claude(("thinking", "Hmm", "signed"), ("tool", "call_7", "get_weather", '{"city":"Oslo"}'), stop="tool_use")
    thinking = Sampling(reasoning_effort="high")
    await anthropic.ask(tools=(WEATHER,), sampling=thinking)
    await anthropic.ask(
        messages=[{"role": "user", "content": "Hi"}, called("call_7"), returned("call_7")], tools=(WEATHER,), sampling=thinking
    )
    thought, *others = anthropic.body["messages"][1]["content"]
    assert thought == {"type": "thinking", "thinking": "Hmm", "signature": "signed"}
    assert [part["type"] for part in others] == ["text", "tool_use"]
    assert anthropic.body["thinking"] == {"type": "adaptive"}


async def test_when_thoughts_are_forgotten_the_model_goes_on_without_thinking(anthropic: Vendor) -> None:
    """Another process took the turn over: Claude refuses thinking whose earlier half is missing."""
    talk = [{"role": "user", "content": "Hi"}, called("call_of_yesterday"), returned("call_of_yesterday")]
    await anthropic.ask(messages=talk, tools=(WEATHER,), sampling=Sampling(reasoning_effort="high"))
    assert "thinking" not in anthropic.body
    assert [part["type"] for part in anthropic.body["messages"][1]["content"]] == ["text", "tool_use"]


async def test_gemini_gets_its_signatures_back(google: Vendor) -> None:
    google.frames = gemini(
        {"functionCall": {"id": "call_8", "name": "get_weather", "args": {"city": "Oslo"}}, "thoughtSignature": "c2lnbmVk"}
    )
    await google.ask(tools=(WEATHER,))
    await google.ask(messages=[{"role": "user", "content": "Hi"}, called("call_8"), returned("call_8")], tools=(WEATHER,))
    call = google.body["contents"][1]["parts"][-1]
    assert (call["functionCall"]["id"], call["thoughtSignature"]) == ("call_8", "c2lnbmVk")


async def test_remote_images_go_to_claude_and_are_refused_for_gemini(anthropic: Vendor, google: Vendor) -> None:
    """OAI-23, R11.4: nobody fetches them here."""
    talk = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://example.com/cat.png"}}]}]
    await anthropic.ask(messages=talk)
    assert anthropic.body["messages"][0]["content"][0]["source"] == {"type": "url", "url": "https://example.com/cat.png"}
    for fake, spec in ((google, google.spec()), (anthropic, anthropic.spec(fetches_urls=False))):
        fake.asked.clear()
        answer = await fake.ask(messages=talk, spec=spec)
        assert answer.error is not None
        assert (answer.error.kind, answer.error.detail, fake.asked) == ("bad_request", "this provider does not fetch image URLs", [])


async def test_files_and_sound_are_sent_as_they_are(google: Vendor) -> None:
    parts = [
        {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERg=="}},
        {"type": "input_audio", "input_audio": {"data": "SUQz", "format": "mp3"}},
    ]
    await google.ask(messages=[{"role": "user", "content": parts}])
    sent = [part["inlineData"] for part in google.body["contents"][0]["parts"]]
    assert sent == [{"data": "JVBERg==", "mime_type": "application/pdf"}, {"data": "SUQz", "mime_type": "audio/mpeg"}]


async def test_sound_is_no_language_of_claude(anthropic: Vendor) -> None:
    parts = [{"type": "input_audio", "input_audio": {"data": "SUQz", "format": "mp3"}}]
    answer = await anthropic.ask(messages=[{"role": "user", "content": parts}])
    assert answer.error is not None
    assert (answer.error.kind, anthropic.asked) == ("bad_request", [])
