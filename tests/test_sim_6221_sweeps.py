"""The simulated Keithley 6221's sweeps: staircases, counts, ranges, compliance, arm events.

Pages are of the 622x Reference Manual, 622X-901-01.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim_backend.bench import SimBench
from sim_backend.models.keithley6221_settle import FILTER_S
from sim_backend.models.keithley6221_sweep import RANGE_CHANGE_S
from sim_backend.truth import load_truth

DONE, ABORTED, SWEEPING, AWAITS_ARM, IDLE = 2, 4, 8, 64, 1024  # operation register


class Lab:
    """A bench, and its field source; with ``channels`` closed the x meter reads J1."""

    def __init__(self, **changes):
        self.bench = SimBench(load_truth(None, read_noise_a=0, **changes))
        self.it = self.bench.source
        channels = self.bench.truth.junctions.channels["J1"]
        self.write(f":CLOS (@{channels.x},{channels.z},{channels.low})", to="switch")

    def write(self, *messages, to="field"):
        for message in messages:
            self.bench.write(self.bench.by_name[to], message)

    def ask(self, question, to="field"):
        self.write(question, to=to)
        data, more = self.bench.take(self.bench.by_name[to], 10**7)
        assert not more
        return data.removesuffix(b"\n").decode()

    def number(self, question):
        return float(self.ask(question))

    def errors(self):
        found = []
        while not (answer := self.ask(":SYST:ERR?")).startswith("0,"):
            found.append(int(answer.partition(",")[0]))
        return found

    @property
    def now_s(self):
        return self.bench.clock.now_s

    def line_a(self):
        return float(self.bench.plant.line.current_a(self.bench.solve())[0])

    def seen(self, count, step_s):
        """What the line carries every ``step_s``, so many times, A."""
        levels = []
        for _ in range(count):
            self.bench.pass_time(step_s, "settle")
            levels.append(self.line_a())
        return np.array(levels)


@pytest.fixture
def lab():
    made = Lab()
    made.write(":DISP:ENAB OFF")  # no jitter: times are told exactly
    return made


# -- staircases ------------------------------------------------------------------------------------

SETTINGS = st.one_of(
    st.tuples(st.sampled_from(["CURR:STAR", "CURR:STOP"]), st.floats(-0.105, 0.105)),
    st.tuples(st.just("CURR:CENT"), st.floats(-0.05, 0.05)),
    st.tuples(st.just("CURR:SPAN"), st.floats(1e-3, 0.1)),
    st.tuples(st.just("CURR:STEP"), st.floats(1e-4, 0.05)),
    st.tuples(st.just("SWE:POIN"), st.integers(2, 200)),
)


@settings(max_examples=30, deadline=None)
@given(st.lists(SETTINGS, min_size=1, max_size=6))
def test_the_settings_of_a_staircase_hang_together(sequence):
    lab = Lab()
    for header, value in sequence:
        lab.write(f":SOUR:{header} {value:.9g}")
        start, stop, center, span = (lab.it.state[k] for k in ("start", "stop", "center", "span"))
        step, points = lab.it.state["step"], lab.it.state["sweep_points"]
        assert center == pytest.approx((start + stop) / 2, abs=1e-12)
        assert span == pytest.approx(stop - start, abs=1e-12)
        left = abs(span) - step * (points - 1)
        assert -1e-9 <= left < step + 1e-9 or points == 1
        if header != "CURR:STEP" and points > 1:
            assert left == pytest.approx(0, abs=1e-9)
        assert max(abs(start), abs(stop)) <= 0.105 * (1 + 1e-9)
        levels = lab.it.sweep_levels()
        assert len(levels) == len(lab.it.sweep_delays()) == points
        assert levels[0] == pytest.approx(start)
        assert np.all(np.abs(levels) <= 0.105 * (1 + 1e-9))
        assert abs(levels[-1] - stop) == pytest.approx(left, abs=1e-9)


def test_a_staircase_goes_in_equal_steps_from_start_to_stop(lab):
    lab.write(":SOUR:CURR:STAR 0.01;STOP -0.01;STEP 0.005")
    assert lab.number(":SOUR:SWE:POIN?") == 5
    assert lab.it.sweep_levels() == pytest.approx([0.01, 0.005, 0, -0.005, -0.01], abs=1e-15)
    lab.write(":SOUR:SWE:POIN 3")
    assert lab.number(":SOUR:CURR:STEP?") == pytest.approx(0.01)
    assert lab.it.sweep_levels() == pytest.approx([0.01, 0, -0.01], abs=1e-15)


def test_a_step_that_does_not_divide_the_span_ends_before_stop(lab):
    lab.write(":SOUR:CURR:STAR 0;STOP 0.01;STEP 0.004")
    assert lab.it.sweep_levels() == pytest.approx([0, 0.004, 0.008])


def test_the_manuals_logarithmic_sweep_has_its_five_points(lab):
    """p. 4-6, table 4-1."""
    lab.write(":SOUR:SWE:SPAC LOG;:SOUR:CURR:STAR 1e-3;STOP 1e-2;:SOUR:SWE:POIN 5")
    assert lab.it.sweep_levels() == pytest.approx(
        [1e-3, 1.7783e-3, 3.1623e-3, 5.6234e-3, 1e-2], rel=1e-4
    )


def test_no_logarithmic_sweep_goes_through_zero(lab):
    lab.write(":SOUR:SWE:SPAC LOG;:SOUR:CURR:STAR -1e-3;STOP 1e-2", ":SOUR:SWE:ARM")
    assert lab.errors() == [-221]
    assert lab.ask(":OUTP?") == "0"


@pytest.mark.parametrize(
    "message",
    [":SOUR:CURR:STAR 0.2", ":SOUR:SWE:POIN 65536", ":SOUR:SWE:POIN 0", ":SOUR:CURR:STEP 1e-9",
     ":SOUR:CURR:CENT 0.1", ":SOUR:CURR:SPAN 0.21", ":SOUR:CURR:STEP 0", ":SOUR:SWE:COUN 0"],
)  # fmt: skip
def test_what_no_staircase_can_do_is_refused_and_changes_nothing(lab, message):
    before = dict(lab.it.state)
    lab.write(message)
    assert lab.errors() == [-222]
    assert lab.it.state == before


def test_a_staircase_takes_its_delay_at_each_step_and_keeps_its_last_level(lab):
    lab.write(":SOUR:SWE:SPAC LIN;:SOUR:CURR:STAR 0.001;STOP 0.004;STEP 0.001;:SOUR:DEL 0.25")
    lab.write(":SOUR:SWE:ARM;:INIT")
    start = lab.now_s
    assert lab.errors() == [] and lab.it.busy
    levels = lab.seen(9, 0.11)
    assert levels == pytest.approx(1e-3 * np.array([1, 1, 2, 2, 3, 3, 4, 4, 4]), rel=1e-6)
    lab.bench.pause(1)
    assert lab.now_s == pytest.approx(start + 1.0, abs=1e-6)
    assert int(lab.ask(":STAT:OPER?")) & (DONE | ABORTED) == DONE
    assert lab.line_a() == pytest.approx(0.004)
    assert lab.number(":SOUR:CURR?") == pytest.approx(0.004)


# -- counts ----------------------------------------------------------------------------------------


def test_a_count_sweeps_so_often(lab):
    lab.write(":SOUR:SWE:SPAC LIST;:SOUR:LIST:CURR 0.001,0.002;DEL 0.1,0.3;COMP 10,10")
    lab.write(":SOUR:SWE:COUN 3", ":SOUR:SWE:ARM;:INIT")
    start = lab.now_s
    levels = lab.seen(23, 0.05)
    assert lab.errors() == []
    assert levels[[0, 2, 8, 10, 16, 18]] == pytest.approx(1e-3 * np.array([1, 2] * 3), rel=1e-6)
    lab.bench.pause(1)
    assert lab.now_s == pytest.approx(start + 1.2, abs=1e-6)
    assert int(lab.ask(":STAT:OPER?")) & (DONE | ABORTED) == DONE


def test_an_endless_count_sweeps_until_it_is_aborted(lab):
    lab.write(":SOUR:SWE:SPAC LIST;:SOUR:LIST:CURR 0.001,0.002;DEL 0.1,0.1;COMP 10,10")
    lab.write(":SOUR:SWE:COUN INF", ":SOUR:SWE:ARM;:INIT")
    levels = lab.seen(180, 0.11)
    assert {round(level * 1e3) for level in levels[-20:]} == {1, 2}
    assert lab.it.busy and int(lab.ask(":STAT:OPER:COND?")) == SWEEPING
    lab.write(":SOUR:SWE:ABOR")
    assert int(lab.ask(":STAT:OPER:COND?")) == IDLE
    assert int(lab.ask(":STAT:OPER?")) & (DONE | ABORTED) == ABORTED
    assert lab.line_a() == pytest.approx(levels[-1], rel=0.6)


def test_more_points_than_the_simulator_works_out_are_refused(lab):
    lab.write(":SOUR:SWE:POIN 1000;COUN 101", ":SOUR:SWE:ARM")
    assert lab.errors() == [-225]
    assert lab.ask(":OUTP?") == "0"


# -- ranges ----------------------------------------------------------------------------------------


def test_the_manuals_sweep_on_a_fixed_range_is_cut_off(lab):
    """p. 4-9."""
    lab.write(":SOUR:CURR:RANG 2e-3;:SOUR:SWE:RANG FIX", ":SOUR:CURR:STAR 1e-3;STOP 5e-3;STEP 1e-3")
    assert lab.it.sweep_levels() == pytest.approx([1e-3, 2e-3, 2.1e-3, 2.1e-3, 2.1e-3])


def test_the_manuals_best_range_holds_all_points(lab):
    """p. 4-9."""
    lab.write(":SOUR:CURR:RANG 2e-3;:SOUR:SWE:RANG BEST", ":SOUR:CURR:STAR 1e-3;STOP 30e-3")
    lab.write(":SOUR:SWE:ARM")
    assert lab.number(":SOUR:CURR:RANG?") == 0.1
    assert not lab.it.sweep_zeros().any()


def test_a_best_range_holds_the_level_that_is_on_too(lab):
    lab.write(":SOUR:CURR 0.05;:SOUR:SWE:RANG BEST;:SOUR:CURR:STAR 0;STOP 1e-3;:SOUR:SWE:ARM")
    assert lab.number(":SOUR:CURR:RANG?") == 0.1


def test_on_auto_the_first_point_changes_the_range_too(lab):
    lab.write(":SOUR:CURR:RANG 0.1;:SOUR:SWE:RANG AUTO;:SOUR:CURR:STAR 1e-3;STOP 2e-3")
    assert (lab.it.sweep_zeros() > 0).tolist() == [True] + [False] * 10


def test_on_auto_the_output_goes_through_zero_where_the_range_changes(lab):
    lab.write(":SOUR:CURR:RANG 2e-3;:SOUR:CURR 1e-3;:SOUR:SWE:RANG AUTO;SPAC LIST")
    lab.write(":SOUR:LIST:CURR 1e-3,2e-3,3e-3,4e-3,1e-3;DEL .02,.02,.02,.02,.02;COMP 9,9,9,9,9")
    assert (lab.it.sweep_zeros() > 0).tolist() == [False, False, True, False, True]
    lab.write(":SOUR:SWE:ARM;:INIT")
    start = lab.now_s
    levels = lab.seen(round(1e3 * (0.1 + 2 * RANGE_CHANGE_S)) - 1, 1e-3)
    runs = [round(levels[0] * 1e3)]
    for level in levels:
        if round(level * 1e3) != runs[-1]:
            runs.append(round(level * 1e3))
    assert runs == [1, 2, 0, 3, 4, 0, 1]
    assert int(np.sum(np.abs(levels) < 1e-6)) == pytest.approx(2e3 * RANGE_CHANGE_S, abs=2)
    lab.bench.pause(1)
    assert lab.now_s == pytest.approx(start + 0.1 + 2 * RANGE_CHANGE_S, abs=1e-6)
    assert lab.number(":SOUR:CURR:RANG?") == 2e-3


# -- compliance ------------------------------------------------------------------------------------


def test_compliance_abort_ends_a_staircase_where_it_cannot_go_on(lab):
    lab.write(":SOUR:CURR:COMP 1;:SOUR:SWE:CAB ON;:SOUR:DEL 0.01")  # 1 V over 50 ohm: 20 mA
    lab.write(":SOUR:CURR:STAR 0.01;STOP 0.05;STEP 0.01", ":SOUR:SWE:ARM;:INIT")
    lab.bench.pause(1)
    assert int(lab.ask(":STAT:OPER?")) & (DONE | ABORTED) == ABORTED
    assert lab.number(":SOUR:CURR?") == pytest.approx(0.03)
    assert lab.line_a() == pytest.approx(0.02, rel=1e-6)
    assert int(lab.ask(":STAT:MEAS?")) & 8


HOT = {"line": {"ohm": 50.0, "alpha_per_k": 4e-3, "heating_k_per_w": 5e3}}
LOAD = {
    "devices": {"r": {"kind": "resistor", "ohm": 50, "most_w": 100}},
    "wires": [("field.hi", "r.a"), ("r.b", "earth")],
}


@pytest.mark.parametrize("changes, last", [({}, 0.03), (HOT, 0.02), (LOAD, 0.05)])
def test_compliance_abort_follows_the_circuit(changes, last):
    """1 V: 20 mA through 50 ohm, less through a line that heats, more beside another load."""
    lab = Lab(**changes)
    lab.write(":SOUR:CURR:COMP 1;:SOUR:SWE:CAB ON;:SOUR:DEL 0.01")
    lab.write(":DISP:ENAB OFF;:SOUR:CURR:STAR 0.01;STOP 0.06;STEP 0.01", ":SOUR:SWE:ARM;:INIT")
    start = lab.now_s
    lab.bench.pause(1)
    assert lab.now_s == pytest.approx(start + last, abs=1e-6)  # so many points of 10 ms
    assert int(lab.ask(":STAT:OPER?")) & (DONE | ABORTED) == ABORTED
    assert lab.number(":SOUR:CURR?") == pytest.approx(last)


# -- filter ----------------------------------------------------------------------------------------


def test_in_a_sweep_too_a_filtered_output_lags_behind_its_levels(lab):
    lab.write(":SOUR:SWE:SPAC LIST;:SOUR:LIST:CURR 0.01,0.02,0.01;DEL 2e-3,2e-3,0.1;COMP 9,9,9")
    lab.write(":SOUR:CURR:FILT ON", ":SOUR:SWE:ARM;:INIT")
    found, share, wanted = lab.seen(8, 1e-3), np.exp(-1e-3 / FILTER_S), [0.0]
    for level in (0.01, 0.01, 0.02, 0.02, 0.01, 0.01, 0.01, 0.01):
        wanted.append(level + (wanted[-1] - level) * share)
    assert found == pytest.approx(wanted[1:], rel=1e-3)
    lab.bench.pause(1)
    assert lab.number(":SOUR:CURR?") == 0.01
    assert lab.line_a() == pytest.approx(0.01)


# -- arm events ------------------------------------------------------------------------------------

PAIR = ":SOUR:SWE:SPAC LIST;:SOUR:LIST:CURR 0.001,0.002;DEL 1,1;COMP 10,10"


def test_each_sweep_of_a_count_waits_for_its_own_arm_event(lab):
    lab.write(PAIR, ":SOUR:SWE:COUN 2;:ARM:SOUR BUS", ":SOUR:SWE:ARM;:INIT")
    for left in (1, 0):
        assert int(lab.ask(":STAT:OPER:COND?")) == AWAITS_ARM
        lab.write("*TRG")
        assert int(lab.ask(":STAT:OPER:COND?")) == SWEEPING
        start = lab.now_s
        lab.bench.pause(1)
        assert lab.now_s == pytest.approx(start + 2, abs=1e-6)
        assert lab.it.sweeps_left == left
    assert int(lab.ask(":STAT:OPER:COND?")) == IDLE
    assert int(lab.ask(":STAT:OPER?")) & DONE
    lab.write("*TRG")
    assert not lab.it.busy


def test_a_source_that_bypasses_its_arm_layer_does_so_once(lab):
    lab.write(PAIR, ":SOUR:SWE:COUN 2;:ARM:SOUR BUS;DIR SOUR", ":SOUR:SWE:ARM;:INIT")
    assert int(lab.ask(":STAT:OPER:COND?")) == SWEEPING
    lab.bench.pause(1)
    assert int(lab.ask(":STAT:OPER:COND?")) == AWAITS_ARM


def test_an_abort_ends_what_waits_between_two_sweeps(lab):
    lab.write(PAIR, ":SOUR:SWE:COUN INF;:ARM:SOUR BUS", ":SOUR:SWE:ARM;:INIT", "*TRG")
    lab.bench.pause(1)
    lab.write(":SOUR:SWE:ABOR", "*TRG")
    assert not lab.it.busy and int(lab.ask(":STAT:OPER:COND?")) == IDLE
