"""Tokens against a live server: signing in, the one text of every refusal, and the brake on guessing (R1.2, R1.8)."""

from collections.abc import Iterator
from typing import Any

import httpx2 as httpx
import pytest

from tests.support import clients
from tests.support.server import Server
from tests.support.waiting import early_in_the_minute

pytestmark = pytest.mark.live
KEYS = ["access", "refresh", "access_token", "token_type", "expires_in"]
FORM = {"content-type": "application/x-www-form-urlencoded"}
OWNER = {"username": "owner", "password": "owner-password"}


@pytest.fixture
def nobody(any_server: Server) -> Iterator[httpx.Client]:
    with clients.http(any_server, None) as client:
        yield client


@pytest.mark.parametrize("form", ["json", "data"])
def test_signing_in(nobody: httpx.Client, form: str) -> None:
    """R1.2: JSON or form-encoded, exactly these fields; the token works."""
    answer = nobody.post("/api/token", **{form: OWNER})
    pair = answer.json()
    assert (answer.status_code, list(pair)) == (200, KEYS)
    assert (pair["access"], pair["token_type"], pair["expires_in"]) == (pair["access_token"], "bearer", 3600)
    assert answer.headers["cache-control"] == "no-store"
    signed_in = {"authorization": f"Bearer {pair['access']}"}
    assert nobody.post("/chat/run", json={"message": "Hello", "agent": "root"}, headers=signed_in).status_code == 200


def test_turning_over_and_signing_out(nobody: httpx.Client) -> None:
    """R1.2: a refresh token works once; signed out is dead."""
    first = nobody.post("/api/token", json=OWNER).json()["refresh"]
    answer = nobody.post("/api/token/refresh", json={"refresh": first})
    second = answer.json()["refresh"]
    assert list(answer.json()) == KEYS
    assert nobody.post("/api/token/refresh", json={"refresh": first}).status_code == 401
    assert nobody.post("/api/token/verify", json={"token": second}).json() == {}
    assert nobody.post("/api/token/blacklist", json={"refresh": second}).json() == {}
    assert nobody.post("/api/token/verify", json={"token": second}).status_code == 401
    assert nobody.post("/api/token/refresh", json={"refresh": second}).status_code == 401


def test_access_and_refresh_tokens_are_not_mixed_up(nobody: httpx.Client) -> None:
    pair = nobody.post("/api/token", json=OWNER).json()
    refused = nobody.post("/chat/run", json={"message": "Hello"}, headers={"authorization": f"Bearer {pair['refresh']}"})
    assert refused.status_code == 401
    assert nobody.post("/api/token/refresh", json={"refresh": pair["access"]}).status_code == 401


def test_every_refusal_is_the_same(nobody: httpx.Client) -> None:
    """R1.8: wrong password and unknown user: one text."""
    nobody.headers["x-request-id"] = "same"
    tried = [
        nobody.post("/api/token", json={**OWNER, "password": "wrong"}),
        nobody.post("/api/token", json={**OWNER, "username": "nobody"}),
    ]
    assert {(answer.status_code, answer.headers["www-authenticate"], answer.content) for answer in tried} == {
        (401, "Bearer", b'{"detail":"The user name or the password is wrong.","code":"invalid_credentials","request_id":"same"}')
    }


def test_a_wrong_token_of_the_body_is_named_in_one_text_for_every_cause(nobody: httpx.Client) -> None:
    used = nobody.post("/api/token", json=OWNER).json()["refresh"]
    nobody.post("/api/token/refresh", json={"refresh": used})
    for path in ("/api/token/refresh", "/api/token/blacklist"):
        refused = [nobody.post(path, json={"refresh": token}) for token in (used, "x", "a.b.c")]
        assert {answer.status_code for answer in refused} == {401}
        assert {answer.headers["www-authenticate"] for answer in refused} == {"Bearer"}
        assert {answer.json()["detail"] for answer in refused} == {
            "The refresh token in the body is wrong, expired, revoked or was used before."
        }
    checked = nobody.post("/api/token/verify", json={"token": used})
    assert (checked.json()["code"], checked.json()["detail"]) == (
        "invalid_credentials",
        "The token in the body is wrong, expired or revoked.",
    )


@pytest.mark.parametrize(
    ("path", "sent", "status", "code"),
    [
        ("/api/token", {"json": {"username": "owner"}}, 422, "validation_error"),
        ("/api/token", {"json": {"username": 1, "password": "x"}}, 422, "validation_error"),
        ("/api/token", {"json": {**OWNER, "agent": 7}}, 422, "validation_error"),
        ("/api/token", {"data": {"username": "a\0b", "password": "x"}}, 400, "invalid_request"),
        ("/api/token", {"content": b"username=%FF&password=x", "headers": FORM}, 400, "invalid_request"),
        ("/api/token", {"content": b"x=1&" * 50, "headers": FORM}, 400, "invalid_request"),
        ("/api/token", {"content": b"{", "headers": {"content-type": "application/json"}}, 400, "invalid_json"),
        ("/api/token", {"content": b"x", "headers": {"content-type": "text/plain"}}, 415, "unsupported_media_type"),
        ("/api/token/refresh", {"json": {}}, 422, "validation_error"),
        ("/api/token/verify", {"json": {"token": None}}, 422, "validation_error"),
        ("/api/token/blacklist", {"json": {"refresh": ["x"]}}, 422, "validation_error"),
    ],
)
def test_bad_requests(nobody: httpx.Client, path: str, sent: dict[str, Any], status: int, code: str) -> None:
    answer = nobody.post(path, **sent)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_other_methods(nobody: httpx.Client) -> None:
    answer = nobody.get("/api/token")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


def test_guessing_is_braked_but_a_good_key_is_not(nobody: httpx.Client, any_server: Server) -> None:
    """R1.8: after 20 failures in a minute further failures are 429; valid keys pass, signing in is refused unseen."""
    early_in_the_minute()
    wrong = {"authorization": "Bearer sk-" + "x" * 43}
    assert [nobody.get("/v1/models", headers=wrong).status_code for _ in range(21)] == [401] * 20 + [429]
    refused = nobody.post("/api/token", json=OWNER)
    assert (refused.status_code, refused.json()["code"]) == (429, "rate_limited")
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    assert nobody.get("/v1/models", headers={"authorization": f"Bearer {any_server.keys['owner']}"}).status_code == 200
