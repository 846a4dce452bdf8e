"""Rows of the transcript on their way into the file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from sqlalchemy import Connection, update

from db.records import Message
from db.schema import session
from db.values import clean_text

ROWS_AT_ONCE = 1000
"""Rows in one INSERT statement; SQLite allows 32766 values in one."""

_COLUMNS = "session, seq, instrument, op, sent, reply, status, error, bench_time_s"
_ROW = "(" + ", ".join("?" * 9) + ")"


class MessageRows:
    """Inserts messages and leaves out repeated observations.

    A poll outside the order that equals the last row of its instrument (but for the time) is not
    stored: waiting for a sweep would otherwise fill the file with one row a millisecond.
    """

    def __init__(self) -> None:
        self._session = 0
        self._last: dict[str, Message] = {}  # of each instrument, in that session

    def insert(self, connection: Connection, given: Sequence[tuple[int, Message]]) -> None:
        """Insert (session, message) pairs in their order, within the open transaction.

        Many rows go into one statement. sqlite3 gives up the interpreter's lock once per
        statement, and a busy main thread takes up to 5 ms to give it back; `executemany`, which
        runs one statement per row, then falls behind the bench.
        """
        rows = [pair for pair in given if not self._repeats(*pair)]
        for start in range(0, len(rows), ROWS_AT_ONCE):
            part = rows[start : start + ROWS_AT_ONCE]
            values: list[object] = []
            for number, message in part:
                values += _values(number, message)
            statement = f"INSERT INTO message ({_COLUMNS}) VALUES {', '.join([_ROW] * len(part))}"
            connection.exec_driver_sql(statement, tuple(values))
        for number, count in Counter(number for number, _ in rows).items():
            connection.execute(
                update(session)
                .where(session.c.id == number)
                .values(messages=session.c.messages + count)
            )

    def _repeats(self, number: int, message: Message) -> bool:
        if number != self._session:
            self._session = number
            self._last.clear()
        last = self._last.get(message.instrument)
        self._last[message.instrument] = message
        return (
            message.op == "poll"
            and message.seq is None
            and last is not None
            and replace(last, bench_time_s=message.bench_time_s) == message
        )


def _values(number: int, message: Message) -> tuple[object, ...]:
    sent, error = message.sent, message.error
    return (
        number,
        message.seq,
        message.instrument,
        message.op,
        sent if sent.isascii() else clean_text(sent),
        message.reply,
        message.status,
        error if error is None else clean_text(error),
        message.bench_time_s,
    )
