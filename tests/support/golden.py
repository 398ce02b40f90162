"""Golden files: what a codec made is compared byte for byte; GOLDEN=write rewrites them (`make golden`), to be read in the diff."""

import os
from pathlib import Path

FOLDER = Path(__file__).parent.parent / "protocols" / "golden"


def check(name: str, made: bytes) -> None:
    path = FOLDER / name
    if os.environ.get("GOLDEN") == "write":
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(made)
    assert made == path.read_bytes(), f"{name} differs from what was agreed"
