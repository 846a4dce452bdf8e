"""Calibrations from session to session: found again, checked, and never used where they fail."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

import db
from device import (
    CalibrationError,
    Reuse,
    bench_fingerprint,
    calibrate,
    find_calibration,
    fit,
    tabulate,
)
from device.calibration_store import DRIFT_LIMIT, Found, check_drift, drift_of
from instruments import Bench
from instruments.bench_file import load_bench_file, parse_bench_file
from instruments.session import live_session

SIM = {"seed": 3}
FILE, TEXT = load_bench_file(None)
FINGERPRINT = bench_fingerprint(FILE, SIM)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """A record with one calibration of J1, of the sample W1."""
    path = tmp_path_factory.mktemp("record") / "spinloop.sqlite"
    found, _ = one_session(path)
    return path, found


def one_session(path, *, sim=SIM, sample="W1", reuse=None, before=None):
    """Calibrate J1 in a session of its own; the calibration, and the points that it took."""
    with live_session(
        "calibrate", {}, bench_file=None, database=path, sim=sim, sample=sample
    ) as session:
        if before is not None:
            before(session.bench._keep.visalib.bench)
        found, data = calibrate(session.bench, "J1", reuse=reuse)
    return found, data


def where(path, **changes):
    return replace(Reuse(path, FINGERPRINT, sample="W1"), **changes)


def events(path):
    last = db.sessions(path)[-1].id
    return [one.text for one in db.session(path, last).events if one.kind == "calibration"]


def test_the_newest_calibration_is_found_as_it_was_made(recorded):
    path, made = recorded
    found = find_calibration(where(path), "J1", 0.02)
    assert isinstance(found, Found)
    assert (found.calibration, found.session) == (made, 1)
    assert 0 <= found.age_s < 600


@pytest.mark.parametrize(
    ("changes", "junction", "voltage_v"),
    [
        ({"sample": "W2"}, "J1", 0.02),
        ({"fingerprint": bench_fingerprint(FILE, {"seed": 4})}, "J1", 0.02),
        ({}, "J2", 0.02),
        ({}, "J1", 0.03),
    ],
    ids=["sample", "bench", "junction", "voltage"],
)
def test_another_sample_bench_junction_or_voltage_has_none(recorded, changes, junction, voltage_v):
    found = find_calibration(where(recorded[0], **changes), junction, voltage_v)
    assert isinstance(found, str)
    assert "no calibration in the record" in found


def test_an_old_calibration_is_named_and_not_used(recorded):
    now = datetime.now(UTC) + timedelta(hours=25)
    found = find_calibration(where(recorded[0]), "J1", 0.02, now=now)
    assert isinstance(found, str)
    assert "session 1, is 25.0 h old, and 24.0 h are allowed" in found


def test_a_refused_one_is_not_used(tmp_path, recorded):
    with db.Recorder.open(tmp_path / "r.sqlite") as recorder:
        settings = {"bench_file": TEXT, "sim": SIM}
        for verdict in ("good", "refused"):
            recorder.start_session("calibrate", settings, sample="W1")
            recorder.calibration("J1", replace(recorded[1], verdict=verdict).record())
            recorder.end_session("complete")
    found = find_calibration(where(tmp_path / "r.sqlite"), "J1", 0.02)
    assert found == "the last calibration, of session 2, is refused"


def test_sessions_without_a_bench_file_and_records_of_other_versions_do_no_harm(tmp_path):
    with db.Recorder.open(tmp_path / "r.sqlite") as recorder:
        for settings in ({}, {"bench_file": "nonsense: 1"}, {"bench_file": TEXT, "sim": SIM}):
            recorder.start_session("calibrate", settings, sample="W1")
            recorder.calibration("J1", {"i0_a": 1.5e-3})
            recorder.end_session("complete")
    found = find_calibration(where(tmp_path / "r.sqlite"), "J1", 0.02)
    assert isinstance(found, str)
    assert "another version" in found


def test_the_fingerprint_goes_by_what_a_calibration_depends_on():
    def changed(old, new):
        assert old in TEXT
        return bench_fingerprint(parse_bench_file(TEXT.replace(old, new, 1)), SIM)

    assert changed("name: demonstration bench", "name: other") == FINGERPRINT
    assert changed("35 mA", "34 mA") == FINGERPRINT  # a limit
    assert changed("points: 121", "points: 61") == FINGERPRINT
    assert changed("common_resistance: 6 ohm", "common_resistance: 7 ohm") != FINGERPRINT
    assert changed("nplc: 1", "nplc: 2") != FINGERPRINT
    assert changed("1!1, 1!11", "1!9, 1!11") != FINGERPRINT
    assert bench_fingerprint(FILE, SIM | {"realtime": 5}) == FINGERPRINT
    assert bench_fingerprint(FILE) == bench_fingerprint(FILE, {"seed": 0}) != FINGERPRINT


def test_a_calibration_that_still_holds_is_taken_up_again_by_a_few_readings(recorded):
    path, made = recorded
    found, data = one_session(path, reuse=where(path))
    assert found == made
    assert len(data.level_a) == 5
    (said,) = events(path)
    assert "that of session 1" in said
    assert "used again" in said
    # It keeps the age of its own sweep.
    again = find_calibration(where(path), "J1", 0.02)
    assert isinstance(again, Found)
    assert again.session == 1


def test_the_few_readings_of_one_that_is_taken_up_again_make_no_table(recorded):
    with Bench.open(sim=SIM) as bench:
        _, data = check_drift(bench, recorded[1])
    with pytest.raises(CalibrationError, match="J1: 5 readings are too few for a table; give a"):
        tabulate(data, recorded[1])


def test_a_junction_that_has_drifted_is_calibrated_anew(recorded, tmp_path):
    path, made = recorded

    def drift(sim):
        junction = sim.junctions[0]
        junction.own = junction.own.changed({"layer.k_t": 1.15 * junction.own.layer.k_t})
        junction.model = junction.own

    found, data = one_session(path, reuse=where(path), before=drift)
    assert len(data.level_a) == 242
    assert found.unit_width_a > 1.03 * made.unit_width_a
    (said,) = events(path)
    assert "does not hold" in said
    assert "made anew" in said


def test_without_an_earlier_one_it_is_made_and_the_reason_recorded(tmp_path):
    path = tmp_path / "r.sqlite"
    _, data = one_session(path, reuse=where(path))
    assert len(data.level_a) == 242
    assert "no calibration in the record" in events(path)[0]


def test_noise_is_not_taken_for_drift_and_a_change_of_the_resistance_is_drift():
    with Bench.open(sim=SIM) as bench:
        made, _ = calibrate(bench, "J1")
        checks = [check_drift(bench, made) for _ in range(20)]
        assert all(drift.holds for drift, _ in checks)
        assert max(max(drift.x, drift.z) for drift, _ in checks) < DRIFT_LIMIT
        for factor in (0.98, 1.02):
            moved = replace(checks[0][1], current_x_a=factor * checks[0][1].current_x_a)
            drift = drift_of(moved, made)
            assert not drift.holds, factor
            assert drift.x > DRIFT_LIMIT > drift.z


def test_what_the_fit_had_left_is_no_drift():
    with Bench.open(sim=SIM) as bench:
        _, data = calibrate(bench, "J1")
    x, z = data.current_x_a, data.current_z_a
    askew = replace(data, current_z_a=z + 0.1 * (x - x.mean()))  # a z layer that points off
    made = fit(askew, 6.0)
    assert np.abs(made.residual_z).max() > 2 * DRIFT_LIMIT
    drift = drift_of(askew, made)
    assert drift.holds
    assert max(drift.x, drift.z) < 0.2 * DRIFT_LIMIT


def test_a_noisy_junction_is_not_sent_to_be_calibrated_for_ever():
    with Bench.open(sim=SIM) as bench:
        made, _ = calibrate(bench, "J1")
        noisy = replace(made, sigma_x=0.05, sigma_z=0.05)
        _, data = check_drift(bench, made)
    rng = np.random.default_rng(0)
    volt = data.voltage_v
    drifts = []
    for _ in range(200):
        x, z = (
            0.05
            * volt
            * np.array([made.b_x_s, made.b_z_s])[:, None]
            * rng.standard_normal((2, len(data.level_a)))
        )
        moved = replace(data, current_x_a=data.current_x_a + x, current_z_a=data.current_z_a + z)
        drifts.append(drift_of(moved, noisy))
    assert sum(not one.holds for one in drifts) <= 2
