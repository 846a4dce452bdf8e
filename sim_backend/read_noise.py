"""Noise of a current reading, by where it comes from; a source-meter holds the voltage V.

A reading integrates over a window t, which passes white noise of one-sided density S with the
variance S/(2t): the noise bandwidth of a rectangular window, ∫ df sinc²(f t).

- Shot and Johnson noise of the barrier in one, S = 2eI coth(eV/2kT): 4kT/R for V → 0, 2eI for
  eV >> kT (D. Rogovin and D. J. Scalapino, Ann. Phys. 86, 1 (1974); A. van der Ziel, Noise in Solid
  State Devices and Circuits (1986)); with a Fano factor F, S = F 2eI coth(eV/2kT) + (1-F) 4kT/R
  (Ya. M. Blanter and M. Büttiker, Phys. Rep. 336, 1 (2000)).
- 1/f noise of the barrier, S = α_H I²/(A f) with its area A (F. N. Hooge, Phys. Lett. A 29, 139
  (1969); α_H is 1e-21 to 1e-18 m² in tunnel junctions with MgO): a conductance that wanders, from
  reading to reading too.
- A defect in the barrier that opens and closes a channel: telegraph noise.
- Thermal motion of the free layer within its well, seen through the magnetoresistance.

The amplifier's own noise is the meter's and not in here.  Random numbers belong to the seed, the
barrier, the source and the number of the reading; what wanders moves on with the bench's clock.  So
nothing depends on how readings are grouped in calls.
"""

from __future__ import annotations

import math
from typing import Annotated

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BeforeValidator, Field, model_validator

from sim_backend.flicker import Flicker
from sim_backend.llg.chain import Chain
from sim_backend.llg.fields import Fields
from sim_backend.llg.fluctuation import rest_near, window_covariance
from sim_backend.llg.model import BOLTZMANN_J_PER_K, Parameters
from sim_backend.llg.ranges import ParameterError, Range, check
from sim_backend.noise import normal, stream_key
from sim_backend.readout import ReferenceLayer

Array = NDArray[np.float64]
CHARGE_C = 1.602176634e-19
_LONGEST_S = 1e9  # two readings further apart know nothing of each other
_ROUNDING_S = 1e-6  # of the clock, by which two windows may overlap


def _from(low: float, high: float, unit: str = "") -> BeforeValidator:
    return BeforeValidator(Range(low, high, unit).number)


class NoiseParameters(Parameters):
    """What makes a junction's readings noisy; without a word, nothing does."""

    johnson_shot: bool = Field(False, description="shot and Johnson noise of the barriers")
    fano: Annotated[float, _from(0.0, 1.0)] = Field(
        1.0, description="Fano factor of the shot noise; 1: electrons cross independently"
    )
    hooge_m2: Annotated[float, _from(0.0, 1e-14, "m^2")] = Field(
        0.0, description="Hooge parameter of the barriers' 1/f noise, m²; 1e-19 m² = 1e-7 µm²"
    )
    hooge_low_hz: Annotated[float, _from(1e-9, 1e9, "Hz")] = Field(
        1e-5, description="where 1/f ends below: the density is level under it, Hz"
    )
    hooge_high_hz: Annotated[float, _from(1e-9, 1e9, "Hz")] = Field(
        1e5, description="where 1/f ends above: the density falls with 1/f² beyond it, Hz"
    )
    telegraph_step: Annotated[float, _from(0.0, 1.0)] = Field(
        0.0, description="part of the conductance that a defect switches"
    )
    telegraph_on_hz: Annotated[float, _from(1e-6, 1e9, "Hz")] = Field(
        1.0, description="rate at which the defect's channel opens, Hz"
    )
    telegraph_off_hz: Annotated[float, _from(1e-6, 1e9, "Hz")] = Field(
        1.0, description="rate at which it closes, Hz"
    )
    magnetisation: bool = Field(
        False, description="thermal motion of the free layer within its well"
    )

    @property
    def any(self) -> bool:
        """Whether there is noise of any kind."""
        steps = self.hooge_m2 > 0 or self.telegraph_step > 0
        return self.johnson_shot or self.magnetisation or steps

    @model_validator(mode="after")
    def _band(self) -> NoiseParameters:
        if self.hooge_high_hz < 10 * self.hooge_low_hz:
            raise ValueError(
                f"hooge_high_hz is {self.hooge_high_hz:g} Hz; it must be at least 10 times "
                f"hooge_low_hz, {10 * self.hooge_low_hz:g} Hz"
            )
        return self


# -- densities ------------------------------------------------------------------------------------


def barrier_density_a2_per_hz(
    conductance_s: ArrayLike, voltage_v: ArrayLike, temperature_k: ArrayLike, fano: float = 1.0
) -> Array:
    """Shot and Johnson noise of a barrier, one-sided, A²/Hz: F 2eI coth(eV/2kT) + (1-F) 4kT/R.

    Args:
        conductance_s: I/V, S, any shape.
        voltage_v: across the barrier, V.
        temperature_k: K; 0: shot noise alone.
        fano: F.
    """
    volt: Array = np.abs(np.asarray(voltage_v, dtype=np.float64))
    heat: Array = BOLTZMANN_J_PER_K * np.asarray(temperature_k, dtype=np.float64)
    # 2eV coth(eV/2kT) is 4kT at V -> 0 and 2eV at T -> 0.
    shot = 2 * CHARGE_C * volt
    warm = (heat > 0) & (CHARGE_C * volt > 1e-6 * heat)
    x = np.where(warm, CHARGE_C * volt / np.where(warm, 2 * heat, 1.0), 1.0)
    full = np.where(warm, shot / np.tanh(x), np.where(heat > 0, 4 * heat, shot))
    result: Array = np.asarray(conductance_s) * (fano * full + (1 - fano) * 4 * heat)
    return result


# -- the free layer -------------------------------------------------------------------------------


def conductance_deviation_s(
    reference: ReferenceLayer, fields: Fields, m: Array, b_t: Array, bias_v: float, window_s: float
) -> Array:
    """Standard deviation of a reading's conductance by thermal motion within the well, S, [...].

    Where no stable rest state is next to ``m`` it is 0: such a layer is followed in time.

    Args:
        reference: the reference layer; its conductance is linear in m.
        fields: on the free layer, [...].
        m: the free layer's rest states or its means, [..., 3].
        b_t: field on the reference layer, T, [..., 3].
        bias_v: across the barrier, V.
        window_s: the reading's window, s.
    """
    shape = np.broadcast_shapes(fields.shape, m.shape[:-1], b_t.shape[:-1])
    rest = rest_near(fields, np.broadcast_to(m, (*shape, 3)))
    b_t = np.broadcast_to(b_t, (*shape, 3))
    base = reference.conductance_s(np.zeros((*shape, 3)), b_t, bias_v)
    slopes = np.stack(
        [
            reference.conductance_s(np.broadcast_to(axis, (*shape, 3)), b_t, bias_v) - base
            for axis in np.eye(3)
        ],
        axis=-1,
    )
    result = np.zeros(shape)
    at = rest.stable
    if at.any():
        covariance = window_covariance(fields[at], rest.m[at], window_s)
        variance = np.einsum("pi,pij,pj->p", slopes[at], covariance, slopes[at])
        result[at] = np.sqrt(np.maximum(variance, 0.0))
    return result


# -- one barrier's readings -----------------------------------------------------------------------


class ReadNoise:
    """The noise of one barrier's readings.

    Args:
        parameters: what there is of it.
        seed: of the random numbers.
        name: the barrier's, such as ``J3/x``: each has numbers and wandering of its own.
        area_m2: the barrier's area, m².
        temperature_k: its temperature, K.
    """

    def __init__(
        self, parameters: NoiseParameters, seed: int, name: str, *, area_m2: float,
        temperature_k: float,
    ) -> None:  # fmt: skip
        area = float(check("area_m2", area_m2, 0, 1.0, closed=False))
        self.parameters = p = parameters
        self.temperature_k = float(check("temperature_k", temperature_k, 0, 2000))
        self._keys = {
            kind: stream_key(seed, f"{kind}/{name}") for kind in ("shot noise", "thermal motion")
        }
        self._flicker = Flicker(
            stream_key(seed, f"1/f noise/{name}"), p.hooge_m2 / area, p.hooge_low_hz,
            p.hooge_high_hz,
        )  # fmt: skip
        self._chain = Chain(stream_key(seed, f"telegraph noise/{name}"))
        self._end_s: float | None = None

    def readings(
        self,
        first: int,
        start_s: ArrayLike,
        window_s: float,
        conductance_s: ArrayLike,
        voltage_v: ArrayLike,
        deviation_s: ArrayLike = 0.0,
    ) -> Array:
        """What the noise adds to the current in readings number ``first`` and on, A, [P].

        Args:
            first: number of the first reading; each number once.
            start_s: bench time at which each window begins, s, [P]; in order.
            window_s: what each integrates over, s.
            conductance_s: of the barrier, S, [P] or a number; 0: not joined to the meter.
            voltage_v: across the barrier, V, likewise.
            deviation_s: of the conductance by thermal motion, from
                :func:`conductance_deviation_s`, S, likewise; counts with ``magnetisation``.

        Raises:
            ParameterError: something is out of range, or two windows overlap.
        """
        window = float(check("window_s", window_s, 0, 1e6, closed=False))
        start = np.atleast_1d(check("start_s", start_s, -1e12, 1e12))
        conductance = check("conductance_s", conductance_s, 0, 1e6)
        volt = check("voltage_v", voltage_v, -1e4, 1e4)
        deviation = check("deviation_s", deviation_s, 0, 1e6)
        gaps = self._gaps(start, window)
        p, count = self.parameters, len(start)
        relative = np.zeros(count)
        if p.hooge_m2 > 0:
            relative = relative + self._flicker.means(first, gaps, window)
        if p.telegraph_step > 0:
            self._chain.segment = first
            dwell = np.minimum(gaps + window, _LONGEST_S)
            on = self._chain.advance(p.telegraph_off_hz, p.telegraph_on_hz, dwell, window)
            share = p.telegraph_on_hz / (p.telegraph_on_hz + p.telegraph_off_hz)
            relative = relative + p.telegraph_step * (on - share)
        noise = conductance * volt * relative
        if p.johnson_shot:
            density = barrier_density_a2_per_hz(conductance, volt, self.temperature_k, p.fano)
            random = normal(self._keys["shot noise"], first, count)
            noise = noise + np.sqrt(density / (2 * window)) * random
        if p.magnetisation:
            random = normal(self._keys["thermal motion"], first, count)
            noise = noise + volt * deviation * random
        result: Array = noise
        return result

    def _gaps(self, start: Array, window: float) -> Array:
        """Time between each window and the one before, s."""
        ends = start + window
        before = np.concatenate(([-math.inf if self._end_s is None else self._end_s], ends[:-1]))
        gaps = start - before
        if (gaps < -_ROUNDING_S).any():
            at = int((gaps < -_ROUNDING_S).argmax())
            raise ParameterError(
                f"start_s is {start[at]:.9g} s at index {at}; it must be at least "
                f"{before[at]:.9g} s, where the window before ends"
            )
        if len(ends):
            self._end_s = float(ends[-1])
        result: Array = np.maximum(gaps, 0.0)
        return result
