"""Write `db_v1.sqlite`: a small database of the first schema, kept to show that it stays readable.

It was run once, with the first version of `db`. Do not run it again with a later one: each version
of the schema gets a script and a file of its own. From the root: `python tests/data/make_db_v1.py`.
"""

import sqlite3
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))

from db import Message, Recorder, Sweep
from db.schema import VERSION

path = Path(__file__).with_name("db_v1.sqlite")
assert VERSION == "0001", "this file is of the first version"
path.unlink(missing_ok=True)

with Recorder.open(path) as recorder:
    recorder.start_session(
        "train",
        {"bench": {"backend": "sim"}, "nplc": 0.1},
        operator="A. Person",
        sample="wafer 3",
        note="Ω and µ",
        versions={"spinloop": "0.1.0"},
    )
    run = recorder.start_run("xor", "mtj", seed=7, fold=2, settings={"epochs": 2})
    recorder.calibration("J1", {"i0_a": 1.5e-3, "valid": True})
    recorder.message(Message(1, "x", "write", ":INIT", None, None, None, 0.5))
    recorder.message(Message(None, "x", "poll", "", None, 0, None, 0.5))
    recorder.message(Message(2, "x", "wait", "", None, 65, None, 1.25))
    recorder.message(Message(3, "x", "query", ":FETC?", b"\x00\xff1", None, "lost", 1.5))
    recorder.sweep(Sweep("train", "J1", 3, 1, 3, 0.5, 1.5, "ab" * 32, {"order": "sorted"}, run))
    recorder.epoch(run, 0, {"loss": 0.7, "accuracy": 0.5})
    recorder.epoch(run, 1, {"loss": float("nan")})
    recorder.weights(run, {"w": np.arange(6, dtype=">f4").reshape(2, 3), "b": np.array(True)})
    recorder.event("tripped", "The operator pressed stop.")
    recorder.end_session("complete", {"accuracy": 0.5})
    recorder.start_session("check", {})

with sqlite3.connect(path, isolation_level=None) as connection:  # as small as it goes
    connection.execute("PRAGMA journal_mode = DELETE")
    connection.execute("PRAGMA page_size = 512")
    connection.execute("VACUUM")
    connection.execute("PRAGMA journal_mode = WAL")
connection.close()
