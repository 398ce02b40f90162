"""Text of uploaded documents (UI-69). They are read in a process of their own, which is bounded in time, memory and output.

`python -m agents.extraction PATH TYPE` writes the text of a document to its standard output; it needs neither Django nor a database.
"""

import asyncio
import os
import resource
import subprocess
import sys
from pathlib import Path
from weakref import WeakKeyDictionary

from agents.readers import READERS

MAX_CHARS = 8_000_000
_TIME_LIMIT_S = 30.0
_MEMORY_LIMIT_BYTES = 1024 * 1_048_576
_ROOT = Path(__file__).resolve().parent.parent
_one_at_a_time: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()


class ExtractionError(Exception):
    """The document is broken, encrypted, or took too much."""


def text_of_plain(path: Path) -> str:
    """The characters of a text file, without a byte order mark."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        return file.read(MAX_CHARS)


def is_readable(media_type: str) -> bool:
    """Whether documents of this type have text that can be read out."""
    return media_type in READERS


async def text_of_document(path: Path, media_type: str) -> str:
    """The text of a readable document, one document after the other. Raises ExtractionError."""
    async with _one_at_a_time.setdefault(asyncio.get_running_loop(), asyncio.Semaphore(1)):
        return await _read_apart([sys.executable, "-m", "agents.extraction", str(path), media_type])


async def _read_apart(command: list[str]) -> str:
    """Output of a process that knows none of our secrets and ends with our interest in it.

    Not asyncio's own subprocess: in Python 3.11 a task that is cancelled while it starts one never ends.
    """
    process = _started(command)
    try:
        return await asyncio.to_thread(_output, process)
    finally:
        process.kill()


def _output(process: subprocess.Popen[bytes]) -> str:
    with process:
        try:
            output, _ = process.communicate(timeout=_TIME_LIMIT_S)
        except subprocess.TimeoutExpired as error:
            process.kill()
            raise ExtractionError from error
    if process.returncode:
        raise ExtractionError
    return output.decode()


def _started(command: list[str]) -> subprocess.Popen[bytes]:
    bare = {"PYTHONPATH": os.pathsep.join((str(_ROOT), *sys.path))}
    nowhere = subprocess.DEVNULL
    return subprocess.Popen(command, env=bare, stdin=nowhere, stdout=subprocess.PIPE, stderr=nowhere)  # noqa: S603  # our own module


def main() -> None:
    seconds = int(_TIME_LIMIT_S)
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_LIMIT_BYTES, _MEMORY_LIMIT_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    os.nice(10)
    left = MAX_CHARS
    for piece in READERS[sys.argv[2]](sys.argv[1]):
        text = piece.replace("\0", "")[:left]
        sys.stdout.buffer.write(text.encode(errors="ignore"))
        left -= len(text)
        if left <= 0:
            break


if __name__ == "__main__":
    main()
