"""The simulated bench as PyVISA sees it, and the file that describes it."""

import contextlib
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
import pyvisa
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pyvisa.constants import StatusCode

from sim_backend.port import MessageBuffer
from sim_backend.truth import TruthError, load_truth
from sim_backend.visa import SpinLoopVisaLibrary, open_bench

ROOT = Path(__file__).parents[1]
ADDRESSES = {"field": 12, "x": 24, "z": 25, "switch": 7}


@pytest.fixture
def manager(request):
    """Makes resource managers, each with a bench of its own unless asked otherwise."""
    with contextlib.ExitStack() as stack:
        made = []

        def make(specification=None):
            if specification is None:
                specification = f"?instance={request.node.name}-{len(made)}"
            made.append(pyvisa.ResourceManager(f"{specification}@spinloop"))
            stack.callback(made[-1].close)
            return made[-1]

        yield make


def demo(**changes):
    """The demonstration bench's file as a dictionary, with changes."""
    text = (ROOT / "sim_backend" / "demo.yaml").read_text(encoding="utf-8")
    return yaml.safe_load(text) | changes


def write_file(folder, data):
    path = folder / "sim.yaml"
    path.write_text(data if isinstance(data, str) else yaml.safe_dump(data), encoding="utf-8")
    return path


def instrument(manager, role):
    return manager.open_resource(f"GPIB0::{ADDRESSES[role]}::INSTR")


# -- resources -------------------------------------------------------------------------------------


def test_the_bench_lists_its_instruments(manager):
    listed = manager().list_resources()
    assert set(listed) == {f"GPIB0::{n}::INSTR" for n in ADDRESSES.values()}
    assert manager().list_resources("GPIB0::2?::INSTR") == ("GPIB0::24::INSTR", "GPIB0::25::INSTR")


@pytest.mark.parametrize("address", ["GPIB0::1::INSTR", "TCPIP0::10.0.0.1::INSTR"])
def test_an_address_that_is_not_there_is_not_found(manager, address):
    with pytest.raises(pyvisa.VisaIOError) as caught:
        manager().open_resource(address)
    assert caught.value.error_code == StatusCode.error_resource_not_found


def test_a_name_that_is_no_resource_name_is_refused(manager):
    library = manager().visalib
    session = library.open_default_resource_manager()[0]
    refused(StatusCode.error_invalid_resource_name, library.open, session, "METER")


@pytest.mark.parametrize("address", ["GPIB0::24::INSTR", "gpib::24", "GPIB::24::INSTR"])
def test_an_address_is_found_in_every_spelling(manager, address):
    assert "MODEL 2400" in manager().open_resource(address).query("*IDN?")


def test_a_closed_session_is_closed(manager):
    meter = instrument(manager(), "x")
    library, session = meter.visalib, meter.session
    meter.close()
    timeout = pyvisa.constants.VI_ATTR_TMO_VALUE
    for call in (
        lambda: library.read_stb(session),
        lambda: library.close(session),
        lambda: library.set_attribute(session, timeout, 1),
    ):
        with pytest.raises(pyvisa.VisaIOError) as caught:
            call()
        assert caught.value.error_code == StatusCode.error_invalid_object


# -- messages --------------------------------------------------------------------------------------


def test_reading_without_a_question_times_out_and_takes_no_bench_time(manager):
    bench = manager()
    meter = instrument(bench, "x")
    meter.timeout = 3_600_000
    before = bench.visalib.bench_time_s()
    with pytest.raises(pyvisa.VisaIOError) as caught:
        meter.read()
    assert caught.value.error_code == StatusCode.error_timeout
    assert bench.visalib.bench_time_s() == before
    assert meter.query(":SYST:ERR?").startswith("-420")


def test_a_reply_comes_in_pieces_of_the_size_asked_for(manager):
    meter = instrument(manager(), "x")
    meter.write("*IDN?")
    pieces = []
    with meter.ignore_warning(StatusCode.success_max_count_read):
        while True:
            data, status = meter.visalib.read(meter.session, 16)
            pieces.append(data)
            if status != StatusCode.success_max_count_read:
                break
    assert status == StatusCode.success
    assert {len(piece) for piece in pieces[:-1]} == {16}
    assert b"".join(pieces).endswith(b"\n")
    assert b"".join(pieces).decode().strip() == meter.query("*IDN?").strip()


@pytest.mark.parametrize("end", ["\r\n", "\n", "\r", ""])
def test_any_terminator_ends_a_message(manager, end):
    meter = instrument(manager(), "x")
    meter.write_termination = end
    meter.write(":SOUR:VOLT 0.1")
    assert float(meter.query(":SOUR:VOLT?")) == 0.1
    assert meter.query(":SYST:ERR?").startswith("0,")


def test_two_messages_in_one_write_are_two(manager):
    meter = instrument(manager(), "x")
    meter.write(":SENS:CURR:NPLC 3\nNPLC 4\n:SOUR:VOLT 0.1")
    assert meter.query(":SYST:ERR?").startswith("-113")
    assert float(meter.query(":SENS:CURR:NPLC?")) == 3
    assert float(meter.query(":SOUR:VOLT?")) == 0.1


def test_serial_poll_and_device_clear_pass(manager):
    meter = instrument(manager(), "x")
    meter.write(":SOUR:VOLT?")
    assert meter.read_stb() == 16
    meter.clear()
    assert meter.read_stb() == 0


def test_binary_values_come_through_pyvisas_own_reader(manager):
    bench = manager()
    meter = instrument(bench, "x")
    meter.write(":SOUR:VOLT 0.02;:OUTP ON;:TRIG:COUN 300;:FORM SRE;:FORM:ELEM VOLT,STAT;:INIT")
    values = meter.query_binary_values(
        ":FETC?", datatype="f", is_big_endian=True, data_points=600, container=np.array
    )
    assert values.shape == (600,)
    np.testing.assert_allclose(values[::2], 0.02, rtol=1e-6)


def test_bench_time_passes_by_messages_and_pauses_only(manager):
    library = manager().visalib
    assert library.bench_time_s() == 0
    library.bench_pause(2.5)
    assert library.bench_time_s() == 2.5


# -- kinds of resources ----------------------------------------------------------------------------

GPIB, USB = "GPIB0::24::INSTR", "USB0::0x05E6::0x2450::04096331::0::INSTR"
HISLIP, VXI11 = "TCPIP0::10.0.0.7::hislip0::INSTR", "TCPIP0::10.0.0.7::inst0::INSTR"
SOCKET, SERIAL = "TCPIP0::10.0.0.7::5025::SOCKET", "ASRL3::INSTR"
KINDS = (GPIB, "GPIB0::24::2::INSTR", USB, HISLIP, VXI11, SOCKET, SERIAL)
ON_A_BUS = (GPIB, USB, HISLIP, VXI11)


@pytest.fixture
def at(manager, tmp_path):
    """Opens the meter x at an address: a bench of its own for each test."""
    opened = {}

    def open_at(address, **options):
        if not opened:
            data = demo()
            data["instruments"]["x"]["address"] = address
            opened["bench"] = manager(str(write_file(tmp_path, data)))
        options = {"read_termination": "\n", "write_termination": "\n"} | options
        return opened["bench"].open_resource(address, **options)

    open_at.opened = opened
    return open_at


def refused(code, call, *arguments):
    with pytest.raises(pyvisa.VisaIOError) as caught:
        call(*arguments)
    assert caught.value.error_code == code, caught.value


@pytest.mark.parametrize("address", KINDS)
def test_an_instrument_answers_at_every_kind_of_address(at, address):
    assert "MODEL 2400" in at(address).query("*IDN?")


@pytest.mark.parametrize("address", KINDS)
def test_a_resource_is_listed_by_its_kind(at, address):
    at(address)
    manager = at.opened["bench"]
    assert address in manager.list_resources("?*")
    assert (address in manager.list_resources()) is address.endswith("INSTR")
    info = manager.list_resources_info("?*")[address]
    assert (info.resource_class, info.resource_name) == (address.split("::")[-1], address)


def attribute(name):
    return getattr(pyvisa.constants.ResourceAttribute, name)


@pytest.mark.parametrize(
    ("address", "values"),
    [
        (GPIB, {"gpib_primary_address": 24, "gpib_secondary_address": 65535}),
        ("GPIB0::24::2::INSTR", {"gpib_secondary_address": 2, "interface_number": 0}),
        (USB, {"manufacturer_id": 0x05E6, "model_code": 0x2450, "usb_serial_number": "04096331"}),
        (HISLIP, {"tcpip_address": "10.0.0.7", "tcpip_is_hislip": True}),
        (VXI11, {"tcpip_device_name": "inst0", "tcpip_is_hislip": False}),
        (SOCKET, {"tcpip_port": 5025, "tcpip_nodelay": True, "tcpip_keepalive": False}),
        (SERIAL, {"asrl_baud_rate": 9600, "interface_number": 3, "asrl_data_bits": 8}),
    ],
)
def test_a_session_has_the_attributes_of_its_kind(at, address, values):
    meter = at(address)
    common = {
        "resource_name": address, "resource_class": address.split("::")[-1], "timeout_value": 2000,
        "max_queue_length": 50, "io_prot": 1, "resource_lock_state": 0, "user_data": 0,
    }  # fmt: skip
    for name, value in (values | common).items():
        assert meter.get_visa_attribute(attribute(name)) == value, name


def test_an_attribute_that_is_not_there_or_not_to_be_set_is_refused(at):
    meter = at(GPIB)
    port = attribute("tcpip_port")
    refused(StatusCode.error_nonsupported_attribute, meter.get_visa_attribute, port)
    refused(StatusCode.error_nonsupported_attribute, meter.set_visa_attribute, port, 1)
    for name, value in (("resource_name", "X"), ("gpib_primary_address", 3)):
        refused(
            StatusCode.error_attribute_read_only, meter.set_visa_attribute, attribute(name), value
        )
    for name, value in (("termchar", 300), ("io_prot", 99), ("timeout_value", -1)):
        refused(
            StatusCode.error_nonsupported_attribute_state,
            meter.set_visa_attribute, attribute(name), value,
        )  # fmt: skip


# -- where a message ends --------------------------------------------------------------------------


@pytest.mark.parametrize("address", [SOCKET, SERIAL])
def test_without_end_a_message_waits_for_its_newline(at, address):
    meter = at(address, write_termination="")
    meter.write(":SOUR:VOLT")
    meter.write(" 0.1")
    assert float(at(address).query(":SOUR:VOLT?")) == 0
    meter.write("\n")
    assert float(at(address).query(":SOUR:VOLT?")) == 0.1


def test_without_send_end_a_message_waits_for_the_byte_that_brings_it(at):
    meter = at(GPIB, write_termination="")
    meter.send_end = False
    meter.write(":SOUR:VO")
    meter.send_end = True
    meter.write("LT 0.1")
    assert float(meter.query(":SOUR:VOLT?")) == 0.1


@pytest.mark.parametrize("address", KINDS)
def test_a_read_stops_at_the_termination_character(at, address):
    meter = at(address)
    meter.read_termination = ";"
    meter.write(":OUTP?;:SOUR:VOLT:MODE?")
    assert meter.visalib.read(meter.session, 100) == (
        b"0;", StatusCode.success_termination_character_read
    )  # fmt: skip
    meter.read_termination = "\n"
    data, status = meter.visalib.read(meter.session, 100)
    assert data == b"FIX\n"
    # END goes before the character where there is one
    ended = address not in (SOCKET, SERIAL)
    assert status == (
        StatusCode.success if ended else StatusCode.success_termination_character_read
    )


def test_with_end_suppressed_a_read_without_the_character_times_out(at):
    meter = at(GPIB)
    meter.set_visa_attribute(attribute("suppress_end_enabled"), True)
    assert meter.query(":OUTP?") == "0"
    meter.read_termination = None
    meter.write(":OUTP?")
    refused(StatusCode.error_timeout, meter.read_raw)


def test_sessions_share_the_instrument_and_not_their_settings(at):
    one, other = at(SOCKET), at(SOCKET)
    one.timeout = 5
    one.write_raw(b":SOUR:VOLT 0.1")
    other.write(":SOUR:VOLT 0.2")
    assert (one.timeout, other.timeout) == (5, 2000)
    assert float(other.query(":SOUR:VOLT?")) == 0.2


@pytest.mark.parametrize("size", range(1, 40, 7))
def test_a_newline_inside_a_block_is_data(at, size):
    coming = MessageBuffer(None, None)
    data = b":A #15\n;\n,\n;:B 1\r\n:C 2\n\n:D #3x\n:E"
    found = []
    for start in range(0, len(data), size):
        found += coming.feed(data[start : start + size])
    assert found == [":A #15\n;\n,\n;:B 1", ":C 2", ":D #3x"]
    assert coming.feed(b" 3", ended=True) == [":E 3"]


@settings(max_examples=60, deadline=None)
@given(
    messages=st.lists(st.text(st.characters(max_codepoint=255, exclude_characters="#\n\r"))),
    size=st.integers(1, 20),
)
def test_messages_are_the_same_however_they_are_cut_on_their_way(messages, size):
    data = "".join(f"{message}\n" for message in messages).encode("latin-1")
    coming = MessageBuffer(None, None)
    found = []
    for start in range(0, len(data), size):
        found += coming.feed(data[start : start + size])
    assert found == [message for message in messages if message]


def test_a_message_that_is_too_long_is_dropped_to_its_end(at):
    meter = at(SOCKET, write_termination="")
    meter.write(":SOUR:VOLT 0.1" + "0" * (1 << 20))
    meter.write("0;:OUTP ON")
    meter.write(";:OUTP ON\n:SENS:CURR:NPLC 2\n:SYST:ERR?;:OUTP?;:SENS:CURR:NPLC?\n")
    error, output, nplc = meter.read().split(";")
    assert error.startswith("-363")
    assert (output, float(nplc)) == ("0", 2)
    assert at(SOCKET).query(":SYST:ERR?").startswith("0,")


# -- the lines of a bus ----------------------------------------------------------------------------


@pytest.mark.parametrize("address", ON_A_BUS)
def test_a_serial_poll_answers_the_request_for_service(at, address):
    meter = at(address)
    meter.write("*SRE 4;NO:SUCH")
    assert [meter.read_stb(), meter.read_stb()] == [0x44, 0x04]
    assert meter.query("*STB?") == "68"  # the summary stands


@pytest.mark.parametrize("address", ON_A_BUS)
def test_a_trigger_releases_a_meter_that_waits_for_the_bus(at, address):
    meter = at(address)
    meter.write(":OUTP ON;:ARM:SOUR BUS;:FORM:ELEM CURR;:INIT")
    meter.assert_trigger()
    assert abs(float(meter.query(":FETC?"))) < 1


@pytest.mark.parametrize("address", [SOCKET, SERIAL])
def test_without_a_bus_there_are_poll_and_trigger_by_488_2_strings_only(at, address):
    meter = at(address)
    refused(StatusCode.error_nonsupported_operation, meter.read_stb)
    refused(StatusCode.error_nonsupported_operation, meter.assert_trigger)
    meter.set_visa_attribute(attribute("io_prot"), pyvisa.constants.IOProtocol.protocol4882_strs)
    assert meter.read_stb() == 0
    meter.assert_trigger()


def test_only_the_trigger_itself_can_be_asserted(at):
    meter = at(GPIB)
    on = pyvisa.constants.TriggerProtocol.on
    refused(StatusCode.error_invalid_protocol, meter.visalib.assert_trigger, meter.session, on)


def test_clearing_a_socket_empties_its_buffers(at):
    meter = at(SOCKET)
    meter.write("*IDN?")
    meter.write_raw(b":SOUR:VO")
    meter.clear()
    refused(StatusCode.error_timeout, meter.read)
    assert meter.query("*OPC?") == "1"


def test_flush_drops_what_its_mask_names(at):
    from pyvisa.constants import BufferOperation

    meter = at(SOCKET)
    meter.write("*IDN?")
    meter.flush(BufferOperation.discard_write_buffer)
    meter.flush(BufferOperation.flush_write_buffer)
    assert "MODEL 2400" in meter.read()
    meter.write("*IDN?")
    meter.flush(BufferOperation.discard_read_buffer)
    refused(StatusCode.error_timeout, meter.read)


# -- locks -----------------------------------------------------------------------------------------


def test_an_exclusive_lock_keeps_other_sessions_out(at):
    owner, other = at(GPIB), at(GPIB)
    owner.lock_excl()
    locked = StatusCode.error_resource_locked
    for call in (other.read, other.read_stb, other.clear, other.assert_trigger, other.lock_excl):
        refused(locked, call)
    refused(locked, other.write, "*IDN?")
    refused(locked, other.lock, 10_000, "key")
    assert other.lock_state == pyvisa.constants.AccessModes.exclusive_lock
    assert "MODEL 2400" in owner.query("*IDN?")
    owner.unlock()
    assert "MODEL 2400" in other.query("*IDN?")
    refused(StatusCode.error_session_not_locked, owner.unlock)


def test_a_shared_lock_is_shared_by_its_key_alone(at):
    one, two, three = at(GPIB), at(GPIB), at(GPIB)
    key = one.lock()
    assert two.lock(requested_key=key) == key
    refused(StatusCode.error_resource_locked, three.lock)
    refused(StatusCode.error_resource_locked, three.write, "*CLS")
    assert "MODEL 2400" in two.query("*IDN?")
    two.lock_excl()  # on top of the shared one
    refused(StatusCode.error_resource_locked, one.write, "*CLS")
    two.unlock()
    one.write("*CLS")
    for session in (one, two):
        session.unlock()
    three.write("*CLS")


def test_locks_nest_and_a_closed_session_has_none(at):
    owner, other = at(GPIB), at(GPIB)
    lock, handle = owner.visalib.lock, owner.session
    exclusive = pyvisa.constants.Lock.exclusive
    assert lock(handle, exclusive, 0)[1] == StatusCode.success
    assert lock(handle, exclusive, 0)[1] == StatusCode.success_nested_exclusive
    assert owner.visalib.unlock(handle) == StatusCode.success_nested_exclusive
    refused(StatusCode.error_resource_locked, other.write, "*CLS")
    owner.close()
    other.write("*CLS")


def test_a_resource_can_be_locked_as_it_is_opened(at):
    exclusive = pyvisa.constants.AccessModes.exclusive_lock
    owner = at(GPIB, access_mode=exclusive)
    refused(StatusCode.error_resource_locked, at(GPIB).write, "*CLS")
    refused(
        StatusCode.error_resource_locked,
        owner.visalib.open, at.opened["bench"].session, GPIB, exclusive,
    )  # fmt: skip


# -- requests for service --------------------------------------------------------------------------

SRQ = pyvisa.constants.EventType.service_request
QUEUE, HANDLER = pyvisa.constants.EventMechanism.queue, pyvisa.constants.EventMechanism.handler
SUSPEND = pyvisa.constants.EventMechanism.suspend_handler


def test_a_request_for_service_is_queued_and_waited_for(at):
    meter = at(GPIB)
    refused(StatusCode.error_not_enabled, meter.wait_on_event, SRQ, 0)
    meter.enable_event(SRQ, QUEUE)
    assert meter.wait_on_event(SRQ, 0, capture_timeout=True).timed_out
    meter.write("*SRE 4;NO:SUCH")
    response = meter.wait_on_event(SRQ, 0)
    assert not response.timed_out
    assert response.event.event_type == SRQ
    assert meter.wait_on_event(SRQ, 0, capture_timeout=True).timed_out


def test_waiting_for_an_event_takes_the_bench_to_it(manager):
    bench = manager()
    source = instrument(bench, "field")
    source.write(":SOUR:SWE:SPAC LIST;:SOUR:LIST:CURR 0.001,0.002;:SOUR:LIST:DEL 0.5,0.5")
    source.write(":SOUR:LIST:COMP 10,10;:STAT:OPER:ENAB 2;*SRE 128;:SOUR:SWE:ARM")
    source.enable_event(SRQ, QUEUE)
    source.write(":INIT")
    assert not source.wait_on_event(SRQ, 3000).timed_out
    assert 1.0 < bench.visalib.bench_time_s() < 1.1
    assert source.read_stb() & 0xC0 == 0xC0


def test_waiting_in_real_time_ends_with_the_event(manager, monkeypatch):
    bench = manager("?instance=srq-in-real-time&realtime=1")
    waited = []
    monkeypatch.setattr(bench.visalib.bench.clock, "wait_wall", waited.append)
    source = instrument(bench, "field")
    source.write(":SOUR:SWE:SPAC LIST;:SOUR:LIST:CURR 0.001;:SOUR:LIST:DEL 0.5")
    source.write(":SOUR:LIST:COMP 10;:STAT:OPER:ENAB 2;*SRE 128;:SOUR:SWE:ARM")
    source.enable_event(SRQ, QUEUE)
    source.write(":INIT")
    assert not source.wait_on_event(SRQ, 60_000).timed_out
    assert 0.4 < sum(waited) < 0.6


def test_waiting_in_vain_takes_the_time_that_it_was_given(at):
    meter = at(GPIB)
    meter.enable_event(SRQ, QUEUE)
    before = meter.visalib.bench_time_s()
    assert meter.wait_on_event(SRQ, 250, capture_timeout=True).timed_out
    assert meter.visalib.bench_time_s() == pytest.approx(before + 0.25)
    assert meter.wait_on_event(SRQ, None, capture_timeout=True).timed_out


def test_a_handler_is_called_after_the_message_and_may_talk_itself(at):
    meter = at(GPIB)
    heard = []

    def on_request(session, event_type, event, user_handle):
        kind = meter.visalib.get_attribute(event, pyvisa.constants.EventAttribute.event_type)[0]
        heard.append((session, event_type, kind, user_handle, meter.query(":SYST:ERR?")))

    refused(StatusCode.error_handler_not_installed, meter.enable_event, SRQ, HANDLER)
    handle = meter.install_handler(SRQ, on_request, "mine")
    meter.enable_event(SRQ, HANDLER)
    meter.write("*SRE 4;NO:SUCH")
    assert [entry[:4] for entry in heard] == [(meter.session, SRQ, SRQ, "mine")]
    assert heard[0][4].startswith("-113")
    meter.uninstall_handler(SRQ, on_request, handle)
    meter.write("NO:SUCH")
    assert len(heard) == 1


def test_a_suspended_handler_is_called_when_it_is_enabled_again(at):
    meter = at(GPIB)
    heard = []
    meter.install_handler(SRQ, lambda *_: heard.append(meter.read_stb()))
    meter.enable_event(SRQ, SUSPEND)
    meter.write("*SRE 4;NO:SUCH")
    assert heard == []
    meter.enable_event(SRQ, HANDLER)
    assert heard == [0x44]
    meter.enable_event(SRQ, SUSPEND)
    meter.write("*CLS")
    meter.write("NO:SUCH")
    assert heard == [0x44]


def test_events_that_are_discarded_or_disabled_are_not_told(at):
    meter = at(GPIB)
    library, handle = meter.visalib, meter.session
    assert library.enable_event(handle, SRQ, QUEUE) == StatusCode.success
    assert library.enable_event(handle, SRQ, QUEUE) == StatusCode.success_event_already_enabled
    meter.write("*SRE 4;NO:SUCH")
    assert library.discard_events(handle, SRQ, QUEUE) == StatusCode.success
    assert library.discard_events(handle, SRQ, QUEUE) == StatusCode.success_queue_already_empty
    assert meter.wait_on_event(SRQ, 0, capture_timeout=True).timed_out
    assert library.disable_event(handle, SRQ, QUEUE) == StatusCode.success
    assert library.disable_event(handle, SRQ, QUEUE) == StatusCode.success_event_already_disabled


@pytest.mark.parametrize("address", [SOCKET, SERIAL])
def test_without_a_bus_nobody_requests_service(at, address):
    refused(StatusCode.error_invalid_event, at(address).enable_event, SRQ, QUEUE)


def test_no_other_event_is_known(at):
    clear = pyvisa.constants.EventType.clear
    refused(StatusCode.error_invalid_event, at(GPIB).enable_event, clear, QUEUE)


# -- benches ---------------------------------------------------------------------------------------


def test_the_demonstration_bench_is_what_the_bare_name_gives(manager):
    bare = manager("")
    assert bare.visalib.bench.truth == load_truth(None)
    assert set(bare.list_resources()) == set(manager().list_resources())


def test_a_file_is_opened_by_its_path(manager, tmp_path):
    path = write_file(tmp_path, demo(seed=11))
    bench = manager(f"{path}?physics=llg&realtime=2").visalib.bench
    assert (bench.truth.seed, bench.truth.physics, bench.clock.realtime) == (11, "llg", 2.0)
    assert manager(f"{path}?seed=12").visalib.bench.truth.seed == 12


def test_an_instance_name_is_a_bench_of_its_own_and_one_name_is_shared(manager):
    one, same, other = (manager(f"?instance={n}") for n in ("visa-1", "visa-1", "visa-2"))
    instrument(one, "x").write(":SOUR:VOLT 0.1")
    assert float(instrument(same, "x").query(":SOUR:VOLT?")) == 0.1
    assert float(instrument(other, "x").query(":SOUR:VOLT?")) == 0


def test_the_example_of_a_simulator_file_is_the_demonstration_bench():
    assert load_truth(ROOT / "examples" / "iris" / "sim.yaml") == load_truth(None)


def test_pymeasures_own_driver_reads_a_junction(manager):
    from pymeasure.instruments.keithley import Keithley2400

    bench = manager()
    instrument(bench, "switch").write(":CLOS (@1!1,1!21)")
    meter = Keithley2400("GPIB0::24::INSTR", visa_library=bench.visalib)
    meter.source_mode = "voltage"
    meter.source_voltage = 0.02
    meter.source_enabled = True
    assert meter.current == pytest.approx(0.02 / 13.3e3, rel=0.3)
    assert meter.check_errors() == []
    meter.adapter.close()


# -- one sentence for each mistake -----------------------------------------------------------------


def refusal(specification):
    with pytest.raises(TruthError) as caught:
        open_bench(str(specification))
    sentence = str(caught.value)
    assert "\n" not in sentence
    return sentence


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("sed=3", ["'sed'", "instance, physics, realtime, seed"]),
        ("seed=three", ["seed='three'"]),
        ("seed=-1", ["seed: -1 is out of range; it must be at least 0"]),
        ("realtime=fast", ["realtime='fast'"]),
        ("realtime=0", ["realtime=0", "above 0"]),
        ("realtime=-2", ["realtime=-2", "above 0"]),
        ("realtime=nan", ["realtime=nan"]),
        ("realtime=inf", ["realtime=inf"]),
        ("physics=magic", ["physics: 'magic' is not one of 'equilibrium', 'wells' or 'llg'"]),
    ],
)
def test_a_wrong_option_is_named_in_one_sentence(options, words):
    sentence = refusal(f"?{options}")
    assert all(word in sentence for word in words)


def changed(path, value):
    """The demonstration bench with one place changed; None takes it away."""
    data = demo()
    *way, last = path
    at = data
    for key in way:
        at = at[key]
    if value is None:
        del at[last]
    else:
        at[last] = value
    return data


MISTAKES = {
    "junctions.layer.k_t": (
        ("junctions", "layer", "k_t"),
        -20,
        "-20 T is out of range; it must be",
    ),
    "junctions.layer.hz_t": (("junctions", "layer", "hz_t"), "1 mT", "write a valid number in T"),
    "junctions.layer.alpha": (("junctions", "layer", "alpha"), 0, "0 is out of range"),
    "read_noise_a": (("read_noise_a",), "3 nA", "'3 nA' is not a number; write it in SI units"),
    "junctions.z": (("junctions", "z"), 3, "3 is not a group of keys"),
    "seed": (("seed",), "one", "'one' is not a whole number"),
    "junctions.layer.kt": (("junctions", "layer", "kt"), 1, "there is no such key"),
    "junctions.x.tmr": (("junctions", "x", "tmr"), "high", "valid number"),
    "junctions.channels": (("junctions", "channels"), None, "required"),
    "junctions.channels.J2.z": (("junctions", "channels", "J2", "z"), "1-12", "'1-12' is no relay"),
    "junctions.channels.J3.x": (("junctions", "channels", "J3", "x"), "1!41", "'1!41' is no relay"),
    "instruments.x.address": (("instruments", "x", "address"), "GPIB0", "no VISA address"),
    "instruments.z.model": (("instruments", "z", "model"), "keithley9", "keithley2400"),
    "instruments.z": (("instruments", "z", "address"), "GPIB::24::INSTR", "given twice"),
    "meter_x": (("meter_x",), "y", "no keithley2400 named 'y'"),
    "meter_z": (("meter_z",), "x", "is meter_x already"),
    "switch": (("switch",), "field", "no keithley7001 named 'field'"),
    "field_source": (("instruments", "field"), None, "no keithley6221 named 'field'"),
    "line_hz": (("line_hz",), 55, "50 or 60"),
}


@pytest.mark.parametrize("key", MISTAKES)
def test_a_mistake_in_the_file_is_one_sentence_with_file_and_key(tmp_path, key):
    path, value, why = MISTAKES[key]
    file = write_file(tmp_path, changed(path, value))
    sentence = refusal(file)
    assert sentence.startswith(f"{file}: {key}: ")
    assert why in sentence


@pytest.mark.parametrize(
    ("content", "why"),
    [("a: [1", "not a YAML file"), ("", "expected keys"), ("- 1", "expected keys")],
)
def test_a_file_that_is_no_description_says_so(tmp_path, content, why):
    file = write_file(tmp_path, content)
    assert refusal(file).startswith(f"{file}: {why}")


def test_a_missing_file_says_so(tmp_path):
    file = tmp_path / "none.yaml"
    assert refusal(file) == f"{file}: cannot be read (No such file or directory)"


def test_pyvisa_passes_the_sentence_on(tmp_path):
    with pytest.raises(ValueError, match="no option 'sed'"):
        pyvisa.ResourceManager("?sed=3@spinloop")


def test_the_library_says_what_it_is():
    assert "simulated bench" in SpinLoopVisaLibrary.get_debug_info()["Version"]


def test_a_layer_without_a_bias_is_refused_where_the_physics_needs_one(tmp_path):
    file = write_file(tmp_path, changed(("junctions", "layer", "hz_t"), 0))
    sentence = refusal(file)
    assert sentence.startswith(f"{file}: junctions.layer.hz_t: 0 T is out of range; physics: equi")


def test_a_program_that_polls_a_status_waits_for_the_end_of_what_runs():
    """Unmodified drivers know nothing of the bench's own time: they look until they see it."""
    import itertools

    import pyvisa

    def run(keeps_time):
        manager = pyvisa.ResourceManager(f"?instance=polls{keeps_time}@spinloop")
        library = manager.visalib
        meter = manager.open_resource("GPIB0::24::INSTR")
        meter.write(":OUTP ON;:TRIG:COUN 50;:SENS:CURR:NPLC 1;:STAT:MEAS:ENAB 512")
        meter.write("*CLS;:TRAC:POIN 50;:TRAC:FEED:CONT NEXT;:INIT")
        if keeps_time:
            library.bench_time_s()
        for looks in itertools.count(1):
            if int(meter.query("*STB?")) & 1 or looks == 20:
                break
        polls = 1
        while not meter.read_stb() & 1 and polls < 20:
            polls += 1
        manager.close()
        return looks, polls

    assert run(keeps_time=False) == (2, 1)
    assert run(keeps_time=True) == (20, 20)  # to look changes nothing for who keeps the time


@pytest.mark.parametrize(
    ("model", "start", "question", "ended"),
    [
        ("keithley2400", (":TRAC:POIN 9;:TRAC:FEED:CONT NEXT;:TRIG:COUN 9;:OUTP ON;:INIT",),
         "TRACE:POINTS:ACTUAL?", "9"),
        ("keithley2450", (":SOUR:SWE:VOLT:LIN 0, 1, 9, 0.01", ":INIT"),
         ':TRAC:ACT? "defbuffer1"', "9"),
        ("keithley2450", (":SOUR:SWE:VOLT:LIN 0, 1, 9, 0.01", ":INIT"), ":TRIG:STAT?", "IDLE"),
    ],
)  # fmt: skip
def test_a_program_that_asks_again_for_the_buffer_or_the_trigger_model_waits_too(
    manager, tmp_path, model, start, question, ended
):
    data = demo()
    data["instruments"]["one"] = {"model": model, "address": "GPIB0::30::INSTR"}
    meter = manager(write_file(tmp_path, data)).open_resource("GPIB0::30::INSTR")
    for message in start:
        meter.write(message)
    assert not meter.query(question).startswith(ended)  # it runs
    assert meter.query(question).startswith(ended)


def test_whoever_watches_the_clock_never_sees_it_stand_where_it_has_been(manager):
    """While readings that were due are taken, the clock stands at each of them in turn."""
    opened = manager()
    library, bench = opened.visalib, opened.visalib.bench
    meter, other = instrument(opened, "x"), instrument(opened, "switch")
    seen, watchers = [], []
    record = bench.by_name["x"].record

    def watched(*args):
        watchers.append(Thread(target=lambda: seen.append(library.bench_time_s())))
        watchers[-1].start()
        watchers[-1].join(0.05)  # time enough for who need not wait
        record(*args)

    bench.by_name["x"].record = watched
    meter.write(":OUTP ON;:SOUR:CLE:AUTO ON;:INIT")
    with bench.lock:
        bench.clock.advance(10.0)
        other.write(":OPEN ALL")
        now_s = bench.clock.now_s
    for watcher in watchers:
        watcher.join()
    assert len(seen) == 1 and seen[0] >= now_s
