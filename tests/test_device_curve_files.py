"""Response curves in files: our own, and readings of other people."""

from __future__ import annotations

import numpy as np
import pytest

from device.curve import CurveError, make_curve
from device.curve_files import load_curve, read_csv, save_curve, write_csv

X = np.linspace(-1, 1, 21)


def test_a_saved_curve_comes_back_bit_for_bit(tmp_path):
    y = np.sin(X) + 0.01 * np.random.default_rng(0).normal(size=21)
    curve = make_curve(X, y, x_unit="A", y_unit="S", source="a test")
    save_curve(tmp_path / "curve.data", curve)
    found = load_curve(tmp_path / "curve.data")
    for name in ("x", "y", "sigma_y", "sigma_slope", "raw_x", "raw_y"):
        assert np.array_equal(getattr(found, name), getattr(curve, name))
    assert found.noise == curve.noise and found.freedom == curve.freedom
    assert (found.x_unit, found.y_unit, found.source) == ("A", "S", "a test")
    assert np.array_equal(found.slope(X), curve.slope(X))


def test_a_file_with_a_pickle_in_it_is_refused(tmp_path):
    path = tmp_path / "evil.npz"
    np.savez(path, format=np.array(1), x=np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(CurveError, match=r"evil\.npz: this is no curve"):
        load_curve(path)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 broken", b"x,y\n1,2\n"])
def test_other_files_are_refused_in_one_sentence(tmp_path, content):
    path = tmp_path / "other.npz"
    path.write_bytes(content)
    with pytest.raises(CurveError, match="no curve that SpinLoop has saved"):
        load_curve(path)


def test_a_later_format_is_refused(tmp_path):
    np.savez(tmp_path / "later.npz", format=np.array(2))
    with pytest.raises(CurveError, match="format 2"):
        load_curve(tmp_path / "later.npz")


def test_csv_out_and_in_is_the_same_curve(tmp_path):
    y = np.tanh(X) + 0.01 * np.random.default_rng(0).normal(size=21)
    curve = make_curve(X, y, x_unit="A", y_unit="ohm")
    write_csv(tmp_path / "curve.csv", curve)
    found = read_csv(tmp_path / "curve.csv")
    assert np.array_equal(found.raw_x, X) and np.array_equal(found.raw_y, y)
    assert (found.x_unit, found.y_unit) == ("A", "ohm")


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_units_in_the_header_count(tmp_path, separator):
    path = tmp_path / "lab.csv"
    rows = [f"{x * 10:.6f}{separator}7{separator}{np.tanh(x) * 2 + 10:.8f}" for x in X]
    head = separator.join(("current (mA)", "t", "R_x [kohm]"))
    path.write_text("\ufeff# another lab\n\n" + head + "\n" + "\n".join(rows), encoding="utf-8")
    curve = read_csv(path, y="R_x", noise_y=0.0)
    assert (curve.x_unit, curve.y_unit) == ("A", "ohm")
    assert curve.raw_x == pytest.approx(X * 10e-3)
    assert curve.raw_y == pytest.approx((np.tanh(X) * 2 + 10) * 1e3)
    assert "lab.csv, R_x" in curve.source


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "a header and readings"),
        ("x,y\n", "a header and readings"),
        ("x (parsec),y\n1,2\n", "'x' has the unit 'parsec'"),
        ("x,y\n1,2\n2,three\n", r"bad\.csv, line 3, column 'y': 'three' is no number"),
        ("x,y\n1\n", "line 2, column 'y': it is short"),
        ("x\n1\n", "two are needed"),
        (",y\n1,2\n", "is no header"),
        ("x,y\n1,2\n", "1 different x"),
    ],
)
def test_a_wrong_csv_gets_one_sentence_with_file_and_place(tmp_path, text, said):
    path = tmp_path / "bad.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(CurveError, match=said):
        read_csv(path)


def test_a_column_that_is_not_there_is_named(tmp_path):
    path = tmp_path / "bad.csv"
    path.write_text("x,y\n1,2\n", encoding="utf-8")
    with pytest.raises(CurveError, match="no column 'R'; there are x, y"):
        read_csv(path, y="R")
