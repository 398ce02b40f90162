"""One try to deliver an ended run (AG-52): a signed POST through the guard, without redirects, within ten seconds."""

import hmac
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import orjson
from django.utils import timezone

from agents.database import run
from agents.fetch import Request, fetch
from agents.models import UserProfile, new_secret
from agents.net import FetchError, Reason
from chat.executions import report
from chat.models import Execution
from chat.times import iso
from tasks.models import Delivery, Endpoint

TIMEOUT_S = 10.0
EVENT = "execution.finished"
OLD_SECRET_SIGNS = timedelta(hours=24)
_ANSWER_BYTES = 4096
_SENTENCES: Mapping[Reason, str] = {
    "blocked": "The address is of a private network, or leads to one: it was not called. ALLOW_PRIVATE_ADDRESSES names those that may be.",
    "redirects": "The receiver redirected, which deliveries do not follow.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """`status` is the receiver's, if it answered. `hopeless`: no later try can do better."""

    status: int | None = None
    error: str = ""
    hopeless: bool = False

    @property
    def delivered(self) -> bool:
        return not self.error


async def send(delivery: Delivery) -> Outcome:
    """Never raises for what the receiver does."""
    prepared = await run(_prepared, delivery)
    if isinstance(prepared, Outcome):
        return prepared
    try:
        answer = await fetch(prepared, timeout_s=TIMEOUT_S, max_bytes=_ANSWER_BYTES, max_redirects=0)
    except FetchError as error:
        return Outcome(error=_SENTENCES.get(error.reason, str(error)))
    if 200 <= answer.status < 300:
        return Outcome(status=answer.status)
    return Outcome(status=answer.status, error=f"The receiver answered {answer.status}.")


def address_of(delivery: Delivery) -> str:
    """Where it goes: an endpoint's address may have been corrected since."""
    return delivery.endpoint.url if delivery.endpoint else delivery.url


def _prepared(delivery: Delivery) -> Request | Outcome:
    if delivery.endpoint is not None and not delivery.endpoint.enabled:
        return Outcome(error="The endpoint is switched off.", hopeless=True)
    execution = Execution.objects.filter(id=delivery.execution_id).select_related("owner").first()
    if execution is None:
        return Outcome(error="The run does not exist any more.", hopeless=True)
    body, stamp = orjson.dumps(document(delivery, execution)), str(int(time.time()))
    current, previous = _secrets(delivery.endpoint) if delivery.endpoint else (callback_secret(execution.owner_id), "")
    headers = {
        "Content-Type": "application/json",
        "X-Switchboard-Event": EVENT,
        "X-Switchboard-Delivery": str(delivery.pk),
        "X-Switchboard-Timestamp": stamp,
        "X-Switchboard-Signature": signature(current, stamp, body),
    }
    if previous:
        headers["X-Switchboard-Signature-Previous"] = signature(previous, stamp, body)
    return Request(method="POST", url=address_of(delivery), headers=headers, body=body)


def document(delivery: Delivery, execution: Execution) -> dict[str, Any]:
    """What is delivered; the same on every try."""
    return {"id": str(delivery.pk), "event": EVENT, "created_at": iso(delivery.created_at), "execution": report(execution)}


def signature(secret: str, stamp: str, body: bytes) -> str:
    return f"sha256={hmac.new(secret.encode(), stamp.encode() + b'.' + body, 'sha256').hexdigest()}"


# Secrets


def _secrets(endpoint: Endpoint) -> tuple[str, str]:
    """The secret, and the one before while receivers may still use it."""
    rotated = endpoint.rotated_at
    young = rotated is not None and timezone.now() - rotated < OLD_SECRET_SIGNS
    return endpoint.secret, endpoint.previous_secret if young else ""


def callback_secret(user_id: int | None) -> str:
    """What signs results for a task's callback_url: its caller's. One that was never shown is made, so that nothing goes out unsigned."""
    if user_id is None:
        return new_secret()
    profile, _ = UserProfile.objects.get_or_create(user_id=user_id)
    if not profile.callback_secret:
        UserProfile.objects.filter(pk=profile.pk, callback_secret="").update(callback_secret=new_secret())
        profile.refresh_from_db(fields=["callback_secret"])
    return str(profile.callback_secret)


def rotate(endpoint: Endpoint) -> str:
    """A new secret; the old one signs too for a day."""
    endpoint.previous_secret, endpoint.secret, endpoint.rotated_at = endpoint.secret, new_secret(), timezone.now()
    endpoint.save(update_fields=["previous_secret", "secret", "rotated_at"])
    return str(endpoint.secret)
