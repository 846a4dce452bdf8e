"""Whether a calibration may be used: good, doubtful or refused, and why.

The bounds are decision 9's, fixed beforehand.
"""

from __future__ import annotations

from typing import Literal

from device.calibration_sweep import WINDOW

Verdict = Literal["good", "doubtful", "refused"]

#: Largest chi²/n, noise and model term together: a misfit of 2 % and 5 % of the magnetisation.
_GOOD, _DOUBTFUL = 4.0, 25.0
_DRIFT = 6.0  # largest mean difference of the two directions over the whole sweep, standard errors
#: Largest mean difference of the two directions in a window, in standard errors with the model term
#: in them.  5 is out of reach of noise in some 200 windows, and with little noise 5 % of the
#: magnetisation; at twice that the fit lies between two responses and describes neither.
_LOOP, _LOOP_REFUSED = 5.0, 10.0
#: Largest noise of one reading, in units of the magnetisation.  5 % is the misfit that chi²
#: refuses, here only doubtful because noise averages out; at 15 % a reading of g = m_z² has an
#: error of 30 % at its maximum.
_NOISE, _NOISE_REFUSED = 0.05, 0.15


def judge(
    *, chi2: float, drift: float, loop: float, noise: float, widths: float, reach: float
) -> tuple[Verdict, str]:
    """The verdict, and the reason where it is not good.

    Args:
        chi2: per point, noise and model term together.
        drift: mean difference of the directions over the whole sweep, standard errors.
        loop: largest mean difference of the directions in a window, standard errors.
        noise: of one reading, in units of the magnetisation.
        widths: unit widths that the sweep reaches on its shorter side.
        reach: largest |m_x| by the fit.
    """
    differ = (
        f"up and down sweeps differ by {loop:.1f} standard errors over {WINDOW} neighbouring "
        "levels: hysteresis or drift"
    )
    noisy = f"the noise of one reading is {noise:.0%} of the magnetisation"
    poorly = f"(chi²/n = {chi2:.1f})"
    # Hysteresis first, for it spoils the fit and all that follows from it; noise after the law, for
    # a fit that fails makes a slope small and the noise large in its units.
    if loop > _LOOP_REFUSED:
        return "refused", differ
    if chi2 > _DOUBTFUL:
        return "refused", f"the planar law does not describe this response {poorly}"
    if reach < 0.8:
        return "refused", (
            f"the fit takes the sweep for {reach:.0%} of saturation: it is too short, or this is "
            "not a planar response"
        )
    if noise > _NOISE_REFUSED:
        return "refused", noisy
    if loop > _LOOP:
        return "doubtful", differ
    if noise > _NOISE:
        return "doubtful", noisy
    if chi2 > _GOOD:
        return "doubtful", f"the planar law describes this response poorly {poorly}"
    if drift > _DRIFT:
        return "doubtful", "up and down sweeps differ on the whole: hysteresis or drift"
    if widths < 2:
        return "doubtful", "the sweep does not reach two unit widths on both sides"
    return "good", ""
