"""The cast and the rows of one conversation with a run, its steps and an approval that waits."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from agents.models import Agent
from chat.models import Approval, ChatSession, Execution, Message
from tests.agents.admin.conftest import admin, agent, owner, owners, provider, strangers

__all__ = ["admin", "agent", "owner", "owners", "provider", "strangers"]


@pytest.fixture
def session(agent: Agent, owner: User) -> ChatSession:
    return ChatSession.objects.create(
        namespace="user:1", name="weekly", agent=agent, agent_name="helper", owner=owner, wire="run", title="Sales"
    )


@pytest.fixture
def run(session: ChatSession, agent: Agent, owner: User) -> Execution:
    """A run of two steps that sent a mail; the mail's token was masked when it was stored, what the model wrote was not."""
    run = Execution.objects.create(
        agent=agent, agent_name="helper", agent_version=1, session=session, owner=owner, principal="user:1", wire="run",
        status="success", message="Mail the numbers", response="I mailed them.", request_id="req_41", input_tokens=1200,
        output_tokens=34, duration_ms=1240, first_token_ms=380, model_used="demo-model", error_detail="",
        usage={"input_tokens": 1200, "output_tokens": 34, "model_calls": 2},
        steps=[
            {"step": 1, "model": "demo-model", "finish_reason": "tool_calls", "usage": {"input_tokens": 700}},
            {"step": 2, "model": "demo-model", "finish_reason": "stop", "usage": {}},
        ],
    )  # fmt: skip
    parts = [
        {"type": "step", "step": 1, "model": "demo-model"},
        {"type": "reasoning", "block": 1, "text": "A mail is wanted."},
        {
            "type": "tool", "call_id": "srv_1", "provider_id": "p1", "name": "send_mail",
            "arguments": {"to": "a@example.com", "token": "***"}, "raw": "token-in-the-clear",
            "client": False,
            "output": None, "ok": False, "error": "The mailbox is full.", "duration_ms": 12,
        },
        {"type": "step", "step": 2, "model": "demo-model"},
        {"type": "text", "block": 2, "text": "I mailed them. <script>alert(1)</script>"},
    ]  # fmt: skip
    user = [{"type": "text", "text": "Mail the numbers"}]
    Message.objects.create(
        session=session, execution_id=run.pk, position=0, role="user", parts=user, text="Mail the numbers", status="done"
    )
    Message.objects.create(
        session=session, execution_id=run.pk, position=1, role="assistant", parts=parts, text="I mailed them.", status="done"
    )
    return run


@pytest.fixture
def approval(run: Execution) -> Approval:
    Execution.objects.filter(pk=run.pk).update(status="paused")
    until = timezone.now() + timedelta(hours=1)
    arguments = {"to": "a@example.com", "token": "***"}
    return Approval.objects.create(
        execution=run, tool_call_id="srv_9", name="send_mail", arguments=arguments, approver="manager", expires_at=until
    )
