"""Tool kind `http` against a real local server: outcomes, limits, and no secret in what comes back (R11.4, R0.9)."""

import logging
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
from asgiref.sync import sync_to_async

from agents.scrub import MASK
from agents.specs import ToolSpec
from agents.tools import http, kind_for
from agents.tools.base import ToolContext, ToolOutcome
from tests.support.website import DOCUMENT, website

CONTEXT = ToolContext(execution_id="e", agent_name="a")
SECRETS = {"token": "s3cret-token", "path": "hooks/T0/s3cret-path"}


@pytest.fixture
async def site(settings: Any) -> AsyncIterator[str]:
    """The base URL of a local website that may be reached."""
    settings.ALLOW_PRIVATE_ADDRESSES = ["127.0.0.1"]
    async with website() as running:
        yield str(running.make_url("/")).rstrip("/")


async def call(config: dict[str, Any], timeout_s: float = 5, **arguments: Any) -> ToolOutcome:
    spec = ToolSpec(name="t", kind="http", config=config, secrets=SECRETS, timeout_s=timeout_s)
    return await kind_for("http").call(spec, arguments, CONTEXT)


TOLD = {
    "method": "POST",
    "url": "/told/{id}",
    "query": {"q": "{q}"},
    "headers": {"Authorization": "Bearer {{secret:token}}"},
    "body": {"text": "{text}"},
    "parameters": {"type": "object", "properties": {"id": {}, "q": {}, "text": {}}, "required": ["id"]},
}


async def test_a_call_sends_what_the_template_says(site: str) -> None:
    outcome = await call({**TOLD, "url": site + "/told/{id}"}, id="a/b", q="x y", text="hello")
    assert not outcome.is_error
    assert (outcome.output["method"], outcome.output["path"]) == ("POST", "/told/a%2Fb?q=x%20y")
    assert orjson.loads(outcome.output["body"]) == {"text": "hello"}
    assert outcome.output["headers"]["User-Agent"] == "Switchboard"


async def test_a_secret_is_sent_and_masked_in_the_answer(site: str) -> None:
    config = {**TOLD, "url": site + "/told/{id}/{{secret:path}}", "query": {"k": "{{secret:token}}"}}
    outcome = await call(config, id="1")
    assert outcome.output["headers"]["Authorization"] == f"Bearer {MASK}"
    assert outcome.output["path"] == f"/told/1/{MASK}?k={MASK}"


async def test_a_secret_is_neither_in_failures_nor_in_the_log(site: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    gone = await call({**TOLD, "url": "http://127.0.0.1:9/{{secret:path}}"})
    refused = await call({**TOLD, "url": site + "/say?status=403", "body": "{{secret:token}}"})
    assert refused.output == {"status": 403, "body": f'"{MASK}"'}
    assert gone.output == "The server could not be reached."
    assert "s3cret" not in caplog.text


@pytest.mark.parametrize("status", [300, 304, 400, 404, 429, 500, 503])
async def test_any_status_but_2xx_is_an_error_with_the_beginning_of_the_body(site: str, status: int) -> None:
    outcome = await call({"method": "POST", "url": f"{site}/say?status={status}", "body": "x" * 5000})
    assert outcome.is_error
    assert outcome.output == {"status": status, "body": ('"' + "x" * 1999) if status != 304 else "null"}


@pytest.mark.parametrize("status", ["200", "201", "299"])
async def test_2xx_is_success(site: str, status: str) -> None:
    assert not (await call({"url": f"{site}/say", "query": {"status": status}})).is_error


@pytest.mark.parametrize(
    ("media_type", "body", "output"),
    [
        ("application/json", {"a": [1, "ü"]}, {"a": [1, "ü"]}),
        ("application/problem+json; charset=utf-8", [1], [1]),
        ("text/plain", {"a": 1}, '{"a":1}'),
        ("application/json", {"a": "\0"}, '{"a":"\\u0000"}'),
        ("text/plain; charset=latin-1", "ü", '"Ã¼"'),
        ("text/plain; charset=klingon", "u", "[3 bytes of text/plain, not shown]"),
        ("image/png", "u", "[3 bytes of image/png, not shown]"),
    ],
)
async def test_json_is_a_value_and_other_text_is_text(site: str, media_type: str, body: Any, output: Any) -> None:
    config = {"method": "POST", "url": f"{site}/say", "query": {"type": media_type}, "body": body}
    assert (await call(config)).output == output


async def test_json_that_is_nested_too_deep_stays_text(site: str) -> None:
    deep: Any = 1
    for _ in range(70):
        deep = [deep]
    outcome = await call({"method": "POST", "url": f"{site}/say?type=application/json", "body": deep})
    assert outcome.output == "[" * 70 + "1" + "]" * 70


async def test_an_empty_answer_is_nothing(site: str) -> None:
    assert await call({"url": f"{site}/say"}) == ToolOutcome(output=None)


async def test_a_long_answer_is_cut_with_a_note(site: str) -> None:
    outcome = await call({"url": f"{site}/endless", "max_bytes": 1000})
    assert outcome.output == "x" * 1000 + "\n[cut after 1000 bytes]"


async def test_the_default_limit_is_256_kib(site: str) -> None:
    assert (await call({"url": f"{site}/endless"})).output.endswith("x\n[cut after 262144 bytes]")


async def test_a_slow_server_is_an_outcome(site: str) -> None:
    assert await call({"url": f"{site}/slow"}, timeout_s=0.05) == ToolOutcome(output="The server did not answer in time.", is_error=True)


async def test_a_private_address_is_an_outcome_without_the_address(site: str) -> None:
    outcome = await call({"url": "http://127.0.0.2:1/admin"})
    assert outcome == ToolOutcome(output="This address may not be fetched.", is_error=True)


async def test_an_argument_that_makes_no_request_is_an_outcome(site: str) -> None:
    outcome = await call({**TOLD, "url": site + "/told/{id}"}, id="../admin")
    assert outcome.is_error
    assert "another path" in outcome.output


async def test_redirects_keep_secrets_with_their_origin(site: str, settings: Any) -> None:
    settings.ALLOW_PRIVATE_ADDRESSES = ["127.0.0.0/8"]
    elsewhere = site.replace("127.0.0.1", "localhost") + "/told/x"
    config = {**TOLD, "method": "GET", "url": site + "/redirect/302", "query": {"to": elsewhere}, "body": None}
    outcome = await call(config)
    assert "Authorization" not in outcome.output["headers"]


async def test_an_openapi_operation_is_called(site: str) -> None:
    document = {
        "openapi": "3.1.0",
        "servers": [{"url": site + "/told"}],
        "paths": {"/pets/{id}": {"get": {"operationId": "pet", "parameters": [{"name": "id", "in": "path", "required": True}]}}},
    }
    outcome = await call({"openapi": document, "operation": "pet"}, id=7)
    assert outcome.output["path"] == "/told/pets/7"


async def test_the_document_at_an_address_is_stored_at_save(site: str) -> None:
    config = await sync_to_async(http.prepare)({"openapi": f"{site}/openapi.json", "operation": "a"})
    assert config["openapi"] == orjson.loads(DOCUMENT)
    http.check(config)
    assert (await call(config, q="x")).output["path"] == "/told/a?q=x"


async def test_a_document_that_cannot_be_loaded_is_told_to_the_operator(site: str) -> None:
    with pytest.raises(ValueError, match="the server answered 404"):
        await sync_to_async(http.prepare)({"openapi": f"{site}/nothing-here"})
    with pytest.raises(ValueError, match="may not be fetched"):
        await sync_to_async(http.prepare)({"openapi": "http://10.0.0.1/openapi.json"})


def test_a_document_given_as_text_is_stored_as_an_object() -> None:
    config = http.prepare({"openapi": DOCUMENT, "operation": "a", "server": "https://a.test"})
    assert config["openapi"] == orjson.loads(DOCUMENT)
    assert http.prepare(config) == config


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"url": "https://a.test/", "secret": "x"}, "Unknown settings: secret"),
        ({"url": "https://a.test/", "max_bytes": 0}, "max_bytes"),
        ({"url": "https://a.test/", "max_bytes": "9"}, "max_bytes"),
        ({"openapi": "https://a.test/openapi.json", "operation": "a"}, "has not been loaded"),
        ({"openapi": {}, "operation": "a"}, "not an OpenAPI 3 document"),
        ({"openapi": [], "operation": "a"}, "must be an object"),
    ],
)
def test_operators_are_told_what_is_wrong_with_a_config(config: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        http.check(config)
