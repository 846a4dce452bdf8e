"""Status of the simulated instruments: registers, service requests, queues, pending operations."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim_backend.bench import SimBench
from sim_backend.instrument import COMMON_ROWS, SimInstrument
from sim_backend.scpi import Number, ScpiError, Table, command, query, setting
from sim_backend.scpi_status import TRANSITION_ROWS, Register
from sim_backend.truth import load_truth

OPC, QYE, DDE, EXE, CME, PON = 1, 4, 8, 16, 32, 128
MSB, EAV, QSB, MAV, ESB, RQS, OSB = 1, 4, 8, 16, 32, 64, 128
NO_ERROR = '0,"No error"'


class Toy(SimInstrument):
    """An instrument whose operation goes on until it is told that it is over."""

    identity = "TOY"
    table = Table(
        [
            *COMMON_ROWS,
            *TRANSITION_ROWS,
            setting("level", ":LEVel", Number(-10, 10), 0.0, "here"),
            setting("output", ":OUTPut", Number(0, 1), 0.0, "here"),
            command(":GO", "go", "here"),
            command(":STOP", "abort", "here", while_busy=True),
            query(":LONG", "ask_long", "here"),
            query(":BOOM", "ask_boom", "here"),
        ]
    )
    running = blocking = False

    @property
    def pending(self):
        return self.running

    @property
    def busy(self):
        return self.blocking

    def go(self):
        self.running = True

    def abort(self):
        self.running = self.blocking = False

    def ask_long(self):
        return b"x" * 40_000

    def ask_boom(self):
        raise ScpiError(803)


class Strange(Toy):
    """One whose errors have other numbers and texts, and whose queue is short."""

    error_numbers = {-113: 102, -222: 103}  # noqa: RUF012
    error_texts = {102: "What?", -350: "Enough"}  # noqa: RUF012
    error_places = 2


class Talk:
    """An instrument without a bench: ``talk(message)`` sends and reads a reply if there is one."""

    def __init__(self, kind=Toy):
        self.it = kind("toy", None)
        self.requests = []
        self.it.listeners.append(lambda who: self.requests.append(who._summary()))

    def send(self, message):
        self.it.receive(*self.it.units(message))

    def read(self):
        return self.it.take(10**6)[0].decode("latin-1").removesuffix("\n")

    def __call__(self, message):
        self.send(message)
        return self.read()

    def over(self):
        """The operation is over, and the bench lets its instruments work."""
        self.it.running = self.it.blocking = False
        self.it.work()


@pytest.fixture
def toy():
    talk = Talk()
    talk("*CLS")
    return talk


# -- service request ------------------------------------------------------------------------------


def test_a_serial_poll_clears_the_request_and_a_question_does_not(toy):
    """IEEE 488.2 section 11.2.2: RQS is in the poll, MSS in ``*STB?``."""
    toy("*SRE 4;:FOO")
    assert toy("*STB?") == toy("*STB?") == str(EAV | RQS)
    assert toy.it.serial_poll() == EAV | RQS
    assert toy.it.serial_poll() == EAV
    assert toy("*STB?") == str(EAV | RQS)
    assert toy.it.status_byte() == EAV | RQS


def test_service_is_requested_once_until_it_is_polled(toy):
    toy("*SRE 4;:FOO")
    assert toy.requests == [EAV]
    toy(":FOO")
    assert toy.requests == [EAV]
    toy.it.serial_poll()
    toy(":FOO")  # the reason is the same one
    assert toy.requests == [EAV]
    toy("*CLS")
    toy(":FOO")
    assert toy.requests == [EAV, EAV]


def test_a_new_reason_requests_service_again_after_a_poll(toy):
    toy("*SRE 20;:FOO")
    toy.it.serial_poll()
    toy.send(":LEV?")
    assert toy.requests == [EAV, EAV | MAV]
    assert toy.it.serial_poll() == EAV | MAV | RQS


def test_a_request_ends_with_its_last_reason(toy):
    toy("*SRE 4;:FOO")
    assert toy(":SYST:ERR?").startswith("-113")
    assert toy.it.serial_poll() == 0


@pytest.mark.parametrize(
    ("enable", "do", "summary"),
    [
        ("*SRE 4", lambda it: it.put_error(ScpiError(-222)), EAV),
        ("*SRE 16", lambda it: setattr(it, "output", b"1\n"), MAV),
        ("*SRE 32;*ESE 8", lambda it: setattr(it, "event_status", DDE), ESB),
        ("*SRE 1;:STAT:MEAS:ENAB 512", lambda it: setattr(it, "measurement_event", 512), MSB),
        ("*SRE 128;:STAT:OPER:ENAB 2", lambda it: setattr(it, "operation_event", 6), OSB),
        ("*SRE 8;:STAT:QUES:ENAB 256", lambda it: setattr(it, "questionable_event", 256), QSB),
        ("*SRE 128;:STAT:OPER:ENAB 8", lambda it: it.set_condition("operation", 8, True), OSB),
    ],
)
def test_every_bit_of_the_status_byte_may_request_service(toy, enable, do, summary):
    do(toy.it)
    assert toy.requests == []
    toy.it.power_cycle()
    toy("*CLS;" + enable)
    do(toy.it)
    assert toy.requests == [summary] or toy.requests == [summary | EAV]
    assert toy.it.serial_poll() & (summary | RQS) == summary | RQS


def test_enabling_what_is_already_there_requests_service(toy):
    toy(":FOO")
    toy("*ESE 32;*SRE 32")
    assert toy.requests == [EAV | ESB]


def test_bit_6_of_the_enable_register_is_always_zero(toy):
    assert toy("*SRE 255;*SRE?") == "191"


def test_all_listeners_are_told_and_may_leave_while_they_are(toy):
    told = []

    def once(who):
        told.append(who.name)
        who.listeners.remove(once)

    toy.it.listeners.insert(0, once)
    toy("*SRE 4;:FOO;*CLS")
    toy("*CLS;:FOO")
    assert told == ["toy"]
    assert len(toy.requests) == 2


MESSAGES = ["*SRE 255", "*SRE 0", "*SRE 20", "*ESE 255", "*ESE 0", ":FOO", "*CLS", "*OPC", ":LEV 1",
            ":LEV?", "*STB?", "*ESR?", ":SYST:ERR?", ":LEV 99", "*RST", ":STAT:PRES", ":GO",
            "*OPC?", "*WAI", ":STAT:OPER?", ":STAT:OPER:ENAB 8"]  # fmt: skip


@given(st.lists(st.sampled_from([*MESSAGES, "read", "poll", "over", "clear", "condition"])))
@settings(max_examples=150)
def test_a_request_has_a_reason_and_is_told_exactly_once(actions):
    toy = Talk()
    told = polled = 0
    for action in actions:
        if action == "read":
            toy.read()
        elif action == "over":
            toy.over()
        elif action == "clear":
            toy.it.device_clear()
        elif action == "condition":
            toy.it.set_condition("operation", 8, not toy.it.registers["operation"].condition)
        elif action == "poll":
            polled += bool(toy.it.serial_poll() & RQS)
            assert not toy.it.serial_poll() & RQS
        else:
            toy.send(action)
        byte = toy.it.status_byte()
        enabled = toy.it.state["sre"]
        assert bool(byte & RQS) == bool(byte & enabled & ~RQS)
        told = len(toy.requests)
        assert polled <= told
    pending = bool(toy.it.serial_poll() & RQS)
    assert polled + pending <= told
    assert not pending or toy.it.status_byte() & RQS


def test_a_full_buffer_requests_service_of_the_bench():
    bench = SimBench(load_truth(None))
    meter, told = bench.by_name["x"], []
    meter.listeners.append(lambda who: told.append((who.name, bench.clock.now_s)))
    bench.write(meter, "*SRE 1;:STAT:MEAS:ENAB 512;:TRAC:POIN 4;FEED:CONT NEXT;:TRIG:COUN 4")
    bench.write(meter, ":OUTP ON;:INIT")
    assert told == []
    bench.pause(0)
    assert told == [("x", bench.clock.now_s)]
    assert meter.serial_poll() == MSB | RQS
    assert meter.serial_poll() == MSB


# -- registers ------------------------------------------------------------------------------------


def test_power_on_is_an_event_and_nothing_is_enabled():
    toy = Talk()
    assert toy("*ESR?;*SRE?;*ESE?;:STAT:OPER:ENAB?") == f"{PON};0;0;0"
    assert toy("*ESR?") == "0"


def test_a_power_cycle_forgets_all_but_what_was_saved(toy):
    toy("*SRE 4;*ESE 1;:LEV 3;*SAV 1;:FOO")
    toy.send(":LEV?")
    toy.it.power_cycle()
    assert toy("*ESR?;*STB?;*SRE?;*ESE?;:LEV?") == f"{PON};0;0;0;+0.000000E+00"
    assert toy("*RCL 1;:LEV?") == "+3.000000E+00"


@pytest.mark.parametrize("node", ["MEASurement", "OPERation", "QUEStionable"])
def test_a_condition_stays_and_its_event_is_read_once(toy, node):
    group = node.lower()
    toy.it.set_condition(group, 1 << 10 | 1, True)
    toy.it.set_condition(group, 1, False)
    assert toy(f":STAT:{node}:COND?") == toy(f":STAT:{node}:COND?") == "1024"
    assert toy(f":STAT:{node}?") == "1025"
    assert toy(f":STAT:{node}:EVEN?") == "0"
    toy.it.set_condition(group, 1 << 10, True)  # as before: no edge
    assert toy(f":STAT:{node}?") == "0"


def test_transition_filters_choose_the_edges(toy):
    toy(":STAT:OPER:PTR 2;NTR 4")
    for on in (True, False):
        toy.it.set_condition("operation", 7, on)
    assert toy(":STAT:OPER?") == "6"
    assert toy(":STAT:PRES;OPER:PTR?;NTR?") == "32767;0"


def test_a_register_keeps_events_that_were_there():
    register = Register(condition=1, event=8)
    register.set_condition(2, rising=2, falling=1)
    assert (register.condition, register.event) == (2, 11)


def test_reset_leaves_status_and_queues(toy):
    toy("*SRE 4;*ESE 32;:STAT:OPER:ENAB 8;:FOO")
    toy.it.set_condition("operation", 8, True)
    toy("*RST")
    assert toy("*SRE?;*ESE?;*ESR?;:STAT:OPER?") == f"4;32;{CME};8"
    assert toy(":SYST:ERR?") == '-113,"Undefined header"'


def test_clear_status_forgets_events_errors_and_operation_complete(toy):
    toy(":GO;*OPC;:FOO")
    toy.it.questionable_event = 256
    toy("*CLS")
    toy.over()
    assert toy("*ESR?;:STAT:QUES?;:SYST:ERR:COUN?") == "0;0;0"


@pytest.mark.parametrize(
    ("number", "bit"),
    [(-101, CME), (-222, EXE), (-350, DDE), (-363, DDE), (-410, QYE), (803, EXE), (500, DDE),
     (900, DDE)],
)  # fmt: skip
def test_an_error_sets_the_bit_of_its_class(toy, number, bit):
    toy.it.put_error(ScpiError(number))
    assert int(toy("*ESR?")) == bit


# -- error queue ----------------------------------------------------------------------------------


def test_the_error_queue_is_read_one_by_one_or_whole(toy):
    toy.send(":FOO")
    toy.send(":LEV 99")
    toy.send("*ESE")
    assert toy(":SYST:ERR:COUN?") == "3"
    assert toy(":STAT:QUE?") == '-113,"Undefined header"'
    assert toy(":SYST:ERR:CODE?") == "-222"
    assert toy(":SYST:ERR:ALL?;ALL?") == f'-109,"Missing parameter";{NO_ERROR}'
    assert toy(":SYST:ERR?;ERR:CODE:ALL?") == f"{NO_ERROR};0"


@pytest.mark.parametrize("message", [":SYST:CLE", ":STAT:QUE:CLE", "*CLS"])
def test_the_error_queue_is_cleared(toy, message):
    toy("*SRE 4;:FOO")
    toy(message)
    assert toy(":SYST:ERR:COUN?;:SYST:ERR?") == f"0;{NO_ERROR}"
    assert toy.it.serial_poll() == 0


def test_the_last_of_ten_places_tells_of_the_overflow(toy):
    for _ in range(12):
        toy(":FOO")
    codes = toy(":SYST:ERR:CODE:ALL?")
    assert codes == ",".join(9 * ["-113"] + ["-350"])
    assert int(toy("*ESR?")) == CME | DDE


def test_a_model_may_have_numbers_texts_and_places_of_its_own():
    toy = Talk(Strange)
    toy(":FOO")
    assert toy(":SYST:ERR?") == '+102,"What?"'
    for message in (":LEV 99", ":FOO", ":FOO"):
        toy(message)
    assert toy(":SYST:ERR:ALL?") == '+103,"Device error",-350,"Enough"'


# -- output queue ---------------------------------------------------------------------------------


def test_a_reply_may_be_read_in_pieces(toy):
    toy.send("*IDN?;:LEV?")
    assert toy.it.take(2) == (b"TO", True)
    assert toy.it.status_byte() & MAV
    assert toy.it.take(100) == (b"Y;+0.000000E+00\n", False)
    assert not toy.it.status_byte() & MAV


@pytest.mark.parametrize("message", [":LEV 1", "*IDN?", ":FOO"])
def test_a_message_before_the_whole_reply_is_read_interrupts_it(toy, message):
    toy.send("*IDN?")
    toy.it.take(2)
    reply = toy(message)
    assert reply == ("TOY" if message == "*IDN?" else "")
    assert toy(":SYST:ERR:CODE:ALL?").startswith("-410")
    assert int(toy("*ESR?")) & QYE


def test_reading_without_a_question_is_an_error_of_the_bench():
    bench = SimBench(load_truth(None))
    meter = bench.by_name["x"]
    assert bench.take(meter, 100) is None
    assert list(meter.errors) == ['-420,"Query UNTERMINATED"']


def test_an_empty_message_interrupts_nothing(toy):
    toy.send("*IDN?")
    toy.send(" ;; ")
    assert toy.read() == "TOY"
    assert toy(":SYST:ERR?") == NO_ERROR


def test_both_buffers_full_is_a_deadlock_and_the_rest_acts(toy):
    """IEEE 488.2 section 6.3.1.7."""
    rest = ";".join([":LEV 1"] * 1000)
    assert toy(f":LONG?;:LONG?;{rest};:LEV 2") == ""
    assert toy(":SYST:ERR:CODE:ALL?;:LEV?") == "-430;+2.000000E+00"
    assert len(toy(":LONG?;:LONG?;:LEV?")) == 80_015
    assert toy(":SYST:ERR?") == NO_ERROR


def test_a_message_that_is_too_long_is_not_taken(toy):
    toy(":LEV 1;" + " " * (1 << 20))
    assert toy(":SYST:ERR?;:LEV?") == '-363,"Input buffer overrun";+0.000000E+00'


def test_device_clear_empties_the_buffers_and_leaves_status_and_settings(toy):
    toy("*SRE 4;:LEV 3;:FOO")
    toy.it.blocking = True
    toy.send(":LEV 4;:LEV?")
    assert toy.it.inbox
    toy.it.device_clear()
    assert not toy.it.inbox
    assert not toy.it.busy
    assert toy.it.serial_poll() == EAV | RQS
    assert toy(":SYST:ERR:CODE?;:LEV?") == "-113;+3.000000E+00"


def test_an_error_in_a_message_keeps_the_replies_before_it(toy):
    assert toy(":LEV?;:BOOM?;:LEV?") == "+0.000000E+00"
    assert toy(":SYST:ERR?") == '+803,"Not permitted with OUTPUT off"'


# -- pending operations ---------------------------------------------------------------------------


def test_operation_complete_comes_when_nothing_is_pending(toy):
    toy("*ESE 1;*SRE 32;:GO;*OPC;:LEV 2")
    assert toy("*ESR?;:LEV?") == "0;+2.000000E+00"
    assert toy.requests == []
    toy.over()
    assert toy.requests == [ESB]
    assert toy("*ESR?") == str(OPC)
    toy("*OPC")
    assert toy("*ESR?") == str(OPC)


def test_the_status_byte_knows_at_once_that_an_operation_is_over(toy):
    toy("*ESE 1;*SRE 32;:GO;*OPC")
    toy.it.running = False  # the bench has not let it work yet
    assert toy.it.serial_poll() == ESB | RQS
    assert toy.requests == [ESB]


def test_the_question_is_answered_when_nothing_is_pending(toy):
    toy.send(":GO;*OPC?;:LEV 2")
    assert toy.read() == ""
    assert toy.it.state["level"] == 0
    toy.over()
    assert toy.read() == "1"
    assert toy("*OPC?;:LEV?") == "1;+2.000000E+00"


def test_wait_holds_what_comes_after_it_in_this_message_and_later_ones(toy):
    toy.send(":LEV 1;:GO;*WAI;:LEV 2")
    toy.send(":LEV 3;:LEV?")
    assert toy.it.state["level"] == 1
    toy.over()
    assert toy.read() == "+3.000000E+00"


def test_abort_goes_ahead_of_what_waits_and_ends_the_wait(toy):
    toy.send(":GO;*WAI;:LEV 2;*OPC?")
    assert toy(":STOP") == "1"
    assert toy.it.state["level"] == 2


@pytest.mark.parametrize("end", ["*RST", "*CLS", "clear"])
def test_reset_clear_status_and_device_clear_forget_operation_complete(toy, end):
    toy(":GO;*OPC")
    toy.it.device_clear() if end == "clear" else toy(end)
    toy.over()
    assert toy("*ESR?") == "0"


def test_inside_its_trigger_model_an_instrument_obeys_only_what_its_rows_say(toy):
    toy.it.blocking = True
    toy.send(":LEV 2;*OPC")
    assert (toy.it.state["level"], toy.it.event_status) == (0, 0)
    toy.send(":STOP;:LEV 3")
    assert toy("*ESR?;:LEV?") == "1;+3.000000E+00"


def test_a_2400_completes_its_operation_when_its_trigger_model_is_idle():
    """2400 manual p. 16-3."""
    bench = SimBench(load_truth(None))
    meter = bench.by_name["x"]
    for message in ("*CLS;*ESE 1;*SRE 48;:OUTP ON;:ARM:SOUR BUS;:INIT;*OPC", "*OPC?"):
        bench.write(meter, message)
    assert meter.serial_poll() == 0
    bench.write(meter, "*TRG")
    assert meter.serial_poll() == 0
    bench.pause(0)
    assert meter.serial_poll() == ESB | MAV | RQS
    assert bench.take(meter, 10) == (b"1\n", False)


# -- setups ---------------------------------------------------------------------------------------


def test_setups_are_saved_and_recalled_with_the_output_off(toy):
    toy(":LEV 1;:OUTP 1;*SAV 0;:LEV 2;*SAV 4;:LEV 3;*ESE 5")
    assert toy("*RCL 0;:LEV?;:OUTP?;*ESE?") == "+1.000000E+00;+0.000000E+00;5"
    assert toy("*RCL 4;:LEV?;*RCL 1;:LEV?") == "+2.000000E+00;+0.000000E+00"
    assert toy("*SAV 5") == ""
    assert toy(":SYST:ERR:CODE?") == "-222"


def test_recall_leaves_the_trigger_model():
    bench = SimBench(load_truth(None))
    meter = bench.by_name["x"]
    bench.write(meter, ":SOUR:VOLT 0.1;*SAV 2;:OUTP ON;:ARM:SOUR BUS;:SOUR:VOLT 0.2;:INIT")
    assert meter.busy
    bench.write(meter, "*RCL 2")
    assert not meter.busy
    assert meter.state["v_level"] == 0.1
    assert meter.terminal_v == 0


def test_the_self_test_passes(toy):
    assert toy("*TST?;*OPT?") == "0;0"
