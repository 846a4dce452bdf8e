"""The VISA attributes of a session, by kind of resource.

Which there are, their limits and most defaults are PyVISA's own description of VPP-4.3.
"""

from __future__ import annotations

from typing import Any

from pyvisa import attributes, constants, rname
from pyvisa.attributes import AllSessionTypes, Attribute, AttributesByID, AttributesPerResource
from pyvisa.constants import ResourceAttribute as A

from sim_backend.instrument import SimInstrument

_SEVERAL: dict[int, Any] = {
    A.resource_impl_version: 0x0050_0800,
    A.resource_spec_version: 0x0050_0800,
    A.resource_manufacturer_id: 0x3FFF,  # the largest: nobody's
    A.resource_manufacturer_name: "SpinLoop",
    A.dma_allow_enabled: False,
    A.read_buffer_size: 4096,
    A.write_buffer_size: 4096,
}
_CLEAR, _SET = constants.LineState.unasserted, constants.LineState.asserted
_LINES: dict[int, Any] = {
    A.asrl_connected: True,
    A.asrl_cts_state: _SET,
    A.asrl_dsr_state: _SET,
    A.asrl_dcd_state: _SET,
    A.asrl_dtr_state: _SET,
    A.asrl_rts_state: _SET,
    A.asrl_ri_state: _CLEAR,
    A.asrl_wire_mode: 1,
}


def _number(text: str | None) -> int:
    """``0x05E6`` or ``1510``; a board that has a name instead is number 0."""
    try:
        return int(text or "0", 0)
    except ValueError:
        return 0


def _of_name(name: rname.ResourceName, instrument: SimInstrument) -> dict[int, Any]:
    """What the resource name and the instrument say."""
    kind = name.interface_type
    values: dict[int, Any] = {
        A.interface_type: name.interface_type_const,
        A.interface_number: _number(getattr(name, "board", "0")),
        A.interface_instrument_name: f"{kind}{getattr(name, 'board', '0')} (simulated)",
        A.resource_class: name.resource_class,
        A.resource_name: str(name),
    }
    if isinstance(name, rname.GPIBInstr):
        values[A.gpib_primary_address] = _number(name.primary_address)
        second = _number(name.secondary_address)
        values[A.gpib_secondary_address] = second or constants.VI_NO_SEC_ADDR
        values[A.gpib_ren_state] = _SET
    elif isinstance(name, (rname.TCPIPInstr, rname.TCPIPSocket)):
        values[A.tcpip_address] = values[A.tcpip_hostname] = name.host_address
        if isinstance(name, rname.TCPIPSocket):
            values[A.tcpip_port] = _number(name.port)
        else:
            values[A.tcpip_device_name] = name.lan_device_name
            values[A.tcpip_is_hislip] = name.lan_device_name.lower().startswith("hislip")
            values[A.tcpip_hislip_version] = 0x0010_0000
            values[A.tcpip_hislip_overlap_enable] = False
    elif isinstance(name, rname.USBInstr):
        maker, model, *_ = (part.strip() for part in instrument.identity.split(","))
        values[A.manufacturer_id] = _number(name.manufacturer_id)
        values[A.model_code] = _number(name.model_code)
        values[A.manufacturer_name], values[A.model_name] = maker, model
        values[A.usb_serial_number] = name.serial_number
        values[A.usb_interface_number] = _number(name.usb_interface_number)
        values[A.usb_max_interrupt_size], values[A.usb_protocol] = 2, 1  # USB488, memory
        values[A.is_4882_compliant] = True
    elif isinstance(name, rname.ASRLInstr):
        values |= _LINES
    return values


def attributes_of(
    name: rname.ResourceName, instrument: SimInstrument, manager: int
) -> dict[int, Any]:
    """The values at opening; what is not among them is not supported.

    Args:
        name: the resource.
        instrument: what is there.
        manager: the resource manager's session.
    """
    kind = (name.interface_type_const, name.resource_class)
    there = AttributesPerResource[AllSessionTypes] | AttributesPerResource[kind]
    known = {at.attribute_id: at.default for at in there}
    special = _SEVERAL | _of_name(name, instrument) | {A.resource_manager_session: manager}
    known |= {key: value for key, value in special.items() if key in known}
    return {key: value for key, value in known.items() if value is not attributes.NotAvailable}


def refusal(attribute: int, value: Any) -> constants.StatusCode | None:
    """Why an attribute that there is does not take a value; None: it does."""
    known: type[Attribute[Any]] = AttributesByID[attribute]
    if not known.write or attribute in (A.gpib_primary_address, A.gpib_secondary_address):
        return constants.StatusCode.error_attribute_read_only
    low, high = getattr(known, "min_value", None), getattr(known, "max_value", None)
    enum = getattr(known, "enum_type", None)
    fits = True
    if issubclass(known, attributes.BooleanAttribute):
        fits = value in (0, 1)
    elif issubclass(known, attributes.CharAttribute):
        fits = isinstance(value, int) and 0 <= value <= 255
    elif enum is not None:
        fits = value in enum._value2member_map_
    elif low is not None and high is not None:
        fits = isinstance(value, int) and low <= value <= high
    return None if fits else constants.StatusCode.error_nonsupported_attribute_state
