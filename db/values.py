"""JSON as text and arrays as bytes: how values are kept, checked and hashed."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from db.errors import DatabaseError
from db.records import JSON

_LARGEST_ARRAY_BYTES = 1_000_000_000  # SQLite's limit on one value


def json_text(value: Mapping[str, JSON], what: str) -> str:
    """`value` as JSON text with sorted keys; `what` names it in the error.

    Raises DatabaseError for NaN, infinity, a key that is not a string, or anything that JSON
    does not have, and names the place.
    """
    return json.dumps(_plain(value, what), sort_keys=True, allow_nan=False)


def json_value(text: str) -> Mapping[str, JSON]:
    """The mapping that `json_text` stored."""
    return cast(Mapping[str, JSON], json.loads(text))


def _plain(value: object, where: str) -> object:
    """`value` in the types that json knows, or a DatabaseError that names the place."""
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise DatabaseError(
                f"{where} is {value}, which JSON does not have: leave it out or give null."
            )
        return value
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise DatabaseError(f"{where} has the key {key!r}: give keys as strings.")
        return {key: _plain(item, f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, (bytes, bytearray, memoryview)):
        return [_plain(item, f"{where}[{place}]") for place, item in enumerate(value)]
    raise DatabaseError(
        f"{where} is a {type(value).__module__}.{type(value).__qualname__}: give a plain number, "
        "string, list or mapping."
    )


def clean_text(text: str) -> str:
    """`text` with what UTF-8 cannot hold (lone surrogates) written out as an escape."""
    if text.isascii():
        return text
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


@dataclass(frozen=True, slots=True)
class PackedArray:
    """An array as it is stored: C order, little-endian."""

    name: str
    dtype: str
    """NumPy's name with byte order, e.g. "<f4"."""
    shape: str
    """JSON list of the lengths."""
    data: bytes


def pack_arrays(arrays: Mapping[str, NDArray[Any]]) -> list[PackedArray]:
    """Copy arrays into the form in which they are stored, in the given order.

    Raises DatabaseError for an array that is not of numbers or booleans, or larger than 1 GB.
    """
    return [_pack(name, array) for name, array in arrays.items()]


def _pack(name: str, given: NDArray[Any]) -> PackedArray:
    array = np.asarray(given, order="C")
    if array.dtype.kind not in "biufc" or array.dtype.char in "gG":
        raise DatabaseError(
            f"The array {name!r} has dtype {array.dtype}: only booleans, integers, floats and "
            "complex numbers of fixed size are stored; convert it first."
        )
    if array.nbytes > _LARGEST_ARRAY_BYTES:
        raise DatabaseError(
            f"The array {name!r} has {array.nbytes} bytes, more than the 1 GB that one value may "
            "have: split it."
        )
    little = array.astype(array.dtype.newbyteorder("<"), copy=False)
    return PackedArray(name, little.dtype.str, json.dumps(list(array.shape)), little.tobytes())


def unpack_array(dtype: str, shape: str, data: bytes) -> NDArray[Any]:
    """The array that was stored, writable, in this machine's byte order."""
    stored = np.frombuffer(data, dtype=np.dtype(dtype)).reshape(json.loads(shape))
    return stored.astype(stored.dtype.newbyteorder("="))


def packed_sha256(packed: Iterable[PackedArray]) -> str:
    """SHA-256 over names, dtypes, shapes and bytes, in order, as hexadecimal digits."""
    digest = hashlib.sha256()
    for array in packed:
        head = json.dumps([array.name, array.dtype, array.shape, len(array.data)])
        digest.update(head.encode("ascii") + b"\n")
        digest.update(array.data)
    return digest.hexdigest()


def weights_sha256(arrays: Mapping[str, NDArray[Any]]) -> str:
    """The hash under which these arrays are stored, without storing them.

    It depends on names, dtypes, shapes, bytes and order, and on nothing else: not on byte order
    or memory layout. Raises DatabaseError as `Recorder.weights` does.
    """
    return packed_sha256(pack_arrays(arrays))
