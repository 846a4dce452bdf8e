"""pymeasure's unmodified drivers on the simulated bench: every message and every public name.

``data/pymeasure_commands.json`` has what the properties and methods of pymeasure 0.16's drivers
send, recorded with arguments that the drivers accept; an entry that begins with # is a driver that
raised, not a message.  Each is sent to an instrument that is switched on, has its output on and has
readings in its buffer.  What is refused stands in a table, with the reason.
"""

import inspect
import json
import logging
import time
from itertools import count
from pathlib import Path

import pytest
import yaml
from pymeasure.adapters import VISAAdapter
from pymeasure.instruments import keithley, yokogawa
from pyvisa.errors import VisaIOError

ROOT = Path(__file__).resolve().parent.parent
BENCH = ROOT / "conformance" / "sim.yaml"
SENT = json.loads(
    (Path(__file__).parent / "data/pymeasure_commands.json").read_text(encoding="utf-8")
)
SOURCE = SENT.pop("source")
NOT_SIMULATED = {
    "Keithley2600": "speaks TSP, which is no SCPI; the bench has none",
    "Keithley2600.ChA": "a channel of the same",
    "Yokogawa7651": "speaks no SCPI; the bench has its successor, the GS200",
}
#: name in conformance/sim.yaml, class, and what makes it ready
DRIVERS = {
    "Keithley2182": ("nv", keithley.Keithley2182, (":TRAC:POIN 2;FEED:CONT NEXT",
                                                   ":SAMP:COUN 2;:INIT")),
    "Keithley2400": ("x", keithley.Keithley2400, (
        ":SENS:RES:MODE MAN;:SENS:FUNC:ALL;:OUTP ON",
        ":TRAC:POIN 2;FEED:CONT NEXT;:TRIG:COUN 2;:INIT")),
    "Keithley2450": ("smu", keithley.Keithley2450, ("OUTP ON", ":TRAC:TRIG 'defbuffer1'")),
    "Keithley6221": ("field", keithley.Keithley6221, (
        "OUTP ON;:SOUR:DELT:COUN 4;:SOUR:DELT:ARM", ":INIT")),
    "YokogawaGS200": ("gs", yokogawa.YokogawaGS200, ("OUTP ON",)),
}  # fmt: skip
REFUSED = {
    "Keithley2182": {
        "*TRG": (-211, "it waits for no trigger"),
    },
    "Keithley2400": {
        **{message: (823, "the range of what is sourced is the source's")
           for message in (":SENS:VOLT:RANG:AUTO 1;", ":SENSE:VOLTAGE:RANGE 1",
                           ":SENSE:VOLTAGE:RANGE:AUTO 1")},
        ":SENSE:CURRENT:RANGE 1": (824, "a range goes up to that of the compliance, 100 uA"),
        ":SENSE:RESISTANCE:RANGE 1": (-221, "in manual ohms there are no ranges in ohm"),
    },
    "Keithley2450": {
        ":TRAC:DATA?": (-109, "a 2450 wants the first and the last reading's number"),
        ":TRAC:POIN 1": (-222, "ten is the fewest"),
        ":INIT": (-221, "no trigger model is loaded"),
    },
    "Keithley6221": {
        "ESE 1": (-113, "*ESE without its asterisk"),
        "ESE?": (-113, "*ESE without its asterisk"),
        **{message: (-104, "recorded with True for a number, which the driver's range lets pass")
           for message in (":SOUR:DELT:COUN True", ":SOUR:DELT:DELay True",
                           ":SOUR:SWEep:COUN True")},
        ":SOUR:WAVE:INIT": (-213, "no wave is armed"),
    },
    "YokogawaGS200": {},
}  # fmt: skip
NO_READING = "the driver takes a figure of the buffer for three; a 2450 sends one"
#: properties that cannot be read, and what the driver raises
UNREADABLE = {
    "Keithley2450": {
        "buffer_data": (VisaIOError, "a 2450 wants the first and the last reading's number"),
        **{f"{figure}_{what}": (TypeError, NO_READING) for figure in ("mean", "max", "min", "std")
           for what in ("voltage", "current", "resistance")},
    },
    "Keithley6221": {"standard_event_enabled": (VisaIOError, "*ESE without its asterisk")},
}  # fmt: skip
#: legal values of a property that are refused
REFUSED_VALUES = {
    ("Keithley6221", "delta_delay", "INF"): (-104, "a delay is a number (memory)"),
}
#: arguments of the methods that need some
GIVEN = {
    "beep": (500, 0.1), "triad": (500, 0.1), "set_timed_arm": (0.1,), "set_trigger_counts": (1, 2),
    "define_arbitary_waveform": ([0.0, 1.0, -1.0],), "trigger_ramp_to_level": (1.0, 0.2),
    "ramp_to_current": (1e-5, 3, 0.0), "ramp_to_voltage": (0.1, 3, 0.0),
    "wait_for_buffer": (lambda: True, 1, 0.0),
}  # fmt: skip
#: methods that leave an error or raise
REFUSED_METHODS = {
    "Keithley2182": {"trigger": (-211, "it waits for no trigger")},
    "Keithley2400": {
        "measure_voltage": (823, "the range of what is sourced is the source's"),
    },
    "Keithley2450": {"start_buffer": (-221, "no trigger model is loaded")},
    "Keithley6221": {"waveform_start": (-213, "no wave is armed")},
}  # fmt: skip
every_driver = pytest.mark.parametrize("driver", sorted(DRIVERS))
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")  # of deprecated properties


class Connected:
    """A driver and the simulated instrument behind it."""

    _numbers = count()

    def __init__(self, driver):
        self.driver = driver
        name, kind, self._ready = DRIVERS[driver]
        addresses = yaml.safe_load(BENCH.read_text(encoding="utf-8"))["instruments"]
        library = f"{BENCH}?instance=pymeasure{next(self._numbers)}@spinloop"
        self.adapter = VISAAdapter(addresses[name]["address"], visa_library=library)
        self.bench = self.adapter.manager.visalib.bench
        self.instrument = self.bench.by_name[name]
        self.api = kind(self.adapter)
        #: numbers of the errors so far: methods of the drivers read the queue themselves
        self._found = []
        put_error = self.instrument.put_error

        def note(error):
            self._found.append(error.number)
            put_error(error)

        self.instrument.put_error = note

    def ready(self):
        """Off and on; output on, readings in the buffer."""
        for one in self.bench.by_name.values():
            one.power_cycle()
        self.adapter.connection.clear()
        self._found.clear()
        if hasattr(self.api, "reset_data_format"):  # its constructor sends this
            self.api.reset_data_format()
        for message in self._ready:
            self.adapter.write(message)
        self.bench.pause(10.0)
        assert self.errors() == []

    def errors(self):
        """The numbers of the errors since this was asked last."""
        found, self._found[:] = list(self._found), ()
        return found

    def parts(self):
        """The driver and its channels, each with a prefix for names."""
        yield "", self.api
        for name in ("ch_1", "ch_2"):
            if hasattr(self.api, name):
                yield f"{name}.", getattr(self.api, name)

    def properties(self):
        """Name, owner and property of all that the driver offers."""
        for prefix, owner in self.parts():
            for name in dir(type(owner)):
                found = inspect.getattr_static(type(owner), name)
                if isinstance(found, property) and not name.startswith("_"):
                    yield prefix + name, owner, found


@pytest.fixture(scope="module")
def connected():
    """Each driver once."""
    logging.getLogger("pymeasure").setLevel(logging.CRITICAL)
    made = {}

    def connect(driver):
        if driver not in made:
            made[driver] = Connected(driver)
        made[driver].ready()
        return made[driver]

    yield connect
    for one in made.values():
        one.adapter.close()


@pytest.fixture(autouse=True)
def no_sleep(monkeypatch):
    monkeypatch.setattr(time, "sleep", lambda seconds: None)


def messages(driver):
    return [message for message in SENT[driver] if not message.startswith("#")]


# -- messages --------------------------------------------------------------------------------------


def test_the_recording_is_whole_and_says_where_it_comes_from():
    assert "pymeasure 0.16" in SOURCE
    assert SENT.keys() == DRIVERS.keys() | NOT_SIMULATED.keys()
    assert {driver: len(sent) for driver, sent in SENT.items()} == {
        "Keithley2182": 74, "Keithley2400": 157, "Keithley2450": 83, "Keithley2600": 5,
        "Keithley2600.ChA": 56, "Keithley6221": 113, "Yokogawa7651": 39, "YokogawaGS200": 18,
    }  # fmt: skip
    for driver, refused in REFUSED.items():
        assert refused.keys() <= set(messages(driver))


@every_driver
def test_every_message_of_a_driver_is_obeyed_and_every_question_answered(connected, driver):
    one, wrong = connected(driver), {}
    for message in messages(driver):
        one.ready()
        one.adapter.write(message)
        expected = [REFUSED[driver][message][0]] if message in REFUSED[driver] else []
        if "?" in message and not expected:
            reply = one.adapter.connection.read_raw()
            if not reply.strip():
                wrong[message] = reply
        found = one.errors()
        if found != expected:
            wrong[message] = found
    assert wrong == {}


# -- properties ------------------------------------------------------------------------------------


@every_driver
def test_every_property_of_a_driver_is_read_as_the_driver_parses_it(connected, driver):
    one, unreadable = connected(driver), UNREADABLE.get(driver, {})
    names, wrong = set(), {}
    for name, owner, _ in one.properties():
        names.add(name)
        one.ready()
        try:
            getattr(owner, name.rpartition(".")[2])
        except Exception as error:
            if not isinstance(error, unreadable.get(name, (type(None),))[0]):
                wrong[name] = repr(error)
        else:
            if name in unreadable or (found := one.errors()):
                wrong[name] = "read" if name in unreadable else found
    assert wrong == {}
    assert unreadable.keys() <= names


def _legal(found, now):
    """Values that a property's own validator lets pass, and the table that maps them."""
    defaults = {
        name: parameter.default
        for name, parameter in inspect.signature(found.fset).parameters.items()
    }
    values = defaults.get("values") or ()
    if isinstance(values, dict):
        return list(values), values
    if isinstance(values, tuple):  # joined validators: a range, and words
        groups = [group if isinstance(group, list | tuple) else [group] for group in values]
        return [limit for group in groups for limit in group], {}
    return list(values) or [now], {}


def _can_be_set(found):
    """Whether a property has a message for setting."""
    if found.fset is None:
        return False
    command = inspect.signature(found.fset).parameters.get("set_command")
    return command is None or command.default is not None


@every_driver
def test_every_legal_value_of_a_property_is_understood_and_read_again(connected, driver):
    one, unreadable, wrong, tried = connected(driver), UNREADABLE.get(driver, {}), {}, 0
    for name, owner, found in one.properties():
        if not _can_be_set(found) or name in unreadable:
            continue
        last = name.rpartition(".")[2]
        one.ready()
        legal, table = _legal(found, getattr(owner, last))
        for value in legal:
            one.ready()
            setattr(owner, last, value)
            tried += 1
            # An end of the driver's range may lie outside the instrument's, or belong to a state
            # that it is not in; it is understood even then.
            errors = one.errors()
            if errors == [REFUSED_VALUES.get((driver, name, value), (0, ""))[0]]:
                continue
            conflicts = (*range(-299, -199), *range(822, 832))  # 2400: table B-1
            if [number for number in errors if number not in conflicts]:
                wrong[name, value] = errors
            again = getattr(owner, last)
            if errors == [] and table and value != "ONCE" and not _same(table, value, again):
                wrong[name, value] = again
    assert wrong == {}
    assert tried > 10


def _same(table, value, again):
    """Whether what is read is what was set; some are set in words that are not read again."""
    raw = table[value]
    return (again in table and table[again] == raw) or again in (raw, float(raw in ("ON", 1)))


# -- methods ---------------------------------------------------------------------------------------


def _methods(kind):
    """The public methods that the driver adds to pymeasure's instrument."""
    plumbing = ("pymeasure.instruments.instrument", "pymeasure.instruments.common_base",
                "pymeasure.instruments.generic_types", "pymeasure.instruments.channel")  # fmt: skip
    for name, method in inspect.getmembers(kind, inspect.isfunction):
        if not name.startswith("_") and not method.__module__.startswith(plumbing):
            yield name


@every_driver
def test_every_public_method_of_a_driver_does_its_work(connected, driver):
    one, refused, wrong = connected(driver), REFUSED_METHODS.get(driver, {}), {}
    names = [
        (prefix + name, getattr(owner, name))
        for prefix, owner in one.parts()
        for name in _methods(type(owner))
    ]
    for name, method in names:
        one.ready()
        method(*GIVEN.get(name, ()))
        one.bench.pause(10.0)
        found = one.errors()
        if found != ([refused[name][0]] if name in refused else []):
            wrong[name] = found
    assert wrong == {}
    assert {name for name, _ in names} >= refused.keys()
