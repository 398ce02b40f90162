"""Asking twice is doing once (R4): a row per used Idempotency-Key points at the run it started.

Claimed before anything runs, released when the run came to nothing before its first event. Repeats without a key are chat.repeats'.
"""

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any
from uuid import UUID

from django.db import InterfaceError, OperationalError
from django.utils import timezone

from agents.access import Principal
from chat.errors import TurnError
from chat.models import Execution, IdempotencyRecord
from chat.requests import IdempotencyClaim
from chat.store import run

LIFE = timedelta(hours=24)
BEGINNING = timedelta(seconds=60)
"""A key is claimed before its run is stored: for so long, a run that is not there yet counts as running."""
_LONGEST_KEY = 255


def claim_for(
    principal: Principal, route: str, agent_name: str, header: str | None, body: object, shaping: Mapping[str, str]
) -> IdempotencyClaim | None:
    """The claim of a request with an Idempotency-Key; None without one. Raises invalid_request (400) for a malformed key.

    `shaping`: query parameters and headers that change the answer's form (R4.2).
    """
    if header is None:
        return None
    if not (1 <= len(header) <= _LONGEST_KEY and all("!" <= letter <= "~" for letter in header)):
        raise TurnError("invalid_request", "Idempotency-Key must be 1 to 255 visible ASCII characters.", param="Idempotency-Key")
    scope = scope_hash([principal.key, route, agent_name, header])
    return IdempotencyClaim(key_hash=scope, fingerprint=fingerprint(body, shaping))


def fingerprint(body: object, shaping: Mapping[str, str]) -> str:
    """What two requests are compared by: the parsed body, whatever the order of its keys, and the form of the answer (R4.2)."""
    return scope_hash([body, dict(shaping)])


def scope_hash(value: Any) -> str:
    """SHA-256 of any JSON value, whatever the order of its keys."""
    return sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


async def take(claim: IdempotencyClaim, execution_id: UUID, *, answered: bool = False) -> UUID | None:
    """Claims the key for `execution_id`; or returns the execution of an earlier run, whose answer is to be given again.

    `answered`: a call that is answered with 202 when its run is stored, and so may be answered again before the run ends (R4.3).

    Raises request_in_progress (409) while that one runs, idempotency_key_reused (422) when it was asked something else, and
    store_unavailable (503): a request with a key is never run unprotected (R4.5).
    """
    try:
        return await run(_take, claim, execution_id, answered)
    except (OperationalError, InterfaceError) as error:
        raise TurnError("store_unavailable", retry_after_s=1) from error


def _take(claim: IdempotencyClaim, execution_id: UUID, answered: bool) -> UUID | None:
    while True:
        now = timezone.now()
        values = {"fingerprint": claim.fingerprint, "execution_id": execution_id, "created_at": now}
        record, created = IdempotencyRecord.objects.get_or_create(key_hash=claim.key_hash, defaults=values)
        if created:
            return None
        if not _is_free(record, now):
            return _earlier(record, claim, answered)
        unchanged = IdempotencyRecord.objects.filter(pk=record.pk, execution_id=record.execution_id)
        if unchanged.update(**values):
            return None


def _is_free(record: IdempotencyRecord, now: datetime) -> bool:
    """Expired, or of a run that never came to be."""
    age = now - record.created_at
    return age > LIFE or (age > BEGINNING and not Execution.objects.filter(pk=record.execution_id).exists())


def _earlier(record: IdempotencyRecord, claim: IdempotencyClaim, answered: bool) -> UUID:
    if record.fingerprint != claim.fingerprint:
        raise TurnError("idempotency_key_reused")
    status = Execution.objects.filter(pk=record.execution_id).values_list("status", flat=True).first()
    if status is None or (not answered and status in (Execution.Status.QUEUED, Execution.Status.RUNNING)):
        raise _in_progress(record.execution_id)
    return record.execution_id


def _in_progress(execution_id: UUID) -> TurnError:
    named = str(execution_id)
    return TurnError("request_in_progress", retry_after_s=1, headers={"X-Execution-Id": named}, extra={"execution_id": named})


async def release(claim: IdempotencyClaim) -> None:
    """The run was refused before its first event: the retry may run (R4.4). Without the database the record expires by itself."""
    try:
        await run(_release, claim)
    except (OperationalError, InterfaceError):
        return


def _release(claim: IdempotencyClaim) -> None:
    IdempotencyRecord.objects.filter(pk=claim.key_hash, fingerprint=claim.fingerprint).delete()


async def purge() -> None:
    """Deletes records that have had their day."""
    await run(_purge)


def _purge() -> None:
    IdempotencyRecord.objects.filter(created_at__lt=timezone.now() - LIFE).delete()
