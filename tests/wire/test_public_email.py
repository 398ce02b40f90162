"""Links that want a verified e-mail address (AG-61): codes by mail, tokens for a day, one conversation per person and link."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2 as httpx
import pytest

from tests.conftest import NewServer
from tests.support.server import Server
from tests.wire import publicwire
from tests.wire.publicwire import Visitor, code_in, mails, make

pytestmark = pytest.mark.live


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mails")


@pytest.fixture(scope="module")
def site(module_server: NewServer, folder: Path) -> Server:
    server = module_server(env=publicwire.environment(folder) | {"EMAIL_FROM": "Shop <shop@example.com>"})
    publicwire.prepare(server)
    return server


@pytest.fixture(scope="module")
def link(site: Server) -> dict[str, Any]:
    return make(site, "pub-mail")


@pytest.fixture
def visitor(site: Server, link: dict[str, Any]) -> Visitor:
    return Visitor(site, link)


@pytest.fixture
def address() -> str:
    return f"{uuid4().hex}@example.com"


def ask(visitor: Visitor, email: str) -> httpx.Response:
    return visitor.post("/api/public/verify/request", json={"token": visitor.token, "email": email})


def give(visitor: Visitor, email: str, code: str) -> dict[str, Any]:
    answer = visitor.post("/api/public/verify/confirm", json={"token": visitor.token, "email": email, "code": code})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def verified(visitor: Visitor, folder: Path, email: str) -> dict[str, str]:
    """The visitor's session, once the address is proved."""
    assert ask(visitor, email).status_code == 200
    token = give(visitor, email, code_in(mails(folder, email)[-1]))["session_token"]
    visitor.session = {"session_token": token}
    return visitor.session


def wrong(code: str) -> str:
    return f"{(int(code) + 1) % 1_000_000:06}"


def test_a_code_comes_by_mail_and_proves_the_address(visitor: Visitor, folder: Path, address: str) -> None:
    answer = ask(visitor, address)
    assert answer.json() == {"message": "Verification code sent", "expires_in_seconds": 600}
    (mail,) = mails(folder, address)
    assert "From: Shop <shop@example.com>" in mail
    confirmed = give(visitor, address, code_in(mail))
    assert list(confirmed) == ["verified", "session_token", "expires_at"]
    assert confirmed["verified"] is True
    assert len(confirmed["session_token"]) >= 43
    assert give(visitor, address, code_in(mail)) == {"verified": False, "error": "invalid_code"}, "a code serves once"


def test_one_person_has_one_conversation_per_link(site: Server, link: dict[str, Any], folder: Path, address: str) -> None:
    """Emails are compared in lower case; `session_id` is null; another link knows nothing of it."""
    with Visitor(site, link) as at_home, Visitor(site, link) as on_the_phone:
        verified(at_home, folder, address)
        first = at_home.say("One").json()
        assert (first["session_id"], first["message_count"]) == (None, 2)
        assert ask(on_the_phone, address.upper()).status_code == 200
        token = give(on_the_phone, f" {address.title()} ", code_in(mails(folder, address)[-1]))["session_token"]
        on_the_phone.session = {"session_token": token}
        assert on_the_phone.say("Two").json()["message_count"] == 4
        assert at_home.history()["message_count"] == 4
        assert at_home.history()["session_id"] is None
    with Visitor(site, make(site, "pub-mail")) as elsewhere:
        elsewhere.session = at_home.session
        assert elsewhere.say("Three").json()["code"] == "session_token_invalid"


def test_streams_and_runs_of_a_verified_visitor(visitor: Visitor, folder: Path, address: str) -> None:
    verified(visitor, folder, address)
    response, told = visitor.streamed("/demo text Hello")
    assert "x-session-id" not in response.headers
    assert {line["session_id"] for line in told if "session_id" in line} == {None}
    execution_id = response.headers["x-execution-id"]
    assert visitor.run(execution_id, "status").json()["response"] == "Hello"
    assert visitor.run(execution_id, "status", session_id="x").status_code == 401


def test_clearing_begins_a_new_conversation(visitor: Visitor, folder: Path, address: str) -> None:
    verified(visitor, folder, address)
    visitor.say("Old")
    answer = visitor.delete(f"/api/public/session/{visitor.token}", params=visitor.session)
    assert answer.json() == {"cleared": True, "new_session_id": None}
    assert visitor.history()["messages"] == []
    assert visitor.say("New").json()["message_count"] == 2


def test_who_a_manager_sees(site: Server, visitor: Visitor, folder: Path, address: str) -> None:
    """The address is on the run; the token is nowhere."""
    token = verified(visitor, folder, address)["session_token"]
    execution_id = visitor.say("Hello").json()["execution_id"]
    code = f"from chat.models import *; e = Execution.objects.get(id='{execution_id}'); print(e.labels['email'], e.principal)"
    shown = site.manage("shell", "-v0", "-c", code)
    assert shown.splitlines()[-1].startswith(f"{address} link:")
    stored = site.manage(
        "shell", "-v0", "-c", "from chat.models import *; print(list(VisitorToken.objects.values()), EmailCode.objects.values())"
    )
    assert token not in stored


@pytest.mark.parametrize(("session", "code"), [({}, "session_token_required"), ({"session_token": "x"}, "session_token_invalid")])
def test_without_a_token_nothing_is_said(visitor: Visitor, session: dict[str, str], code: str) -> None:
    """AG-60: on every route of the conversation."""
    answers = [
        visitor.say("Hello", **session),
        visitor.get(f"/api/public/history/{visitor.token}", params=session),
        visitor.get(f"/api/public/executions/{visitor.token}/{uuid4()}/status", params=session),
        visitor.get(f"/api/public/executions/{visitor.token}/{uuid4()}/stream", params=session),
        visitor.post(f"/api/public/executions/{visitor.token}/{uuid4()}/terminate", params=session),
    ]
    if session:
        answers.append(visitor.delete(f"/api/public/session/{visitor.token}", params=session))
    assert {(answer.status_code, answer.json()["code"]) for answer in answers} == {(401, code)}


def test_a_session_id_is_no_way_around(visitor: Visitor) -> None:
    answer = visitor.say("Hello", session_id="session_" + "A" * 43)
    assert (answer.status_code, answer.json()["code"]) == (401, "session_token_required")


# Codes


def test_five_wrong_tries_void_a_code(visitor: Visitor, folder: Path, address: str) -> None:
    ask(visitor, address)
    code = code_in(mails(folder, address)[-1])
    for _ in range(5):
        assert give(visitor, address, wrong(code)) == {"verified": False, "error": "invalid_code"}
    assert give(visitor, address, code) == {"verified": False, "error": "invalid_code"}


def test_a_new_code_voids_the_one_before(visitor: Visitor, folder: Path, address: str) -> None:
    ask(visitor, address)
    ask(visitor, address)
    old, new = (code_in(mail) for mail in mails(folder, address))
    assert old == new or give(visitor, address, old)["verified"] is False
    assert give(visitor, address, new)["verified"] is True


def test_a_code_is_the_link_s_and_the_address_s_alone(site: Server, visitor: Visitor, folder: Path, address: str) -> None:
    ask(visitor, address)
    code = code_in(mails(folder, address)[-1])
    with Visitor(site, make(site, "pub-mail")) as elsewhere:
        assert give(elsewhere, address, code)["verified"] is False
    assert give(visitor, f"x{address}", code)["verified"] is False
    assert give(visitor, address, code)["verified"] is True


def test_old_codes_and_tokens_have_expired(site: Server, visitor: Visitor, folder: Path, address: str) -> None:
    verified(visitor, folder, address)
    ask(visitor, address)
    update = "update(expires_at='2020-01-01T00:00:00Z')"
    rows = f"[rows.objects.filter(email='{address}').{update} for rows in (EmailCode, VisitorToken)]"
    site.manage("shell", "-c", f"from chat.models import EmailCode, VisitorToken; {rows}")
    assert visitor.say("Hello").json()["code"] == "session_token_invalid"
    assert give(visitor, address, code_in(mails(folder, address)[-1])) == {"verified": False, "error": "code_expired"}


def test_three_codes_in_ten_minutes(visitor: Visitor, folder: Path, address: str) -> None:
    assert [ask(visitor, address).status_code for _ in range(3)] == [200] * 3
    refused = ask(visitor, address)
    assert (refused.status_code, refused.json()["code"]) == (429, "rate_limited")
    assert 1 <= int(refused.headers["retry-after"]) <= 600
    assert len(mails(folder, address)) == 3
    assert ask(visitor, f"other-{address}").status_code == 200


@pytest.mark.parametrize(
    "email", ["", "nobody", "a@b", "a@example.com\nBcc: b@example.com", "x" * 250 + "@example.com", f"a@{'ä' * 60}.com", 5, None]
)
def test_what_is_no_address_is_refused(visitor: Visitor, email: Any) -> None:
    answer = visitor.post("/api/public/verify/request", json={"token": visitor.token, "email": email})
    assert (answer.status_code, answer.json()["code"]) == (422, "validation_error")


def test_a_link_that_needs_none(site: Server, address: str) -> None:
    with Visitor(site, make(site, "pub-tools")) as visitor:
        answers = [ask(visitor, address)]
        asked = {"token": visitor.token, "email": address, "code": "000000"}
        answers.append(visitor.post("/api/public/verify/confirm", json=asked))
    assert {(answer.status_code, answer.json()["code"]) for answer in answers} == {(400, "invalid_request")}


def test_without_a_mail_server_the_visitor_is_told(new_server: NewServer, address: str) -> None:
    """Honest instead of a mail that never comes."""
    server = new_server(env={"EMAIL_URL": "smtp://127.0.0.1:1"})
    publicwire.prepare(server)
    with Visitor(server, make(server, "pub-mail")) as visitor:
        answer = ask(visitor, address)
    assert (answer.status_code, answer.json()["code"]) == (503, "email_unavailable")


def test_two_first_messages_at_once_make_one_conversation(site: Server, link: dict[str, Any], folder: Path, address: str) -> None:
    """R8.4."""
    with Visitor(site, link) as visitor:
        session = verified(visitor, folder, address)
        body = {"message": "/demo text Hello", **session}
        with ThreadPoolExecutor(3) as pool:
            answers = list(pool.map(lambda _: visitor.post(f"/api/public/chat/{visitor.token}", json=body), range(3)))
        assert [answer.status_code for answer in answers] == [200] * 3
        assert visitor.history()["message_count"] == 6
