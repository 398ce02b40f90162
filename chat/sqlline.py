"""PostgreSQL as the event loop speaks to it: a few statements in one transaction, sent and read like what any other socket brings.

Handing them to the writing thread and back costs more than their work. One exchange is under way at a time, and whatever goes wrong
ends the connection: the caller does the work in another way, and dials again.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal

from django.db import connections

from chat.sqlpipe import BY_KEYS, Value

if TYPE_CHECKING:
    from psycopg.pq.abc import PGresult

logger = logging.getLogger("switchboard.store")
Statement = tuple[bytes, Sequence[Value]]
Rows = list[tuple[int, ...]]
"""What a statement returns: those sent here return numbers alone."""
Outcome = list[Rows] | Literal["refused", "lost"]
"""Refused: nothing was written. Lost: nobody knows."""
Done = Callable[[Outcome], None]


def dial() -> Any:
    """A connection for a Line; to be made in a database thread, as it may wait. None: the database is not PostgreSQL."""
    wrapper = connections.create_connection("default")
    if wrapper.vendor != "postgresql":
        return None
    wrapper.connect()
    for text in BY_KEYS:
        wrapper.connection.execute(text)
    return wrapper.connection


class Line:
    """A connection that belongs to the running event loop until close()."""

    def __init__(self, connection: Any) -> None:
        self._connection, self._pg = connection, connection.pgconn
        self._socket: int = self._pg.socket
        self._names: dict[bytes, bytes] = {}
        self._results: list[PGresult] = []
        self._done: Done | None = None
        self.is_open = True
        self._pg.nonblocking = 1
        self._pg.enter_pipeline_mode()
        asyncio.get_running_loop().add_reader(self._socket, self._read)

    @property
    def is_busy(self) -> bool:
        return self._done is not None

    def send(self, statements: Sequence[Statement], done: Done) -> None:
        """All of them in one transaction, which is PostgreSQL's own for what is sent up to one synchronisation: the answer to that

        is the commit's, errors included. `done` is called once, perhaps at once.
        """
        self._done = done
        try:
            for text, values in statements:
                self._queue(text, values)
            self._pg.pipeline_sync()
            self._flush()
        except Exception as error:  # half an exchange is behind it
            self._lose(error)

    def _queue(self, text: bytes, values: Sequence[Value]) -> None:
        name = self._names.get(text)
        if name is None:
            name = self._names[text] = b"sb%d" % len(self._names)
            self._pg.send_prepare(name, text)
        self._pg.send_query_prepared(name, values)

    def _flush(self) -> None:
        """What the socket does not take now goes when it takes more."""
        if self._pg.flush():
            asyncio.get_running_loop().add_writer(self._socket, self._flush_more)

    def _flush_more(self) -> None:
        from psycopg import Error

        try:
            if not self._pg.flush():
                asyncio.get_running_loop().remove_writer(self._socket)
        except Error as error:
            self._lose(error)

    def _read(self) -> None:
        from psycopg import Error

        try:
            self._pg.consume_input()
            is_complete = self._take()
        except Error as error:
            self._lose(error)
            return
        if is_complete:
            self._settle()
        elif self._connection.closed:
            self._lose("the server ended it")

    def _take(self) -> bool:
        """Whether the last answer is there, which is that to the synchronisation."""
        from psycopg.pq import ExecStatus

        ends = 0  # each statement's answers end with None; two at once: nothing more is there
        while ends < 2 and not self._pg.is_busy():
            result = self._pg.get_result()
            if result is None:
                ends += 1
                continue
            if result.status == ExecStatus.PIPELINE_SYNC:
                return True
            ends = 0
            self._results.append(result)
        return False

    def _settle(self) -> None:
        from psycopg.pq import ExecStatus

        results, self._results = self._results, []
        wrong = next((result for result in results if result.status not in (ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK)), None)
        if wrong is not None:
            logger.info("a group of writes is left to the thread: %s", wrong.error_message.decode(errors="replace").strip())
            self.close("refused")
            return
        self._tell([_numbers(result) for result in results if result.status == ExecStatus.TUPLES_OK])

    def _lose(self, error: Exception | str) -> None:
        logger.warning("the event loop's connection to the database is lost: %s", error)
        self.close("lost")

    def close(self, outcome: Literal["refused", "lost"] = "lost") -> None:
        if self.is_open:
            self.is_open = False
            loop = asyncio.get_running_loop()
            loop.remove_reader(self._socket)
            loop.remove_writer(self._socket)
            self._connection.close()
        self._tell(outcome)

    def abandon(self) -> None:
        """The event loop is closed: nobody waits any more."""
        self.is_open = False
        self._connection.close()

    def _tell(self, outcome: Outcome) -> None:
        done, self._done = self._done, None
        if done is not None:
            done(outcome)


def _numbers(result: "PGresult") -> Rows:
    columns = range(result.nfields)
    return [tuple(int(result.get_value(row, column) or 0) for column in columns) for row in range(result.ntuples)]
