"""Bytes without a row: set aside after a day, deleted after a week more; nothing else is touched."""

import os
import time
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User

from agents import attachments, orphans
from agents.access import Principal
from agents.ids import uuid7
from agents.models import Attachment

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def uploads(settings: Any, tmp_path: Path) -> Path:
    settings.MEDIA_ROOT = tmp_path / "uploads"
    return settings.MEDIA_ROOT


@pytest.fixture
def owner() -> User:
    return User.objects.create_user("owner")


async def stored(owner: User) -> Path:
    """The path of a stored file that is a week and two days old."""
    principal = Principal(kind="user", key=f"user:{owner.pk}", namespace=f"user:{owner.pk}", user_id=owner.pk)
    row = await attachments.store(principal, "a.txt", [b"hello"])
    return aged(Path(row.file.path))


def aged(path: Path, seconds: float = orphans.KEPT_S + 2 * orphans.YOUNG_S) -> Path:
    os.utime(path, (time.time() - seconds,) * 2)
    return path


def aside(uploads: Path) -> list[str]:
    return sorted(path.name for path in (uploads / orphans.ASIDE).glob("*"))


async def test_files_of_a_deleted_user_are_set_aside_and_a_week_later_deleted(owner: User, uploads: Path) -> None:
    """The database deletes their rows by cascade, without a word to us."""
    gone, kept = await stored(owner), await stored(await User.objects.acreate(username="other"))
    await owner.adelete()
    assert await orphans.sweep() == 1
    assert (gone.exists(), kept.exists(), aside(uploads)) == (False, True, [gone.name])
    assert await orphans.sweep() == 0
    assert aside(uploads) == [gone.name]
    aged(uploads / orphans.ASIDE / gone.name)
    await orphans.sweep()
    assert (aside(uploads), kept.exists()) == ([], True)


async def test_bytes_that_a_deletion_left_go_too(owner: User, uploads: Path) -> None:
    """A process may die between marking the row and removing the bytes (UI-68)."""
    path = await stored(owner)
    await Attachment.objects.all().aupdate(deleted_at="2026-01-01T00:00:00Z")
    assert await orphans.sweep() == 1
    assert aside(uploads) == [path.name]


async def test_a_file_that_is_just_being_stored_is_left_alone(owner: User, uploads: Path) -> None:
    """Its row comes after its bytes."""
    path = aged(await stored(owner), orphans.YOUNG_S - 60)
    await Attachment.objects.all().adelete()
    assert await orphans.sweep() == 0
    assert path.exists()


async def test_what_is_not_named_like_an_attachment_is_left_alone(uploads: Path) -> None:
    others = [uploads / orphans.FILES / "notes.txt", uploads / "knowledge" / uuid7().hex, uploads / orphans.ASIDE / "README"]
    for path in others:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
        aged(path)
    assert await orphans.sweep() == 0
    assert all(path.exists() for path in others)


async def test_without_any_file_there_is_nothing_to_do() -> None:
    assert await orphans.sweep() == 0
