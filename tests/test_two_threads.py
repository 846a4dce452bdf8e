"""Two threads that hammer one instrument each get the answers to their own questions."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from instruments import Bench

READS = 5_000  # of each thread


def test_two_threads_never_get_each_others_answers() -> None:
    with Bench.open() as bench:
        link = bench.transport.links["x"]
        answers = {
            question: link.query(question) for question in (":SENS:CURR:PROT?", ":SOUR:VOLT:RANG?")
        }
        assert len(set(answers.values())) == 2

        def wrong(question: str) -> int:
            return sum(link.query(question) != answers[question] for _ in range(READS))

        with ThreadPoolExecutor(2) as threads:
            assert list(threads.map(wrong, answers)) == [0, 0]
