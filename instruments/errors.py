"""What can go wrong at the bench.  Every message is one sentence that says what to do or to see."""

from __future__ import annotations


class BenchError(Exception):
    """Anything wrong at the bench."""


class BenchFileError(BenchError):
    """A bench file that cannot be used: file, line, key and what is wrong with it."""


class LimitError(BenchError):
    """A message was refused before it reached the instrument."""


class UnsafeReportError(LimitError):
    """An instrument reports what no limit allows, or something else than it was told: trip."""


class InstrumentError(BenchError):
    """The instrument refused: its error queue had an entry, or a setting reads back wrong."""


class ReplyTimeoutError(BenchError):
    """An instrument did not answer, or a sweep did not end, in its time."""


class LinkLostError(BenchError):
    """The line to an instrument was lost; it is open again, and nothing is known of settings."""


class InstrumentLostError(LinkLostError):
    """The line to an instrument was lost and does not come back, or comes back to another."""


class SweepVoidError(BenchError):
    """A buffer does not hold exactly the points of its list: nothing of it is used."""


class StoppedError(BenchError):
    """The bench was stopped; outputs are off."""


class HeldError(BenchError):
    """Somebody else's run holds the bench."""


class ComplianceError(BenchError):
    """A source was held back by its compliance for most of a list: the bench has tripped."""


class OverflowedError(BenchError):
    """Most readings of a list are above the meter's range: the bench has tripped."""


class LatchedError(BenchError):
    """The bench tripped, or was left unsafe, and nobody has reset it since."""


class RehearsalError(BenchError):
    """No rehearsal on dummy resistors is on record for this bench file."""


class GuardianError(BenchError):
    """There is no guardian that could switch the outputs off."""


class HolderError(BenchError):
    """Another program holds an instrument."""


class DivergenceError(BenchError):
    """A replayed run asked for something else than what was recorded."""


_BY_NAME = {
    cls.__name__: cls
    for cls in (
        InstrumentError, InstrumentLostError, LimitError, LinkLostError, ReplyTimeoutError,
        StoppedError, SweepVoidError, UnsafeReportError,
    )
}  # fmt: skip


def describe(error: BaseException) -> str:
    """An error as the record keeps it."""
    return f"{type(error).__name__}: {error}"


def recall(text: str) -> BenchError:
    """The error that :func:`describe` wrote down."""
    name, _, sentence = text.partition(": ")
    return _BY_NAME.get(name, BenchError)(sentence)
