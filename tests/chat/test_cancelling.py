"""Stopping what ends, or goes on, in the very moment (R6.5, R0.8)."""

import pytest

from chat import cancelling, store
from chat.models import Execution
from chat.replay import TERMINAL_STATUSES

pytestmark = pytest.mark.django_db(transaction=True)


async def seen_as(status: str, now: str, patch: pytest.MonkeyPatch) -> cancelling.Cancelled:
    """Cancels a run that was `status` when it was looked at, and is `now` when it is to be stopped."""
    row = await store.run(lambda: Execution.objects.create(agent_name="a", principal="static", status=now, trigger="task"))
    patch.setattr(cancelling, "_state", lambda _: (status, False))
    done = await cancelling.cancel(row.id)
    assert await store.run(lambda: Execution.objects.get(id=row.id).status) == done.status
    return done


@pytest.mark.parametrize("now", sorted(TERMINAL_STATUSES - {"cancelled"}))
@pytest.mark.parametrize("before", ["queued", "running", "paused"])
async def test_what_has_ended_otherwise_was_not_stopped(before: str, now: str, monkeypatch: pytest.MonkeyPatch) -> None:
    done = await seen_as(before, now, monkeypatch)
    assert (done.status, done.result) == (now, "already_finished")


@pytest.mark.parametrize(
    ("before", "result"),
    [("queued", "cancelled_while_queued"), ("running", "terminated"), ("paused", "cancelled_while_paused")],
)
async def test_what_goes_on_is_stopped(before: str, result: str, monkeypatch: pytest.MonkeyPatch) -> None:
    done = await seen_as(before, "running", monkeypatch)
    assert (done.status, done.result) == ("cancelled", result)
