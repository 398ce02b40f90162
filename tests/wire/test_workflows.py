"""Workflows through the wire: steps, branches, maps, failures, approvals, and who may run them (WS-54 … WS-59)."""

import time
from collections.abc import Iterator
from typing import Any

import httpx2 as httpx
import pytest

from tests.support import clients
from tests.support.server import Server
from tests.support.waiting import until
from tests.wire import flowwire
from tests.wire.flowwire import ask, begun, nodes, out, post, ran, result, told
from tests.wire.taskwire import ended, run

VALUES = ["text", 1, 1.5, True, None, [1, "a"], {"a": {"b": []}}, "", [], {}]
BRANCH = {
    "inputs": [{"name": "n", "type": "integer"}],
    "steps": [
        {
            "id": "way", "kind": "branch", "condition": "inputs.n > 10",
            "then": [ask("rich", text="Rich."), out("said_rich", "{{ steps.rich.output }}", name="said")],
            "else": [ask("poor", text="Poor."), out("said_poor", "{{ steps.poor.output }}", name="said")],
        },
        out("both", "{{ steps.rich.output or steps.poor.output }}"),
        out("state", "{{ steps.rich.status }}"),
    ],
}  # fmt: skip
MAP = {
    "inputs": [{"name": "list", "type": "array"}],
    "steps": [
        {
            "id": "each", "kind": "map", "over": "inputs.list", "concurrency": 2,
            "steps": [
                {"id": "say", "kind": "agent", "agent": "flow", "message": '{"text": "{{ index }}:{{ item }}"}'},
                out("one", "{{ steps.say.output }}", name="ones"),
            ],
        },
        out("all", "{{ steps.each.output }}", after=["each"]),
    ],
}  # fmt: skip
FLOWS: dict[str, dict[str, Any]] = {
    "plain": {
        "inputs": [{"name": "month", "type": "string"}, {"name": "question", "type": "message", "required": False}],
        "steps": [
            ask("fetch", text="Sales rose."),
            out("summary", "{{ steps.fetch.output }} ({{ inputs.month }})"),
            out("asked", "{{ inputs.question }}"),
        ],
    },
    "values": {"steps": [out(f"v{number}", value, name="all") for number, value in enumerate(VALUES)]},
    "branch": BRANCH,
    "map": MAP,
    "parallel": {
        "steps": [
            {
                "id": "side", "kind": "parallel",
                "steps": [ask("a", text="A", delay_ms=300), ask("b", text="B", delay_ms=300), ask("c", text="C", delay_ms=300)],
            },
            out("both", "{{ steps.side.output }}"),
        ]
    },
    "tool": {
        "steps": [
            {"id": "now", "kind": "tool", "tool": "wf_clock", "arguments": {"timezone": "{{ 'Asia/' ~ 'Tokyo' }}"}},
            out("time", "{{ steps.now.output }}"),
        ]
    },
    "schema": {
        "steps": [
            ask("rate", text='{"stars": 4}', output="json", schema={"type": "object", "required": ["stars"]}),
            out("stars", "{{ steps.rate.output.stars }}", type="integer"),
        ]
    },
    "retry": {
        "inputs": [{"name": "key", "type": "string"}],
        "steps": [
            {
                "id": "shaky", "kind": "agent", "agent": "flow", "retry": {"times": 4, "delay_s": 0.01},
                "message": '{"status": 400, "fail_first": 2, "key": "{{ inputs.key }}", "text": "There."}',
            },
            out("there", "{{ steps.shaky.output }}"),
        ],
    },
    "failing": {"steps": [ask("good", text="Fine."), ask("mail", status=400, after=["good"]), out("never", "{{ steps.mail.output }}")]},
    "tolerant": {
        "steps": [ask("mail", status=400, on_error="continue"), out("state", "{{ steps.mail.status }}: {{ steps.mail.error }}")]
    },
    "slow": {"steps": [ask("wait", hang=True, timeout_s=0.2), out("never", "{{ steps.wait.output }}")]},
    "endless": {"steps": [ask("wait", hang=True), out("never", "{{ steps.wait.output }}")]},
    "wrong_type": {"steps": [out("n", "{{ 'text' }}", type="number")]},
    "approval": {
        "steps": [
            ask("draft", text="Draft."),
            {"id": "ok", "kind": "approval", "message": "Send {{ steps.draft.output }}?", "label": "Send it"},
            ask("beside", text="Meanwhile."),
            ask("send", text="Sent.", after=["ok"]),
            out("done", "{{ steps.send.output }} {{ steps.beside.output }} {{ steps.ok.output.approved }}"),
        ]
    },
    "lenient": {
        "steps": [
            {"id": "ok", "kind": "approval", "message": "Well?", "on_denial": "continue", "approver": "manager"},
            out("said", "{{ steps.ok.output }}"),
        ]
    },
    "tool_approval": {
        "steps": [{"id": "now", "kind": "tool", "tool": "wf_asked", "arguments": {}}, out("time", "{{ steps.now.output }}")]
    },
    "nested_approval": {
        "steps": [
            {
                "id": "agent", "kind": "agent", "agent": "flow",
                "message": '{"tools": [{"name": "wf_asked", "arguments": {}}], "text": "Late."}',
            },
            out("said", "{{ steps.agent.output }}"),
        ]
    },
    "large": {"steps": [out("big", "{{ 'x' * 70000 }}"), out("size", "{{ steps.big.output | length }}")]},
    "foreign": {"steps": [ask("x", text="Secret.", agent="secretive"), out("y", "{{ steps.x.output }}")]},
}  # fmt: skip


@pytest.fixture(scope="module")
def site(server: Server) -> Server:
    flowwire.prepare(server, **FLOWS)
    return server


@pytest.fixture
def owner(site: Server) -> Iterator[httpx.Client]:
    with clients.http(site) as client:
        yield client


def decide(client: httpx.Client, found: dict[str, Any], *, approve: bool, **fields: Any) -> httpx.Response:
    call = found["approvals"][0]["tool_call_id"]
    return client.post(f"/api/executions/{found['id']}/approvals/{call}", json={"approve": approve, **fields})


# Running


def test_a_workflow_runs_and_gives_its_outputs(owner: httpx.Client) -> None:
    answer = post(owner, "plain", params={"month": "2026-10"}, message="October?", async_mode=False)
    assert answer.status_code == 200, answer.text
    assert answer.json()["result"] == {"summary": ["Sales rose. (2026-10)"], "asked": ["October?"]}
    found = run(owner, answer.json()["task_execution_id"])
    assert (found["status"], found["trigger"], found["agent_name"]) == ("success", "workflow", "flow")
    assert found["response"] == "Sales rose. (2026-10)\n\nOctober?"
    assert found["usage"]["model_calls"] == 1
    assert found["usage"]["input_tokens"] == 412, "R10.1: what the steps used is what the run used"


def test_acceptance_says_where_to_look(owner: httpx.Client) -> None:
    answer = post(owner, "plain", params={"month": "m"})
    body = answer.json()
    assert (answer.status_code, body["workflow_id"], body["job_id"]) == (202, "plain", body["execution_id"])
    assert answer.headers["location"] == f"/api/agents/flow/executions/{body['execution_id']}"
    assert answer.headers["x-execution-id"] == body["execution_id"]


def test_outputs_are_of_every_json_type_as_they_are(owner: httpx.Client) -> None:
    """WS-57."""
    assert result(owner, "values") == {"all": VALUES}


def test_a_branch_takes_one_way_and_skips_the_other(owner: httpx.Client) -> None:
    """WS-55."""
    assert result(owner, "branch", params={"n": 11}) == {"said": ["Rich."], "both": ["Rich."], "state": ["completed"]}
    assert result(owner, "branch", params={"n": 10}) == {"said": ["Poor."], "both": ["Poor."], "state": ["skipped"]}
    states = nodes(told(owner, begun(owner, "branch", params={"n": 1})))
    assert [state for state in states if state[0] in ("rich", "said_rich")] == [("rich", "skipped"), ("said_rich", "skipped")]
    assert [state for state in states if state[0] == "poor"] == [("poor", "running"), ("poor", "completed")]


def test_a_map_runs_its_steps_for_each_item_and_keeps_their_order(owner: httpx.Client) -> None:
    wanted = ["0:x", "1:y", "2:z"]
    assert result(owner, "map", params={"list": ["x", "y", "z"]}) == {"ones": wanted, "all": [wanted]}
    assert result(owner, "map", params={"list": []}) == {"ones": [], "all": [[]]}
    frames = told(owner, begun(owner, "map", params={"list": ["x", "y"]}))
    assert {frame["node_id"] for frame in frames if frame.get("subtype") == "text"} == {"each[0].say", "each[1].say"}
    assert [(frame["progress"], frame["total"]) for frame in frames if frame.get("subtype") == "progress"] == [(1, 2), (2, 2)]


def test_steps_that_do_not_need_each_other_work_side_by_side(owner: httpx.Client) -> None:
    execution_id = begun(owner, "parallel")
    states = nodes(told(owner, execution_id))
    assert set(states[1:4]) == {("a", "running"), ("b", "running"), ("c", "running")}
    assert ended(owner, execution_id)["usage"]["model_calls"] == 3


def test_a_tool_step_calls_a_tool_of_the_host(owner: httpx.Client) -> None:
    found = ran(owner, "tool")
    assert found["status"] == "success"
    assert [(call["tool"], call["input"], call["success"]) for call in found["tool_calls"]] == [
        ("wf_clock", {"timezone": "Asia/Tokyo"}, True)
    ]
    assert "+09:00" in found["response"]


def test_an_answer_is_json_of_a_schema(owner: httpx.Client) -> None:
    assert result(owner, "schema") == {"stars": [4]}


def test_values_above_64_kib_are_stored_and_named(owner: httpx.Client) -> None:
    """WS-57: later steps have the value itself."""
    found = result(owner, "large")
    (big,) = found["big"]
    assert (big["type"], big["mime_type"], big["size"], found["size"]) == ("document", "application/json", 70_002, [70_000])
    assert owner.get(big["uri"]).json() == "x" * 70_000


# Failing, stopping


def test_a_failed_step_is_tried_again(owner: httpx.Client) -> None:
    execution_id = begun(owner, "retry", params={"key": f"wf-{time.time_ns()}"})
    frames = told(owner, execution_id)
    logs = [frame["content"] for frame in frames if frame.get("subtype") == "log"]
    assert [log.split(":")[0] for log in logs] == ["Try 1 of 5 failed", "Try 2 of 5 failed"] or len(logs) == 2
    assert ended(owner, execution_id)["response"] == "There."


def test_a_step_that_fails_fails_the_run_with_its_name(owner: httpx.Client) -> None:
    """WS-54: after it nothing runs."""
    execution_id = begun(owner, "failing")
    states = nodes(told(owner, execution_id))
    found = ended(owner, execution_id)
    assert states == [("good", "running"), ("good", "completed"), ("mail", "running"), ("mail", "error")]
    assert (found["status"], found["error_code"], found["error"]) == ("failed", "workflow_failed", "The model provider returned an error.")
    assert "provider_error" in found["error_detail"]
    assert post(owner, "failing", async_mode=False).status_code == 500


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("slow", "The step took longer than 0.2 seconds."),
        ("wrong-type", "The output 'n' is not of type number."),
    ],
)
def test_why_a_step_failed(owner: httpx.Client, name: str, sentence: str) -> None:
    assert ran(owner, name)["error"] == sentence


def test_a_step_may_fail_without_the_others(owner: httpx.Client) -> None:
    assert result(owner, "tolerant") == {"state": ["error: The model provider returned an error."]}


def test_a_run_is_stopped(owner: httpx.Client) -> None:
    execution_id = begun(owner, "endless")
    flowwire.until_told(owner, execution_id, "wait", "running")
    assert owner.post(f"/api/executions/{execution_id}/cancel").json()["status"] == "cancelled"
    assert run(owner, execution_id)["status"] == "cancelled"
    assert nodes(told(owner, execution_id))[-1] == ("wait", "error")


# Approvals (R15)


def test_an_approval_pauses_the_run_when_nothing_else_can_go_on(owner: httpx.Client) -> None:
    found = ran(owner, "approval")
    assert (found["status"], found["approvals"][0]["arguments"]) == ("paused", {"message": "Send Draft.?"})
    assert decide(owner, found, approve=True).json()["status"] == "running"
    over = ended(owner, found["id"])
    while over["status"] == "paused":
        over = ended(owner, found["id"])
    assert (over["status"], over["response"]) == ("success", "Sent. Meanwhile. True")
    assert over["usage"]["model_calls"] == 3, "no step ran twice"
    assert [state for state in nodes(told(owner, found["id"])) if state[0] == "draft"] == [("draft", "running"), ("draft", "completed")]


def test_a_denial_fails_the_run_unless_the_step_says_otherwise(owner: httpx.Client) -> None:
    denied = ran(owner, "approval")
    decide(owner, denied, approve=False, reason="Not now")
    assert settled(owner, denied["id"])["error"] == "Send it was denied: Not now"
    lenient = ran(owner, "lenient")
    decide(owner, lenient, approve=False, reason="No")
    assert settled(owner, lenient["id"])["response"] == '{"approved":false,"reason":"No"}'


def settled(client: httpx.Client, execution_id: str) -> dict[str, Any]:
    """The run when it is over, not only paused."""
    return until(lambda: (found := run(client, execution_id))["status"] in ("success", "failed", "cancelled") and found)


def test_only_managers_decide_what_is_theirs(site: Server, owner: httpx.Client) -> None:
    with clients.http(site, "guest") as guest:
        found = ran(guest, "lenient")
        assert decide(guest, found, approve=True).status_code == 403
        assert decide(owner, found, approve=True).status_code == 200
        assert settled(guest, found["id"])["status"] == "success"


def test_a_tool_that_needs_approval_waits_for_it(owner: httpx.Client) -> None:
    found = ran(owner, "tool-approval")
    assert (found["status"], found["approvals"][0]["name"]) == ("paused", "wf_asked")
    decide(owner, found, approve=True, arguments={"timezone": "Asia/Tokyo"})
    assert "+09:00" in settled(owner, found["id"])["response"]
    other = ran(owner, "tool-approval")
    decide(owner, other, approve=False, reason="No")
    assert settled(owner, other["id"])["error"] == "The call of wf_asked was denied: No"


def test_a_step_whose_agent_waits_for_an_approval_goes_on_where_it_was(owner: httpx.Client) -> None:
    found = ran(owner, "nested-approval")
    assert (found["status"], found["approvals"][0]["name"]) == ("paused", "wf_asked")
    decide(owner, found, approve=True)
    over = settled(owner, found["id"])
    assert (over["status"], over["response"], over["usage"]["model_calls"]) == ("success", "Late.", 2)


# Who may, and what is refused


def test_workflows_are_listed_and_shown_to_users_of_the_agent(site: Server, owner: httpx.Client) -> None:
    listed = owner.get("/api/agents/flow/workflows").json()
    assert {row["name"] for row in listed} == {name.replace("_", "-") for name in FLOWS}
    shown = owner.get("/api/agents/flow/workflows/plain").json()
    assert shown["inputs"][0] == {"name": "month", "type": "string", "required": True, "default": None, "description": None}
    assert [(step["id"], step["kind"]) for step in shown["steps"]] == [("fetch", "agent"), ("summary", "output"), ("asked", "output")]
    assert owner.get(f"/api/agents/flow/workflows/{shown['id']}").json() == shown
    with clients.http(site, "guest") as guest:
        assert guest.get("/api/agents/flow/workflows").json() == listed


def test_what_one_may_not_use_does_not_exist(site: Server, owner: httpx.Client) -> None:
    """R2.1: unknown, of another agent, and foreign are the same."""
    unknown = owner.post("/api/agents/flow/workflows/gone/run", json={})
    elsewhere = owner.post("/api/agents/secretive/workflows/plain/run", json={"params": {"month": "m"}})
    assert (unknown.status_code, unknown.json()["code"]) == (404, "workflow_not_found")
    assert {**elsewhere.json(), "request_id": ""} == {**unknown.json(), "request_id": ""}
    with clients.http(site, "stranger") as stranger:
        assert stranger.post("/api/agents/flow/workflows/plain/run", json={}).json()["code"] == "agent_not_found"


def test_steps_ask_only_agents_that_their_caller_may_use(site: Server, owner: httpx.Client) -> None:
    assert ran(owner, "foreign")["response"] == "Secret."
    with clients.http(site, "guest") as guest:
        assert ran(guest, "foreign")["error"] == "The agent 'secretive' is not available."


@pytest.mark.parametrize(
    ("name", "params", "field", "sentence"),
    [
        ("plain", {}, "month", "is required"),
        ("plain", {"month": 3}, "month", "must be a string"),
        ("plain", {"month": "m", "year": 1}, "year", "the workflow has no such input"),
        ("branch", {"n": True}, "n", "must be a whole number"),
        ("map", {"list": {}}, "list", "must be a list"),
    ],
)
def test_inputs_are_checked_before_anything_runs(owner: httpx.Client, name: str, params: dict[str, Any], field: str, sentence: str) -> None:
    """WS-59: with the name."""
    answer = post(owner, name, params=params)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_params")
    assert answer.json()["detail"] == [{"type": "value_error", "loc": ["body", "params", field], "msg": sentence}]


def test_a_key_runs_it_once(owner: httpx.Client) -> None:
    """R4."""
    headers = {"Idempotency-Key": f"wf-{time.time_ns()}"}
    first, again = (post(owner, "plain", params={"month": "m"}, headers=headers) for _ in range(2))
    assert (again.status_code, again.json(), again.headers["idempotent-replayed"]) == (202, first.json(), "true")
    assert post(owner, "plain", params={"month": "n"}, headers=headers).json()["code"] == "idempotency_key_reused"


def test_a_schedule_runs_a_workflow(owner: httpx.Client) -> None:
    """AG-41: its message is the message input, its params the named ones."""
    plan = {
        "name": "Monthly",
        "cron_expression": "0 9 1 * *",
        "message": "How was it?",
        "workflow": "plain",
        "params": {"month": "2026-10"},
    }
    answer = owner.post("/api/agents/flow/schedules", json=plan)
    assert answer.status_code == 201, answer.text
    schedule = answer.json()
    assert (schedule["workflow"], schedule["params"]) == ("plain", {"month": "2026-10"})
    triggered = owner.post(f"/api/agents/flow/schedules/{schedule['id']}/trigger").json()
    found = ended(owner, triggered["execution_id"])
    assert (found["status"], found["trigger"], found["response"]) == ("success", "schedule", "Sales rose. (2026-10)\n\nHow was it?")


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"workflow": "gone"}, "workflow_not_found"),
        ({"workflow": "plain"}, "invalid_params"),
        ({"params": {"month": "m"}}, "validation_error"),
    ],
)
def test_a_schedule_that_cannot_run_its_workflow_is_refused(owner: httpx.Client, fields: dict[str, Any], code: str) -> None:
    plan = {"name": "Monthly", "cron_expression": "0 9 1 * *", "message": "m", **fields}
    assert owner.post("/api/agents/flow/schedules", json=plan).json()["code"] == code


def test_a_run_is_told_from_storage_as_it_was(owner: httpx.Client) -> None:
    """R7.4: the process that ran it has forgotten it."""
    found = ran(owner, "branch", params={"n": 1})
    assert found["response"] == "Poor.\n\nPoor.\n\nskipped"
