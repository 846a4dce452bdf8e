"""Files that a command writes: all of one, or nothing and a sentence with the option's name."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import typer


def check_writable(option: str, path: Path | None) -> None:
    """Tell before the work is done that a file's folder cannot take it."""
    if path is None or _is_special(path):
        return
    folder = path.resolve().parent
    if not folder.is_dir():
        raise _unwritable(option, path, os.strerror(errno.ENOENT))
    if path.is_dir():
        raise _unwritable(option, path, os.strerror(errno.EISDIR))
    if not os.access(folder, os.W_OK) or (path.exists() and not os.access(path, os.W_OK)):
        raise _unwritable(option, path, os.strerror(errno.EACCES))


def write_whole(option: str, path: Path, write: Callable[[Path], object]) -> str:
    """All of the file or, with a sentence, nothing: what was there before stays."""
    check_writable(option, path)
    special, whole = _is_special(path), path.resolve()
    # The suffix tells a picture's format.
    part = path if special else whole.with_name(f".{whole.stem}.{os.getpid()}{whole.suffix}")
    try:
        try:
            write(part)
            if not special:
                if whole.exists():
                    shutil.copymode(whole, part)
                part.replace(whole)
        except BaseException:
            if not special:
                part.unlink(missing_ok=True)
            raise
    except (OSError, ValueError) as error:  # ValueError: a picture's format that nobody knows
        why = getattr(error, "strerror", None) or error
        raise _unwritable(option, path, why) from None
    return str(path)


def _unwritable(option: str, path: Path, why: object) -> typer.BadParameter:
    return typer.BadParameter(f"{path} cannot be written ({why})", param_hint=option)


def _is_special(path: Path) -> bool:
    """A device or a pipe, which is written to and not replaced."""
    return path.exists() and not path.is_file() and not path.is_dir()
