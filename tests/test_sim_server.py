"""The simulated bench over TCP: raw sockets, HiSLIP, time, locks, and clients that misbehave."""

import asyncio
import contextlib
import signal
import socket
import subprocess
import sys
import threading

import numpy as np
import pytest
import pyvisa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from cli.main import app
from sim_backend.bench import SimBench
from sim_backend.models import MODELS
from sim_backend.server import BenchServer, ServerError, hislip_session, is_loopback, running
from sim_backend.server.frames import FIRST_ID, HEADER, MOST_PAYLOAD, Fatal, Frame, Kind, Mistake
from sim_backend.server.hislip import Channel
from sim_backend.server.raw import RawClient
from sim_backend.truth import load_truth

NAMES = ("field", "x", "z", "switch")
SWEEP = (  # 1 s on the field source alone
    b":SOUR:CURR:RANG 0.1;:SOUR:SWE:SPAC LIST;:SOUR:LIST:CURR 0.001,0.002;:SOUR:LIST:DEL 0.5,0.5\n"
    b":SOUR:LIST:COMP 10,10;:STAT:OPER:ENAB 2;:SOUR:SWE:ARM;:INIT\n"
)
DONE = 128  # operation summary: the sweep is over


class Wall:
    """A wall clock that goes when it is told to, and a little whenever somebody looks."""

    now_s = 0.0

    def __call__(self):
        self.now_s += 5e-4
        return self.now_s


def new_bench(**changes):
    return SimBench(load_truth(None, **changes))


@pytest.fixture
def start():
    """Starts servers on free ports; virtual time unless asked otherwise."""
    with contextlib.ExitStack() as stack:

        def begin(bench=None, **options):
            options = {"port": 0, "hislip_port": 0, "realtime": None} | options
            return stack.enter_context(running(bench or new_bench(), **options))

        yield begin


@pytest.fixture(scope="module")
def shared():
    """One server for the tests that leave it as they found it."""
    with running(new_bench(), port=0, hislip_port=0, realtime=None) as server:
        yield server


@pytest.fixture
def visa():
    manager = pyvisa.ResourceManager("@py")
    yield lambda name: manager.open_resource(name, read_termination="\n", write_termination="\n")
    manager.close()


def port_of(address):
    return int(address.split("::")[2].partition(",")[2] or address.split("::")[2])


class Raw:
    """A client on a raw socket."""

    def __init__(self, server, name):
        port = port_of(server.served[NAMES.index(name)].raw)
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        self.lines = self.socket.makefile("rb")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.lines.close()
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def ask(self, question):
        self.send(question.encode() + b"\n")
        return self.lines.readline().decode().rstrip("\n")

    @property
    def silent(self):
        """Nothing has come."""
        self.socket.setblocking(False)
        try:
            self.socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        finally:
            self.socket.settimeout(20)
        return False


class Hislip:
    """A client's two HiSLIP connections, frame by frame; "ab": one that takes unasked messages."""

    def __init__(self, server, name="hislip1", *, open_both=True, vendor=b"ab"):
        port = port_of(server.served[0].hislip)
        self.sync = socket.create_connection(("127.0.0.1", port), timeout=20)
        self.other = socket.create_connection(("127.0.0.1", port), timeout=20)
        self.next_id = FIRST_ID
        if open_both:
            opened = self.talk(
                Kind.INITIALIZE, 0, 0x0100_0000 | int.from_bytes(vendor, "big"), name.encode()
            )
            assert opened.kind == Kind.INITIALIZE_RESPONSE, opened
            assert opened.parameter >> 16 == 0x0100
            self.number = opened.parameter & 0xFFFF
            assert self.aside(Kind.ASYNC_INITIALIZE, 0, self.number).kind == (
                Kind.ASYNC_INITIALIZE_RESPONSE
            )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sync.close()
        self.other.close()

    @staticmethod
    def receive(connection):
        """The next frame; None: the server has ended the connection."""
        data = b""
        size = HEADER.size
        while len(data) < size:
            with contextlib.suppress(ConnectionResetError):
                data += (more := connection.recv(size - len(data)))
                if not more:
                    return None
            if len(data) == HEADER.size:
                size += HEADER.unpack(data)[4]
        _, kind, control, parameter, _ = HEADER.unpack(data[: HEADER.size])
        return Frame(kind, control, parameter, data[HEADER.size :])

    def talk(self, *frame):
        self.sync.sendall(Frame(*frame).encode())
        return self.receive(self.sync)

    def aside(self, *frame):
        self.other.sendall(Frame(*frame).encode())
        return self.receive(self.other)

    def send(self, text, *, rmt=0, kind=Kind.DATA_END):
        """A message; returns its id."""
        number, self.next_id = self.next_id, self.next_id + 2 & 0xFFFF_FFFF
        self.sync.sendall(Frame(kind, rmt, number, text.encode()).encode())
        return number

    def ask(self, text):
        self.send(text, rmt=1)
        return self.receive(self.sync).payload.decode().rstrip("\n")

    def status(self, *, rmt=0):
        return self.aside(Kind.ASYNC_STATUS_QUERY, rmt, self.next_id - 2).control

    def lock(self, key="", wait_ms=0):
        return self.aside(Kind.ASYNC_LOCK, 1, wait_ms, key.encode()).control

    def unlock(self, last_id=0):
        return self.aside(Kind.ASYNC_LOCK, 0, last_id).control


# -- addresses and ports ---------------------------------------------------------------------------


def test_every_printed_address_opens_its_instrument_in_pyvisa(shared, visa):
    assert [one.name for one in shared.served] == list(NAMES)
    for one in shared.served:
        for address in (one.raw, one.hislip):
            identity = visa(address).query("*IDN?")
            assert identity == MODELS[one.model].identity


def test_an_instrument_is_found_by_its_name_as_well(shared):
    with Hislip(shared, "Z") as client, Hislip(shared, "hislip2") as same:
        client.send(":SOUR:VOLT 0.125")
        assert client.ask("*IDN?")
        assert float(same.ask(":SOUR:VOLT?")) == 0.125
        client.send(":SOUR:VOLT 0", rmt=1)


def test_a_port_in_use_is_one_sentence_that_says_what_to_do():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with (
            pytest.raises(ServerError, match=rf"^port {port} is in use: .* --hislip-port$"),
            running(new_bench(), port=0, hislip_port=port),
        ):
            pass


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"port": 65534}, "port 65537 is above 65535; give a lower --port"),
        ({"port": 5025, "hislip_port": 5027}, "--hislip-port 5027 is one of .* 5025 to 5028"),
        ({"port": 0, "hislip_port": 0, "host": "no.such.host.invalid"}, "--host no.such.host"),
    ],
)
def test_ports_and_hosts_that_cannot_be_are_named(options, words):
    with pytest.raises(ServerError, match=words), running(new_bench(), **options):
        pass


@pytest.mark.parametrize(
    ("host", "alone"),
    [("127.0.0.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("lab", False)],
)
def test_only_a_loopback_address_keeps_other_machines_out(host, alone):
    assert is_loopback(host) is alone


# -- pyvisa-py as it is ----------------------------------------------------------------------------


def test_pyvisa_py_polls_and_clears_over_hislip(start, visa):
    meter = visa(start().served[1].hislip)
    assert meter.read_stb() == 0
    meter.write("*IDN?")
    assert meter.read_stb() & 16
    meter.read()
    assert meter.read_stb() == 0
    meter.write("NO:SUCH")
    assert meter.read_stb() & 4
    meter.clear()
    assert meter.query(":SYST:ERR?").startswith("-113")
    assert meter.query("*IDN?")


def test_pyvisa_py_that_does_not_read_a_reply_gets_the_next_one_and_an_error(start, visa):
    meter = visa(start().served[1].hislip)
    meter.write("*IDN?")
    assert float(meter.query(":SOUR:VOLT?")) == 0
    assert meter.query(":SYST:ERR?").startswith("-410")


def read_out(write, read_bytes):
    """A thousand readings of the meter in binary."""
    write(":FORM SRE;:FORM:ELEM VOLT,CURR;:TRIG:COUN 1000;:SOUR:VOLT 0.02;:OUTP ON;:INIT")
    write(":FETC?")
    return read_bytes(2 + 8000 + 1)


def test_a_large_binary_reply_is_the_one_of_the_bench_in_process(start, visa):
    client = visa(start(new_bench()).served[1].hislip)
    alone = new_bench()
    meter = alone.by_name["x"]
    expected = read_out(
        lambda text: alone.write(meter, text), lambda count: alone.take(meter, count)[0]
    )
    assert read_out(client.write, client.read_bytes) == expected
    assert len(expected) == 8003


def test_a_reply_comes_in_messages_no_larger_than_the_client_takes(start):
    with Hislip(start()) as client:
        size = client.aside(Kind.ASYNC_MAXIMUM_MESSAGE_SIZE, 0, 0, (1016).to_bytes(8, "big"))
        assert int.from_bytes(size.payload, "big") == MOST_PAYLOAD
        client.send(":FORM SRE;:TRIG:COUN 1000;:SOUR:VOLT 0.02;:OUTP ON;:FORM:ELEM CURR;:INIT")
        asked = client.send(":FETC?", rmt=1)
        frames = [client.receive(client.sync)]
        while frames[-1].kind == Kind.DATA:
            frames.append(client.receive(client.sync))
        assert {len(frame.payload) for frame in frames[:-1]} == {1000}
        assert {frame.parameter for frame in frames} == {asked}
        assert sum(len(frame.payload) for frame in frames) == 2 + 4000 + 1


def test_pymeasures_own_driver_measures_over_hislip(start, visa):
    from pymeasure.instruments.keithley import Keithley2400

    server = start()
    visa(server.served[3].raw).query(":CLOS (@1!1,1!21);*OPC?")
    meter = Keithley2400(server.served[1].hislip, visa_library="@py")
    meter.source_mode = "voltage"
    meter.source_voltage = 0.02
    meter.source_enabled = True
    assert meter.current == pytest.approx(0.02 / 13.3e3, rel=0.3)
    assert meter.check_errors() == []
    meter.adapter.close()


# -- one magnet behind all of them -----------------------------------------------------------------


def test_what_one_client_sets_on_the_field_source_another_reads_on_both_meters(start, visa):
    server = start(new_bench(seed=5))
    alone = new_bench(seed=5)
    raw = {one.name: visa(one.raw) for one in server.served}
    hislip = {one.name: visa(one.hislip) for one in server.served}

    def in_process(name, message):
        instrument = alone.by_name[name]
        alone.write(instrument, message)
        if "?" in message:
            return alone.take(instrument, 10**6)[0].decode().strip()
        return None

    def over_tcp(name, message):
        ways = raw if name in ("field", "switch") else hislip
        return ways[name].query(message) if "?" in message else ways[name].write(message)

    def measure(do):
        def done(name, message):  # two instruments are two connections: one after the other
            do(name, message)
            do(name, "*OPC?")

        done("switch", ":CLOS (@1!1,1!11,1!21)")
        done("field", ":SOUR:CURR:RANG 0.1;:OUTP ON")
        readings = []
        for meter in ("x", "z"):
            done(meter, ":SOUR:VOLT 0.02;:OUTP ON;:FORM:ELEM CURR")
        for level in ("0.02", "-0.02"):
            done("field", f":SOUR:CURR {level}")
            readings.append([float(do(meter, ":READ?")) for meter in ("x", "z")])
        return np.array(readings)

    one, other = measure(in_process), measure(over_tcp)
    np.testing.assert_array_equal(one, other)
    assert abs(one[0, 0] - one[1, 0]) > 0.1 * abs(one[0, 0])


def test_clients_at_once_get_their_own_replies(shared):
    wrong = []

    def hammer(name, way):
        with Raw(shared, name) if way == "raw" else Hislip(shared, name) as client:
            for _ in range(150):
                if client.ask("*IDN?") != shared.bench.by_name[name].identity:
                    wrong.append((name, way))

    threads = [
        threading.Thread(target=hammer, args=(name, way))
        for name in ("field", "x", "switch")
        for way in ("raw", "hislip", "hislip")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


# -- clients that go -------------------------------------------------------------------------------


def test_a_message_that_a_dying_client_has_begun_is_dropped(start):
    server = start()
    with Raw(server, "x") as client:
        client.send(b":SOUR:VOLT 0.1;:OUTP ON")
    with Hislip(server, "x") as client:
        client.send(":SOUR:VOLT 0.2;:OUTP ON", kind=Kind.DATA)
    with Raw(server, "x") as other:
        assert other.ask(":SOUR:VOLT?;:OUTP?") == "+0.000000E+00;0"
        assert other.ask(":SYST:ERR?").startswith("0,")


def test_whole_messages_of_a_client_that_has_gone_are_acted_on(start):
    wall = Wall()
    server = start(realtime=1.0, wall=wall)
    with Raw(server, "x") as client:
        client.send(b":SENS:CURR:NPLC 2\n:SOUR:DEL 0.2\n:SOUR:VOLT 0.15\n")
    with Raw(server, "x") as other:
        while float(other.ask(":SOUR:VOLT?")) != 0.15:  # the test's own time-out ends it
            pass


def test_a_client_may_say_that_it_is_through_and_still_gets_its_reply(shared):
    with Raw(shared, "x") as client:
        client.send(b"*IDN?\n")
        client.socket.shutdown(socket.SHUT_WR)
        assert b"MODEL 2400" in client.lines.read()


def test_a_client_that_is_through_gets_a_reply_that_is_not_due_yet(start):
    wall = Wall()
    server = start(realtime=1.0, wall=wall)
    with Raw(server, "x") as client, Raw(server, "switch") as other:
        client.send(b":OUTP ON;:TRIG:COUN 100;:FORM:ELEM CURR;:READ?\n")
        client.socket.shutdown(socket.SHUT_WR)
        while server.bench.clock.now_s < 1:
            other.ask("*IDN?")
        wall.now_s = 30
        assert client.lines.read().count(b",") == 99


class Line(asyncio.Transport):
    """A connection that notes whether it is read from."""

    reading = True

    def is_closing(self):
        return False

    def pause_reading(self):
        self.reading = False

    def resume_reading(self):
        self.reading = True


@pytest.mark.parametrize("way", ["raw", "hislip"])
def test_a_client_that_does_not_read_is_not_read_from(way):
    server, line = BenchServer(new_bench()), Line()
    client = RawClient(server, server.desks[0]) if way == "raw" else Channel(server)
    client.connection_made(line)
    client.pause_writing()
    assert not line.reading
    client.resume_writing()
    assert line.reading


def test_a_client_that_does_not_read_for_long_loses_nothing(shared):
    with Raw(shared, "x") as client:
        sender = threading.Thread(target=client.send, args=(b"*IDN?\n" * 20_000,))
        sender.start()
        identity = shared.bench.by_name["x"].identity.encode() + b"\n"
        assert all(client.lines.readline() == identity for _ in range(20_000))
        sender.join()


def test_a_message_without_end_is_an_overrun_and_the_next_one_is_heard(start):
    with Raw(start(), "x") as client:
        client.send(b":SOUR:VOLT " + b"0" * (1 << 20) + b"1")
        client.send(b"2;:OUTP ON\n")
        assert client.ask(":SYST:ERR?").startswith("-363")
        assert client.ask(":OUTP?") == "0"


# -- the bench's time ------------------------------------------------------------------------------


def test_in_virtual_time_a_program_that_polls_sees_the_sweep_run_and_then_its_end(start):
    server = start()
    with Raw(server, "field") as client, Hislip(server, "hislip0") as watcher:
        client.send(SWEEP)
        assert client.ask(":SOUR:DEL?")
        assert float(client.ask(":SOUR:DEL?")) == 1.0
        assert watcher.status() & DONE
        assert 1.0 < server.bench.clock.now_s < 1.1


def test_in_virtual_time_serial_polls_end_a_sweep(start):
    server = start()
    with Hislip(server, "hislip0") as client:
        for line in SWEEP.decode().splitlines():
            client.send(line)
        assert client.ask("*IDN?")  # all of it has been heard
        assert client.status() & DONE


def test_in_virtual_time_a_question_to_a_busy_instrument_is_answered_at_the_end(start):
    server = start()
    with Raw(server, "field") as client:
        client.send(SWEEP)
        assert client.ask("*OPC?") == "1"
        assert 1.0 < server.bench.clock.now_s < 1.1


def test_in_virtual_time_nothing_moves_while_nobody_asks(start):
    server = start()
    with Raw(server, "x") as client:
        for _ in range(20):
            client.ask("*STB?")
    assert server.bench.clock.now_s == 0


def test_in_real_time_a_sweep_ends_with_the_wall_clock_and_not_by_polling(start):
    wall = Wall()
    server = start(realtime=2.0, wall=wall)
    with Raw(server, "field") as client, Hislip(server, "hislip0") as watcher:
        client.send(SWEEP)
        while not server.bench.by_name["field"].busy:
            watcher.status()
        client.send(b"*OPC?\n")
        wall.now_s += 0.3
        assert not any(watcher.status() & DONE for _ in range(20))
        assert client.silent
        wall.now_s += 0.3
        assert client.lines.readline() == b"1\n"
        assert watcher.status() & DONE
        assert server.bench.clock.now_s == pytest.approx(2 * wall.now_s, abs=0.05)


def test_in_real_time_a_message_comes_when_the_wall_clock_says(start):
    wall = Wall()
    server = start(realtime=10.0, wall=wall)
    with Raw(server, "x") as client:
        assert client.ask("*IDN?")
        wall.now_s = 6.0
        client.send(b":OUTP ON;:FORM:ELEM TIME;:READ?\n")
        assert 60 < float(client.lines.readline()) < 62


def test_in_real_time_a_reply_comes_when_its_time_is_over(start):
    wall = Wall()
    server = start(realtime=1.0, wall=wall)
    with Raw(server, "x") as client, Raw(server, "switch") as other:
        client.send(b":OUTP ON;:TRIG:COUN 100;:FORM:ELEM CURR;:READ?\n")
        for _ in range(20):
            other.ask("*IDN?")
        assert server.bench.by_name["x"].busy  # with a hundred readings
        assert client.silent and server.bench.clock.now_s < 1
        wall.now_s = 30
        assert len(client.lines.readline().split(b",")) == 100


def test_in_real_time_device_clear_is_heard_while_a_reply_is_due(start):
    wall = Wall()
    server = start(realtime=1.0, wall=wall)
    with Hislip(server) as client:
        client.send(":OUTP ON;:TRIG:COUN 100;:FORM:ELEM CURR;:READ?")
        while not server.bench.by_name["x"].busy:
            client.status()
        cleared = client.aside(Kind.ASYNC_DEVICE_CLEAR)
        assert cleared.kind == Kind.ASYNC_DEVICE_CLEAR_ACKNOWLEDGE
        done = client.talk(Kind.DEVICE_CLEAR_COMPLETE)
        assert done.kind == Kind.DEVICE_CLEAR_ACKNOWLEDGE  # and no reply before it
        assert client.ask("*IDN?")


def test_in_real_time_another_client_is_heard_while_a_reply_is_due(start):
    wall = Wall()
    server = start(realtime=1.0, wall=wall)
    with Raw(server, "x") as client, Raw(server, "x") as stopper:
        client.send(b":OUTP ON;:TRIG:COUN 100;:READ?\n")
        while stopper.ask(":OUTP?") != "1":
            pass
        stopper.send(b":ABOR\n")
        assert stopper.ask(":OUTP?") == "1"
        assert not server.bench.by_name["x"].busy
        assert client.silent and server.bench.clock.now_s < 1  # the readings take 6 s


# -- HiSLIP, frame by frame ------------------------------------------------------------------------


def test_a_message_in_pieces_is_one_message(shared):
    with Hislip(shared) as client:
        client.send("*ID", kind=Kind.DATA)
        assert "MODEL 2400" in client.ask("N?")


def test_a_reply_carries_the_number_of_its_question(shared):
    with Hislip(shared) as client:
        for _ in range(3):
            asked = client.send("*IDN?", rmt=1)
            assert client.receive(client.sync).parameter == asked


def test_a_trigger_acts_as_trg_does(start):
    with Hislip(start()) as client:
        client.send(":OUTP ON;:ARM:SOUR BUS;:FORM:ELEM CURR;:TRAC:POIN 1;:TRAC:FEED:CONT NEXT")
        client.send(":STAT:MEAS:ENAB 512;:INIT")
        assert client.ask("*IDN?")
        assert not client.status(rmt=1) & 1
        client.send("", kind=Kind.TRIGGER)
        assert client.ask("*IDN?")
        assert client.status(rmt=1) & 1


def test_the_next_question_interrupts_a_reply_that_has_not_been_read(start):
    with Hislip(start()) as client:
        client.send("*IDN?")
        assert client.receive(client.sync).kind == Kind.DATA_END
        second = client.send(":OUTP?")
        assert client.receive(client.sync) == Frame(Kind.INTERRUPTED, 0, second)
        assert client.receive(client.other) == Frame(Kind.ASYNC_INTERRUPTED, 0, second)
        assert client.receive(client.sync) == Frame(Kind.DATA_END, 0, second, b"0\n")
        assert client.ask(":SYST:ERR?").startswith("-410")
        assert client.ask(":SYST:ERR?").startswith("0,")


def test_in_overlap_mode_replies_queue_up(start):
    with Hislip(start()) as client:
        assert client.aside(Kind.ASYNC_DEVICE_CLEAR).kind == Kind.ASYNC_DEVICE_CLEAR_ACKNOWLEDGE
        assert client.talk(Kind.DEVICE_CLEAR_COMPLETE, 1) == Frame(Kind.DEVICE_CLEAR_ACKNOWLEDGE, 1)
        for _ in range(3):
            client.send(":OUTP?")
        replies = [client.receive(client.sync) for _ in range(3)]
        assert [reply.payload for reply in replies] == [b"0\n"] * 3
        assert client.ask(":SYST:ERR?").startswith("0,")


def test_the_message_available_bit_stands_until_the_client_has_read(shared):
    with Hislip(shared) as client:
        client.send("*IDN?", rmt=1)
        client.receive(client.sync)
        assert client.status() & 16
        assert client.status(rmt=1) == 0
        assert client.status() == 0


def test_a_status_query_waits_for_the_message_that_was_sent_before(start, monkeypatch):
    monkeypatch.setattr(hislip_session, "_ARRIVAL_S", 20.0)
    with Hislip(start()) as client:
        client.other.sendall(Frame(Kind.ASYNC_STATUS_QUERY, 0, FIRST_ID + 2).encode())
        client.send("*CLS")
        client.send("*IDN?")
        assert client.receive(client.other).control == 16


def test_device_clear_drops_what_comes_before_it_is_complete(start):
    with Hislip(start()) as client:
        client.send(":SOUR:VOLT 0.1;", kind=Kind.DATA)
        assert client.aside(Kind.ASYNC_DEVICE_CLEAR).kind == Kind.ASYNC_DEVICE_CLEAR_ACKNOWLEDGE
        client.send(":SOUR:VOLT 0.2")
        assert client.talk(Kind.DEVICE_CLEAR_COMPLETE).kind == Kind.DEVICE_CLEAR_ACKNOWLEDGE
        assert float(client.ask(":SOUR:VOLT?")) == 0


def test_a_request_for_service_is_sent_to_whom_it_may_concern(start):
    server = start()
    meter = server.bench.by_name["x"]
    with Hislip(server) as client, Hislip(server, vendor=b"xx") as deaf:
        assert len(meter.listeners) == 2
        client.send("*SRE 4;NO:SUCH")
        told = client.receive(client.other)
        assert told.kind == Kind.ASYNC_SERVICE_REQUEST
        assert told.control & 0x44 == 0x44
        assert client.status() & 0x44 == 0x44
        assert client.status() & 0x44 == 0x04  # a serial poll answers the request
        # pyvisa-py takes any message for the answer to its question: it is not sent any
        assert deaf.aside(Kind.ASYNC_STATUS_QUERY).kind == Kind.ASYNC_STATUS_RESPONSE
    while meter.listeners:  # who has gone listens no more
        served_well(server)


# -- locks -----------------------------------------------------------------------------------------


def test_an_exclusive_lock_keeps_the_others_out_until_it_is_released(start):
    server = start()
    with Hislip(server) as owner, Hislip(server) as other, Raw(server, "x") as third:
        assert owner.lock() == 1
        assert other.aside(Kind.ASYNC_LOCK_INFO) == Frame(Kind.ASYNC_LOCK_INFO_RESPONSE, 1, 1)
        assert other.lock(wait_ms=20) == 0
        third.send(b":SOUR:VOLT 0.1\n:SOUR:VOLT?\n")
        for _ in range(20):
            assert float(owner.ask(":SOUR:VOLT?")) == 0
        assert owner.unlock(owner.send("*CLS", rmt=1)) == 1
        assert float(third.lines.readline()) == 0.1
        assert other.lock() == 1
        assert owner.unlock() == 3


def test_a_lock_covers_what_its_owner_has_sent_before_the_release(start, monkeypatch):
    monkeypatch.setattr(hislip_session, "_RELEASE_S", 20.0)
    server = start()
    with Hislip(server) as owner, Hislip(server) as other:
        assert owner.lock() == 1
        owner.other.sendall(Frame(Kind.ASYNC_LOCK, 0, FIRST_ID).encode())
        assert [other.lock() for _ in range(5)] == [0] * 5
        assert owner.send(":SOUR:VOLT 0.1") == FIRST_ID
        assert owner.receive(owner.other) == Frame(Kind.ASYNC_LOCK_RESPONSE, 1)
        assert other.lock() == 1
        assert float(other.ask(":SOUR:VOLT?")) == 0.1


def test_a_shared_lock_is_shared_by_its_key(start):
    server = start()
    with Hislip(server) as one, Hislip(server) as two, Hislip(server) as three:
        assert [one.lock("key"), two.lock("key"), three.lock("other")] == [1, 1, 0]
        assert three.aside(Kind.ASYNC_LOCK_INFO) == Frame(Kind.ASYNC_LOCK_INFO_RESPONSE, 0, 2)
        assert one.lock("key") == 3
        assert [one.unlock(), two.unlock(), three.lock("other")] == [2, 2, 1]


def test_who_waits_for_a_lock_has_it_when_its_owner_dies(start):
    server = start()
    with Hislip(server) as waiting:
        with Hislip(server) as owner:
            assert owner.lock() == 1
            waiting.other.sendall(Frame(Kind.ASYNC_LOCK, 1, 20_000).encode())
        assert waiting.receive(waiting.other) == Frame(Kind.ASYNC_LOCK_RESPONSE, 1)


def test_a_lock_does_not_keep_status_and_device_clear_out(start):
    server = start()
    with Hislip(server) as owner, Hislip(server) as other:
        assert owner.lock() == 1
        assert other.status() == 0
        assert other.aside(Kind.ASYNC_DEVICE_CLEAR).kind == Kind.ASYNC_DEVICE_CLEAR_ACKNOWLEDGE


# -- what is no HiSLIP -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", Fatal.POOR_HEADER),
        (Frame(Kind.DATA_END, 0, 0, b"*IDN?").encode(), Fatal.BAD_INITIALIZATION),
        (Frame(Kind.INITIALIZE, 0, 0, b"hislip9").encode(), Fatal.BAD_INITIALIZATION),
        (Frame(Kind.ASYNC_INITIALIZE, 0, 54321).encode(), Fatal.BAD_INITIALIZATION),
    ],
)
def test_a_wrong_beginning_is_a_fatal_error_and_the_end(shared, frame, code):
    with Hislip(shared, open_both=False) as client:
        client.sync.sendall(frame)
        answer = client.receive(client.sync)
        assert (answer.kind, answer.control) == (Kind.FATAL_ERROR, code)
        assert answer.payload
        assert client.receive(client.sync) is None


def test_a_message_before_both_channels_are_there_is_a_fatal_error(shared):
    with Hislip(shared, open_both=False) as client:
        assert client.talk(Kind.INITIALIZE, 0, 0, b"hislip0").kind == Kind.INITIALIZE_RESPONSE
        answer = client.talk(Kind.DATA_END, 0, 0, b"*IDN?")
        assert (answer.kind, answer.control) == (Kind.FATAL_ERROR, Fatal.ONE_CHANNEL)


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (Frame(27), Mistake.MESSAGE_TYPE),
        (Frame(Kind.ASYNC_STATUS_QUERY), Mistake.MESSAGE_TYPE),  # on the other channel, please
        (Frame(200, 0, 0, b"secret"), Mistake.VENDOR_MESSAGE),
        (Frame(Kind.DATA, 0, 0, b"1" * (MOST_PAYLOAD + 1)), Mistake.TOO_LARGE),
    ],
)
def test_a_message_that_is_not_understood_is_dropped_and_the_session_goes_on(shared, frame, code):
    with Hislip(shared) as client:
        client.sync.sendall(frame.encode())
        answer = client.receive(client.sync)
        assert (answer.kind, answer.control) == (Kind.ERROR, code)
        assert "MODEL 2400" in client.ask("*IDN?")


def test_more_clients_than_there_is_room_for_are_refused(start):
    server = start()
    with contextlib.ExitStack() as stack:
        for _ in range(64):
            stack.enter_context(Hislip(server))
        with Hislip(server, open_both=False) as one_more:
            answer = one_more.talk(Kind.INITIALIZE, 0, 0, b"hislip0")
            assert (answer.kind, answer.control) == (Kind.FATAL_ERROR, Fatal.TOO_MANY_CLIENTS)
    while server.sessions:  # they have gone
        served_well(server)
    assert served_well(server)


def test_what_has_no_effect_here_is_acknowledged_or_named(shared):
    with Hislip(shared) as client:
        local = client.aside(Kind.ASYNC_REMOTE_LOCAL_CONTROL, 2)
        assert local.kind == Kind.ASYNC_REMOTE_LOCAL_RESPONSE
        strange = client.aside(Kind.ASYNC_LOCK, 7)
        assert (strange.kind, strange.control) == (Kind.ERROR, Mistake.CONTROL_CODE)


def test_physics_that_fails_in_between_does_not_stop_the_clock(monkeypatch):
    bench, failed = new_bench(), []
    pause = bench.pause

    def fail_once(seconds):
        if not failed:
            failed.append(seconds)
            raise ArithmeticError("no solution")
        pause(seconds)

    monkeypatch.setattr(bench, "pause", fail_once)
    wall = Wall()
    with running(bench, port=0, hislip_port=0, realtime=1.0, wall=wall):
        while bench.clock.now_s == 0:
            pass
    assert failed


# -- noise on the line -----------------------------------------------------------------------------

FUZZ = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def served_well(server):
    """A good client is served."""
    with Raw(server, "switch") as raw, Hislip(server, "switch") as hislip:
        identity = MODELS["keithley7001"].identity
        return raw.ask("*IDN?") == identity == hislip.ask("*IDN?")


@FUZZ
@given(data=st.binary(max_size=300), name=st.sampled_from(NAMES))
def test_any_bytes_on_a_raw_socket_leave_a_server_that_serves(shared, data, name):
    with Raw(shared, name) as client:
        client.send(data + b"\n")
    assert served_well(shared)


@FUZZ
@given(data=st.binary(max_size=300), prefix=st.sampled_from([b"", b"HS", b"HS\0\0\1\0xx"]))
def test_any_bytes_on_the_hislip_port_leave_a_server_that_serves(shared, data, prefix):
    with Hislip(shared, open_both=False) as client, contextlib.suppress(OSError):
        client.sync.sendall(prefix + data)
    assert served_well(shared)


frames = st.builds(
    Frame,
    kind=st.integers(0, 40) | st.just(200),
    control=st.integers(0, 255),
    parameter=st.integers(0, 2**32 - 1),
    payload=st.binary(max_size=40) | st.sampled_from([b"*IDN?", b":READ?", b"*RST", b""]),
)


@FUZZ
@given(both=st.lists(st.tuples(st.booleans(), frames), max_size=12))
def test_any_messages_in_a_session_leave_a_server_that_serves(shared, both):
    with Hislip(shared) as client, contextlib.suppress(OSError):
        for aside, frame in both:
            (client.other if aside else client.sync).sendall(frame.encode())
    assert served_well(shared)


# -- the command line ------------------------------------------------------------------------------

runner = CliRunner()


@pytest.mark.parametrize("words", [(), ("serve",), ("models",), ("language",)])
def test_every_command_has_help_with_an_example(words):
    result = runner.invoke(app, ["sim", *words, "--help"])
    assert result.exit_code == 0
    assert "Example" in result.output
    assert f"spinloop sim {' '.join(words)}".strip() in result.output


def test_all_models_are_listed():
    result = runner.invoke(app, ["sim", "models"])
    assert all(name in result.output for name in MODELS)


@pytest.mark.parametrize("model", MODELS)
def test_a_models_language_is_printed_with_the_source_of_every_row(model):
    lines = runner.invoke(app, ["sim", "language", model]).output.splitlines()
    rows = [line for line in lines if line.startswith("| `")]
    assert len(rows) == len(MODELS[model].table.rows)
    for line, row in zip(rows, MODELS[model].table.rows, strict=True):
        assert row.header in line
        assert line.endswith(f"| {row.source} |")


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("language", "keithley9"), "keithley2400"),
        (("serve", "--realtime", "0"), "above 0"),
        (("serve", "--port", "65535"), "give a lower --port"),
        (("serve", "none.yaml"), "none.yaml: cannot be read"),
    ],
)
def test_a_mistake_on_the_command_line_is_named(words, why):
    result = runner.invoke(app, ["sim", *words])
    assert result.exit_code == 2
    assert why in " ".join(result.output.split())


def test_serve_prints_the_addresses_and_ctrl_c_ends_it_with_a_sentence():
    flags = {}
    if sys.platform == "win32":  # a console event needs a process group of its own
        flags["creationflags"] = subprocess.CREATE_NEW_PROCESS_GROUP
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "cli", "sim", "serve", "--port", "0", "--hislip-port", "0"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **flags,
    )  # fmt: skip
    try:
        said = ""
        for line in process.stderr:
            said += line
            if "Ctrl-C ends" in line:
                break
        process.send_signal(signal.CTRL_BREAK_EVENT if flags else signal.SIGINT)
        out, rest = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 0, said + rest
    assert out.count("::SOCKET") == 4
    assert out.count("::hislip") == 4
    assert "ended after 0 connections" in rest
    assert "Traceback" not in rest


def test_a_host_that_others_reach_is_warned_of(monkeypatch):
    async def stop(server):
        raise KeyboardInterrupt

    monkeypatch.setattr(BenchServer, "start", stop)
    assert "no password" in runner.invoke(app, ["sim", "serve", "--host", "0.0.0.0"]).output
    assert "no password" not in runner.invoke(app, ["sim", "serve"]).output
