"""CIFAR-10 and CIFAR-100, binary and pickled.

Binary: records of the label (CIFAR-100: coarse, then fine label) and 3 x 32 x 32 bytes, red, green
and blue planes in rows.  Pickled: a dict whose ``data`` has these 3,072 bytes in each row, and
``labels`` (CIFAR-100: ``fine_labels``).  (A. Krizhevsky, page of the CIFAR
sets, "Dataset layout".)
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.data_errors import DataError
from training.data_idx import read_bytes
from training.data_pickle import read_pickle

Bytes = NDArray[np.uint8]
Labels = NDArray[np.int64]
_PIXELS = 3 * 32 * 32
#: files for training and test, pickled and binary, by number of classes
FILES: dict[int, dict[str, tuple[list[str], list[str]]]] = {
    10: {
        "pickled": ([f"data_batch_{i}" for i in range(1, 6)], ["test_batch"]),
        "binary": ([f"data_batch_{i}.bin" for i in range(1, 6)], ["test_batch.bin"]),
    },
    100: {"pickled": (["train"], ["test"]), "binary": (["train.bin"], ["test.bin"])},
}


def read_cifar(path: Path, classes: int) -> tuple[Bytes, Labels]:
    """Images [N, 3, 32, 32] and (fine) labels [N] of one file, binary if its name ends in .bin.

    Raises:
        DataError: missing, damaged, or not of this set.
    """
    raw = read_bytes(path)
    x, y = _binary(path, raw, classes) if ".bin" in path.suffixes else _pickled(path, raw, classes)
    if y.min(initial=0) < 0 or y.max(initial=0) >= classes:
        raise DataError(f"{path}: a label lies outside 0 to {classes - 1}; get the file again")
    return x.reshape(-1, 3, 32, 32), y


def _binary(path: Path, raw: bytes, classes: int) -> tuple[Bytes, Labels]:
    head = 1 if classes == 10 else 2
    if not raw or len(raw) % (head + _PIXELS):
        raise DataError(
            f"{path}: {len(raw):,} bytes are not a whole number of records of {head + _PIXELS:,}; "
            "get the file again"
        )
    records = np.frombuffer(raw, np.uint8).reshape(-1, head + _PIXELS)
    return records[:, head:].copy(), records[:, head - 1].astype(np.int64)


def _pickled(path: Path, raw: bytes, classes: int) -> tuple[Bytes, Labels]:
    found = read_pickle(raw, str(path))
    if not isinstance(found, dict):
        raise DataError(f"{path}: not a batch of CIFAR-{classes}")
    batch: dict[str, Any] = {
        key.decode("latin-1") if isinstance(key, bytes) else str(key): value
        for key, value in found.items()
    }
    data, labels = batch.get("data"), batch.get("labels" if classes == 10 else "fine_labels")
    if not isinstance(data, np.ndarray) or data.dtype != np.uint8 or data.ndim != 2:
        raise DataError(f"{path}: not a batch of CIFAR-{classes}: it has no array 'data' of bytes")
    if data.shape[1] != _PIXELS or not isinstance(labels, list) or len(labels) != len(data):
        raise DataError(f"{path}: not a batch of CIFAR-{classes}: images and labels do not match")
    if not all(type(one) is int for one in labels):
        raise DataError(f"{path}: a label is not a whole number; get the file again")
    return data, np.array(labels, dtype=np.int64)
