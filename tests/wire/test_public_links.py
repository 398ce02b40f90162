"""Public links, for their managers (AG-53)."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx2 as httpx
import pytest

from tests.conftest import NewServer
from tests.support import clients
from tests.support.server import Server
from tests.wire import publicwire
from tests.wire.publicwire import Visitor, make

pytestmark = pytest.mark.live
BASE = "/api/agents/pub-open/public-links"
FIELDS = """id agent token name link_type enabled created_by created_at expires_at max_messages url external_url usage_stats"""


@pytest.fixture(scope="module")
def site(module_server: NewServer, tmp_path_factory: pytest.TempPathFactory) -> Server:
    environment = publicwire.environment(tmp_path_factory.mktemp("mails"))
    server = module_server(env=environment | {"PUBLIC_BASE_URL": "https://agents.example.com"})
    publicwire.prepare(server)
    return server


@pytest.fixture
def owner(site: Server) -> Iterator[httpx.Client]:
    with clients.http(site) as client:
        yield client


def in_an_hour() -> datetime:
    return datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)


def test_a_new_link(owner: httpx.Client) -> None:
    """AG-53, R0.10: 32 URL-safe characters, an address on the public site."""
    answer = owner.post(BASE, json={"name": "Website"})
    assert answer.status_code == 201
    link = answer.json()
    assert list(link) == FIELDS.split()
    assert re.fullmatch(r"[A-Za-z0-9_-]{32}", link["token"])
    assert link["url"] == f"https://agents.example.com/chat/{link['token']}"
    assert link["created_at"].endswith("Z")
    told = {name: link[name] for name in ("agent", "name", "link_type", "enabled", "expires_at", "max_messages", "external_url")}
    assert told == {
        "agent": "pub-open", "name": "Website", "link_type": "chat", "enabled": True, "expires_at": None, "max_messages": None,
        "external_url": None,
    }  # fmt: skip
    assert link["usage_stats"] == {"total_messages": 0, "unique_visitors": 0, "last_used_at": None}


def test_links_are_listed_newest_first(owner: httpx.Client) -> None:
    made = [owner.post(BASE, json={}).json()["id"] for _ in range(3)]
    assert [link["id"] for link in owner.get(BASE).json()][:3] == made[::-1]


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_what_is_left_out_stays_and_null_clears(owner: httpx.Client, method: str) -> None:
    moment = in_an_hour()
    link = owner.post(BASE, json={"name": "a", "expires_at": moment.isoformat(), "max_messages": 5}).json()
    assert (link["expires_at"], link["max_messages"]) == (moment.strftime("%Y-%m-%dT%H:%M:%S.000Z"), 5)
    path = f"{BASE}/{link['id']}"
    renamed = owner.request(method, path, json={"name": "b", "enabled": None}).json()
    assert renamed == {**link, "name": "b"}
    cleared = owner.request(method, path, json={"expires_at": None, "max_messages": None, "enabled": False}).json()
    assert cleared == {**renamed, "expires_at": None, "max_messages": None, "enabled": False}
    assert owner.get(path).json() == cleared


def test_without_a_zone_it_is_utc(owner: httpx.Client) -> None:
    moment = in_an_hour().replace(tzinfo=None)
    link = owner.post(BASE, json={"expires_at": moment.isoformat()}).json()
    assert link["expires_at"] == moment.isoformat() + ".000Z"


BAD: list[dict[str, Any]] = [
    {"name": "x" * 101},
    {"name": 5},
    {"expires_at": "soon"},
    {"expires_at": "2020-01-01T00:00:00Z"},
    {"expires_at": 1_900_000_000},
    {"expires_at": "9999-12-31T23:59:59-23:00"},
    {"max_messages": 0},
    {"max_messages": -1},
    {"max_messages": 1.5},
    {"max_messages": "5"},
    {"max_messages": True},
    {"max_messages": 2**31},
]


@pytest.mark.parametrize("body", [*BAD, {"link_type": "voice"}], ids=str)
def test_bad_fields_of_a_new_link(owner: httpx.Client, body: dict[str, Any]) -> None:
    answer = owner.post(BASE, json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "validation_error")
    assert answer.json()["detail"][0]["loc"] == ["body", *body]


@pytest.mark.parametrize("body", [*BAD, {"enabled": "yes"}], ids=str)
def test_bad_fields_of_a_change(owner: httpx.Client, body: dict[str, Any]) -> None:
    link = owner.post(BASE, json={}).json()
    answer = owner.patch(f"{BASE}/{link['id']}", json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "validation_error")
    assert owner.get(f"{BASE}/{link['id']}").json() == link


def test_deleting_ends_the_token_and_keeps_what_was_said(site: Server, owner: httpx.Client) -> None:
    link = make(site)
    with Visitor(site, link) as visitor:
        execution_id = visitor.say("Hello").json()["execution_id"]
        assert owner.delete(f"{BASE}/{link['id']}").status_code == 204
        assert visitor.say("Again").status_code == 404
    assert owner.get(f"{BASE}/{link['id']}").status_code == 404
    kept = owner.get(f"/api/executions/{execution_id}").json()
    assert (kept["trigger"], kept["wire"], kept["message"], kept["response"]) == ("public", "public", "Hello", "Hello! How can I help?")


def test_what_is_changed_while_it_is_deleted_is_unknown(owner: httpx.Client) -> None:
    """R2.2: whichever comes first."""
    for _ in range(5):
        route = f"{BASE}/{owner.post(BASE, json={}).json()['id']}"
        with ThreadPoolExecutor(5) as pool:
            changes = [pool.submit(owner.patch, route, json={"name": "New"}) for _ in range(4)]
            deleted = pool.submit(owner.delete, route)
        assert deleted.result().status_code == 204
        assert {each.result().status_code for each in changes} <= {200, 404}


def test_use_is_counted(site: Server) -> None:
    link = make(site)
    with Visitor(site, link) as first, Visitor(site, link) as second:
        for visitor in (first, first, second):
            assert visitor.say("Hello").status_code == 200
    stats = publicwire.a_link(site, link)["usage_stats"]
    assert (stats["total_messages"], stats["unique_visitors"]) == (3, 2)
    assert stats["last_used_at"].endswith("Z")


def test_a_visitor_counts_once_however_many_first_messages_come_at_once_and_also_after_beginning_anew(site: Server) -> None:
    link = make(site)
    with Visitor(site, link) as visitor:
        for _ in range(2):
            fresh = visitor.delete(f"/api/public/session/{link['token']}", params=visitor.session or {"session_id": "none"}).json()
            visitor.session = {"session_id": fresh["new_session_id"]}
            with ThreadPoolExecutor(6) as pool:
                assert {answer.status_code for answer in pool.map(visitor.say, ["Hello"] * 6)} == {200}
    stats = publicwire.a_link(site, link)["usage_stats"]
    assert (stats["total_messages"], stats["unique_visitors"]) == (12, 1)


# Who may


ROUTES = [("GET", ""), ("POST", ""), ("GET", "/ID"), ("PUT", "/ID"), ("PATCH", "/ID"), ("DELETE", "/ID")]


@pytest.mark.parametrize(("method", "route"), ROUTES)
def test_who_may_manage_links(site: Server, method: str, route: str) -> None:
    """AG-2, AG-3, R2.4: nobody without a credential, no stranger, no mere user; owner and administrator."""
    statuses = {}
    for person in (None, "stranger", "guest", "owner", "admin"):
        link = make(site, "pub-shared")
        with clients.http(site, person) as client:
            path = f"/api/agents/pub-shared/public-links{route.replace('ID', link['id'])}"
            answer = client.request(method, path, json={"name": "x"} if method in ("POST", "PUT", "PATCH") else None)
            statuses[person] = (answer.status_code, answer.json().get("code") if answer.status_code >= 400 else None)
    done = {"POST": 201, "DELETE": 204}.get(method, 200)
    assert statuses == {
        None: (401, "invalid_credentials"),
        "stranger": (404, "agent_not_found"),
        "guest": (403, "manager_required"),
        "owner": (done, None),
        "admin": (done, None),
    }


def test_managing_takes_the_scope(site: Server) -> None:
    key = site.keys["owner:read+run"]
    with clients.http(site, None, authorization=f"Bearer {key}") as client:
        answer = client.post(BASE, json={})
        assert (answer.status_code, answer.json()["code"]) == (403, "insufficient_scope")
        assert client.post(BASE, json={"name": 5}).status_code == 422  # R0.5: fields before rights


def test_a_link_of_another_agent_is_unknown(site: Server, owner: httpx.Client) -> None:
    """R2.2, R0.2."""
    foreign = make(site, "pub-tools")["id"]
    answers = {owner.get(f"{BASE}/{each}").content.split(b'"request_id"')[0] for each in (foreign, uuid4(), "x", "%00", "0" * 300)}
    assert answers == {b'{"detail":"Not found","code":"not_found",'}
    assert owner.delete(f"{BASE}/{foreign}").status_code == 404


@pytest.mark.parametrize(
    ("content", "status", "code"), [(b"", 400, "invalid_json"), (b"[]", 400, "invalid_request"), (b'{"name": "\\u0000"}', 400, None)]
)
def test_malformed_bodies(owner: httpx.Client, content: bytes, status: int, code: str | None) -> None:
    """R0.4."""
    answer = owner.post(BASE, content=content, headers={"content-type": "application/json"})
    assert answer.status_code == status
    assert code in (None, answer.json()["code"])
