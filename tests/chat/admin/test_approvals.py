"""The approval inbox (R15): what waits is listed, decided by managers, and decided once."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from agents.admin.buttons import row_url
from agents.errors import SwitchboardError
from chat import approvals
from chat.models import Approval
from tests.agents.admin.forms import said

INBOX = "/admin/chat/approval/"


@pytest.fixture
def decided(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the spine was asked to decide."""
    calls: list[dict[str, Any]] = []

    async def decide(execution_id: object, tool_call_id: str, principal: Any, **asked: Any) -> approvals.Decision:
        calls.append({"call": tool_call_id, "user": principal.user_id, **asked})
        return approvals.Decision(execution_id=execution_id, tool_call_id=tool_call_id, decision="approved", status="running", pending=0)

    monkeypatch.setattr(approvals, "decide", decide)
    return calls


def test_the_inbox_shows_what_waits(owners: Client, approval: Approval) -> None:
    html = owners.get(INBOX).content.decode()
    assert "a@example.com" in html
    assert row_url(approval, "approve") in html
    approval.decision = "denied"
    approval.save()
    assert "a@example.com" not in owners.get(INBOX).content.decode()
    assert "a@example.com" in owners.get(f"{INBOX}?decision=all").content.decode()


def test_what_expired_has_no_buttons(owners: Client, approval: Approval) -> None:
    Approval.objects.update(expires_at=timezone.now() - timedelta(hours=1))
    html = owners.get(INBOX).content.decode()
    assert "Expired" in html
    assert row_url(approval, "approve") not in html


@pytest.mark.django_db(transaction=True)
def test_a_manager_approves_with_one_click(owners: Client, approval: Approval, owner: User, decided: list[dict[str, Any]]) -> None:
    page = owners.post(row_url(approval, "approve"), follow=True)
    assert decided == [{"call": "srv_9", "user": owner.pk, "approve": True, "reason": "", "arguments": None}]
    assert "send_mail is approved" in said(page)


@pytest.mark.django_db(transaction=True)
def test_a_manager_denies_with_a_reason(owners: Client, approval: Approval, owner: User, decided: list[dict[str, Any]]) -> None:
    owners.post(row_url(approval, "deny"), {"reason": "Not to outsiders.", "arguments": "{}"})
    assert decided == [{"call": "srv_9", "user": owner.pk, "approve": False, "reason": "Not to outsiders.", "arguments": None}]


@pytest.mark.django_db(transaction=True)
def test_arguments_may_be_corrected(owners: Client, approval: Approval, decided: list[dict[str, Any]]) -> None:
    """R15.2."""
    owners.post(row_url(approval, "approve"), {"arguments": '{"to": "b@example.com"}'})
    assert decided[0]["arguments"] == {"to": "b@example.com"}
    page = owners.post(row_url(approval, "approve"), {"arguments": "not json"}, follow=True)
    assert "not a JSON object" in said(page)
    assert len(decided) == 1


@pytest.mark.django_db(transaction=True)
def test_a_refusal_is_said(owners: Client, approval: Approval, monkeypatch: pytest.MonkeyPatch) -> None:
    async def decide(*_: Any, **__: Any) -> None:
        raise SwitchboardError("already_decided")

    monkeypatch.setattr(approvals, "decide", decide)
    assert "already decided the other way" in said(owners.post(row_url(approval, "approve"), follow=True))


def test_a_stranger_decides_nothing(strangers: Client, approval: Approval, decided: list[dict[str, Any]]) -> None:
    assert "a@example.com" not in strangers.get(INBOX).content.decode()
    assert strangers.get(row_url(approval)).status_code == 302
    for name in ("approve", "deny"):
        assert strangers.post(row_url(approval, name)).status_code == 403
    assert decided == []


def test_a_link_decides_nothing(owners: Client, approval: Approval, decided: list[dict[str, Any]]) -> None:
    assert owners.get(row_url(approval, "approve")).status_code == 405
    assert decided == []
