"""Jobs (§7.4): a message with a `workflow_id`, and `run_job`, which needs no thread. They are queued runs, told like every turn."""

from typing import Any
from uuid import UUID

from agents import directory
from agents.access import Principal
from agents.errors import SwitchboardError
from agents.ids import new_request_id
from agents.specs import AgentSpec
from chat import backlog, queued, readings
from chat.models import Execution, Workflow
from chat.protocols.websocket import clienttools, messages, threads
from chat.protocols.websocket.begun import check_turns
from chat.protocols.websocket.connection import Connection
from chat.protocols.websocket.contents import parts_of
from chat.protocols.websocket.frames import Body
from chat.protocols.websocket.jobframes import job_body
from chat.protocols.websocket.serializers import ChatMessage, RunJob
from chat.protocols.websocket.watch import Watch
from chat.protocols.websocket.watches import watch_alone, watch_for
from chat.requests import Part, SessionRef
from chat.sessions import new_session
from chat.store import run
from chat.workflows import calls


async def said(connection: Connection, message: ChatMessage) -> None:
    """Runs the workflow with the thread's history; its message input gets the content (WS-59). Raises every refusal, with no job at all."""
    if not await connection.still():
        return
    principal = connection.principal
    principal.check_scope("run")
    messages.check_supported(message)
    workflow, host = await calls.find(principal, message.workflow_id or "")
    session = await _thread(connection, message, host)
    await check_turns(connection, session)
    async with parts_of(message, principal, host, connection.site) as (parts, files):
        thread = session or new_session(principal, host, "websocket", principal.namespace, message.thread_id)
        files.unused = await _in_thread(connection, message, workflow, host, thread, parts, created=session is None)


async def _thread(connection: Connection, message: ChatMessage, host: AgentSpec) -> SessionRef | None:
    """The thread of WS-28 … WS-30, which is the workflow's agent's, or a new one (None)."""
    if "thread_id" not in message.model_fields_set:
        return connection.last_threads.get(host.id)
    found = await threads.writable(connection.principal, message.thread_id) if message.thread_id else None
    named = messages.agent_named(connection.principal, await directory.catalog(), message)
    if (found is not None and found.agent_id != host.id) or (message.agent is not None and named != host.name):
        raise SwitchboardError("conversation_agent_mismatch")
    return found


async def _in_thread(
    connection: Connection, message: ChatMessage, workflow: Workflow, host: AgentSpec, thread: SessionRef, parts: tuple[Part, ...],
    *, created: bool,
) -> bool:  # fmt: skip
    """Queues the run, tells it, and follows it. True: the same message was sent before (WS-25)."""
    values = {"session": thread, "source": "text", "client_message_id": message.id or "", **_asker(connection, host)}
    task = calls.task_of(connection.principal, workflow, host, message.params or {}, parts, **values)
    accepted = await queued.enqueue(task, messages.claim_of(connection.principal, host, message))
    if accepted.replayed:
        await messages.again(connection, accepted.execution_id, host)
        return True
    connection.last_threads[host.id] = thread
    connection.began[accepted.execution_id] = thread.id
    watch = watch_for(connection, thread, message.thread_id or thread.name or str(thread.id), own=True, agent=host)
    told = messages.accept_body(watch, accepted.execution_id, host, message_id=None, client_message_id=message.id)
    place = await run(backlog.place_of, accepted.execution_id)
    connection.send({**told, "status": "queued", "queue_position": place, "created": created})
    connection.send(_queued(watch, accepted.execution_id, workflow.name, place))
    await messages.watch_own(watch, accepted.execution_id)
    return False


async def run_job(connection: Connection, asked: RunJob) -> None:
    """A job, of a thread or of none. Raises workflow_not_found, invalid_params …, and then there is no job."""
    if not await connection.still():
        return
    principal = connection.principal
    principal.check_scope("run")
    workflow, host = await calls.find(principal, asked.workflow_id)
    if asked.thread_id is not None:
        message = ChatMessage(content=workflow.display_name or workflow.name, thread_id=asked.thread_id)
        session = await _thread(connection, message, host)
        thread = session or new_session(principal, host, "websocket", principal.namespace, asked.thread_id)
        asking = message.model_copy(update={"params": asked.params})
        await _in_thread(connection, asking, workflow, host, thread, _text(message), created=session is None)
        return
    await check_turns(connection, None)
    task = calls.task_of(principal, workflow, host, asked.params or {}, **_asker(connection, host))
    accepted = await queued.enqueue(task)
    watch = watch_alone(connection, host, accepted.execution_id)
    connection.began[accepted.execution_id] = watch.session.id
    connection.send(_queued(watch, accepted.execution_id, workflow.name, await run(backlog.place_of, accepted.execution_id)))
    await readings.follow(accepted.execution_id, watch)


async def reconnect(connection: Connection, row: Execution, after: int) -> None:
    """Follows a job without a thread from `after` on (WS-60), for who began it."""
    host = directory.current().by_id.get(row.agent_id) if row.agent_id else None
    if row.workflow_id is None or host is None or not _is_own(connection.principal, row):
        raise SwitchboardError("session_not_found")
    watch = watch_alone(connection, host, row.id)
    if row.principal == connection.principal.key:
        watch.mine.add(row.id)
    ids = {"thread_id": None, "session_id": None, "execution_id": str(row.id)}
    connection.send({"type": "session", "event": "attached", **ids, "after": after, "last_seq": row.last_seq, "status": row.status})
    await readings.follow(row.id, watch, after)


def _is_own(principal: Principal, row: Execution) -> bool:
    return row.principal == principal.key if principal.user_id is None else row.owner_id == principal.user_id


def _queued(watch: Watch, execution_id: UUID, workflow_id: str, place: int) -> Body:
    """`place`: in the queue of the workflow's agent; 1 is next, 0 has left it already."""
    job_id = str(execution_id)
    return job_body(
        "queued", "Waiting for its turn", job_id=job_id, workflow_id=workflow_id, thread_id=watch.thread_id, execution_id=job_id,
        queue_position=place,
    )  # fmt: skip


def _text(message: ChatMessage) -> tuple[Part, ...]:
    return ({"type": "text", "text": str(message.content)},)


def _asker(connection: Connection, host: AgentSpec) -> dict[str, Any]:
    """Who asks for the run, with the tools that it runs itself (WS-59). Raises invalid_manifest."""
    clienttools.check(connection.manifest, host)
    answerer = connection.id if connection.manifest else ""
    return {
        "wire": "websocket", "request_id": new_request_id(), "client_tools": connection.manifest, "answerer": answerer,
    }  # fmt: skip
