"""Pickled CIFAR batches, read without executing anything.

A pickle is a program for a small stack machine (Python's ``pickletools`` describes each opcode).
Only the opcodes that build plain values are known here: numbers, texts, lists, tuples, dicts.  The
one thing that calls anything in a CIFAR batch is NumPy's way to build an array; its three names
are taken as marks, and the array is made from the shape, type and bytes that follow.  Any other
name or opcode is refused.
"""

from __future__ import annotations

import math
import pickletools
from dataclasses import dataclass
from typing import Any

import numpy as np

from training.data_errors import DataError

_DTYPE, _MAKE, _ARRAY = "dtype", "make", "ndarray"
#: names that NumPy 1 and 2 write for an array
_NAMES = {
    "numpy dtype": _DTYPE,
    "numpy ndarray": _ARRAY,
    "numpy.core.multiarray _reconstruct": _MAKE,
    "numpy._core.multiarray _reconstruct": _MAKE,
}
_TYPES = {"u1", "i1", "i2", "i4", "i8", "u2", "u4", "u8", "f4", "f8"}
_VALUES = {
    "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT",
    "STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE",
    "BINUNICODE8", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8",
}  # fmt: skip
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_NOTHING = {"PROTO", "FRAME"}
_MARK = object()


@dataclass
class _Type:
    name: str
    order: str = "|"


@dataclass
class _Building:
    """An array whose state has not come yet."""

    value: Any = None


def read_pickle(raw: bytes, where: str) -> Any:
    """The value of a pickle of plain values and NumPy arrays; texts of protocol 2 are bytes.

    Args:
        raw: the pickle.
        where: the file, for the sentence.

    Raises:
        DataError: damaged, or it holds anything else.
    """
    try:
        return _finished(_Machine().run(raw))
    except DataError as error:
        raise DataError(f"{where}: {error}") from None
    except (ValueError, IndexError, KeyError, TypeError, OverflowError, AttributeError) as error:
        raise DataError(f"{where}: damaged ({error}); get the file again") from None


class _Machine:
    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def run(self, raw: bytes) -> Any:
        ended = False
        for opcode, argument, _ in pickletools.genops(raw):
            if opcode.name == "STOP":
                ended = True
                break
            self.do(opcode.name, argument)
        if not ended or len(self.stack) != 1:
            raise ValueError("it ends in the middle")
        return self.stack[0]

    def do(self, name: str, argument: Any) -> None:
        stack = self.stack
        if name in _VALUES:
            stack.append(argument.encode("latin-1") if "STRING" in name else argument)
        elif name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name == "MARK":
            stack.append(_MARK)
        elif name in {"EMPTY_LIST", "EMPTY_DICT", "EMPTY_TUPLE"}:
            stack.append([] if name == "EMPTY_LIST" else {} if name == "EMPTY_DICT" else ())
        elif name in {"LIST", "TUPLE", "DICT"}:
            items = self.marked()
            stack.append(
                items if name == "LIST" else tuple(items) if name == "TUPLE" else _pairs(items)
            )
        elif name in {"TUPLE1", "TUPLE2", "TUPLE3"}:
            count = int(name[-1])
            items = [self.pop() for _ in range(count)][::-1]
            stack.append(tuple(items))
        elif name in {"APPEND", "APPENDS"}:
            items = self.marked() if name == "APPENDS" else [self.pop()]
            self.of_type(list).extend(items)
        elif name in {"SETITEM", "SETITEMS"}:
            items = self.marked() if name == "SETITEMS" else [self.pop(), self.pop()][::-1]
            self.of_type(dict).update(_pairs(items))
        elif name in {"PUT", "BINPUT", "LONG_BINPUT"}:
            self.memo[argument] = stack[-1]
        elif name == "MEMOIZE":
            self.memo[len(self.memo)] = stack[-1]
        elif name in {"GET", "BINGET", "LONG_BINGET"}:
            stack.append(self.memo[argument])
        elif name == "GLOBAL":
            stack.append(_known(argument))
        elif name == "STACK_GLOBAL":
            last, module = self.pop(), self.pop()
            stack.append(_known(f"{module} {last}"))
        elif name == "REDUCE":
            arguments, what = self.pop(), self.pop()
            stack.append(_reduce(what, arguments))
        elif name == "BUILD":
            state = self.pop()
            _build(stack[-1], state)
        elif name not in _NOTHING:
            raise DataError(f"the pickle has the opcode {name}, which a batch of images never has")

    def pop(self) -> Any:
        """The topmost value."""
        value = self.stack.pop()
        if value is _MARK:
            raise ValueError("a value is missing")
        return value

    def marked(self) -> list[Any]:
        """What lies above the last mark."""
        items = []
        while (value := self.stack.pop()) is not _MARK:
            items.append(value)
        return items[::-1]

    def of_type(self, kind: type) -> Any:
        """The topmost value, left there."""
        if type(self.stack[-1]) is not kind:
            raise ValueError(f"a {kind.__name__} is missing")
        return self.stack[-1]


class _Name(str):
    """A known name; never called."""


def _known(name: str) -> _Name:
    if name not in _NAMES:
        raise DataError(f"the pickle asks for {name!r}, which is not executed here")
    return _Name(_NAMES[name])


def _pairs(items: list[Any]) -> dict[Any, Any]:
    if len(items) % 2:
        raise ValueError("a value is missing")
    return dict(zip(items[::2], items[1::2], strict=True))


def _reduce(what: Any, arguments: Any) -> Any:
    """What a mark stands for: nothing is called."""
    if isinstance(what, _Name) and what == _DTYPE:
        name = arguments[0].decode("latin-1") if isinstance(arguments[0], bytes) else arguments[0]
        if name not in _TYPES:
            raise DataError(f"the pickle has values of the type {name!r}, not plain numbers")
        return _Type(name)
    if isinstance(what, _Name) and what == _MAKE:
        return _Building()
    raise DataError("the pickle calls something that is not executed here")


def _build(what: Any, state: Any) -> None:
    """The state of a type (its byte order) or of an array (shape, type, bytes)."""
    if isinstance(what, _Type):
        order = state[1].decode("latin-1") if isinstance(state[1], bytes) else state[1]
        if order not in ("<", ">", "|", "="):
            raise ValueError(f"byte order {order!r}")
        what.order = order
    elif isinstance(what, _Building):
        _, shape, kind, fortran, data = state
        dtype = np.dtype(kind.order + kind.name)
        if not isinstance(data, bytes) or min(shape, default=0) < 0:
            raise ValueError("an array without its bytes")
        if math.prod(shape) * dtype.itemsize != len(data):
            raise ValueError(f"an array of {len(data):,} bytes cannot have the shape {shape}")
        what.value = np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C")
    else:
        raise DataError("the pickle builds something else than an array")


def _finished(value: Any) -> Any:
    """The value, its dicts' arrays in place (a batch has them at the top)."""
    if isinstance(value, _Building):
        return value.value
    if isinstance(value, dict):
        return {key: _finished(one) if isinstance(one, _Building) else one
                for key, one in value.items()}  # fmt: skip
    return value
