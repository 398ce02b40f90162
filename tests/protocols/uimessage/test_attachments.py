"""/attachment/…: upload, delete and download over HTTP (UI-67, UI-68, UI-8, UI-3), to each caller its own files."""

import json
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import httpx2 as httpx
import pytest
from django.core.signing import TimestampSigner

from tests.conftest import NewServer
from tests.support import files
from tests.support.clients import http
from tests.support.server import Server

pytestmark = pytest.mark.live
UPLOAD, DELETE = "/attachment/v1/upload", "/attachment/v1/delete"
FILE = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n'


@pytest.fixture
def owner(server: Server) -> Iterator[httpx.Client]:
    with http(server) as client:
        yield client


@pytest.fixture
def stranger(server: Server) -> Iterator[httpx.Client]:
    with http(server, "stranger") as client:
        yield client


def upload(client: httpx.Client, data: bytes = b"hello", name: str = "a.txt", kind: str = "text/plain", **headers: str) -> httpx.Response:
    return client.post(UPLOAD, files={"file": (name, data, kind)}, headers=headers)


def uploaded(client: httpx.Client, *args: Any) -> str:
    answer = upload(client, *args)
    assert answer.status_code == 200, answer.text
    key: str = answer.json()["attachmentId"]
    return key


def signed_path(server: Server, key: str) -> str:
    """The address that a message would show, signed with the server's key."""
    secret = server.env.get("SECRET_KEY") or (server.data_dir / "secrets" / "secret_key").read_text().strip()
    return "/attachment/" + TimestampSigner(key=secret, salt="switchboard.attachment", sep=".").sign(UUID(key).hex)


def on_disk(server: Server) -> int:
    return sum(path.is_file() for path in (server.data_dir / "uploads").rglob("*"))


def check_refusal(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """UI-3: `message` and `error` are one text; the request id is the header's."""
    told: dict[str, Any] = answer.json()
    assert (answer.status_code, told["code"]) == (status, code)
    assert told["message"] == told["error"]
    assert told["request_id"] == answer.headers["x-request-id"]
    return told


def test_an_upload_is_answered_with_what_it_is(owner: httpx.Client) -> None:
    answer = upload(owner, files.pdf("hi"), "..\\secret/a.pdf", "text/html")
    told = answer.json()
    assert UUID(told["attachmentId"])
    assert told["file"] == {"name": "a.pdf", "mimeType": "application/pdf", "sizeInBytes": len(files.pdf("hi"))}
    assert set(told) == {"attachmentId", "file"}


def test_the_path_works_with_a_trailing_slash(owner: httpx.Client) -> None:
    """UI-1."""
    assert owner.post(UPLOAD + "/", files={"file": ("a.txt", b"x")}).status_code == 200


def test_a_chunked_upload_without_a_declared_length_is_taken(owner: httpx.Client) -> None:
    def body() -> Iterator[bytes]:
        yield FILE + b"\r\n"
        for _ in range(300):
            yield b"x" * 10_000
        yield b"\r\n--b--\r\n"

    answer = owner.post(UPLOAD, content=body(), headers={"content-type": "multipart/form-data; boundary=b"})
    assert answer.json()["file"]["sizeInBytes"] == 3_000_000


@pytest.mark.parametrize("fields", [{"other": ("a.txt", b"x")}, {"file": (None, "text in a field")}])
def test_a_form_without_a_file_is_refused(owner: httpx.Client, fields: dict[str, Any]) -> None:
    told = check_refusal(owner.post(UPLOAD, files=fields), 400, "invalid_request")
    assert told["message"] == "No file provided"


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("multipart/form-data", b"--b--"),
        ("multipart/form-data; boundary=", b"x"),
        ("multipart/form-data; boundary=b", b""),
        ("multipart/form-data; boundary=b", b"not multipart at all"),
        ("multipart/form-data; boundary=b", FILE + b"Content-Transfer-Encoding: base64\r\n\r\n!\r\n--b--"),
    ],
)
def test_a_broken_form_is_refused(owner: httpx.Client, content_type: str, body: bytes) -> None:
    check_refusal(owner.post(UPLOAD, content=body, headers={"content-type": content_type}), 400, "invalid_request")


def test_a_body_that_is_no_form_is_refused(owner: httpx.Client) -> None:
    check_refusal(owner.post(UPLOAD, json={"file": "x"}), 415, "unsupported_media_type")


@pytest.mark.parametrize("data", [files.archive(), b"MZ" + b"\0" * 100])
def test_a_file_of_another_kind_is_refused(owner: httpx.Client, data: bytes) -> None:
    check_refusal(upload(owner, data, "a.png", "image/png"), 415, "unsupported_media_type")


def test_other_methods_are_refused(owner: httpx.Client) -> None:
    answer = owner.get(UPLOAD)
    check_refusal(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == "POST"


def test_without_a_credential_nothing_is_uploaded_or_deleted(server: Server) -> None:
    with http(server, None) as nobody:
        check_refusal(upload(nobody), 401, "invalid_credentials")
        check_refusal(nobody.delete(DELETE), 401, "invalid_credentials")


def test_the_scope_knowledge_is_needed(server: Server) -> None:
    issue = "from agents.models import ApiKey; from django.contrib.auth.models import User; "
    make = "print(ApiKey.issue(owner=User.objects.get(username='owner'), name='r', scopes=['run', 'read', 'manage'])[1])"
    key = server.manage("shell", "-v0", "-c", issue + make).splitlines()[-1]
    with http(server, None, authorization=f"Bearer {key}") as client:
        check_refusal(upload(client), 403, "insufficient_scope")
        check_refusal(client.delete(DELETE, params={"attachmentId": "x"}), 403, "insufficient_scope")


def test_a_file_is_deleted_by_query_or_by_body(owner: httpx.Client) -> None:
    first, second = uploaded(owner), uploaded(owner)
    by_query = owner.delete(DELETE, params={"attachmentId": first})
    by_body = owner.request("DELETE", DELETE, json={"attachmentId": second})
    for answer, key in ((by_query, first), (by_body, second)):
        assert answer.json() == {"success": True, "message": "Attachment deleted successfully", "attachmentId": key}
    check_refusal(owner.delete(DELETE, params={"attachmentId": first}), 404, "attachment_not_found")


@pytest.mark.parametrize("value", ["", "x", str(UUID(int=7))[:-1], f"{{{UUID(int=7)}}}", UUID(int=7).hex, 5, None, ["x"]])
def test_a_malformed_id_is_told_as_a_field(owner: httpx.Client, value: Any) -> None:
    """UI-68."""
    told = check_refusal(owner.request("DELETE", DELETE, json={"attachmentId": value}), 400, "invalid_request")
    assert told["errors"] == [{"path": "attachmentId", "message": "The id of an attachment is required."}]


def test_an_id_is_needed(owner: httpx.Client) -> None:
    check_refusal(owner.delete(DELETE), 400, "invalid_request")
    check_refusal(owner.request("DELETE", DELETE, content=b"[]"), 400, "invalid_request")
    check_refusal(owner.request("DELETE", DELETE, content=b"{"), 400, "invalid_json")


def test_strangers_and_guests_cannot_tell_a_foreign_file_from_none(server: Server, owner: httpx.Client, stranger: httpx.Client) -> None:
    """R2.2: files are shared with nobody."""
    key = uploaded(owner)
    with http(server, "guest") as guest:
        tried = (key, str(UUID(int=7)), key.upper())
        answers = [client.delete(DELETE, params={"attachmentId": id}) for client in (guest, stranger) for id in tried]
    answers.append(owner.delete(DELETE, params={"attachmentId": key.upper()}))  # ids are lower-case text (R0.2)
    texts = {json.dumps({name: value for name, value in answer.json().items() if name != "request_id"}) for answer in answers}
    assert {answer.status_code for answer in answers} == {404}
    assert len(texts) == 1
    assert owner.delete(DELETE, params={"attachmentId": key}).status_code == 200


@pytest.mark.parametrize(
    ("data", "name", "kind"), [(files.png(), "ä b.png", "image/png"), (b"<script>", "a.html", "text/html; charset=utf-8")]
)
def test_a_signed_address_is_a_download_for_whoever_has_it(server: Server, owner: httpx.Client, data: bytes, name: str, kind: str) -> None:
    path = signed_path(server, uploaded(owner, data, name, kind))
    logged = len(server.log)
    with http(server, None) as anyone:
        answer, head = anyone.get(path), anyone.head(path)
    assert "Traceback" not in server.log[logged:]
    assert (answer.status_code, answer.content) == (200, data)
    assert (head.status_code, head.content) == (200, b"")
    for headers in (answer.headers, head.headers):
        assert headers["content-type"] == kind
        assert headers["content-length"] == str(len(data))
        assert headers["content-disposition"].startswith("attachment; filename")
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["content-security-policy"] == "sandbox; default-src 'none'"


def test_a_large_file_comes_back_whole(any_server: Server) -> None:
    data = bytes(range(256)) * 40_000
    with http(any_server) as client:
        key = uploaded(client, files.png() + data)
        assert client.get(signed_path(any_server, key)).content == files.png() + data


def test_a_bad_or_orphaned_address_gives_nothing(server: Server, owner: httpx.Client) -> None:
    key = uploaded(owner)
    path = signed_path(server, key)
    check_refusal(owner.get(path[:-2]), 404, "not_found")
    check_refusal(owner.get(f"/attachment/{key}"), 404, "not_found")
    owner.delete(DELETE, params={"attachmentId": key})
    check_refusal(owner.get(path), 404, "not_found")


def test_a_signed_address_is_not_logged_whole(server: Server, owner: httpx.Client) -> None:
    """R1.7."""
    path = signed_path(server, uploaded(owner))
    owner.get(path)
    assert path[-20:] not in server.log
    assert path[: len("/attachment/") + 6] in server.log


def test_an_upload_repeated_with_its_key_is_stored_once(server: Server, owner: httpx.Client, stranger: httpx.Client) -> None:
    """UI-8."""
    headers, before = {"idempotency-key": "upload-1"}, on_disk(server)
    first, again = upload(owner, b"same", **headers), upload(owner, b"same", **headers)
    assert again.json() == first.json()
    assert (first.headers.get("idempotent-replayed"), again.headers.get("idempotent-replayed")) == (None, "true")
    check_refusal(upload(owner, b"other", **headers), 422, "idempotency_key_reused")
    assert on_disk(server) == before + 1
    assert upload(stranger, b"same", **headers).json() != first.json()


def test_a_malformed_idempotency_key_is_refused_before_anything_is_stored(server: Server, owner: httpx.Client) -> None:
    before = on_disk(server)
    check_refusal(upload(owner, **{"idempotency-key": "k" * 256}), 400, "invalid_request")
    assert on_disk(server) == before


def test_a_refused_upload_is_told_the_limit_of_uploads(any_server: Server) -> None:
    """R12.1a: not that of messages, whichever server cut it."""
    with http(any_server) as client:
        told = check_refusal(upload(client, b"\0" * 40_000_000), 413, "request_too_large")
    assert " 34603008 bytes" in told["message"]


def test_limits_hold_for_declared_and_for_real_sizes(new_server: NewServer) -> None:
    server = new_server(env={"UPLOAD_MAX_BYTES": "200000", "UPLOAD_MAX_TEXT_BYTES": "1000"})
    with http(server) as client:
        check_refusal(upload(client, files.png() + b"\0" * 300_000), 413, "request_too_large")
        check_refusal(upload(client, files.png() + b"\0" * 199_999), 413, "request_too_large")
        check_refusal(upload(client, b"x" * 1001), 413, "request_too_large")
        assert upload(client, b"x" * 1000).status_code == 200
        assert upload(client, files.png() + b"\0" * 100_000).status_code == 200
    assert on_disk(server) == 2
