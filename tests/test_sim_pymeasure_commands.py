"""Every message that pymeasure's unmodified drivers send is one that the simulated models know.

``data/pymeasure_commands.json`` has what the properties and methods of pymeasure 0.16's drivers
send, recorded with arguments that the drivers accept; an entry that begins with # is a driver that
raised, not a message.  What is asked here is the language alone: an argument may be out of range.
"""

import json
from pathlib import Path

import pytest

from sim_backend.models.keithley2182a import Keithley2182A
from sim_backend.models.keithley2400 import Keithley2400
from sim_backend.models.keithley2450 import Keithley2450
from sim_backend.models.keithley6221 import Keithley6221
from sim_backend.models.yokogawags200 import YokogawaGS200

SENT = json.loads(
    (Path(__file__).parent / "data/pymeasure_commands.json").read_text(encoding="utf-8")
)
MODELS = {
    "Keithley2182": Keithley2182A,
    "Keithley2400": Keithley2400,
    "Keithley2450": Keithley2450,
    "Keithley6221": Keithley6221,
    "YokogawaGS200": YokogawaGS200,
}


def messages(driver):
    return [message for message in SENT[driver] if not message.startswith("#")]


def unknown(driver):
    """The messages with a header that the model does not have, and the error."""
    found = []
    for message in messages(driver):
        _, error = MODELS[driver].table.parse(message)
        if error is not None:
            found.append((message, error.number))
    return found


def test_every_recorded_driver_has_a_model():
    assert SENT.keys() == MODELS.keys()
    assert all(len(messages(driver)) > 10 for driver in SENT)


@pytest.mark.parametrize("driver", sorted(MODELS))
def test_every_message_of_a_driver_is_understood(driver):
    assert unknown(driver) == []
