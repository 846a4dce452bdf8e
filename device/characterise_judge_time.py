"""What happens in time: noise, drift, heat, reads that disturb; and the field of a bias magnet."""

from __future__ import annotations

import numpy as np
from scipy.optimize import least_squares

from device.calibration_make import fit
from device.characterise_judge import CHANGE, Finding, Scale, Sweeps, above, sure
from device.characterise_measures import Array, allan_deviation, jumps, trend, white_noise
from device.planar import solve
from device.reading import CalibrationError


def judge_noise(sweeps: Sweeps, scale: Scale, nplc: float, spacing_s: float) -> Finding:
    """Noise of one reading by integration time; Allan deviation at the bench's own.

    Args:
        nplc: the bench's own integration time.
        spacing_s: from reading to reading at that, s.
    """
    found = Finding()
    rows: list[tuple[float, float, float]] = []
    for step, data in sure(sweeps, found):
        m = scale.m(data)
        sigma = white_noise(m)
        own = nplc if step.nplc is None else step.nplc
        rows.append((own, float(sigma[0]), float(sigma[1])))
        found.numbers |= {
            f"noise_x_{own:g}_nplc": float(sigma[0]), f"noise_z_{own:g}_nplc": float(sigma[1]),
        }  # fmt: skip
        if step.nplc is None:
            for side, row in zip("xz", m, strict=True):
                tau, deviation = allan_deviation(row, spacing_s)
                found.curves |= {"tau_s": tau, f"allan_{side}": deviation}
                white = deviation[0] / np.sqrt(tau[-1] / tau[0])
                found.numbers[f"allan_{side}_over_white"] = float(deviation[-1] / white)
    for side in "xz":
        ratio = found.numbers.get(f"allan_{side}_over_white", 1.0)
        if ratio > 3:  # the last octave has few averages: white noise stays below 2
            found.remarks.append(
                f"slow noise: the Allan deviation of m_{side} ends at {ratio:.1f} times what white "
                "noise would leave"
            )
    sigma_x = found.numbers.get(f"noise_x_{nplc:g}_nplc", float("nan"))
    found.numbers["input_noise_a"] = sigma_x * scale.unit_width_a
    if rows:
        found.curves |= dict(zip(("nplc", "sigma_x", "sigma_z"), np.array(rows).T, strict=True))
    return found


def judge_drift(sweeps: Sweeps, scale: Scale) -> Finding:
    """Change per hour at each reference level, and whether any of them is beyond its error."""
    found = Finding()
    kept = sure(sweeps, found)
    if len(kept) < 3:
        return found
    time_s = np.array([data.bench_start_s for _, data in kept])
    levels = np.unique(kept[0][0].levels_a)
    at_level = [kept[0][0].levels_a == level for level in levels]
    rows = np.array([[[row[at] for at in at_level] for row in scale.m(data)] for _, data in kept])
    means = rows.mean(-1)  # [rounds, 2, levels]
    slope_s, _ = trend(time_s, np.moveaxis(means, 0, -1))  # [2, levels]
    # From the readings at one level and round, not from the few rounds: those are what is judged.
    sigma = np.sqrt(rows.var(-1, ddof=1).mean((0, 2)) / rows.shape[-1])  # [2]
    error_s = sigma[:, None] / np.sqrt(np.sum((time_s - time_s.mean()) ** 2))
    hours = (time_s[-1] - time_s[0]) / 3600
    for at, side in enumerate("xz"):
        worst = int(np.argmax(np.abs(slope_s[at])))
        change, error = slope_s[at, worst] * 3600 * hours, error_s[at, 0] * 3600 * hours
        found.numbers |= {
            f"drift_{side}_per_hour": float(slope_s[at, worst] * 3600),
            f"drift_{side}_per_hour_error": float(error_s[at, 0] * 3600),
        }
        if abs(change) > max(5 * error, CHANGE / 4):
            found.remarks.append(
                f"drift: m_{side} at {levels[worst] * 1e3:.3g} mA moved by {change:+.4f} in "
                f"{hours * 60:.2g} min"
            )
    found.numbers["drift_hours"] = float(hours)
    found.curves = {"drift_time_s": time_s - time_s[0]} | {
        f"drift_{side}": (means[:, at] - means[0, at]).mean(-1) for at, side in enumerate("xz")
    }
    return found


def judge_heating(sweeps: Sweeps, scale: Scale) -> Finding:
    """The rest before a stay at high field against that just after, and the change during it."""
    found = Finding()
    kept = sure(sweeps, found)
    if not kept:
        return found
    step, data = kept[0]
    m = scale.m(data)
    high = step.levels_a > 0
    first, last = int(np.argmax(high)), int(len(high) - np.argmax(high[::-1]))
    before, stay, after = m[:, :first], m[:, first:last], m[:, last:]
    few = max(4, after.shape[1] // 4)
    for at, side in enumerate("xz"):
        sigma = float(white_noise(before[at]))
        jump = float(after[at, :few].mean() - before[at].mean())
        error = sigma * np.sqrt(1 / few + 1 / first)
        third = stay.shape[1] // 3
        during = float(stay[at, -third:].mean() - stay[at, :third].mean())
        left = float(after[at, -few:].mean() - before[at].mean())
        found.numbers |= {
            f"heating_after_{side}": jump,
            f"heating_after_{side}_error": float(error),
            f"heating_left_{side}": left,
            f"heating_during_{side}": during,
        }
        for change, when in ((jump, "after"), (during, "during"), (left, "long after")):
            if above(change, max(float(error), sigma * np.sqrt(2 / third))):
                found.remarks.append(
                    f"stay at high field: m_{side} changed by {change:+.3f} {when} it"
                )
                break
    return found


def judge_disturb(sweeps: Sweeps, scale: Scale, voltage_v: float) -> Finding:
    """Changes and jumps by reading, and the unit width against the read voltage."""
    found = Finding()
    kept = sure(sweeps, found)
    reads = [(s, d) for s, d in kept if not np.any(s.levels_a)]
    rest = [d for s, d in reads if s.voltage_v is None]
    moved = sum(float(jumps(scale.m(d))[0].sum()) for d in rest)
    found.numbers["read_jumps"] = moved
    if moved:
        found.remarks.append(f"{int(moved)} jumps while it was only read")
    if len(rest) == 2:
        first, last = (scale.m(d) for d in rest)
        change = last.mean(-1) - first.mean(-1)
        error = np.hypot(white_noise(first), white_noise(last)) / np.sqrt(first.shape[1])
        for at, side in enumerate("xz"):
            found.numbers |= {
                f"read_change_{side}": float(change[at]),
                f"read_change_{side}_error": float(error[at]),
            }
            if above(float(change[at]), float(error[at])):
                found.remarks.append(f"reading changed m_{side} by {change[at]:+.3f}")
    volts, widths, centers = [], [], []
    for step, data in kept:
        if not np.any(step.levels_a):
            continue
        volt = voltage_v if step.voltage_v is None else step.voltage_v
        try:
            one = fit(data, scale.common_ohm)
        except CalibrationError as error_:
            found.remarks.append(f"read at {volt * 1e3:g} mV: {error_}")
            continue
        if one.verdict == "refused":  # its unit width means nothing
            found.remarks.append(f"read at {volt * 1e3:g} mV: {one.reason}")
            continue
        volts.append(volt)
        widths.append(one.unit_width_a)
        centers.append(one.center_a)
    found.curves = {
        name: np.array(values)
        for name, values in (("volt", volts), ("unit_width_a", widths), ("center_a", centers))
    }
    if len(volts) > 1:
        per_v = float(np.polyfit(volts, widths, 1)[0])
        found.numbers["unit_width_a_per_v"] = per_v
        found.numbers["unit_width_per_mv"] = per_v / scale.unit_width_a * 1e-3
        found.numbers["center_a_per_v"] = float(np.polyfit(volts, centers, 1)[0])
    return found


def judge_field(sweeps: Sweeps, scale: Scale, bias_t: float | None) -> Finding:
    """Field per ampere of the line: a bias along z enters the planar law as hz, in amperes.

    All else of the law stays as it is without the bias.

    Args:
        bias_t: field of the bias magnet for one unit of its level, T; None: not known.
    """
    found = Finding()
    c = scale.calibration
    if c is None:
        return found
    levels, shares = [], []
    for step, data in sure(sweeps, found):
        m = scale.m(data)

        def miss(p: Array, level_a: Array = data.level_a, m: Array = m) -> Array:
            u = solve(level_a - p[1], c.k_a, c.k2_a, p[0])
            return np.concatenate((m[0] - u, m[1] - np.sqrt(1 - u * u)))

        start = (c.hz_a, c.offset_a)
        bounds = ((c.hz_a * 1e-2, -np.inf), (c.hz_a * 1e2, np.inf))
        solved = least_squares(miss, start, bounds=bounds, x_scale=(c.hz_a, c.hz_a))
        shares.append(float(solved.x[0]))
        levels.append(float(step.bias or 0.0))
    if len(levels) < 2:
        return found
    per_level = float(np.polyfit(levels, shares, 1)[0])
    found.numbers["hz_a_per_bias_level"] = per_level
    found.curves = {"bias": np.array(levels), "hz_a": np.array(shares)}
    if bias_t is None:
        found.remarks.append(
            "the field per ampere needs the bias magnet's own field: give --bias-constant"
        )
    elif per_level > 0:
        found.numbers["field_t_per_a"] = bias_t / per_level
    else:
        found.remarks.append("the bias magnet does not act along z on this junction")
    return found
