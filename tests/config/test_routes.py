"""Which paths are pages: all others are wires, whose errors are never HTML (R3.1)."""

import pytest

from config.handler import envelope_for, is_page
from tests.support.clients import http
from tests.support.server import Server
from tests.support.waiting import until


@pytest.mark.parametrize("path", ["/", "/admin", "/admin/x", "/docs", "/docs/", "/static/a.css", "/favicon.ico"])
def test_pages(path: str) -> None:
    assert is_page(path)


@pytest.mark.parametrize("path", ["/administrator", "/docsx", "/docs.json", "/statics/a", "/static", "/favicon.icon", "/v1", "/Admin"])
def test_a_page_is_named_by_whole_steps_of_its_path(path: str) -> None:
    assert not is_page(path)


@pytest.mark.parametrize("path", ["/v1/x", "/attachment/x", "/api/x", "/v1x"])
def test_an_unknown_path_has_its_wires_envelope(path: str) -> None:
    assert (envelope_for(path).__module__ == "chat.views") is path.startswith(("/api", "/v1x"))


@pytest.mark.live
@pytest.mark.parametrize("path", ["/docsx", "/administrator", "/docs.html", "/static", "/no/such/path", "/%00", "/%ff"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_what_is_nowhere_is_json(any_server: Server, path: str, method: str) -> None:
    """R3.1."""
    with http(any_server, None) as client:
        answer = client.request(method, path)
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/json")
    assert answer.json() == {"detail": "Not found", "code": "not_found", "request_id": answer.headers["x-request-id"]}


@pytest.mark.live
def test_a_page_that_is_not_there_is_a_page(any_server: Server) -> None:
    with http(any_server, None) as client:
        answer = client.get("/static/nope", headers={"x-request-id": "page-404"})
        icon = client.get("/favicon.ico", follow_redirects=True)
    assert (answer.status_code, answer.headers["content-type"], answer.headers["x-request-id"]) == (
        404,
        "text/html; charset=utf-8",
        "page-404",
    )
    assert "There is nothing here" in answer.text
    assert (icon.status_code, icon.headers["content-type"]) == (200, "image/svg+xml")
    until(lambda: '"request_id":"page-404"' in any_server.log)
