"""What is told of a job and its steps, as bodies of frames (websocket.md §7.4). Pure."""

from collections.abc import Callable, Mapping
from typing import Any

from chat.events import JobUpdated, LogLine, NodeProgressed, NodeUpdated, OutputMade
from chat.protocols.websocket.frames import Body
from chat.protocols.websocket.values import safe


def _job_update(event: JobUpdated) -> Body:
    return {
        "type": "job_update", "status": event.status, "message": event.message, "result": safe(event.result),
        "error": event.error or None, "error_code": event.error_code or None, "run_state": None, "duration": event.duration_s,
        "queue_position": None,
    }  # fmt: skip


def job_body(
    status: str, message: str, *, job_id: str | None, workflow_id: str, thread_id: str | None, execution_id: str | None,
    queue_position: int | None = None,
) -> Body:  # fmt: skip
    """A `job_update` that no event has: acceptance, pauses, the end."""
    ids = {"job_id": job_id, "workflow_id": workflow_id, "thread_id": thread_id, "execution_id": execution_id, "seq": None}
    said = _job_update(JobUpdated(workflow_id=workflow_id, status=status, message=message))
    return {**said, "queue_position": queue_position, **ids}


def _node_progress(event: NodeProgressed) -> Body:
    return {"type": "node_progress", "node_id": event.node_id, "progress": event.progress, "total": event.total, "chunk": event.chunk}


def _node_update(event: NodeUpdated) -> Body:
    return {
        "type": "node_update", "node_id": event.node_id, "node_name": event.node_name, "node_type": event.node_type,
        "status": event.status, "error": event.error or None, "result": safe(event.result), "properties": {}, "skipped": event.skipped,
    }  # fmt: skip


def _output_update(event: OutputMade) -> Body:
    return {
        "type": "output_update", "node_id": event.node_id, "node_name": event.node_name, "output_name": event.name,
        "value": safe(event.value), "output_type": event.output_type,
    }  # fmt: skip


def _log_update(event: LogLine) -> Body:
    return {
        "type": "log_update", "node_id": event.node_id, "node_name": event.node_name, "content": event.content, "severity": event.severity,
    }  # fmt: skip


BODIES: Mapping[type, Callable[[Any], Body]] = {
    JobUpdated: _job_update,
    NodeUpdated: _node_update,
    NodeProgressed: _node_progress,
    OutputMade: _output_update,
    LogLine: _log_update,
}
