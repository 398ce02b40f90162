"""What one connection watches of one conversation: its runs as frames, and what happens to the conversation (WS-62, WS-63)."""

from collections.abc import Callable, Hashable, Sequence
from typing import TypeVar
from uuid import UUID

from agents.specs import AgentSpec
from chat import live, readings
from chat.eventlog import Log
from chat.live import Asked, Found
from chat.models import ChatSession
from chat.protocols.websocket import clienttools
from chat.protocols.websocket.codec import Teller
from chat.protocols.websocket.connection import Connection
from chat.protocols.websocket.frames import Frame
from chat.protocols.websocket.history import user_body
from chat.protocols.websocket.painting import PaintedTeller
from chat.requests import SessionRef

_REMEMBERED = 20
T = TypeVar("T")


def _nothing() -> None:
    """Nothing else is read."""


class Watch:
    """A chat.live.SessionWatcher. `own`: the conversation is the caller's; else it is read as a manager of its agent.

    A job without a thread is watched like a conversation of its own: `session` has the job's id, `thread_id` is None.

    `attached`: it hears of every run; else it follows some by itself. `mine`: open runs that this principal asked for.
    `ended`: the newest of its own turns that are over; the bell of a short one may be heard after its end.
    `version`: of the agent, as the client knows it.
    """

    __slots__ = ("_reasoning", "attached", "connection", "ended", "form", "mine", "own", "session", "thread_id", "version")

    def __init__(
        self, connection: Connection, session: SessionRef, thread_id: str | None, *, own: bool, reasoning: bool, version: int = 0
    ) -> None:
        self.connection, self.session, self.thread_id, self.own = connection, session, thread_id, own
        self.form: Hashable = ("websocket", session.id, thread_id, reasoning, connection.html)
        self._reasoning, self.version = reasoning, version
        self.attached = False
        self.mine: set[UUID] = set()
        self.ended: tuple[UUID, ...] = ()

    async def attach(self, also: Callable[[], T] = _nothing) -> Found[T]:  # type: ignore[assignment]  # T is None then
        """From now on it hears of every run; `also` is read in the same look at the database."""
        self.attached = True
        return await live.attach(self.session.id, self, also)

    def teller(self, log: Log) -> Teller:
        execution_id = str(log.execution_id)
        teller = PaintedTeller if self.connection.html else Teller
        return teller(thread_id=self.thread_id, execution_id=execution_id, reasoning=self._reasoning, replay=bool(log.stored))

    def note(self, asked: Asked) -> None:
        """Remembers whose run it is, for client tools (WS-50)."""
        if asked.execution.principal == self.connection.principal.key:
            self.mine.add(asked.execution.id)

    def asked(self, asked: Asked) -> bool:
        """The sender is not told what it said (WS-23), and follows its own turn by itself."""
        if asked.execution.id in self.connection.began or asked.execution.id in self.ended:
            return False
        self.note(asked)
        if asked.message is not None:
            self.connection.send(user_body(asked.message, thread_id=self.thread_id, wire=asked.execution.wire))
        return True

    def told(self, execution_id: UUID, objects: Sequence[Frame]) -> None:
        connection = self.connection
        for frame in objects:
            if frame.awaits:
                clienttools.called(self, execution_id, frame, objects)
            else:
                connection.outbox.put(frame)
            if connection.answers and frame.body["type"] == "tool_result":
                connection.answers.pop(frame.body["tool_call_id"], None)
        if objects[-1].body.get("event") == "finished":
            self._finished(execution_id)

    def changed(self, session: ChatSession | None) -> None:
        """`updated` and `closed` (WS-43); a conversation that is gone is not watched any more."""
        if session is None:
            self._forget_as_last()
            self.connection.send(self._event("detached", reason="deleted"))
            self.detach()
            return
        event = "closed" if session.status == ChatSession.Status.CLOSED else "updated"
        self.connection.send(self._event(event, title=session.title, status=session.status))

    def agent_is(self, agent: AgentSpec | None) -> None:
        """`updated` when the agent has another version now: the next turn is its (WS-43)."""
        if agent is not None and self.version not in (0, agent.version):
            self.connection.send(self._event("updated", agent={"id": str(agent.id), "name": agent.name, "version": agent.version}))
        self.version = agent.version if agent is not None else self.version

    def detach(self) -> None:
        """Stops watching."""
        self.connection.watches.pop(self.session.id, None)
        self.leave()

    def withdraw(self) -> None:
        """It may not be seen any more (WS-64)."""
        self.connection.send(self._event("detached", reason="access_withdrawn"))
        self.detach()

    def leave(self) -> None:
        live.detach(self.session.id, self)

    def _finished(self, execution_id: UUID) -> None:
        if self.connection.began.pop(execution_id, None) is not None:
            self.ended = (*self.ended[-_REMEMBERED:], execution_id)
        self.mine.discard(execution_id)
        if not self.attached and not readings.followed(self) - {execution_id}:
            self.detach()

    def _forget_as_last(self) -> None:
        """A message without a thread does not go to a thread that is gone (WS-28)."""
        threads = self.connection.last_threads
        for agent_id in [agent_id for agent_id, last in threads.items() if last.id == self.session.id]:
            del threads[agent_id]

    def _event(self, event: str, **values: object) -> dict[str, object]:
        return {"type": "session", "event": event, "thread_id": self.thread_id, "session_id": str(self.session.id), **values}
