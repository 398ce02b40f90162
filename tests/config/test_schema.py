"""The description of the whole site: valid, complete, and readable without any foreign host."""

import re
from typing import Any

import pytest
import yaml
from django.test import Client
from openapi_spec_validator import validate

from agents.errors import CODES
from config.schema import document, rendered, wanted_form

ROUTES = {
    "/chat/run": {"post"},
    "/chat/stream": {"post"},
    "/chat/stream/{conversation_id}": {"get"},
    "/status": {"get"},
    "/v1/models": {"get"},
    "/v1/models/{model_id}": {"get"},
    "/v1/chat/completions": {"post"},
    "/api/token": {"post"},
    "/api/token/refresh": {"post"},
    "/api/token/verify": {"post"},
    "/api/token/blacklist": {"post"},
    "/api/executions/{execution_id}": {"get"},
    "/api/executions/{execution_id}/stream": {"get"},
    "/api/executions/{execution_id}/cancel": {"post"},
    "/api/executions/{execution_id}/approvals/{tool_call_id}": {"post"},
    "/api/agents": {"get"},
    "/api/agents/{name}": {"get"},
    "/api/agents/{name}/chat": {"post"},
    "/api/agents/{name}/chat/sessions": {"get"},
    "/api/agents/{name}/chat/sessions/{session_id}": {"get", "patch", "delete"},
    "/api/agents/{name}/chat/sessions/{session_id}/close": {"post"},
    "/api/agents/{name}/chat/sessions/{session_id}/export": {"get"},
    "/api/agents/{name}/chat/messages/{message_id}/feedback": {"put"},
    "/api/agents/{name}/chat/history": {"get", "delete"},
    "/api/agents/{name}/chat/history/persistent": {"get"},
    "/api/agents/{name}/chat/session": {"get"},
    "/api/agents/{name}/executions": {"get"},
    "/api/agents/{name}/executions/running": {"get"},
    "/api/agents/{name}/executions/{execution_id}": {"get"},
    "/api/agents/{name}/executions/{execution_id}/log": {"get"},
    "/api/agents/{name}/executions/{execution_id}/stream": {"get"},
    "/api/agents/{name}/executions/{execution_id}/terminate": {"post"},
    "/api/agents/{name}/activity": {"get", "delete"},
    "/api/agents/{name}/activity/{tool_id}": {"get"},
    "/api/agents/{name}/schedules": {"get", "post"},
    "/api/agents/{name}/schedules/{schedule_id}": {"get", "put", "patch", "delete"},
    "/api/webhooks/{token}": {"post"},
    "/api/agents/{name}/public-links": {"get", "post"},
    "/api/agents/{name}/public-links/{link_id}": {"get", "put", "patch", "delete"},
    "/api/public/link/{token}": {"get"},
    "/api/public/chat/{token}": {"post"},
    "/api/public/history/{token}": {"get"},
    "/api/public/session/{token}": {"delete"},
    "/api/public/executions/{token}/{execution_id}/status": {"get"},
    "/api/public/executions/{token}/{execution_id}/stream": {"get"},
    "/api/public/executions/{token}/{execution_id}/terminate": {"post"},
    "/api/public/verify/request": {"post"},
    "/api/public/verify/confirm": {"post"},
    "/healthz": {"get"},
    "/readyz": {"get"},
    "/metrics": {"get"},
}


def shape(path: str) -> str:
    return re.sub(r"\{[^}]+\}", "{}", path)


def operations() -> list[tuple[str, str, dict[str, Any]]]:
    return [(path, method, told) for path, methods in document()["paths"].items() for method, told in methods.items()]


def test_it_is_valid_openapi_3_1() -> None:
    told = document()
    assert told["openapi"].startswith("3.1")
    validate(told)


def test_every_route_is_described() -> None:
    """wires/README, "All wires at a glance": what this server answers."""
    told = {shape(path): set(methods) for path, methods in document()["paths"].items()}
    missing = {path for path, methods in ROUTES.items() if not methods <= told.get(shape(path), set())}
    assert missing == set()


def test_json_and_yaml_say_the_same() -> None:
    assert yaml.safe_load(rendered("json")) == yaml.safe_load(rendered("yaml"))


@pytest.mark.parametrize(
    ("asked", "accept", "form"),
    [
        (None, "", "json"),
        (None, "*/*", "json"),
        (None, "application/json", "json"),
        (None, "application/yaml, */*", "yaml"),
        (None, "application/vnd.oai.openapi", "yaml"),
        (None, "text/html,application/xhtml+xml,*/*;q=0.8", "json"),
        ("json", "application/yaml", "json"),
        ("yaml", "application/json", "yaml"),
    ],
)
def test_the_form_is_json_unless_yaml_is_asked_for(asked: str | None, accept: str, form: str) -> None:
    assert wanted_form(asked, accept) == form


@pytest.mark.parametrize(("path", "method", "told"), [pytest.param(*told, id=f"{told[1]} {told[0]}") for told in operations()])
def test_every_operation_tells_what_it_is_for(path: str, method: str, told: dict[str, Any]) -> None:
    """A page developer reads a sentence, a group and an example, not only types."""
    assert told.get("summary")
    assert told.get("tags")
    good = {status: answer for status, answer in told["responses"].items() if status.startswith("2")}
    assert "204" in good or any(answer.get("content") for answer in good.values()), "no answer is described"


def test_errors_are_told_with_codes_that_exist() -> None:
    found = set()
    for path, _, told in operations():
        if path.startswith(("/v1/", "/openapi")):
            continue
        for status, answer in told["responses"].items():
            for example in answer.get("content", {}).get("application/json", {}).get("examples", {}).values():
                if status >= "4" and "code" in example["value"]:
                    found.add(example["value"]["code"])
                    assert CODES[example["value"]["code"]][0] == int(status)
    assert len(found) > 20


def test_what_any_call_may_be_refused_for_is_told() -> None:
    """R1.8, R12: too many failed credentials; a body that is too large or not JSON."""
    for path, method, told in operations():
        if "401" in told["responses"]:
            needed = {"429"} | ({"413", "415"} if "requestBody" in told else set())
            assert needed <= set(told["responses"]), (path, method)


def test_only_signing_in_and_looking_in_need_no_credential() -> None:
    open_paths = {path for path, _, told in operations() if not told.get("security") or {} in told["security"]}
    signing = {"/api/token", "/api/token/refresh", "/api/token/verify", "/api/token/blacklist"}
    visitors = {path for path in ROUTES if path.startswith("/api/public/")}
    assert open_paths == signing | visitors | {"/status", "/healthz", "/readyz", "/attachment/{signed}", "/api/webhooks/{token}"}


def test_the_page_needs_no_foreign_host(client: Client) -> None:
    assert client.get("/docs/").status_code == 200
    answer = client.get("/docs")
    assert answer.status_code == 200
    page = answer.content.decode()
    assert "/api/schema" in page
    assert not re.findall(r"(?:https?:)?//[\w.-]+\.\w+", page)
    for asset in re.findall(r'(?:src|href)="([^"]+)"', page):
        assert asset.startswith(("/static/", "data:"))
        assert client.get(asset).status_code == 200, asset


def test_readers_see_no_numbers_of_our_rules() -> None:
    assert re.findall(rb"\((?:R|RUN-|AG-|OAI-)\d+[^)]*\)", rendered("json")) == []


def test_wires_come_before_what_belongs_to_all_of_them() -> None:
    told = [tag["name"].partition(":")[0] for tag in document()["tags"]]
    wires = ["openai", "run", "agents", "public links", "schedules", "uimessage", "webhooks", "websocket"]
    assert told == sorted(told, key=[*wires, "executions", "tokens", "operating"].index)
