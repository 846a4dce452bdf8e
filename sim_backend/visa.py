"""The simulated bench as a PyVISA library.

Nothing blocks here: a read without a reply times out at once, and time passes only by
``bench_pause``.  Two methods go beyond VISA, for who wants the bench's own time: ``bench_time_s``
and ``bench_pause``.  A library that lacks them (hardware) is timed by the wall clock.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from typing import Any
from urllib.parse import parse_qsl, unquote

from pyvisa import constants, rname
from pyvisa.constants import AccessModes, InterfaceType, ResourceAttribute, StatusCode
from pyvisa.highlevel import VisaLibraryBase
from pyvisa.util import LibraryPath

from sim_backend.bench import SimBench
from sim_backend.instrument import SimInstrument
from sim_backend.truth import TruthError, load_truth, truth_name

_DEMO = "demo bench"
_OPTIONS = {"seed": int, "realtime": float, "physics": str, "instance": str}
_DEFAULTS: dict[int, Any] = {
    ResourceAttribute.timeout_value: 2000,
    ResourceAttribute.termchar: 10,
    ResourceAttribute.termchar_enabled: constants.VI_FALSE,
    ResourceAttribute.send_end_enabled: constants.VI_TRUE,
    ResourceAttribute.suppress_end_enabled: constants.VI_FALSE,
}


def open_bench(specification: str) -> SimBench:
    """The bench behind a library path such as ``sim.yaml?seed=3`` ("" is the demonstration bench).

    In the path, ``%3F`` stands for ``?``, and so on.

    Raises:
        TruthError: the file or an option is wrong.
    """
    path, _, query = specification.partition("?")
    options: dict[str, Any] = {}
    for key, value in parse_qsl(query, keep_blank_values=True):
        if key not in _OPTIONS:
            known = ", ".join(sorted(_OPTIONS))
            raise TruthError(f"simulated bench: no option {key!r}; there are {known}")
        try:
            options[key] = _OPTIONS[key](value)
        except ValueError:
            raise TruthError(f"simulated bench: {key}={value!r} is no number") from None
    realtime = options.pop("realtime", None)
    options.pop("instance", None)
    if realtime is not None and not 0 < realtime < math.inf:
        raise TruthError(f"simulated bench: realtime={realtime:g} has to be above 0")
    file = "" if path == _DEMO else unquote(path)
    truth = load_truth(file, **options)
    try:
        return SimBench(truth, realtime)
    except TruthError as error:
        raise TruthError(f"{truth_name(file)}: {error}") from None


class SpinLoopVisaLibrary(VisaLibraryBase):
    """``pyvisa.ResourceManager("[sim.yaml][?option=value]@spinloop")``."""

    @staticmethod
    def get_library_paths() -> Iterable[LibraryPath]:
        return (LibraryPath(_DEMO),)

    @staticmethod
    def get_debug_info() -> dict[str, str]:
        return {"Version": "simulated bench of SpinLoop"}

    def _init(self) -> None:
        self.bench = open_bench(str(self.library_path))
        self._numbers = itertools.count(1)
        self._sessions: dict[int, SimInstrument | None] = {}
        self._attributes: dict[int, dict[int, Any]] = {}

    # -- the bench's time -------------------------------------------------------------------------

    def bench_time_s(self) -> float:
        """The bench's clock, s."""
        return self.bench.clock.now_s

    def bench_pause(self, seconds: float) -> None:
        """Wait ``seconds`` of bench time; with a sweep running, to its end."""
        self.bench.pause(seconds)

    # -- VISA -------------------------------------------------------------------------------------

    def _open(self, instrument: SimInstrument | None) -> Any:
        number = next(self._numbers)
        self._sessions[number] = instrument
        self._attributes[number] = dict(_DEFAULTS)
        return number

    def _instrument(self, session: Any) -> SimInstrument:
        instrument = self._sessions.get(session)
        if instrument is None:
            self.handle_return_value(None, StatusCode.error_invalid_object)
        assert instrument is not None
        return instrument

    def open_default_resource_manager(self) -> tuple[Any, StatusCode]:
        return self._open(None), self.handle_return_value(None, StatusCode.success)

    def open(
        self,
        session: Any,
        resource_name: str,
        access_mode: AccessModes = AccessModes.no_lock,
        open_timeout: int = constants.VI_TMO_IMMEDIATE,
    ) -> tuple[Any, StatusCode]:
        wanted = str(rname.ResourceName.from_string(resource_name))
        instrument = self.bench.instruments.get(wanted)
        if instrument is None:
            self.handle_return_value(session, StatusCode.error_resource_not_found)
        number = self._open(instrument)
        parsed = rname.ResourceName.from_string(resource_name)
        interface = getattr(InterfaceType, parsed.interface_type_const.name)
        self._attributes[number][ResourceAttribute.interface_type] = interface
        self._attributes[number][ResourceAttribute.resource_name] = wanted
        return number, self.handle_return_value(number, StatusCode.success)

    def close(self, session: Any) -> StatusCode:
        if session not in self._sessions:
            return self.handle_return_value(None, StatusCode.error_invalid_object)
        del self._sessions[session], self._attributes[session]
        return self.handle_return_value(None, StatusCode.success)

    def list_resources(self, session: Any, query: str = "?*::INSTR") -> tuple[str, ...]:
        return tuple(rname.filter(self.bench.instruments, query))

    def write(self, session: Any, data: bytes) -> tuple[int, StatusCode]:
        instrument = self._instrument(session)
        for message in data.decode("latin-1").splitlines():
            self.bench.write(instrument, message)
        return len(data), self.handle_return_value(session, StatusCode.success)

    def read(self, session: Any, count: int) -> tuple[bytes, StatusCode]:
        taken = self.bench.take(self._instrument(session), count)
        if taken is None:
            self.handle_return_value(session, StatusCode.error_timeout)
        assert taken is not None
        data, more = taken
        status = StatusCode.success_max_count_read if more else StatusCode.success
        return data, self.handle_return_value(session, status)

    def read_stb(self, session: Any) -> tuple[int, StatusCode]:
        byte = self.bench.serial_poll(self._instrument(session))
        return byte, self.handle_return_value(session, StatusCode.success)

    def clear(self, session: Any) -> StatusCode:
        self.bench.device_clear(self._instrument(session))
        return self.handle_return_value(session, StatusCode.success)

    def get_attribute(self, session: Any, attribute: Any) -> tuple[Any, StatusCode]:
        values = self._attributes.get(session, {})
        if attribute not in values:
            self.handle_return_value(session, StatusCode.error_nonsupported_attribute)
        return values[attribute], self.handle_return_value(session, StatusCode.success)

    def set_attribute(
        self, session: Any, attribute: ResourceAttribute, attribute_state: Any
    ) -> StatusCode:
        if session not in self._attributes:
            return self.handle_return_value(None, StatusCode.error_invalid_object)
        self._attributes[session][attribute] = attribute_state
        return self.handle_return_value(session, StatusCode.success)

    def disable_event(self, session: Any, event_type: Any, mechanism: Any) -> StatusCode:
        return self.handle_return_value(session, StatusCode.success)

    def discard_events(self, session: Any, event_type: Any, mechanism: Any) -> StatusCode:
        return self.handle_return_value(session, StatusCode.success)
