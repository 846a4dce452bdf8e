"""What can go wrong at the bench.  Every message is one sentence that says what to do or to see."""

from __future__ import annotations


class BenchError(Exception):
    """Anything wrong at the bench."""


class BenchFileError(BenchError):
    """A bench file that cannot be used: file, line, key and what is wrong with it."""


class LimitError(BenchError):
    """A message was refused before it reached the instrument."""


class InstrumentError(BenchError):
    """The instrument refused: its error queue had an entry, or a setting reads back wrong."""


class ReplyTimeoutError(BenchError):
    """An instrument did not answer, or a sweep did not end, in its time."""


class SweepVoidError(BenchError):
    """A buffer does not hold exactly the points of its list: nothing of it is used."""


class StoppedError(BenchError):
    """The bench was stopped; outputs are off."""


class HeldError(BenchError):
    """Somebody else's run holds the bench."""


class DivergenceError(BenchError):
    """A replayed run asked for something else than what was recorded."""


_BY_NAME = {
    cls.__name__: cls
    for cls in (
        InstrumentError, LimitError, ReplyTimeoutError, StoppedError, SweepVoidError,
    )
}  # fmt: skip


def describe(error: BaseException) -> str:
    """An error as the record keeps it."""
    return f"{type(error).__name__}: {error}"


def recall(text: str) -> BenchError:
    """The error that :func:`describe` wrote down."""
    name, _, sentence = text.partition(": ")
    return _BY_NAME.get(name, BenchError)(sentence)
