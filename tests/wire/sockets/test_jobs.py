"""Jobs over a socket (websocket.md §7.4): job frames beside the chat's, in threads and without."""

import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.server import Server
from tests.wire import flowwire
from tests.wire.flowwire import ask, out, script
from tests.wire.sockets.client import Frame, Socket, is_event, is_type
from tests.wire.sockets.test_tools import CALL, offering

pytestmark = pytest.mark.live
PARTS = [
    ("Sales rose.", {"type": "text", "text": "Sales rose."}),
    (1041.5, {"type": "text", "text": "1041.5"}),
    (True, {"type": "text", "text": "true"}),
    (None, {"type": "text", "text": "null"}),
    ([1, 2, 3], {"type": "text", "text": "[1,2,3]"}),
    (["a", "b"], {"type": "text", "text": "a\nb"}),
    ({"type": "image", "uri": "https://example.com/a.png"}, {"type": "image", "uri": "https://example.com/a.png"}),
    ({"x": 1}, {"type": "text", "text": '{"x":1}'}),
]
FLOWS: dict[str, dict[str, Any]] = {
    "ws_parts": {"steps": [out(f"v{number}", value) for number, (value, _) in enumerate(PARTS)]},
    "ws_talk": {
        "inputs": [{"name": "q", "type": "message"}, {"name": "before", "type": "history"}, {"name": "month", "default": "-"}],
        "steps": [
            ask("say", text="Word by word."),
            out("answer", "{{ inputs.q }} {{ inputs.month }} {{ inputs.before | length }} {{ steps.say.output }}"),
        ],
    },
    "ws_broken": {"steps": [ask("fetch", text="Fine."), ask("mail", status=400, after=["fetch"])]},
    "ws_endless": {"steps": [ask("wait", hang=True)]},
    "ws_client": {
        "steps": [
            ask("open", script(**CALL)),
            out("said", "{{ steps.open.output }}"),
        ]
    },
    "ws_asking": {
        "steps": [
            ask("think", text="Hm hm hm.", delay_ms=100),
            {"id": "ok", "kind": "approval", "message": "Go on?", "after": ["think"]},
            out("said", "{{ steps.ok.output.approved }}"),
        ]
    },
}  # fmt: skip
KEYS = {
    "type", "status", "job_id", "workflow_id", "message", "result", "error", "error_code", "run_state", "duration", "queue_position",
    "thread_id", "execution_id", "seq",
}  # fmt: skip


@pytest.fixture(scope="module")
def jobs_server(sockets_server: Server) -> Server:
    flowwire.prepare(sockets_server, **FLOWS)
    return sockets_server


def statuses(frames: list[Frame]) -> list[str]:
    return [frame["status"] for frame in frames if frame["type"] == "job_update"]


def shape(frames: list[Frame]) -> list[str]:
    """Types of frames, sessions by their event."""
    return [frame["event"] if frame["type"] == "session" else frame["type"] for frame in frames]


def test_a_job_in_a_thread_shows_job_frames_and_chat_frames(jobs_server: Server) -> None:
    """WS-54 … WS-58: one terminal status; then the done chunk, the message as parts, the end."""
    with Socket(jobs_server) as socket:
        socket.send(content="Numbers, please.", workflow_id="ws-parts", thread_id=None)
        frames = socket.turn()
    assert statuses(frames) == ["queued", "running", "completed"]
    assert shape(frames)[-4:] == ["job_update", "chunk", "message", "finished"]
    end, done, message, _ = frames[-4:]
    assert end["result"] == {f"v{number}": [value] for number, (value, _) in enumerate(PARTS)}
    assert message["content"] == [part for _, part in PARTS]
    assert (message["workflow_id"], done["done"], done["content"]) == ("ws-parts", True, "")
    assert all(frame.keys() == KEYS for frame in frames if frame["type"] == "job_update")
    assert end["message"].startswith("Completed in ")
    assert end["duration"] is not None
    seqs = [frame["seq"] for frame in frames if frame.get("seq") is not None]
    assert seqs == sorted(set(seqs)), "WS-18"
    about = [frame for frame in frames if frame["type"] in ("job_update", "node_update", "output_update")]
    assert {(frame["job_id"], frame["workflow_id"]) for frame in about} == {(end["execution_id"], "ws-parts")}, "WS-17"


def test_text_of_a_step_streams_with_its_id_and_inputs_come_from_the_thread(jobs_server: Server) -> None:
    """WS-55, WS-59."""
    with Socket(jobs_server) as socket:
        socket.send(content="Well", workflow_id="ws-talk", thread_id=None, params={"month": "October"})
        frames = socket.turn()
        said = [frame for frame in frames if frame["type"] == "chunk" and not frame["done"]]
        assert {frame["node_id"] for frame in said} == {"say"}
        assert "".join(frame["content"] for frame in said) == "Word by word."
        assert frames[-2]["content"] == [{"type": "text", "text": "Well October 0 Word by word."}]
        socket.send(content="Again", workflow_id="ws-talk")
        assert socket.turn()[-2]["content"] == [{"type": "text", "text": "Again - 2 Word by word."}], "the thread goes on"
        socket.send(content="And now?", agent="flow")
        assert socket.turn()[-2]["thread_id"] == frames[-2]["thread_id"]


def test_a_failed_job_says_so_once(jobs_server: Server) -> None:
    """WS-54, WS-56."""
    with Socket(jobs_server) as socket:
        socket.send(content="Go", workflow_id="ws-broken", thread_id=None)
        frames = socket.turn()
    assert statuses(frames) == ["queued", "running", "failed"]
    end = next(frame for frame in frames if frame["type"] == "job_update" and frame["status"] == "failed")
    assert (end["message"], end["error"], end["error_code"]) == (
        "Failed at step mail",
        "The model provider returned an error.",
        "workflow_failed",
    )
    assert end["result"] is None
    assert shape(frames)[-4:] == ["job_update", "error", "chunk", "finished"]
    error = next(frame for frame in frames if frame["type"] == "error")
    assert (error["code"], error["error_type"]) == ("workflow_failed", "workflow")
    node = [frame for frame in frames if frame["type"] == "node_update"][-1]
    assert (node["node_id"], node["status"], node["error"]) == ("mail", "error", "The model provider returned an error.")


@pytest.mark.parametrize("binary", [False, True])
def test_a_job_without_a_thread(jobs_server: Server, binary: bool) -> None:
    """§5.4, WS-32: acknowledged, then told; `thread_id` is null."""
    with Socket(jobs_server, binary=binary) as socket:
        socket.send(command="run_job", data={"workflow_id": "ws-parts"}, request_id="r1")
        ack = socket.hear()
        assert (ack["type"], ack["command"], ack["workflow_id"], ack["request_id"]) == ("ack", "run_job", "ws-parts", "r1")
        frames = socket.turn()
    assert statuses(frames) == ["queued", "running", "completed"]
    assert {frame["thread_id"] for frame in frames} == {None}


def test_a_job_is_stopped_by_its_id_and_found_by_get_status(jobs_server: Server) -> None:
    with Socket(jobs_server) as socket:
        socket.send(command="run_job", data={"workflow_id": "ws-endless"})
        job_id = socket.until(lambda frame: frame["type"] == "job_update")[-1]["job_id"]
        socket.until(lambda frame: frame["type"] == "node_update" and frame["status"] == "running")
        socket.send(command="get_status", data={"job_id": job_id})
        (job,) = socket.until(lambda frame: frame["type"] == "status")[-1]["jobs"]
        assert (job["workflow_id"], job["thread_id"], job["status"]) == ("ws-endless", None, "running")
        socket.send(command="cancel_job", data={"job_id": job_id})
        frames = socket.turn()
    assert statuses(frames) == ["cancelled"]
    assert [frame["job_id"] for frame in frames if frame["type"] == "generation_stopped"] == [job_id]


def test_a_job_waits_for_an_approval(jobs_server: Server) -> None:
    """WS-51, WS-54: paused, then running again."""
    with Socket(jobs_server) as socket:
        socket.send(command="run_job", data={"workflow_id": "ws-asking"})
        frames = socket.until(lambda frame: frame["type"] == "chunk" and frame["done"])
        asked = next(frame for frame in frames if frame["type"] == "approval_request")
        assert (asked["name"], asked["args"]) == ("ok", {"message": "Go on?"})
        socket.send(type="approval_response", approval_id=asked["approval_id"], approved=True)
        frames += socket.turn()
    assert statuses(frames) == ["queued", "running", "paused", "running", "completed"]
    nodes = [(frame["node_id"], frame["status"]) for frame in frames if frame["type"] == "node_update"]
    assert frames[-4]["duration"] >= 0.2, "WS-45: pauses are not counted, what came before them is"
    assert nodes[2:] == [("ok", "waiting"), ("ok", "running"), ("ok", "completed"), ("said", "running"), ("said", "completed")]


@pytest.mark.parametrize("thread", [{"thread_id": None}, {"command": "run_job"}])
def test_a_step_calls_a_tool_of_the_client(jobs_server: Server, thread: dict[str, Any]) -> None:
    """WS-48, WS-49, WS-59: whoever sent the job is asked, in a thread and without one."""
    with Socket(jobs_server) as page:
        offering(page)
        begin(page, "ws-client", thread)
        call = page.until(is_type("tool_call"))[-1]
        assert (call["client"], call["name"], call["args"]) == (True, "open_page", {"path": "/orders"})
        page.send(type="tool_result", tool_call_id=call["id"], ok=True, result={"opened": True})
        frames = page.turn()
    assert (frames[0]["type"], frames[0]["result"]) == ("tool_result", {"opened": True})
    assert frames[-2]["content"] == [{"type": "text", "text": "It is open."}]


@pytest.mark.parametrize("thread", [{"thread_id": None}, {"command": "run_job"}])
def test_a_call_of_a_step_is_taken_over(jobs_server: Server, thread: dict[str, Any]) -> None:
    """WS-50, WS-59: by a connection of the same principal that attaches, or takes up a job without a thread."""
    with Socket(jobs_server) as page:
        offering(page)
        begin(page, "ws-client", thread)
        call = page.until(is_type("tool_call"))[-1]
    with Socket(jobs_server) as page:
        offering(page)
        if thread.get("command"):
            page.send(command="reconnect_job", data={"job_id": call["execution_id"]})
        else:
            page.send(type="attach", thread_id=call["thread_id"])
        page.until(lambda frame: frame["type"] == "tool_call" and frame["client"])
        page.send(type="tool_result", tool_call_id=call["id"], ok=True, result="Opened after all.")
        assert page.turn()[-1]["status"] == "success"


def test_a_client_without_tools_has_none_called(jobs_server: Server) -> None:
    """The model is offered what the connection brings, and nothing else."""
    with Socket(jobs_server) as socket:
        begin(socket, "ws-client", {"thread_id": None})
        frames = socket.turn()
    calls = [frame for frame in frames if frame["type"] in ("tool_call", "tool_result")]
    assert [(frame["type"], frame.get("client"), frame.get("ok")) for frame in calls] == [
        ("tool_call", False, None),
        ("tool_result", None, False),
    ]


def begin(socket: Socket, workflow_id: str, how: dict[str, Any]) -> None:
    """Sends a job: as a message of a thread, or as `run_job`."""
    if how.get("command"):
        socket.send(command=how["command"], data={"workflow_id": workflow_id})
    else:
        socket.send(content="Go", workflow_id=workflow_id, **how)


def test_a_job_that_waits_knows_its_place(jobs_server: Server, tmp_path: Path) -> None:
    """§6.7, §7.4: `queue_position` of the agent's queue; 0 when it has left it."""
    file = tmp_path / "narrow.yaml"
    file.write_text(NARROW)
    jobs_server.manage("agents", "apply", str(file))
    with Socket(jobs_server) as socket:
        jobs = []
        for _ in range(3):
            socket.send(command="run_job", data={"workflow_id": "ws-narrow"})
            jobs.append(socket.until(lambda frame: frame.get("status") == "queued")[-1])
            if len(jobs) == 1:
                socket.until(lambda frame: frame["type"] == "node_update")
        socket.send(content="And in a thread.", workflow_id="ws-narrow", thread_id=None)
        accepted = socket.until(is_event("accepted"))[-1]
        jobs.append(socket.until(lambda frame: frame.get("status") == "queued")[-1])
        for job in reversed(jobs):
            socket.send(type="stop", job_id=job["job_id"])
    first, *others = [job["queue_position"] for job in jobs]
    assert first in (0, 1)
    assert others == [1, 2, 3]
    assert (accepted["status"], accepted["queue_position"]) == ("queued", 3)


NARROW = """
agents:
  - {name: narrow, provider: fake, model: fake, owner: owner, access: shared, shared_users: [guest], max_parallel_tasks: 1}
workflows:
  - name: ws-narrow
    agent: narrow
    definition: {steps: [{id: wait, kind: agent, agent: narrow, message: '{"hang": true}'}]}
"""


def test_a_job_is_resumed_from_another_connection(jobs_server: Server) -> None:
    """WS-60: the same frames after the cursor."""
    with Socket(jobs_server) as first, Socket(jobs_server) as second:
        first.send(command="run_job", data={"workflow_id": "ws-talk", "params": {"q": "Q"}})
        frames = [frame for frame in first.turn() if frame["type"] not in ("ack",)]
        job_id = frames[-1]["execution_id"]
        second.send(command="reconnect_job", data={"job_id": job_id, "after": 2})
        again = second.turn()
    assert [frame for frame in again if frame["type"] not in ("ack", "session")] == [
        frame for frame in frames if frame["type"] != "session" and (frame["seq"] or 99) > 2 and frame.get("status") != "queued"
    ]


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        ({"content": "x", "workflow_id": "gone"}, "workflow_not_found"),
        ({"command": "run_job", "data": {"workflow_id": "gone"}}, "workflow_not_found"),
        ({"command": "run_job", "data": {"workflow_id": "ws-talk"}}, "invalid_params"),
        ({"content": "x", "workflow_id": "ws-talk", "params": {"month": 3}}, "invalid_params"),
        ({"content": "x", "workflow_id": "ws-talk", "agent": "root", "thread_id": None}, "conversation_agent_mismatch"),
    ],
)  # fmt: skip
def test_what_cannot_run_is_an_error_of_the_request(jobs_server: Server, frame: dict[str, Any], code: str) -> None:
    """WS-56, WS-70: no job at all."""
    with Socket(jobs_server) as socket:
        socket.send(frame)
        error = socket.until(lambda each: each["type"] == "error")[-1]
        assert (error["code"], error["execution_id"], error["error_type"]) == (code, None, "request")
        if code == "invalid_params":
            assert error["message"].split(":")[0] in ("q", "month"), "with the name"


def test_strangers_are_told_the_same(jobs_server: Server) -> None:
    """WS-70."""
    told = []
    with Socket(jobs_server, "stranger") as socket:
        for name in ("ws-parts", "gone"):
            socket.send(content="x", workflow_id=name, thread_id=None)
            error = socket.error()
            told.append({**error, "ts": 0, "request_id": None})
    assert told[0] == told[1]


def test_sending_a_job_again_starts_nothing(jobs_server: Server) -> None:
    """WS-25."""
    key = f"wf-{time.time_ns()}"
    with Socket(jobs_server) as socket:
        ids = []
        for _ in range(2):
            socket.send(content="Go", workflow_id="ws-parts", thread_id=None, id=key)
            ids.append(socket.turn()[-1]["execution_id"])
    assert ids[0] == ids[1]
