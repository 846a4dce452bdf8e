"""The one exception of this floor, and the sentences for what SQLite says."""

from __future__ import annotations

from pathlib import Path


class DatabaseError(Exception):
    """A record could not be written or read; the text is one sentence that says what to do."""


# What SQLite says -> what to tell the person. The first match wins; {path} is filled in.
_SENTENCES = (
    (
        "database or disk is full",
        "The disk that holds {path} is full: free some space and start a new session; what was "
        "recorded before stays readable.",
    ),
    (
        "is locked",
        "Another program held {path} locked for more than 5 s: close that program, or record "
        "into a file of its own.",
    ),
    (
        "file is not a database",
        "{path} is not a SQLite database: give the path of a SpinLoop database, or of a new file.",
    ),
    (
        "readonly database",
        "{path} or its folder may not be written: change the permissions, or record into another "
        "file.",
    ),
    (
        "unable to open database file",
        "{path} could not be opened: check that it and its folder exist and may be used.",
    ),
    (
        "malformed",
        "{path} is damaged: copy it away, save what can be read with SQLite's '.recover', and "
        "record into a new file.",
    ),
)


def explain(path: Path, error: BaseException) -> DatabaseError:
    """Turn what SQLite, the file system or Python raised about `path` into a `DatabaseError`.

    A `DatabaseError` comes back as it is.
    """
    if isinstance(error, DatabaseError):
        return error
    said = str(getattr(error, "orig", None) or error) or type(error).__name__
    for sign, sentence in _SENTENCES:
        if sign in said:
            return DatabaseError(sentence.format(path=path))
    return DatabaseError(
        f"Using {path} failed ({type(error).__name__}: {said}): check the disk and the file, "
        "then start a new session."
    )
