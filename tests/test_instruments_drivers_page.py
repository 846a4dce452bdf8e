"""The reference's page of drivers.  Run as a program, this prints it anew."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from instruments.drivers import DRIVERS, find_driver
from instruments.drivers.page import covers, page
from instruments.message import short_header
from sim_backend.models import MODELS
from sim_backend.scpi_language import forms

PAGE = Path(__file__).parent.parent / "docs" / "reference" / "drivers.md"


def _left_out(driver: str) -> Iterator[str]:
    """Rows of the simulated instrument's language that no form of the allow-list has."""
    allowed = find_driver(driver)[0].allowed
    for row in MODELS[driver.removesuffix("_volt")].table.rows:
        spelled = {short_header(form) for form in forms(row.header)}
        kinds = {"setting": (False, True), "command": (False,), "query": (True,)}[row.kind]
        if not any(covers(allowed, one, is_query=kind) for one in spelled for kind in kinds):
            whole = [one for one in spelled if one.startswith((":SOUR", ":SENS"))] or spelled
            brief = min(whole, key=lambda one: (len(one), one))
            yield f"{brief}?" if row.kind == "query" else brief


def made() -> str:
    """The page as it must be."""
    return page({driver: sorted(set(_left_out(driver))) for driver in DRIVERS})


def test_the_page_of_drivers_is_current() -> None:
    """``python tests/test_instruments_drivers_page.py > docs/reference/drivers.md``"""
    assert PAGE.read_text(encoding="utf-8") == made()


_MOVES = (
    ":CONF", "*RST", "*RCL", "*TRG", ":SYST:PRES", ":SOUR:WAVE", ":SOUR:DELT", ":PROG",
    ":SOUR:LEV:AUTO",
)  # fmt: skip


def test_what_energises_or_resets_is_left_out_of_every_allow_list() -> None:
    for driver in DRIVERS:
        allowed = find_driver(driver)[0].allowed
        sent = {*allowed.commands, *allowed.fixed}
        assert [one for one in sent if one.startswith(_MOVES)] == [], driver
        assert [one for one in allowed.queries if one.startswith(":MEAS")] == [], driver


if __name__ == "__main__":
    print(made(), end="")
