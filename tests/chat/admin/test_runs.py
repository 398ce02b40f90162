"""Runs, conversations and messages in the admin: readable, searchable, never editable, and only for managers (AG-4)."""

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from agents.admin.buttons import row_url
from chat import cancelling
from chat.admin import facts
from chat.models import ChatSession, Execution, Message

RUNS = "/admin/chat/execution/"


def html_of(client: Client, url: str) -> str:
    response = client.get(url)
    assert response.status_code == 200, url
    return str(response.content.decode())


def test_a_run_is_told_step_by_step(owners: Client, run: Execution) -> None:
    html = html_of(owners, row_url(run))
    for text in ("Mail the numbers", "I mailed them.", "A mail is wanted.", "The mailbox is full.", "12\xa0ms", "1.24\xa0s", "req_41"):
        assert text in html


def test_masked_arguments_are_shown_to_nobody(admin: Client, run: Execution, session: ChatSession) -> None:
    pages = (run, session, session.messages.get(position=1))
    html = "".join(html_of(admin, row_url(row)) for row in pages)
    assert "token-in-the-clear" not in html
    assert "a@example.com" in html


def test_a_run_without_conversation_keeps_its_parts_itself(owners: Client, run: Execution) -> None:
    """R6.3: stateless calls have no message."""
    part = {"type": "text", "block": 1, "text": "Stateless words."}
    Execution.objects.filter(pk=run.pk).update(session=None, steps=[{"step": 1, "model": "demo-model", "parts": [part]}])
    assert "Stateless words." in html_of(owners, row_url(run))


def test_a_workflows_run_tells_its_inputs_and_its_steps(owners: Client, run: Execution) -> None:
    node = {"type": "node", "workflow_id": "duo", "node_id": "a", "node_name": "draft", "node_type": "agent", "error": "", "skipped": False}
    parts = [{**node, "status": "completed", "result": "A poem."}, {**node, "node_name": "mail", "status": "error", "error": "No mailbox."}]
    steps = [{"step": 1, "model": "", "usage": {}, "parts": [{"type": "step", "step": 1, "model": ""}]}]
    steps.append({"step": 2, "model": "demo-model", "usage": {}, "parts": [{"type": "step", "step": 2, "model": "demo-model"}, *parts]})
    work = {"workflow": {"name": "duo", "inputs": {"topic": "The sea"}}}
    Execution.objects.filter(pk=run.pk).update(session=None, message="", work=work, steps=steps)
    html = html_of(owners, row_url(run))
    assert "&quot;topic&quot;: &quot;The sea&quot;" in html
    for text in ("Step draft, agent: completed", "A poem.", "Step mail, agent: error: No mailbox."):
        assert text in html
    assert "(no text)" not in html
    assert html.count("sb-step") == 1, "the step before the first model call is empty"
    assert "Workflow duo" in html_of(owners, RUNS)


def test_what_was_saved_of_an_interrupted_run_is_shown(owners: Client, run: Execution) -> None:
    """R12.5: partial text has no step of its own."""
    Message.objects.all().delete()
    Execution.objects.filter(pk=run.pk).update(session=None, steps=[{"step": 1, "parts": [{"type": "text", "block": 1, "text": "Half a"}]}])
    assert "Half a" in html_of(owners, row_url(run))


def test_a_call_that_was_cut_off_is_told_as_such(owners: Client, run: Execution) -> None:
    """R9.1: the run was stopped while its tool ran."""
    call = {"type": "tool", "call_id": "srv_2", "name": "send_mail", "arguments": {}, "client": False, "called_s": 1.0, "duration_ms": 7}
    Execution.objects.filter(pk=run.pk).update(session=None, steps=[{"step": 1, "model": "demo-model", "parts": [call]}])
    assert "The run was stopped before it answered." in html_of(owners, row_url(run))


def test_the_error_detail_is_for_managers(owners: Client, run: Execution) -> None:
    """R3.3: callers never see it; this page is only for managers."""
    changes = {
        "status": "failed",
        "error_code": "provider_error",
        "error": "The model provider returned an error.",
        "error_detail": "400 no",
    }
    Execution.objects.filter(pk=run.pk).update(**changes)
    html = html_of(owners, row_url(run))
    assert "400 no" in html
    assert "The model provider returned an error." in html


def test_texts_of_conversations_are_escaped(owners: Client, run: Execution, session: ChatSession) -> None:
    html = html_of(owners, row_url(session))
    assert "<script>alert(1)" not in html
    assert "&lt;script&gt;alert(1)" in html


@pytest.mark.parametrize("found", ["numbers", "mailed", "req_41", "user:1", "id"])
def test_a_run_is_found_by_id_text_request_and_principal(owners: Client, run: Execution, found: str) -> None:
    asked = str(run.pk) if found == "id" else found
    assert "Mail the numbers" in html_of(owners, f"{RUNS}?q={asked}")
    assert "Mail the numbers" not in html_of(owners, f"{RUNS}?q=nothing-like-it")


@pytest.mark.parametrize(
    "query", ["status__exact=success", "wire__exact=run", "trigger__exact=chat", "model_used__icontains=demo", "agent={agent}"]
)
def test_runs_are_filtered(owners: Client, run: Execution, query: str) -> None:
    other = {"status": "failed", "wire": "openai", "trigger": "task", "model_used": "zzz", "message": "Another"}
    Execution.objects.create(agent=run.agent, agent_name="helper", principal="x", **other)
    html = html_of(owners, f"{RUNS}?{query.format(agent=run.agent_id)}")
    assert "Mail the numbers" in html
    assert ("Another" in html) == query.startswith("agent=")


@pytest.mark.parametrize(
    ("since", "until", "shown"), [("", "", True), (0, 0, True), ("", -1, False), (1, "", False), ("nonsense", "2026-99-99", True)]
)
def test_runs_are_filtered_by_day(owners: Client, run: Execution, since: int | str, until: int | str, shown: bool) -> None:
    today = timezone.localdate()
    days = [str(today + timedelta(days=day)) if isinstance(day, int) else day for day in (since, until)]
    html = html_of(owners, f"{RUNS}?created_at_from={days[0]}&created_at_to={days[1]}")
    assert ("Mail the numbers" in html) == shown


def test_a_message_is_found_by_its_words(owners: Client, run: Execution) -> None:
    assert "Mail the numbers" in html_of(owners, "/admin/chat/message/?q=numbers")
    assert "Mail the numbers" not in html_of(owners, "/admin/chat/message/?q=absent")


def test_nothing_of_it_can_be_edited(admin: Client, run: Execution, session: ChatSession) -> None:
    for row in (run, session, session.messages.first()):
        assert admin.post(row_url(row), {"status": "success", "text": "forged"}).status_code == 403
        assert admin.post(row_url(row, "delete"), {"post": "yes"}).status_code == 403


def test_a_stranger_sees_no_run_no_conversation_and_no_message(strangers: Client, run: Execution, session: ChatSession) -> None:
    for url in (RUNS, "/admin/chat/chatsession/", "/admin/chat/message/", "/admin/", f"{RUNS}?q={run.pk}", f"{RUNS}?agent={run.agent_id}"):
        html = html_of(strangers, url)
        assert "Mail the numbers" not in html
        assert "Sales" not in html
        assert ">helper<" not in html
    for row in (run, session, session.messages.get(position=0)):
        assert strangers.get(row_url(row)).status_code == 302
    assert strangers.post(row_url(run, "stop")).status_code == 403


def test_stopping_a_run(owners: Client, run: Execution, monkeypatch: pytest.MonkeyPatch) -> None:
    """R6.5: managers may stop it."""
    stopped = []

    async def cancel(execution_id: object) -> cancelling.Cancelled:
        stopped.append(execution_id)
        return cancelling.Cancelled(status="cancelled", result="terminated")

    monkeypatch.setattr(cancelling, "cancel", cancel)
    Execution.objects.filter(pk=run.pk).update(status="running")
    assert ">Stop<" in html_of(owners, row_url(run))
    owners.post(row_url(run, "stop"))
    assert stopped == [run.pk]


@pytest.mark.parametrize(
    ("ms", "text"), [(None, "–"), (0, "0\xa0ms"), (999, "999\xa0ms"), (1240, "1.24\xa0s"), (185_000, "3\xa0min 5\xa0s")]
)
def test_durations(ms: int | None, text: str) -> None:
    assert facts.duration(ms) == text


@pytest.mark.parametrize(("usd", "text"), [(None, "–"), (0, "$0.00"), (0.0123, "$0.0123"), (0.00001, "< $0.0001"), (1234.5, "$1,234.50")])
def test_money_is_unknown_rather_than_nothing(usd: float | None, text: str) -> None:
    """R10.2."""
    assert facts.money(usd) == text
