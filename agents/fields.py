"""EncryptedTextField: text kept encrypted (Fernet, keys from settings.ENCRYPTION_KEYS, first one encrypts, all decrypt)."""

from functools import lru_cache
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper


@lru_cache(maxsize=4)
def _fernet(keys: tuple[str, ...]) -> MultiFernet:
    return MultiFernet([Fernet(key) for key in keys])


class EncryptedTextField(models.TextField):  # type: ignore[type-arg]  # not generic at run time
    """Plain text in Python, ciphertext in the database. A value no key opens raises: never a silent empty secret."""

    def get_prep_value(self, value: Any) -> Any:
        if not value:
            return ""
        return _fernet(tuple(settings.ENCRYPTION_KEYS)).encrypt(str(value).encode()).decode()

    def from_db_value(self, value: str | None, expression: Any, connection: BaseDatabaseWrapper) -> str:
        if not value:
            return ""
        try:
            return _fernet(tuple(settings.ENCRYPTION_KEYS)).decrypt(value.encode()).decode()
        except InvalidToken as error:
            raise ImproperlyConfigured("A stored secret cannot be decrypted: ENCRYPTION_KEYS lacks its key.") from error
