"""Weights in a file that any program can read: safetensors.

Eight bytes with the length of a header, little-endian; the header, JSON, which gives each array's
type, shape and place; then the arrays, in C order, little-endian (the format's description in the
safetensors repository, README, "Format").
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_TYPES = {
    "f8": "F64", "f4": "F32", "f2": "F16", "i8": "I64", "i4": "I32", "i2": "I16", "i1": "I8",
    "u8": "U64", "u4": "U32", "u2": "U16", "u1": "U8", "b1": "BOOL",
}  # fmt: skip


def write_safetensors(
    path: Path, arrays: Mapping[str, NDArray[Any]], notes: Mapping[str, str]
) -> None:
    """Write arrays, and notes of text as the file's metadata.

    Raises:
        OSError: the file cannot be written.
        ValueError: an array of a type that the format does not have.
    """
    header: dict[str, Any] = {"__metadata__": dict(notes)}
    data: list[bytes] = []
    end = 0
    # The largest elements first: readers that map the file then find each array aligned.
    for name, array in sorted(arrays.items(), key=lambda one: (-one[1].dtype.itemsize, one[0])):
        kind = array.dtype.str[1:]
        if kind not in _TYPES:
            raise ValueError(f"{name}: safetensors has no type for {array.dtype}")
        data.append(array.astype(array.dtype.newbyteorder("<"), order="C").tobytes())
        begin, end = end, end + len(data[-1])
        header[name] = {
            "dtype": _TYPES[kind], "shape": list(array.shape), "data_offsets": [begin, end],
        }  # fmt: skip
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(len(text).to_bytes(8, "little") + text + b"".join(data))


def read_safetensors(path: Path) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
    """Arrays and notes of a file.

    Raises:
        ValueError: not such a file, or damaged.
        OSError: it cannot be read.
    """
    raw = path.read_bytes()
    start = 8 + int.from_bytes(raw[:8], "little")
    try:
        if len(raw) < 8 or start > len(raw):
            raise ValueError("its header is cut short")
        header = json.loads(raw[8:start])
        notes = header.pop("__metadata__", {})
        kinds = {name: kind for kind, name in _TYPES.items()}
        arrays = {}
        for name, one in header.items():
            begin, end = one["data_offsets"]
            if not 0 <= begin <= end <= len(raw) - start:
                raise ValueError(f"{name} lies outside the file")
            part = np.frombuffer(raw[start + begin : start + end], f"<{kinds[one['dtype']]}")
            arrays[name] = part.reshape(one["shape"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path}: no safetensors file, or damaged ({error})") from None
    return arrays, notes
