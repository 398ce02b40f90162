"""This process as an owner of runs: its name, the file lock that proves it alive (R12.5), and whether it takes new runs."""

import asyncio
import contextlib
import fcntl
import os
import secrets
import socket
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

from django.conf import settings

from chat.errors import TurnError

NAME = f"{socket.gethostname()[:32]}-{os.getpid()}-{secrets.token_hex(4)}"
_LOOK_S = 0.05
_lock: IO[str] | None = None
_closing = False


def register() -> None:
    """Takes the lock `DATA_DIR/owners/<NAME>`; it falls free when this process ends, however it ends."""
    global _lock
    if _lock is not None:
        return
    folder = _folder()
    folder.mkdir(parents=True, exist_ok=True)
    file = (folder / NAME).open("w")
    fcntl.flock(file, fcntl.LOCK_EX)
    _lock = file


def dead_owners() -> list[str]:
    """Processes that registered under this DATA_DIR and are gone. Their files stay until forget()."""
    return [path.name for path in _folder().glob("*") if path.name != NAME and _is_free(path)]


def others() -> list[str]:
    """Other processes that live under this DATA_DIR."""
    return [path.name for path in _folder().glob("*") if path.name != NAME and not _is_free(path)]


def forget(names: list[str]) -> None:
    """Removes the files of dead owners whose runs were ended."""
    for name in names:
        (_folder() / name).unlink(missing_ok=True)


def _folder() -> Path:
    return Path(settings.DATA_DIR) / "owners"


def _is_free(path: Path) -> bool:
    with contextlib.suppress(FileNotFoundError), path.open("r+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
    return False


def check_open() -> None:
    """Raises shutting_down once the process has begun to end."""
    if _closing:
        raise TurnError("shutting_down", retry_after_s=5)


def is_closing() -> bool:
    """Whether the process has begun to end."""
    return _closing


async def close(running: Mapping[Any, Any], stop: Callable[[Any], object]) -> None:
    """Waits for the running turns, then stops the rest and waits for their ends to be stored (R12.5)."""
    global _closing
    _closing = True
    await _over(running, lambda turn: None)
    await _over(running, stop)


async def _over(running: Mapping[Any, Any], each: Callable[[Any], object]) -> None:
    """Until no turn is left, also of those that begin or go on meanwhile; SHUTDOWN_SECONDS at most. `each` is told of every turn."""
    give_up = time.monotonic() + settings.SHUTDOWN_SECONDS
    while running and time.monotonic() < give_up:
        for turn in list(running.values()):
            each(turn)
        await asyncio.sleep(_LOOK_S)


def reopen() -> None:
    """For servers that are started again in one process (tests)."""
    global _closing
    _closing = False
