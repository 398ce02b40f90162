"""Short groups of writes, done by the event loop itself where the database is a file of this machine (SQLite).

Handing a group to the writing thread and back costs more than its work: both threads need the interpreter for every statement. What is
done here never waits: a group that would (for another connection's lock, for rows of unknown number, for the ORM) is left to the thread.
"""

import logging
import sqlite3
from collections.abc import Callable
from contextlib import closing
from typing import Any

from django.core.exceptions import SynchronousOnlyOperation
from django.db import connections

from chat import sql

logger = logging.getLogger("switchboard.store")
_WRITES = 1500
"""After so many, some 50 MB of log, two groups are the thread's: one folds the log into the file, the next begins it anew. Both sync."""

_NOT_HERE = (sqlite3.OperationalError, sql.WouldWait, SynchronousOnlyOperation)
"""Locked by another connection, or something that takes time, as of the ORM, which refuses to work on an event loop."""


class InPlace:
    """A connection for the event loop's own transactions. It appends to the write-ahead log and never folds it."""

    def __init__(self) -> None:
        self._connection: Any = None
        self._written = 0
        self._left_over = 0

    def open(self) -> None:
        """Makes the connection; in a database thread, as it may wait. Without a write-ahead log there is none."""
        wrapper = connections.create_connection("default")
        if wrapper.vendor != "sqlite":
            return
        wrapper.connect()
        connection = wrapper.connection
        if connection.execute("PRAGMA journal_mode").fetchone() != ("wal",):
            return
        for setting in ("busy_timeout=0", "wal_autocheckpoint=0"):
            connection.execute(f"PRAGMA {setting}").fetchall()
        self._connection = connection

    def write(self, work: Callable[[], None], writes: int) -> bool:
        """Does `work`, so many writes, in a transaction. False: nothing was written, and it is the thread's, which says what is wrong."""
        if self._connection is None or self._log_is_long(writes):
            return False
        with closing(self._connection.cursor()) as cursor:
            written = self._transaction(cursor, work)
        if not written:
            self._undo()
        return written

    def _transaction(self, cursor: sqlite3.Cursor, work: Callable[[], None]) -> bool:
        try:
            cursor.execute("BEGIN IMMEDIATE")
            with sql.at_once(cursor):
                work()
            cursor.execute("COMMIT")
        except Exception as error:  # the thread does it again; what is wrong there, too, is told to whoever waits
            if not isinstance(error, _NOT_HERE):
                logger.info("a group of writes is tried again by the thread", exc_info=True)
            return False
        return True

    def _log_is_long(self, writes: int) -> bool:
        """For two groups, each time so much has been written."""
        self._written += writes
        if self._written < _WRITES:
            return False
        self._left_over = (self._left_over + 1) % 2
        if not self._left_over:
            self._written = 0
        return True

    def _undo(self) -> None:
        """A connection that cannot even do that is given up: it would keep everybody else from writing."""
        try:
            if self._connection.in_transaction:
                self._connection.rollback()
        except sqlite3.Error:
            logger.exception("no more writes in place")
            self._connection.close()
            self._connection = None
