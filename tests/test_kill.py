"""However a session ends, and after whichever message: every output at zero and off."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from sim_backend.bench import SimBench
from sim_backend.truth import load_truth
from tests.killing import NEVER, WAYS, Peaks, Served, in_process, messages_of, problems

TENTH, SEED = 10, 20


@pytest.mark.parametrize("way", WAYS)
def test_a_session_that_ends_after_any_message_leaves_all_at_zero_and_off(way: str) -> None:
    count = messages_of(way)
    assert count > 80
    wrong = {}
    for k in range(1, count + 1):
        ended, found = in_process(way, k)
        assert ended or k > 80, f"the session went on after message {k}"
        if found:
            wrong[k] = found
    assert not wrong


def test_a_program_killed_after_a_message_leaves_all_at_zero_and_off(tmp_path: Path) -> None:
    """A tenth of the messages; ``python3 tasks.py killtest`` takes them all."""
    with Served(tmp_path) as served:
        count, found = served.kill_after(NEVER)
        assert count > 80 and not found
        for k in random.Random(SEED).sample(range(1, count + 1), count // TENTH):
            assert not served.kill_after(k)[1], f"after message {k}"


def test_what_looks_at_the_bench_sees_what_is_not_safe() -> None:
    sim = SimBench(load_truth(None))
    peaks = Peaks(sim)
    assert not problems(sim, peaks)
    sim.write(sim.switch, ":ROUT:CLOS (@1!1,1!11,1!21)")
    sim.write(sim.meters["x"], ":SOUR:VOLT 0.15;:OUTP ON")
    sim.write(sim.source, ":SOUR:CURR:RANG 0.1;:SOUR:CURR 0.05;:OUTP ON")
    sim.write(sim.switch, ":ROUT:OPEN (@1!1)")
    said = " ".join(problems(sim, peaks))
    for part in ("field is on", "x is set to 0.15", "1!11", "1 relays moved hot", "damage",
                 "a junction saw 0.1", "the field line saw 0.05"):  # fmt: skip
        assert part in said
