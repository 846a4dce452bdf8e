"""A list sweep and its points one by one: the same readings, each in the time that it should take.

Through the VISA library, in plain SCPI.
"""

import itertools
import math

import numpy as np
import pytest
import pyvisa

SETTLE_S, NPLC, LINE_HZ, READ_V = 2e-3, 1.0, 50.0, 0.02
LATENCY_S = 225e-6  # of a 2400's trigger: specifications, manual p. A-7
READING_S = NPLC / LINE_HZ + LATENCY_S
SOURCE_SETTLES_S = 1e-3  # costs.settle_s
NOISE_A = 3e-9  # read_noise_a, at 1 NPLC
ADDRESSES = {
    "field": "GPIB0::12::INSTR", "x": "GPIB0::24::INSTR", "z": "GPIB0::25::INSTR",
    "switch": "GPIB0::7::INSTR",
}  # fmt: skip


class Hands:
    """The demonstration bench with junction J1 joined, reached as hardware is."""

    _numbers = itertools.count()  # a bench of its own for each

    def __init__(self):
        instance = f"list against points {next(self._numbers)}"
        self.manager = pyvisa.ResourceManager(f"?instance={instance}@spinloop")
        self.bench = self.manager.visalib.bench
        self.to = {name: self.manager.open_resource(at) for name, at in ADDRESSES.items()}
        self.write("switch", ":OPEN ALL;:CLOS (@1!1,1!11,1!21)")
        for meter in ("x", "z"):
            self.write(
                meter,
                "*RST;:FORM:ELEM CURR,STAT;:SYST:AZER:STAT OFF;:SOUR:DEL 0",
                f":SENS:CURR:NPLC {NPLC};:SOUR:VOLT:RANG 0.2;:SOUR:VOLT {READ_V};:OUTP ON",
            )
        self.write("field", ":SOUR:CURR:RANG 0.1;:SOUR:CURR:COMP 10;:OUTP ON")

    def write(self, name, *messages):
        for message in messages:
            self.to[name].write(message)

    def read(self, name, question):
        """Currents, A; no reading is marked as in compliance."""
        table = np.array(self.to[name].query_ascii_values(question)).reshape(-1, 2)
        assert not (table[:, 1].astype(int) & 0b1000).any()
        return table[:, 0]

    @property
    def now_s(self):
        return self.manager.visalib.bench_time_s()

    def spent_s(self, what):
        return self.bench.spent_s[what]

    def no_errors(self):
        errors = {name: at.query(":SYST:ERR?").strip() for name, at in self.to.items()}
        assert all(int(error.partition(",")[0]) == 0 for error in errors.values()), errors

    def sweep(self, levels_a):
        """A ring: source, x, z, and back; the currents of both, and the sweep's time."""
        count = len(levels_a)
        for meter, line_in, line_out in (("x", 1, 2), ("z", 2, 3)):
            self.write(
                meter,
                f":TRIG:SOUR TLIN;:TRIG:INP SENS;:TRIG:ILIN {line_in};:TRIG:OLIN {line_out}",
                f":TRIG:OUTP SENS;:TRIG:DEL 0;:TRIG:COUN {count}",
                f":TRAC:CLE;:TRAC:POIN {count};:TRAC:FEED:CONT NEXT;:INIT",
            )
        self.write("field", ":SOUR:SWE:SPAC LIST;:SOUR:SWE:RANG FIX;:DISP:ENAB OFF")
        for name, values in (
            ("CURR", levels_a), ("DEL", [SETTLE_S] * count), ("COMP", [10] * count),
        ):  # fmt: skip
            for at in range(0, count, 100):
                text = ",".join(f"{value:.7g}" for value in values[at : at + 100])
                self.write("field", f":SOUR:LIST:{name}{':APP' if at else ''} {text}")
        self.write(
            "field",
            ":TRIG:OLIN 1;:TRIG:ILIN 3;:TRIG:DIR SOUR;:TRIG:SOUR TLIN;:TRIG:OUTP DEL",
            ":SOUR:SWE:ARM;:INIT",
        )
        start_s = self.now_s
        self.manager.visalib.bench_pause(1e-3)
        took_s = self.now_s - start_s
        return self.read("x", ":TRAC:DATA?"), self.read("z", ":TRAC:DATA?"), took_s

    def point(self, level_a):
        """A reading of x, then one of z, at a level."""
        self.write("field", f":SOUR:CURR {level_a:.7g}")
        self.manager.visalib.bench_pause(SETTLE_S)
        return self.read("x", ":READ?")[0], self.read("z", ":READ?")[0]


LEVELS_A = 0.03 * np.sin(np.linspace(0, 4 * math.pi, 1000))


@pytest.fixture(scope="module")
def both():
    """The two ways, each on a bench of its own."""
    listed, pointed = Hands(), Hands()
    x, z, took_s = listed.sweep(LEVELS_A)
    for _ in range(7):  # the noise goes by the number of the reading: another one for each level
        pointed.point(0.0)
    before = dict(pointed.bench.spent_s)
    start_s = pointed.now_s
    points = np.array([pointed.point(level) for level in LEVELS_A])
    points_took_s = pointed.now_s - start_s
    spent = {what: s - before.get(what, 0) for what, s in pointed.bench.spent_s.items()}
    listed.no_errors()
    pointed.no_errors()
    return (x, z, took_s), (*points.T, points_took_s), spent, listed


def test_a_list_of_1000_points_and_its_points_one_by_one_agree_within_noise(both):
    listed, pointed, *_ = both
    for a, b in zip(listed[:2], pointed[:2], strict=True):
        assert len(a) == len(b) == len(LEVELS_A)
        difference = a - b
        # The mean of 1000 differences, and their spread, of a noise of sqrt(2) times one reading's.
        sigma = math.sqrt(2) * NOISE_A
        assert abs(difference.mean()) < 4 * sigma / math.sqrt(len(a))
        assert 0.9 * sigma < difference.std() < 1.1 * sigma
        assert np.abs(difference).max() < 5 * sigma
        # And that says something: the signal is far above the noise.
        assert np.ptp(a) > 50 * sigma


def test_the_same_readings_are_the_same_numbers_however_they_are_taken():
    levels_a = LEVELS_A[::20]
    x, z, _ = Hands().sweep(levels_a)
    pointed = Hands()
    points = np.array([pointed.point(level) for level in levels_a])
    assert np.array_equal(np.array([x, z]).T, points)


def test_the_bench_time_of_a_list_is_what_its_settings_say(both):
    took_s = both[0][2]
    each_s = SETTLE_S + 2 * READING_S  # a ring: delay, then one meter after the other
    assert took_s == pytest.approx(len(LEVELS_A) * each_s, abs=2 * READING_S)


def test_the_bench_time_of_points_one_by_one_is_what_their_settings_and_messages_say(both):
    took_s, spent = both[1][2], both[2]
    count = len(LEVELS_A)
    assert spent["integrate"] == pytest.approx(2 * count * READING_S, rel=1e-6)
    assert spent["settle"] == pytest.approx(count * SETTLE_S, rel=1e-6)
    assert took_s == pytest.approx(sum(spent.values()), rel=1e-9)
    # Three messages and two replies a point: the bus alone costs more than the settling.
    assert spent["bus"] > spent["settle"]


def test_a_list_is_measured_in_less_bench_time_than_its_points(both):
    listed_s = sum(both[3].bench.spent_s.values())  # with its upload and the fetch of both buffers
    assert listed_s < both[1][2]


@pytest.mark.parametrize("settle_s", [2e-3, 0.05])
def test_a_new_level_reaches_both_meters_through_the_magnet_after_the_delay_it_was_set(settle_s):
    hands = Hands()
    quiet = [hands.point(0.0) for _ in range(8)]
    moved = []
    for _ in range(8):
        start_s = hands.now_s
        hands.write("field", ":SOUR:CURR 0.005")
        sent_s = hands.now_s - start_s
        hands.manager.visalib.bench_pause(settle_s)
        x = hands.read("x", ":READ?")[0]
        assert hands.now_s - start_s >= sent_s + settle_s + READING_S
        z = hands.read("z", ":READ?")[0]
        assert hands.now_s - start_s >= sent_s + settle_s + 2 * READING_S
        moved.append((x, z))
    for before, after in zip(np.array(quiet).T, np.array(moved).T, strict=True):
        assert abs(after.mean() - before.mean()) > 10 * NOISE_A


def test_in_a_ring_a_meters_reading_is_of_the_level_that_was_on_while_it_integrated():
    levels_a = np.repeat([-0.02, 0.02], 10)
    hands = Hands()
    x, z, _ = hands.sweep(levels_a)
    alone = Hands()
    ends = np.array([alone.point(level) for level in (-0.02, 0.02)])
    for got, (low, high) in zip((x, z), ends.T, strict=True):
        assert np.abs(got[:10] - low).max() < 7 * NOISE_A
        assert np.abs(got[10:] - high).max() < 7 * NOISE_A
    assert abs(ends[1, 0] - ends[0, 0]) > 50 * NOISE_A
