"""A thousand random messages, legal and not: the bench never goes beyond its limits."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from instruments import Bench, BenchError, StoppedError

FIELD_LIMIT_A, STEP_A, JUNCTION_LIMIT_V = 0.035, 0.006, 0.1


def _sim(bench: Bench) -> Any:
    return bench._keep.visalib.bench


AMPERES = st.sampled_from(
    ["0", "0.005", "-0.005", "0.006", "0.01", "0.034", "-0.035", "0.0351", "0.1", "MAX", "1e-9"]
)
VOLTS = st.sampled_from(["0", "0.02", "-0.1", "0.1", "0.11", "0.21", "21", "MAX", "nan"])
FIELD = st.one_of(
    st.builds(":SOUR:CURR {}".format, AMPERES),
    st.builds(":OUTP {}".format, st.sampled_from(["ON", "OFF", "1", "2"])),
    st.lists(AMPERES, min_size=1, max_size=6).map(lambda v: f":SOUR:LIST:CURR {','.join(v)}"),
    st.lists(AMPERES, min_size=1, max_size=3).map(lambda v: f":SOUR:LIST:CURR:APP {','.join(v)}"),
    st.integers(1, 6).map(
        lambda n: f":SOUR:LIST:DEL {','.join(['.001'] * n)};:SOUR:LIST:COMP {','.join(['2'] * n)}"
    ),
    st.sampled_from(
        [":SOUR:SWE:ARM", ":INIT", ":SOUR:SWE:ARM;:INIT", ":SOUR:SWE:ABOR", ":ABOR", "*RST",
         ":SOUR:CURR?", ":OUTP?", ":SOUR:CURR:RANG?", ":SOUR:CURR:COMP?", ":SOUR:CURR:RANG 0.1",
         ":SOUR:CURR:RANG 2e-3", ":SOUR:CURR:COMP 2", ":SOUR:SWE:SPAC LIST;:SOUR:SWE:COUN 1",
         ":SOUR:SWE:RANG FIX", ":SOUR:SWE:RANG BEST", ":TRIG:SOUR IMM", ":SOUR:SWE:STAR 0.1",
         ":SOUR:WAVE:ARM", ":SOUR:DELT:ARM", ":READ?"]
    ),
)  # fmt: skip
METER = st.one_of(
    st.builds(":SOUR:VOLT {}".format, VOLTS),
    st.builds(":SOUR:VOLT:RANG {}".format, VOLTS),
    st.sampled_from(
        [":OUTP ON", ":OUTP OFF", ":SOUR:FUNC CURR", ":SOUR:FUNC VOLT", ":SOUR:VOLT?", ":OUTP?",
         ":SOUR:VOLT:RANG?", ":SENS:CURR:PROT?", ":SOUR:FUNC?", ":SENS:CURR:PROT 5e-6", ":READ?",
         ":SENS:CURR:PROT 1", ":MEAS:CURR?", ":ABOR", ":INIT", "*RST", ":SYST:RSEN OFF",
         ":OUTP:SMOD NORM", ":SOUR:CLE:AUTO OFF", ":SOUR:VOLT:MODE FIX", ":SENS:FUNC 'CURR:DC'",
         ":TRIG:SOUR IMM", ":SOUR:VOLT:MODE LIST", ":SOUR:VOLT:MODE SWE", ":CONF:RES",
         ":SOUR:LIST:VOLT 0.05,0.1,0", ":SOUR:LIST:VOLT 0.05,0.2", ":SOUR:LIST:VOLT:APP 0.09",
         ":SOUR:LIST:VOLT:APP 1", ":TRIG:COUN 3;:INIT", ":SOUR:VOLT:MODE LIST;:INIT"]
    ),
)  # fmt: skip
SWITCH = st.sampled_from(
    [":ROUT:OPEN ALL", ":ROUT:CLOS (@1!1)", ":ROUT:CLOS (@1!1,1!11,1!21)", ":ROUT:CLOS (@1!2)",
     ":ROUT:CLOS (@1!12,1!22)", ":ROUT:OPEN (@1!1)", ":ROUT:CLOS:STAT?", "*RST"]
)  # fmt: skip
MESSAGES = st.one_of(
    st.tuples(st.just("field"), FIELD), st.tuples(st.just("x"), METER),
    st.tuples(st.just("z"), METER), st.tuples(st.just("switch"), SWITCH),
)  # fmt: skip


class _Watch:
    """What the bench itself sees: every level, as it comes."""

    def __init__(self, sim: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sim, self.worst_v, self.worst_a, self.worst_step = sim, 0.0, 0.0, 0.0
        self.level, self.parallel = self._through(), False
        touch, start = sim.touch, sim.start_sweep

        def touched() -> None:
            touch()
            self.look()

        def started(source: Any) -> None:
            start(source)
            for level in source.sweep_levels():
                self.step_to(float(level))

        monkeypatch.setattr(sim, "touch", touched)
        monkeypatch.setattr(sim, "start_sweep", started)

    def _through(self) -> float:
        source = self.sim.source
        return float(source.state["level"]) if source.state["output"] else 0.0

    def step_to(self, level: float) -> None:
        if level != 0:
            self.worst_step = max(self.worst_step, abs(level - self.level))
        self.level = level
        self.worst_a = max(self.worst_a, abs(level))

    def look(self) -> None:
        if self.sim.sweep is None:
            self.step_to(self._through())
        for meter in self.sim.meters.values():
            self.worst_v = max(self.worst_v, abs(meter.terminal_v))
        closed = self.sim.switch.closed
        joined = [
            not closed.isdisjoint((one.x, one.z, one.low))
            for one in self.sim.truth.junctions.channels.values()
        ]
        self.parallel |= sum(joined) > 1


@settings(suppress_health_check=list(HealthCheck), deadline=None, max_examples=60)
@given(armed=st.booleans(), messages=st.lists(MESSAGES, min_size=10, max_size=40))
@example(armed=True, messages=[
    ("field", ":SOUR:LIST:CURR 0.005,0.01,0.005,0"),
    ("field", ":SOUR:LIST:DEL .1,.1,.1,.1;:SOUR:LIST:COMP 2,2,2,2"),
    ("field", ":SOUR:SWE:ARM;:INIT"), ("field", ":SOUR:SWE:ABOR"), ("field", ":SOUR:CURR 0.005"),
])  # fmt: skip
def test_no_messages_bring_the_bench_above_its_limits(
    armed: bool, messages: list[tuple[str, str]]
) -> None:
    with pytest.MonkeyPatch.context() as patch, Bench.open() as bench:
        watch = _Watch(_sim(bench), patch)
        if armed:
            bench.sweep("J1", [0.003])
        for role, message in messages:
            link = bench.transport.links[role]
            try:
                link.query(message) if message.endswith("?") else link.write(message)
            except BenchError as error:
                assert not isinstance(error, StoppedError)
        assert watch.worst_v <= JUNCTION_LIMIT_V * (1 + 1e-6)
        assert watch.worst_a <= FIELD_LIMIT_A * (1 + 1e-6)
        assert watch.worst_step <= STEP_A * (1 + 1e-6)
        assert not watch.parallel
        assert watch.sim.hot_switches == 0
        assert not any(junction.broken for junction in watch.sim.junctions)


def test_the_watch_of_the_test_before_sees_what_is_too_much(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with Bench.open() as bench:
        watch = _Watch(_sim(bench), monkeypatch)
        bench.sweep("J1", [0.0])
        monkeypatch.setattr(bench.guard, "check", lambda role, _: bench.guard.shadows[role])
        bench.transport.links["x"].write(":SOUR:VOLT 0.15")
        bench.transport.links["field"].write(":SOUR:CURR 0.05")
        bench.transport.links["switch"].write(":ROUT:CLOS (@1!2,1!12,1!22)")
        assert watch.worst_v > 0.1 and watch.worst_a > 0.035 and watch.worst_step > 0.006
        assert watch.parallel and watch.sim.hot_switches == 1
        monkeypatch.undo()  # the way to the safe state is guarded again
