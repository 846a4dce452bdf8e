"""Calibration: what it promises of m_x and m_z."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from device import CalibrationError, calibrate, fit, measure, slope, tabulate
from device.calibration_store import drift_of
from device.calibration_sweep import calibration_levels
from device.planar import fit_unit_width, solve
from instruments import Bench, SweepData
from instruments.errors import ComplianceError
from sim_backend.llg import equilibrium

COMMON_OHM = 6.0


def made_up(k: float, k2: float, hz: float, offset: float, noise: float, seed: int = 0):
    """A sweep of an ideal planar junction: R_P = 10 kohm, TMR 100 %; parameters in A."""
    level = calibration_levels(0.032, 121)
    u = solve(level - offset, k, k2, hz)
    rng = np.random.default_rng(seed)
    volt = 0.02
    g = [(3 + m) / 4 / 1e4 for m in (u, np.sqrt(1 - u * u))]
    node = volt * COMMON_OHM * (g[0] + g[1]) / (1 + COMMON_OHM * (g[0] + g[1]))
    x, z = (one * (volt - node) + noise * rng.standard_normal(len(level)) for one in g)
    good = np.ones(len(level), dtype=bool)
    return SweepData("J", level, x, z, good, volt, len(level), 0.0, 1.0), u


@settings(max_examples=25, deadline=None)
@given(
    k=st.floats(3e-3, 9e-3),
    k2=st.floats(0.0, 0.8),
    hz=st.floats(0.15, 0.6),
    offset=st.floats(-1e-3, 1e-3),
)
def test_a_planar_junction_gives_back_its_parameters(k, k2, hz, offset):
    data, u = made_up(k, k2 * k, hz * k, offset, 0.0)
    found = fit(data, COMMON_OHM)
    m_x, m_z = found.magnetisation(data)
    assert np.abs(m_x - u).max() < 1e-4
    assert np.abs(m_z - np.sqrt(1 - u * u)).max() < 1e-4
    assert found.k_a == pytest.approx(k, rel=1e-2, abs=2e-5)
    assert found.offset_a == pytest.approx(offset, abs=1e-6)
    assert found.verdict == "good"


def test_the_extremes_of_a_sweep_are_not_taken_as_plus_and_minus_one():
    data, u = made_up(6e-3, 3.8e-3, 2e-3, 0.0, 0.0)
    m_x, m_z = fit(data, COMMON_OHM).magnetisation(data)
    assert m_x.max() < 0.997
    assert m_x.max() == pytest.approx(u.max(), abs=1e-4)
    assert m_z.min() > 0.05  # no reachable antiparallel state


def test_the_shared_electrode_is_taken_off():
    data, u = made_up(6e-3, 3.8e-3, 2e-3, 0.0, 0.0)
    right, wrong = fit(data, COMMON_OHM), fit(data, 0.0)
    assert np.abs(right.magnetisation(data)[1] - np.sqrt(1 - u * u)).max() < 1e-5
    assert right.chi2 < wrong.chi2


def test_noise_is_estimated_from_the_two_directions():
    noise = 4e-9
    data, _ = made_up(6e-3, 3.8e-3, 2e-3, 0.0, noise, seed=3)
    found = fit(data, COMMON_OHM)
    expected = noise / 0.02 / abs(found.b_x_s)
    assert found.sigma_x == pytest.approx(expected, rel=0.25)


def test_a_response_that_is_not_planar_is_refused_with_the_reason():
    data, _ = made_up(6e-3, 3.8e-3, 2e-3, 0.0, 1e-9)
    bent = data.current_z_a * (1 + 0.5 * np.sin(2000 * data.level_a))
    other = SweepData(
        "J", data.level_a, data.current_x_a, bent, data.valid, 0.02, data.points, 0.0, 1.0
    )
    found = fit(other, COMMON_OHM)
    assert found.verdict == "refused"
    assert "not a planar response" in found.reason


def test_hysteresis_makes_a_calibration_doubtful():
    data, _ = made_up(6e-3, 3.8e-3, 2e-3, 0.0, 1e-9)
    half = len(data.level_a) // 2
    moved = data.current_x_a.copy()
    moved[half:] += 2e-9  # 0.4 % of the magnetisation: twice the noise, all on one side
    other = SweepData(
        "J", data.level_a, moved, data.current_z_a, data.valid, 0.02, data.points, 0.0, 1.0
    )
    found = fit(other, COMMON_OHM)
    assert (found.verdict, "drift" in found.reason) == ("doubtful", True)


def changed(m_x=None, m_z=None, noise=4e-9, seed=0):
    """A made-up sweep (k 6 mA) whose m_x, m_z are m_x(I, u), m_z(I, u) in the branch down."""
    data, _ = made_up(6e-3, 3.8e-3, 2e-3, 0.0, noise, seed)
    half = len(data.level_a) // 2
    level = data.level_a[half:]
    u = solve(level, 6e-3, 3.8e-3, 2e-3)
    x, z = data.current_x_a.copy(), data.current_z_a.copy()
    if m_x is not None:
        x[half:] += 0.02 / 4e4 * (m_x(level, u) - u)
    if m_z is not None:
        z[half:] += 0.02 / 4e4 * (m_z(level, u) - np.sqrt(1 - u * u))
    return replace(data, current_x_a=x, current_z_a=z)


def verdict_of(data):
    """Verdict and sentence, whether it is refused in a calibration or by an exception."""
    try:
        found = fit(data, COMMON_OHM)
    except CalibrationError as error:
        return "refused", str(error)
    return found.verdict, found.reason


def test_noise_alone_is_never_good():
    level = calibration_levels(0.032, 121)
    for seed in range(100):
        rng = np.random.default_rng(seed)
        x, z = (2e-6 + 3e-9 * rng.standard_normal(242) for _ in range(2))
        data = SweepData("J", level, x, z, np.ones(242, bool), 0.02, 242, 0.0, 1.0)
        verdict, reason = verdict_of(data)
        assert (verdict, "less than its noise" in reason) == ("refused", True), seed


@pytest.mark.parametrize(
    ("read_noise_a", "wanted", "word"),
    [
        ("1.0e-6", "refused", "less than its noise"),
        ("1.0e-7", "refused", "noise of one reading is"),
        ("3.0e-8", "doubtful", "noise of one reading is"),
    ],
)
def test_a_noisy_bench_is_not_good(tmp_path, read_noise_a, wanted, word):
    for name in ("bench.yaml", "sim.yaml"):
        text = (Path(__file__).parents[1] / "examples/iris" / name).read_text(encoding="utf-8")
        text = text.replace("read_noise_a: 3.0e-9", f"read_noise_a: {read_noise_a}")
        (tmp_path / name).write_text(text, encoding="utf-8")
    with Bench.open(tmp_path / "bench.yaml", sim={"seed": 0}) as bench:
        verdict, reason = verdict_of(measure(bench, "J1"))
    assert (verdict, word in reason) == (wanted, True), reason


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("current", [0.0, 1e-6])
def test_currents_that_never_change_are_refused_without_a_warning(current):
    data, _ = made_up(6e-3, 3.8e-3, 2e-3, 0.0, 0.0)
    same = np.full(len(data.level_a), current)
    verdict, reason = verdict_of(replace(data, current_x_a=same, current_z_a=same))
    assert (verdict, "less than its noise" in reason) == ("refused", True), reason


def flipped(level, u):
    return np.where(np.abs(level - 3e-3) < 3e-3, -1, 1) * np.sqrt(1 - u * u)


@pytest.mark.parametrize(
    "data",
    [
        changed(m_z=flipped),
        changed(m_x=lambda level, u: u + 0.3 * (np.abs(level) < 4e-3)),
        changed(
            m_x=lambda level, u: solve(level - 4e-3, 6e-3, 3.8e-3, 2e-3),
            m_z=lambda level, u: np.sqrt(1 - solve(level - 4e-3, 6e-3, 3.8e-3, 2e-3) ** 2),
        ),
        changed(m_x=lambda level, u: -u),
    ],
    ids=["sign of m_z", "jump of m_x", "shift loop", "sign of m_x"],
)
def test_directions_that_differ_are_refused_as_hysteresis_or_drift(data):
    verdict, reason = verdict_of(data)
    assert (verdict, "hysteresis or drift" in reason) == ("refused", True), reason


def test_a_small_loop_is_doubtful():
    data = changed(m_x=lambda level, u: u + 0.075 * (np.abs(level) < 4e-3))
    verdict, reason = verdict_of(data)
    assert (verdict, "hysteresis or drift" in reason) == ("doubtful", True), reason


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300, 0.02 / COMMON_OHM])
@pytest.mark.parametrize("points", [slice(7, 8), slice(None)])
def test_numbers_that_are_not_finite_are_refused_without_a_warning(value, points):
    data, _ = made_up(6e-3, 3.8e-3, 2e-3, 0.0, 4e-9)
    x = data.current_x_a.copy()
    x[points] = value
    assert verdict_of(replace(data, current_x_a=x))[0] == "refused"


def test_a_sweep_that_changes_nothing_is_refused_in_one_sentence():
    level = calibration_levels(0.03, 41)
    rng = np.random.default_rng(0)
    x, z = (2e-6 + 3e-9 * rng.standard_normal(82) for _ in range(2))
    data = SweepData("J5", level, x, z, np.ones(82, bool), 0.02, 82, 0.0, 1.0)
    with pytest.raises(CalibrationError, match="J5: the field changes a conductance by less"):
        fit(data, 0.0)


@pytest.mark.parametrize("seed", [0, 1, 2, 3])
def test_on_the_bench_m_x_and_m_z_are_near_the_noise_free_truth(seed):
    """The truth has temperature, tilt and soft reference layers; the law has none of them."""
    with Bench.open(sim={"seed": seed}) as bench:
        truth = bench._keep.visalib.bench.junctions
        for junction in (truth[0], truth[5]):
            found, _ = calibrate(bench, junction.name)
            assert found.verdict in ("good", "doubtful")
            current = np.linspace(found.low_a, found.high_a, 201)
            theta = equilibrium.angle(junction.model.layer, current)
            m_x, m_z = equilibrium.average(junction.model.layer, current, theta)
            u = solve(current - found.offset_a, found.k_a, found.k2_a, found.hz_a)
            assert np.sqrt(np.mean((u - m_x) ** 2)) < 0.025
            assert np.sqrt(np.mean((np.sqrt(1 - u * u) - m_z) ** 2)) < 0.06


@pytest.mark.parametrize("seed", range(20))
def test_no_healthy_junction_is_called_noisy_or_hysteretic(seed):
    with Bench.open(sim={"seed": seed}) as bench:
        for junction in bench.file.junctions:
            found, _ = calibrate(bench, junction)
            assert found.verdict == "good" or found.reason.startswith("the planar law describes")


def test_the_slope_of_a_sweep_is_the_derivative_of_the_response():
    with Bench.open() as bench:
        junction = bench._keep.visalib.bench.junctions[1]
        found, _ = calibrate(bench, junction.name)
        derivative = slope(measure(bench, junction.name, purpose="check"), found)
    current = np.linspace(found.low_a, found.high_a, 801)
    m_x, _ = equilibrium.average(
        junction.model.layer, current, equilibrium.angle(junction.model.layer, current)
    )
    true = np.gradient(m_x, current)
    assert np.sqrt(np.mean((derivative(current) - true) ** 2)) < 0.03 * true.max()


def test_the_unit_width_is_that_of_the_tanh_itself():
    current = np.linspace(-0.03, 0.03, 301)
    width, center = fit_unit_width(current, np.tanh((current - 5e-4) / 8e-3))
    assert (width, center) == (pytest.approx(8e-3, rel=1e-6), pytest.approx(5e-4, rel=1e-5))


def test_an_open_junction_is_not_calibrated():
    with Bench.open() as bench:
        bench._keep.visalib.bench.junctions[3].open_contacts.add("low")
        with pytest.raises(CalibrationError, match=r"J4: .*is the junction connected"):
            calibrate(bench, "J4")


def test_readings_in_doubt_make_no_calibration_where_the_bench_does_not_trip(tmp_path):
    for name in ("bench.yaml", "sim.yaml"):
        text = (Path(__file__).parents[1] / "examples/iris" / name).read_text(encoding="utf-8")
        text = text.replace("lowest_resistance:", "trip_share: 1\n  lowest_resistance:")
        (tmp_path / name).write_text(text, encoding="utf-8")
    with Bench.open(tmp_path / "bench.yaml") as bench:
        bench._keep.visalib.bench.junctions[2].spike()
        with pytest.raises(CalibrationError, match=r"J3: .* readings are in compliance"):
            calibrate(bench, "J3")


@pytest.mark.parametrize(
    "use",
    [
        lambda data, c: fit(data, COMMON_OHM),
        lambda data, c: tabulate(data, c),
        lambda data, c: slope(data, c),
        lambda data, c: drift_of(data, c),
    ],
    ids=["calibration", "table", "slope", "drift"],
)
def test_nothing_is_made_of_a_sweep_with_a_reading_in_doubt(use):
    data, _ = made_up(6e-3, 3.8e-3, 2e-3, 0.0, 1e-9)
    calibration = fit(data, COMMON_OHM)
    use(data, calibration)
    valid = np.arange(len(data.valid)) != 60
    with pytest.raises(CalibrationError, match="1 of 242 readings"):
        use(replace(data, valid=valid), calibration)


def test_a_shorted_junction_trips_the_bench():
    with Bench.open() as bench:
        bench._keep.visalib.bench.junctions[2].spike()
        with pytest.raises(ComplianceError, match=r"J3: .*look for a short"):
            calibrate(bench, "J3")


def test_a_calibration_holds_for_its_read_voltage_only():
    data, _ = made_up(6e-3, 3.8e-3, 2e-3, 0.0, 1e-9)
    found = fit(data, COMMON_OHM)
    other = SweepData(
        "J", data.level_a, data.current_x_a, data.current_z_a, data.valid, 0.03, 1, 0.0, 1.0
    )
    with pytest.raises(CalibrationError, match="calibrate again"):
        found.magnetisation(other)
