"""Bytes of files whose rows are gone: deleted with their owner by the database, or left by a process that died while it stored them.

They are set aside first and deleted a week later: who started the site with another database by mistake can put them back.
"""

import asyncio
import logging
import time
from pathlib import Path
from uuid import UUID

from django.conf import settings

from agents import database
from agents.models import Attachment

FILES, ASIDE = "attachments", "orphaned"
"""Folders below MEDIA_ROOT."""
YOUNG_S = 86_400
"""A file is stored before its row is: younger ones may be about to get theirs."""
KEPT_S = 7 * 86_400
_AT_ONCE = 500

logger = logging.getLogger("switchboard.orphans")


async def sweep() -> int:
    """Sets aside what has no row, deletes what was set aside a week ago; returns how many were set aside. Safe to run anywhere, at once."""
    found, files = 0, await asyncio.to_thread(_old_files)
    for start in range(0, len(files), _AT_ONCE):
        orphans = await database.run(_without_row, files[start : start + _AT_ONCE])
        await asyncio.to_thread(_set_aside, orphans)
        found += len(orphans)
    await asyncio.to_thread(_delete_old)
    if found:
        logger.warning("set aside %d files that belong to nobody, in %s", found, _folder(ASIDE))
    return found


def _folder(name: str) -> Path:
    return Path(settings.MEDIA_ROOT) / name


def _old_files() -> list[Path]:
    """Files that were stored as attachments are, by their id; anything else is not ours to judge."""
    return [path for path in _folder(FILES).rglob("*") if _id(path) and _age_s(path) > YOUNG_S]


def _id(path: Path) -> UUID | None:
    try:
        return UUID(hex=path.name)
    except ValueError:
        return None


def _age_s(path: Path) -> float:
    """0 for one that another process just took away."""
    try:
        return time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _without_row(files: list[Path]) -> list[Path]:
    ids = [_id(path) for path in files]
    rows = Attachment.objects.filter(pk__in=[id_ for id_ in ids if id_], deleted_at=None)
    kept = set(rows.values_list("pk", flat=True))
    return [path for path, id_ in zip(files, ids, strict=True) if id_ not in kept]


def _set_aside(files: list[Path]) -> None:
    folder = _folder(ASIDE)
    folder.mkdir(parents=True, exist_ok=True)
    for path in files:
        try:
            path.touch()
            path.rename(folder / path.name)
        except FileNotFoundError:
            continue  # another process was quicker


def _delete_old() -> None:
    for path in _folder(ASIDE).glob("*"):
        if _id(path) and _age_s(path) > KEPT_S:
            path.unlink(missing_ok=True)
