"""PostgreSQL as chat.sql speaks to it: statements prepared once per connection, and as many as need no answer in one round trip.

Each round trip costs two changes of threads under load, which is more than the server's work. The pipe is empty, and the connection
as Django knows it, whenever nothing of chat.sql runs; what goes wrong raises psycopg's errors.
"""

import select
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import local
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from psycopg import Connection
    from psycopg.pq.abc import PGresult

Value = bytes | None
"""A parameter as text; the server knows the types."""

BEGIN, COMMIT = b"BEGIN", b"COMMIT"
BY_KEYS = (b"SET enable_seqscan = off", b"SET enable_hashjoin = off", b"SET enable_mergejoin = off")


class Sent:
    """The answer to a statement: the pipe is emptied when it is first looked at."""

    __slots__ = ("_pipe", "result", "text", "values")

    def __init__(self, pipe: "Pipe", text: bytes, values: Sequence[Value]) -> None:
        self._pipe, self.text, self.values = pipe, text, values
        self.result: PGresult | None = None

    @property
    def count(self) -> int:
        return self._answer().command_tuples or 0

    @property
    def rows(self) -> list[tuple[Any, ...]]:
        return self._pipe.loaded(self._answer())

    def _answer(self) -> "PGresult":
        if self.result is None:
            self._pipe.empty()
        assert self.result is not None
        return self.result


class Pipe:
    """What is on its way on one connection."""

    def __init__(self, connection: "Connection[Any]") -> None:
        from psycopg.adapt import Transformer

        self.connection, self._pg = connection, connection.pgconn
        self._loader = Transformer(connection)
        self._names: dict[bytes, bytes] = {}
        self._named = 0
        self._waiting: list[Sent] = []
        self._gathers = self._by_keys = False
        self._poll = select.poll()

    def send(self, text: bytes, values: Sequence[Value]) -> Sent:
        """At once, or in a transaction() not before an answer is needed."""
        sent = Sent(self, text, values)
        self._waiting.append(sent)
        if not self._gathers:
            self.empty()
        return sent

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Within a transaction of Django's: what needs no answer goes together with COMMIT, which Django then finds done."""
        self._gathers = True
        try:
            yield
            self.send(COMMIT, ())
            self.empty()
        finally:
            self._gathers = False
            self._waiting.clear()

    def find_by_keys(self) -> None:
        """For a connection that finds rows by their keys and does nothing else: a statement may be planned while its table is empty."""
        if not self._by_keys:
            for text in BY_KEYS:
                self.send(text, ())
            self._by_keys = True

    def empty(self) -> None:
        """One round trip: sends what waits, and takes the answers. Raises the first error; then nothing after it was done."""
        from psycopg.pq import TransactionStatus

        waiting, self._waiting = self._waiting, []
        if not waiting:
            return
        if self._pg.transaction_status == TransactionStatus.IDLE and not self.connection.autocommit:
            waiting.insert(0, Sent(self, BEGIN, ()))
        try:
            error = self._exchange(waiting)
        except BaseException:
            self.connection.close()  # half an exchange is behind it
            raise
        if error is not None:
            raise error

    def _exchange(self, waiting: Sequence[Sent]) -> Exception | None:
        self._pg.enter_pipeline_mode()
        fresh = self._queue(waiting)
        self._flush()
        error = self._take(waiting, fresh)
        self._pg.exit_pipeline_mode()
        return error

    def _queue(self, waiting: Sequence[Sent]) -> dict[bytes, bytes]:
        """Returns the statements that are prepared on the way: text -> name."""
        fresh: dict[bytes, bytes] = {}
        for sent in waiting:
            name = self._names.get(sent.text) or fresh.get(sent.text)
            if name is None:
                self._named += 1
                name = fresh[sent.text] = b"sb%d" % self._named
                self._pg.send_prepare(name, sent.text)
            self._pg.send_query_prepared(name, sent.values)
        self._pg.pipeline_sync()
        return fresh

    def _flush(self) -> None:
        while self._pg.flush():
            self._wait(select.POLLIN | select.POLLOUT)
            self._pg.consume_input()

    def _take(self, waiting: Sequence[Sent], fresh: dict[bytes, bytes]) -> Exception | None:
        """Answers in the order of the statements; each ends with None, and all with that to the synchronisation."""
        error = None
        for sent in waiting:
            if sent.text in fresh:
                error = error or _error_of(self._next_of_one())
                if error is None:
                    self._names[sent.text] = fresh[sent.text]
                del fresh[sent.text]
            sent.result = self._next_of_one()
            error = error or _error_of(sent.result)
        self._next()
        return error

    def _next_of_one(self) -> "PGresult":
        from psycopg import OperationalError

        result = self._next()
        if result is None:
            raise OperationalError("the connection is lost")
        self._next()
        return result

    def _next(self) -> "PGresult | None":
        while self._pg.is_busy():
            self._wait(select.POLLIN)
            self._pg.consume_input()
        return self._pg.get_result()

    def _wait(self, what: int) -> None:
        self._poll.register(self._pg.socket, what)
        self._poll.poll()

    def loaded(self, result: "PGresult") -> list[tuple[Any, ...]]:
        """Rows as Python's values, as psycopg loads them for Django."""
        self._loader.set_pgresult(result)
        return self._loader.load_rows(0, result.ntuples, tuple)


def _error_of(result: "PGresult") -> Exception | None:
    from psycopg.errors import error_from_result
    from psycopg.pq import ExecStatus

    if result.status in (ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK):
        return None
    return error_from_result(result)


_here = local()


def pipe_of(connection: "Connection[Any]") -> Pipe:
    """The pipe of this thread's connection."""
    known: Pipe | None = getattr(_here, "pipe", None)
    if known is None or known.connection is not connection:
        known = _here.pipe = Pipe(connection)
    return known
