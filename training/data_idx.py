"""IDX, the format of MNIST and Fashion-MNIST, plain or compressed with gzip.

Two zero bytes, one for the type of the values, one for the number of dimensions; then each
dimension as a big-endian 32-bit number; then the values in C order (Y. LeCun's page of MNIST,
"The IDX file format").
"""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.data_errors import DataError

_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_MOST_BYTES = 1 << 31  # of one file; Fashion-MNIST's largest has 47 MB


def read_idx(path: Path) -> NDArray[Any]:
    """The array of a file, in this machine's byte order.

    Raises:
        DataError: missing, cut short, too long, or no IDX.
    """
    raw = read_bytes(path)
    if len(raw) < 4 or raw[:2] != b"\0\0" or raw[2] not in _TYPES or not raw[3]:
        raise DataError(f"{path}: not an IDX file (it begins with {raw[:4].hex(' ')})")
    dtype, rank = np.dtype(_TYPES[raw[2]]), raw[3]
    start = 4 + 4 * rank
    if len(raw) < start:
        raise DataError(f"{path}: cut short inside its {rank} dimensions")
    shape = [int.from_bytes(raw[at : at + 4], "big") for at in range(4, start, 4)]
    wanted = math.prod(shape) * dtype.itemsize
    if len(raw) - start != wanted:
        raise DataError(
            f"{path}: {' x '.join(map(str, shape))} values need {wanted:,} bytes, and "
            f"{len(raw) - start:,} follow its head; get the file again"
        )
    values = np.frombuffer(raw, dtype, offset=start).reshape(shape)
    return values.astype(dtype.newbyteorder("="))


def read_bytes(path: Path) -> bytes:
    """A file's bytes, decompressed if it is gzip (by its first two bytes, RFC 1952).

    Raises:
        DataError: it cannot be read, is damaged, or is larger than any set.
    """
    try:
        with path.open("rb") as file:
            zipped = file.read(2) == b"\x1f\x8b"
        with gzip.open(path) if zipped else path.open("rb") as file:
            raw = file.read(_MOST_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read ({error}); get the file again") from None
    if len(raw) > _MOST_BYTES:
        raise DataError(f"{path}: more than {_MOST_BYTES:,} bytes; that is no set of images")
    return raw
