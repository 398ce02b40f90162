"""Secrets a first start makes for itself, as files under DATA_DIR/secrets, readable by the owner only."""

import os
import secrets
import tempfile
from pathlib import Path

from cryptography.fernet import Fernet


def stored(data_dir: Path, name: str) -> str:
    """The secret `name`, made and written once; two processes starting together agree on one value."""
    path = data_dir / "secrets" / name
    if not path.exists():
        _write_once(path, Fernet.generate_key().decode() if name == "encryption_key" else secrets.token_urlsafe(48))
    return path.read_text().strip()


def _write_once(path: Path, value: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with tempfile.NamedTemporaryFile("w", dir=path.parent) as file:
        file.write(value)
        file.flush()
        try:
            os.link(file.name, path)
        except FileExistsError:
            return
