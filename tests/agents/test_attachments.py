"""Attachments (UI-67, UI-68, R2.2): what is stored, who may see it, and what is left of a deleted one."""

import base64
import io
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User

from agents import attachments, extraction
from agents.access import ANONYMOUS, STATIC, Principal
from agents.errors import SwitchboardError
from agents.models import Attachment
from tests.support import files

pytestmark = pytest.mark.django_db(transaction=True)
OPEN_XML = "application/vnd.openxmlformats-officedocument"


@pytest.fixture(autouse=True)
def uploads(settings: Any, tmp_path: Path) -> Path:
    """The folder where bytes end up."""
    settings.MEDIA_ROOT = tmp_path / "uploads"
    return settings.MEDIA_ROOT


def principal(user_id: int) -> Principal:
    return Principal(kind="user", key=f"user:{user_id}", namespace=f"user:{user_id}", user_id=user_id)


@pytest.fixture
def owner() -> Principal:
    return principal(User.objects.create_user("owner").pk)


@pytest.fixture
def stranger() -> Principal:
    return principal(User.objects.create_user("stranger").pk)


async def store(who: Principal, data: bytes = b"hello", name: str = "a.txt", declared: str = "") -> Attachment:
    return await attachments.store(who, name, [data[:3], data[3:]], declared)


def on_disk(uploads: Path) -> list[Path]:
    return [path for path in uploads.rglob("*") if path.is_file()]


async def refused(code: str, awaitable: Any) -> SwitchboardError:
    with pytest.raises(SwitchboardError) as refusal:
        await awaitable
    assert refusal.value.code == code
    return refusal.value


@pytest.mark.parametrize(
    ("data", "name", "declared", "kind"),
    [
        (files.png(), "a.txt", "text/plain", "image/png"),
        (files.wav(), "a.png", "image/png", "audio/wav"),
        (files.pdf("hi"), "a.txt", "text/plain", "application/pdf"),
        (files.office("word"), "a.zip", "", f"{OPEN_XML}.wordprocessingml.document"),
        (files.office("xl"), "a", "", f"{OPEN_XML}.spreadsheetml.sheet"),
        (files.office("ppt"), "a", "", f"{OPEN_XML}.presentationml.presentation"),
        (b"{\\rtf1 hello}", "a.txt", "text/plain", "application/rtf"),
        (b"BM is how bitmaps begin", "a.bmp", "image/bmp", "text/plain"),
        (b"# Title", "a.md", "", "text/markdown"),
        (b"a,b\n1,2", "data.csv", "application/octet-stream", "text/csv"),
        (b"{}", "a", "application/json; charset=utf-8", "application/json"),
        (b"<p>", "a.bin", "text/html", "text/html"),
        (b"x", "a.exe", "application/x-msdownload", "text/plain"),
        (b"x", "a", "text/plain\r\nX-Evil: 1", "text/plain"),
        ("\ufeffgrüße".encode(), "a.txt", "", "text/plain"),
        (b"", "empty.txt", "", "text/plain"),
    ],
)
async def test_the_bytes_decide_the_type(owner: Principal, data: bytes, name: str, declared: str, kind: str) -> None:
    row = await store(owner, data, name, declared)
    assert (row.mime_type, row.size_bytes) == (kind, len(data))
    assert await attachments.read(row) == data


@pytest.mark.parametrize(
    "data",
    [
        files.archive(),
        b"MZ" + b"\0" * 100,
        b"\x7fELF" + b"\0" * 100,
        b"text\0with a zero",
        b"gr\xfc\xdfe in latin-1",
        b"\x1f\x8b\x08" + b"\0" * 50,
        b"\xff\xfea\0",
    ],
)
async def test_other_kinds_are_refused_and_leave_nothing(owner: Principal, uploads: Path, data: bytes) -> None:
    error = await refused("unsupported_media_type", store(owner, data, "a.png", "image/png"))
    assert error.status == 415
    assert on_disk(uploads) == []
    assert not await Attachment.objects.aexists()


async def test_a_file_over_the_limit_is_refused_while_it_is_written(owner: Principal, uploads: Path, settings: Any) -> None:
    settings.UPLOAD_MAX_BYTES = 1000
    read = []

    def chunks() -> Iterator[bytes]:
        for number in range(100):
            read.append(number)
            yield b"x" * 300

    error = await refused("request_too_large", attachments.store(owner, "a.txt", chunks()))
    assert (error.status, len(read)) == (413, 4)
    assert on_disk(uploads) == []


async def test_text_has_a_smaller_limit_than_other_kinds(owner: Principal, uploads: Path, settings: Any) -> None:
    settings.UPLOAD_MAX_TEXT_BYTES = 50
    await store(owner, files.png())
    await refused("request_too_large", store(owner, b"x" * 51))
    assert len(on_disk(uploads)) == 1


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("a.pdf", "a.pdf"),
        ("../../etc/passwd", "passwd"),
        ("C:\\temp\\b.txt", "b.txt"),
        ("a\r\nSet-Cookie: x\0.txt", "aSet-Cookie: x.txt"),
        ("gpj.\u202eexe", "gpj.exe"),
        ("..", ".."),
        ("", "file"),
        ("/", "file"),
        ("é" * 300, "é" * 255),
    ],
)
async def test_the_name_is_display_text_only(owner: Principal, uploads: Path, name: str, shown: str) -> None:
    row = await store(owner, name=name)
    assert row.name == shown
    assert [path.name for path in on_disk(uploads)] == [row.id.hex]


async def test_a_file_whose_row_cannot_be_written_leaves_no_bytes(uploads: Path) -> None:
    nobody = principal(10**6)
    with pytest.raises(Exception, match=r"(?i)foreign key"):
        await store(nobody)
    assert on_disk(uploads) == []


async def test_the_owner_finds_files_in_the_asked_order(owner: Principal) -> None:
    first, second = await store(owner), await store(owner)
    asked = [str(second.id), str(first.id), str(second.id)]
    assert [str(row.id) for row in await attachments.attachments_for(owner, asked)] == asked
    assert await attachments.attachments_for(owner, []) == []


async def test_a_key_of_the_owner_sees_the_owners_files(owner: Principal) -> None:
    row = await store(replace(owner, kind="api_key", key="key:1"))
    assert await attachments.attachments_for(owner, [str(row.id)]) == [row]


async def test_strangers_find_nothing_and_cannot_tell_why(owner: Principal, stranger: Principal) -> None:
    """R2.2: unknown, foreign, deleted and impossible ids are one answer."""
    row, gone = await store(owner), await store(stranger)
    await attachments.delete(stranger, str(gone.id))
    answers = set()
    for key in (str(row.id), str(gone.id), "0198f0a0-0000-7000-8000-000000000000", "x", "", str(row.id).upper(), "\0", 5, None, row.id):
        error = await refused("attachment_not_found", attachments.attachments_for(stranger, [key]))
        answers.add((error.status, error.message))
    assert len(answers) == 1


async def test_one_bad_id_among_good_ones_is_refused(owner: Principal, stranger: Principal) -> None:
    mine, theirs = await store(owner), await store(stranger)
    await refused("attachment_not_found", attachments.attachments_for(owner, [str(mine.id), str(theirs.id)]))


async def test_callers_without_a_user_have_their_namespace(owner: Principal) -> None:
    row = await store(ANONYMOUS)
    assert await attachments.attachments_for(ANONYMOUS, [str(row.id)]) == [row]
    for other in (STATIC, owner):
        await refused("attachment_not_found", attachments.attachments_for(other, [str(row.id)]))
    owned = await store(owner)
    await refused("attachment_not_found", attachments.attachments_for(replace(ANONYMOUS, namespace=owner.namespace), [str(owned.id)]))


async def test_a_deleted_file_keeps_name_and_size_and_loses_bytes_and_text(owner: Principal, uploads: Path) -> None:
    """UI-68."""
    row = await store(owner, b"secret text", "kept.txt")
    await attachments.delete(owner, str(row.id))
    left = await Attachment.objects.aget(pk=row.id)
    assert (left.name, left.size_bytes, left.text, left.text_status) == ("kept.txt", 11, "", "none")
    assert left.deleted_at
    assert on_disk(uploads) == []
    await refused("attachment_not_found", attachments.delete(owner, str(row.id)))
    await refused("attachment_not_found", attachments.read(left))


async def test_only_the_owner_deletes(owner: Principal, stranger: Principal, uploads: Path) -> None:
    row = await store(owner)
    await refused("attachment_not_found", attachments.delete(stranger, str(row.id)))
    assert len(on_disk(uploads)) == 1


async def test_a_data_url_holds_type_and_bytes(owner: Principal) -> None:
    row = await store(owner, files.png())
    assert await attachments.data_url(row) == "data:image/png;base64," + base64.b64encode(files.png()).decode()


async def test_a_signed_address_gives_the_file_for_a_day(owner: Principal, monkeypatch: pytest.MonkeyPatch) -> None:
    row = await store(owner)
    path = attachments.signed_path(row)
    signed = path.removeprefix("/attachment/")
    assert await attachments.attachment_of(signed) == row
    monkeypatch.setattr(attachments, "SIGNED_S", -1)
    await refused("not_found", attachments.attachment_of(signed))


async def test_a_signed_address_that_is_not_ours_gives_nothing(owner: Principal) -> None:
    row = await store(owner)
    signed = attachments.signed_path(row).removeprefix("/attachment/")
    for bad in (signed[:-1], signed + "x", row.id.hex, str(row.id), "", "a.b.c", signed.replace(row.id.hex, "0" * 32)):
        await refused("not_found", attachments.attachment_of(bad))
    await attachments.delete(owner, str(row.id))
    await refused("not_found", attachments.attachment_of(signed))


async def test_a_signed_address_in_a_message_is_the_file_for_its_owner_alone(owner: Principal, stranger: Principal) -> None:
    """UI-15."""
    row, site = await store(owner), "https://chat.test"
    url = site + attachments.signed_path(row)
    assert await attachments.attachment_by_url(owner, url, site) == row
    assert await attachments.attachment_by_url(owner, attachments.signed_path(row), site) == row
    assert await attachments.attachment_by_url(stranger, url, site) is None
    assert await attachments.attachment_by_url(owner, url + "x", site) is None
    assert await attachments.attachment_by_url(owner, url, "https://other.test") is None


async def test_the_text_of_a_text_file_is_there_at_once(owner: Principal) -> None:
    row = await store(owner, "\ufeffgrüße\r\n".encode())
    assert row.text_status == "ready"
    assert await attachments.text_of(row) == "grüße\r\n"


async def test_files_without_text_have_none(owner: Principal) -> None:
    assert await attachments.text_of(await store(owner, files.png())) is None


async def test_the_text_of_a_pdf_is_read_in_the_background(owner: Principal) -> None:
    """UI-69."""
    row = await store(owner, files.pdf("First page", "Second page"))
    assert row.text_status == "pending"
    assert await attachments.text_of(row) == "First page\n\nSecond page\n\n"
    assert (await Attachment.objects.aget(pk=row.id)).text_status == "ready"


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (files.word("Grüße", "Second", table=[["a", "b"], ["1", ""]]), "Grüße\n\nSecond\n\na\tb\n1\nAfter the table.\n\n"),
        (files.workbook(Sales=[["city", "n"], ["Oslo", 40], [], [None, 1.5]], No=[]), "# Sales\n\ncity\tn\nOslo\t40\n\t1.5\n\n# No\n\n\n"),
        (files.slides("Hello", "Bye", notes="Smile."), "# Slide 1\n\nHello\n\n# Slide 2\n\nBye\n\nSmile.\n\n"),
    ],
    ids=["word", "excel", "powerpoint"],
)
async def test_office_documents_are_read_too(owner: Principal, data: bytes, text: str) -> None:
    """UI-69."""
    assert await attachments.text_of(await store(owner, data)) == text


@pytest.mark.parametrize(("megabytes", "status"), [(5, "ready"), (600, "failed")])
async def test_a_document_may_unfold_only_so_far(owner: Principal, tmp_path: Path, megabytes: int, status: str) -> None:
    """UI-69: a small archive may hold gigabytes; the process that reads it has a limit of its own."""
    path = tmp_path / "a.docx"
    with zipfile.ZipFile(io.BytesIO(files.word("x"))) as small, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as made:
        for name in small.namelist():
            with made.open(name, "w") as part:
                part.write(small.read(name))
                for _ in range(megabytes if name == "word/document.xml" else 0):
                    part.write(b"<!--" + b" " * 1_048_576 + b"-->")
    row = await store(owner, path.read_bytes())
    assert row.size_bytes < 10_000_000
    await attachments.text_of(row)
    assert (await Attachment.objects.aget(pk=row.id)).text_status == status


@pytest.mark.parametrize("data", [files.word("MARK"), files.workbook(Sheet=[["MARK"]]), files.slides("MARK")])
async def test_a_document_cannot_read_our_files(owner: Principal, tmp_path: Path, data: bytes) -> None:
    """R11.4 in spirit: a reference out of the document is not followed."""
    secret, out = tmp_path / "secret", io.BytesIO()
    secret.write_text("hidden")
    entity = f'<!DOCTYPE x [<!ENTITY x SYSTEM "{secret.as_uri()}">]>'.encode()
    with zipfile.ZipFile(io.BytesIO(data)) as plain, zipfile.ZipFile(out, "w") as made:
        for name in plain.namelist():
            content = plain.read(name)
            if b"MARK" in content:
                head, _, rest = content.partition(b"?>")
                content = head + b"?>" + entity + rest.replace(b"MARK", b"[&x;]")
            made.writestr(name, content)
    text = await attachments.text_of(await store(owner, out.getvalue()))
    assert text is None or ("hidden" not in text and "MARK" not in text)


@pytest.mark.parametrize("data", [b"%PDF-1.4 broken", files.encrypted_pdf(), files.office("word"), files.office("xl"), files.office("ppt")])
async def test_a_document_that_cannot_be_read_has_no_text(owner: Principal, data: bytes) -> None:
    row = await store(owner, data)
    assert await attachments.text_of(row) is None
    assert (await Attachment.objects.aget(pk=row.id)).text_status == "failed"


async def test_an_extraction_that_a_dead_process_left_is_taken_up(owner: Principal) -> None:
    row = await store(owner, files.pdf("Left behind"))
    await attachments.text_of(row)
    await Attachment.objects.filter(pk=row.id).aupdate(text="", text_status="pending")
    assert await attachments.text_of(row) == "Left behind\n\n"


async def test_a_turn_waits_for_text_only_so_long(owner: Principal) -> None:
    row = await store(owner, files.pdf("Slow"))
    assert await attachments.text_of(row, wait_s=0) is None
    assert await attachments.text_of(row) == "Slow\n\n"


async def test_a_document_that_takes_too_long_is_given_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "a.pdf"
    path.write_bytes(files.pdf("x"))
    monkeypatch.setattr(extraction, "_TIME_LIMIT_S", 0.001)
    with pytest.raises(extraction.ExtractionError):
        await extraction.text_of_document(path, "application/pdf")


async def test_the_process_that_reads_strangers_files_knows_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_KEY", "hidden")
    names = await extraction._read_apart([sys.executable, "-c", "import os; print(*os.environ)"])
    assert "PYTHONPATH" in names
    assert "SECRET_KEY" not in names
