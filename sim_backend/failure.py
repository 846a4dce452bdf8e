"""What becomes of an exception inside a model or the physics: an error in the instrument's queue.

A controller on the bus gets no exception from an instrument that cannot go on; it reads a
device-specific error, -300 (SCPI-1999 volume 2, section 21.8.10).
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from sim_backend.scpi_errors import ScpiError

if TYPE_CHECKING:
    from sim_backend.instrument import SimInstrument

_LONGEST = 200  # characters: text and detail together may have 255 (SCPI-1999 21.8.2)
_LOG = logging.getLogger(__name__)


class told_by:
    """An exception inside ends the block and becomes an error of this instrument."""

    __slots__ = ("_instrument",)

    def __init__(self, instrument: SimInstrument) -> None:
        self._instrument = instrument

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: object
    ) -> bool:
        if not isinstance(problem, Exception):
            return False
        if not isinstance(problem, ScpiError):
            _LOG.debug("%s cannot go on", self._instrument.name, exc_info=True)
            problem = ScpiError(-300, f";{_sentence(problem)}")
        self._instrument.put_error(problem)
        return True


def _sentence(problem: Exception) -> str:
    """What an exception says, as it may stand inside an error's quotes."""
    words = " ".join(str(problem).split()).replace('"', "'") or type(problem).__name__
    words = words.encode("ascii", "replace").decode("ascii")
    return words if len(words) <= _LONGEST else f"{words[: _LONGEST - 3]}..."
