"""A wrong ``sim.yaml`` gets one sentence with file, key and value, and never a traceback."""

import copy
import datetime
import math
from importlib.resources import files

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pyvisa.rname import ResourceName
from typer.testing import CliRunner

from cli.main import app
from sim_backend.opening import open_bench
from sim_backend.truth import TruthError, load_truth
from sim_backend.visa_sessions import Session

BASE = yaml.safe_load(files("sim_backend").joinpath("demo.yaml").read_text("utf-8"))
BASE["junctions"]["channels"] = dict(list(BASE["junctions"]["channels"].items())[:2])
BASE["instruments"] |= {
    "gs": {"address": "TCPIP::localhost::5025::SOCKET", "model": "yokogawags200"},
    "smu": {"address": "USB0::0x5e6::0x2450::1::INSTR", "model": "keithley2450"},
    "nano": {"address": "ASRL1::INSTR", "model": "keithley2182a"},
}
BASE |= {
    "devices": {
        "dummy": {"kind": "resistor", "ohm": 1e4, "most_w": 0.25},
        "coil": {"kind": "bias_magnet", "ohm": 12, "henry": 0.06},
        "turn": {"kind": "polarizer", "turns": {"J1": "x"}},
    },
    "wires": [["gs.hi", "coil.a"], ["gs.lo", "coil.b"], ["coil.b", "earth"], ["dummy.b", "earth"],
              ["smu.front_hi", "dummy.a"], ["nano.ch1_hi", "dummy.a"]],
    "relays": {"2!1": ["x.hi", "dummy.a"]},
    "costs": {"message_s": 1e-3},
    "faults": [
        {"kind": "timeout", "instrument": "x", "message": 3, "header": ":READ?"},
        {"kind": "open", "device": "J1", "terminal": "x", "from_s": 12.5},
        {"kind": "stuck_relay", "instrument": "switch", "relay": "1!11", "closed": True},
    ],
}  # fmt: skip
VALUES = [
    None, "", "x", "earth", "x.hi", "1e3", "é\n\"", "y" * 3000, b"x", -1, 0, 0.5, 3, 1e300, -1e300,
    10**400, math.nan, math.inf, True, [], {}, [1], [["a"]], [None], {"a": 1}, {1: 2}, {None: None},
    datetime.date(2020, 1, 1),
]  # fmt: skip


def places(node, at=()):
    """Where there is anything, as keys one after the other."""
    keys = node if isinstance(node, dict) else range(len(node) if isinstance(node, list) else 0)
    for key in keys:
        yield (*at, key)
        yield from places(node[key], (*at, key))


def changed(place, do):
    """The file with something done to the place's parent, by its last key."""
    data = copy.deepcopy(BASE)
    parent = data
    for key in place[:-1]:
        parent = parent[key]
    do(parent, place[-1])
    return data


def with_value(value, *place):
    return changed(place, lambda parent, key: parent.__setitem__(key, value))


def opened(tmp_path, data):
    """The bench of a file, and the file."""
    file = tmp_path / "sim.yaml"
    text = data if isinstance(data, str) else yaml.safe_dump(data, allow_unicode=True)
    file.write_text(text, encoding="utf-8")
    return open_bench(str(file))


def refusal(tmp_path, data):
    """The one sentence of a file that is refused, without the file's name."""
    with pytest.raises(TruthError) as caught:
        opened(tmp_path, data)
    name, _, said = str(caught.value).partition("sim.yaml: ")
    assert name == f"{tmp_path}/" and said and "\n" not in said and len(said) < 500
    return said


def test_the_file_that_is_spoilt_below_is_a_good_one(tmp_path):
    assert len(opened(tmp_path, BASE).by_name) == 7


@given(st.sampled_from(list(places(BASE))), st.sampled_from(VALUES))
@settings(max_examples=60, deadline=None)
def test_a_value_of_any_kind_anywhere_is_taken_or_refused_in_one_sentence(
    tmp_path_factory, place, value
):
    try_file(tmp_path_factory.mktemp("any"), with_value(value, *place))


@pytest.mark.parametrize("place", list(places(BASE))[::3], ids=str)
def test_without_any_one_key_the_file_is_taken_or_refused_in_one_sentence(tmp_path, place):
    try_file(tmp_path, changed(place, lambda parent, key: parent.pop(key)))


def try_file(folder, data):
    """Open it, or be refused in one sentence; what opens can be talked to."""
    try:
        bench = opened(folder, data)
    except TruthError:
        assert refusal(folder, data)
        return
    for address, one in bench.instruments.items():
        Session(bench, one, ResourceName.from_string(address), 1).close()
        bench.write(one, "*IDN?")
        assert bench.take(one, 1000) is not None
        assert not [error for error in one.errors if error.startswith("-300")]


@pytest.mark.parametrize(
    ("place", "value", "sentence"),
    [
        (("faults", 0, "header"), ":FROBnicate",
         "faults: number 1 (timeout): header: x has no command ':FROBnicate'; write one that "
         "`spinloop sim language keithley2400` prints"),
        (("faults", 0, "header"), ":INITiate?", "header: x has no command ':INITiate?'"),
        (("junctions", "channels", "J2", "x"), "1!1",
         "junctions.channels.J2.x: relay 1!1 is that of junctions.channels.J1.x; write another"),
        (("relays", "1!21"), ["x.hi", "dummy.a"],
         "relays.1!21: relay 1!21 is that of junctions.channels.J1.low; write another"),
        (("wires", 0), ["x.hi", "x.lo"], "wires: they join x.hi to x.lo; leave one of them out"),
        (("wires", 1), ["gs.lo", "coil.a"], "wires: they join gs.hi to gs.lo; leave one"),
        (("wires", 5), ["smu.front_lo", "dummy.a"], "they join smu.front_hi to smu.front_lo"),
        (("wires", 0), ["gs.hi", "gs.hi"], "wires.0: gs.hi and gs.hi are one already; name two"),
        (("relays", "2!1"), ["coil.b", "earth"], "relays.2!1: coil.b and earth are one already"),
        (("instruments", "x", "address"), "VXI0::1::INSTR",
         "instruments.x.address: 'VXI0::1::INSTR' is not simulated; write one of GPIB INSTR, "),
        (("instruments", "x", "address"), "GPIB0::INTFC", "'GPIB0::INTFC' is not simulated"),
        (("instruments", "x", "address"), "VXI::SERVANT", "is not simulated; write one of"),
        (("instruments", "x", "address"), "GPIB0::31::INSTR",
         "'GPIB0::31::INSTR' has the primary address '31'; write 0 to 30"),
        (("instruments", "x", "address"), "TCPIP::h::99999::SOCKET",
         "has the port '99999'; write 0 to 65535"),
        (("read_noise_a",), True, "read_noise_a: True is not a number"),
        (("costs", "message_s"), 1e300, "costs.message_s: 1e+300 is out of range; it must be at "),
        (("junctions", "layer", "k_t"), 0.5, "junctions: J1: the field along z falls to"),
        (("devices", "dummy", "ohm"), "much", "devices.dummy.ohm: 'much' is not a number"),
        (("wires", 0), ["gs.hi"], "wires.0.1: is missing; it is required"),
        (("seed",), 10**400, "seed: a whole number so large cannot be used; write a smaller one"),
        (("meter_x",), "y" * 999, "meter_x: 'yyyyyyyyyyyyyyyyyyyy'... has 999 characters"),
        (("devices", 7), {}, "devices: 7 is no key; write a name, quoted if need be"),
    ],
    ids=lambda given: ".".join(map(str, given)) if isinstance(given, tuple) else "",
)  # fmt: skip
def test_what_was_wrong_and_taken_is_refused_in_words(tmp_path, place, value, sentence):
    said = refusal(tmp_path, with_value(value, *place))
    assert sentence in said


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("seed: 1\nseed: 2\n", "seed: is given twice, again in line 2; drop one"),
        ("a: &b {c: *b}\n", "a.c: it is a part of itself; write it out"),
        ("[" * 9000, "not a YAML file ("),
        ("a: [\n", "not a YAML file ("),
        ("- 1\n", "expected keys such as 'instruments' and 'junctions'"),
        ("", "expected keys such as 'instruments' and 'junctions'"),
    ],
)
def test_what_yaml_takes_and_nobody_means_is_refused(tmp_path, text, sentence):
    assert refusal(tmp_path, text).startswith(sentence)


def test_bytes_that_are_no_text_are_refused(tmp_path):
    file = tmp_path / "sim.yaml"
    file.write_bytes(b"seed: \xff\n")
    with pytest.raises(TruthError, match=r"sim\.yaml: not a YAML file \("):
        open_bench(str(file))


@pytest.mark.parametrize("key", ["faults", "wires", "relays", "devices", "noise", "costs", "seed"])
def test_a_key_with_nothing_under_it_is_as_if_it_were_not_there(tmp_path, key):
    data = {k: v for k, v in BASE.items() if k not in ("faults", "wires", "relays", "devices")}
    bare = opened(tmp_path, {k: v for k, v in data.items() if k != key}).truth
    assert opened(tmp_path, data | {key: None}).truth == bare


def test_a_voltmeter_s_input_may_be_shorted(tmp_path):
    bench = opened(tmp_path, with_value(["nano.ch1_hi", "nano.ch1_lo"], "wires", 5))
    nano = bench.by_name["nano"]
    bench.write(nano, ":READ?")
    assert abs(float(bench.take(nano, 100)[0])) < 1e-6


def test_the_command_line_says_it_and_leaves_with_2(tmp_path):
    file = tmp_path / "sim.yaml"
    file.write_text(yaml.safe_dump(with_value("VXI0::1::INSTR", "instruments", "x", "address")))
    result = CliRunner().invoke(app, ["sim", "serve", str(file)])
    assert result.exit_code == 2
    assert "is not simulated" in result.stderr and "Traceback" not in result.output


def test_the_demonstration_bench_and_the_example_are_good_files():
    assert load_truth(None) == load_truth("examples/iris/sim.yaml")
