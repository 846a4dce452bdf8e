"""Faults over TCP: what a client of the server meets."""

import contextlib

from sim_backend.bench import SimBench
from sim_backend.faults_kinds import (
    LinkDown,
    PowerCycle,
    Timeout,
    Truncated,
)
from sim_backend.server import running
from sim_backend.server.frames import Kind
from sim_backend.truth import load_truth
from tests.fault_benches import (
    NO_ERROR,
)
from tests.test_sim_server import Hislip, Raw

# -- over TCP --------------------------------------------------------------------------------------


@contextlib.contextmanager
def served(*faults, **options):
    """A server in virtual time, and its bench."""
    bench = SimBench(load_truth(None))
    bench.faults.add(*faults)
    options = {"port": 0, "hislip_port": 0, "realtime": None} | options
    with running(bench, **options) as server:
        yield server


LATE = Timeout(instrument="x", header="TRIGger:COUNt?", observations=True, late_s=0.03)


def test_a_late_reply_comes_first_on_a_raw_socket():
    with served(LATE) as server, Raw(server, "x") as client:
        client.send(b":TRIG:COUN 3\n:TRIG:COUN?\n:ARM:COUN?\n:ARM:COUN?\n")
        assert [client.lines.readline() for _ in range(3)] == [b"3\n", b"1\n", b"1\n"]
        assert client.ask(":SYST:ERR?") == NO_ERROR


def test_a_late_reply_goes_to_who_has_asked_and_to_nobody_else():
    with served(LATE) as server, Raw(server, "x") as other:
        with Raw(server, "x") as client:
            client.send(b":TRIG:COUN 3\n:TRIG:COUN?\n")
            while not server.bench.faults.struck:
                assert other.ask("*IDN?")
        assert other.ask(":ARM:COUN?") == "1"
        assert "2400" in other.ask("*IDN?")


def test_hislip_tells_a_late_reply_by_its_number():
    with served(LATE) as server, Hislip(server) as client:
        client.send(":TRIG:COUN 3", rmt=1)
        asked, again = client.send(":TRIG:COUN?", rmt=1), client.send(":ARM:COUN?", rmt=1)
        while not client.status() & 16:
            pass
        came = [client.receive(client.sync) for _ in range(2)]
        assert [(one.parameter, one.payload) for one in came] == [(asked, b"3\n"), (again, b"1\n")]


def test_a_truncated_reply_has_no_end_over_hislip():
    faults = [
        Truncated(instrument="x", header="*TST?", keep=0, terminated=True),
        Truncated(instrument="x", header="*IDN?", observations=True, keep=8),
    ]
    with served(*faults) as server, Hislip(server) as client:
        client.send("*TST?", rmt=1)
        whole = client.receive(client.sync)
        assert (whole.kind, whole.payload) == (Kind.DATA_END, b"\n")
        client.send("*IDN?", rmt=1)
        cut = client.receive(client.sync)
        assert (cut.kind, cut.payload) == (Kind.DATA, b"KEITHLEY")


def test_a_lost_link_ends_every_connection_to_its_instrument_and_no_other():
    fault = LinkDown(instrument="x", header="TRIGger:COUNt", for_s=0.5)
    with served(fault) as server, Raw(server, "z") as other, Raw(server, "x") as client:
        with Raw(server, "x") as second, Hislip(server) as third:
            assert second.ask("*IDN?") and third.ask("*IDN?")
            client.send(b":TRIG:COUN 3\n")
            assert ended(client) and ended(second)
            assert Hislip.receive(third.sync) is Hislip.receive(third.other) is None
        with Raw(server, "x") as refused:
            assert ended(refused)
        assert other.ask("*IDN?")
        server.bench.pause(1.0)
        with Raw(server, "x") as again, Hislip(server) as too:
            assert again.ask(":TRIG:COUN?") == too.ask(":TRIG:COUN?") == "1"


def ended(client):
    """Whether the server has ended the connection; waits until it says something."""
    with contextlib.suppress(ConnectionResetError):
        return client.lines.readline() == b""
    return True


def test_in_real_time_the_link_of_a_silent_client_is_lost_as_well():
    wall_s = [0.0]
    options = {"realtime": 1.0, "wall": lambda: wall_s[0]}
    fault = LinkDown(instrument="x", from_s=5.0)
    with served(fault, **options) as server, Raw(server, "x") as client:
        assert client.ask("*IDN?")
        wall_s[0] = 6.0
        assert ended(client)


def test_a_question_inside_the_trigger_model_goes_with_the_power():
    fault = PowerCycle(instrument="x", from_s=0.2)
    with served(fault) as server, Raw(server, "x") as client:
        client.send(b":TRIG:SOUR TLIN;:TRIG:INP SENS;:OUTP ON;:INIT\n:FETC?\n")
        while client.ask(":OUTP?") == "1":
            pass
        assert server.bench.by_name["x"].busy is False
