"""Our equation of motion against vectors that an outside program wrote.

The peer is cmtj 1.15.0, with its own Runge-Kutta code; benchmarks/peer_cmtj.py wrote the file and
says what its words mean.  It takes the same steps of γ dt by the same formula, so what may differ
is rounding: 1e-12 over 4000 steps, which is tighter than any slip in a term, a sign or a factor.
"""

from pathlib import Path

import numpy as np
import pytest

from benchmarks import peer_cmtj as peer
from sim_backend.llg import thermal
from sim_backend.llg.motion import evolve

DATA = peer.read(Path(__file__).parent / "data" / "cmtj_trajectories.csv")


def test_the_file_has_every_case():
    assert set(DATA) == {*peer.TRAJECTORIES, "rest"}


@pytest.mark.parametrize("name", peer.TRAJECTORIES)
def test_trajectories_agree_with_the_peer(name):
    """Slonczewski, J. Magn. Magn. Mater. 159, L1 (1996), damped precession with anisotropy of both
    orders, in the plane, demagnetisation, and both torques; components to 1e-12."""
    rows = DATA[name]
    assert len(rows) == 40
    ours = peer.trajectory(peer.TRAJECTORIES[name], rows[:, 0].astype(int))
    assert np.abs(ours - rows[:, 1:]).max() <= 1e-12


def test_the_trajectories_tell_the_terms_apart():
    """Without one term, or with its sign turned, we are off by more than 1e-3: ten figures above
    the tolerance of the comparison."""
    full = peer.TRAJECTORIES["both torques"] | {"ky": 0.025}
    at = np.array([1000, 2000, 4000])
    right = peer.trajectory(full, at)
    for wrong in (
        {"k2": 0.0}, {"ky": 0.0}, {"k": 0.041}, {"damping_like": -1e-3}, {"field_like": -2e-3},
        {"damping_like": 0.0}, {"alpha": 0.051}, {"p": [-0.6, 0.64, 0.48]},
    ):  # fmt: skip
        assert np.abs(peer.trajectory(full | wrong, at) - right).max() >= 1e-3, wrong


def test_rest_states_of_a_field_sweep_agree_with_the_peer():
    """Where the vector rests over ±3 unit widths (17 mT) of the default junction, with a hard axis
    in the plane: the peer followed the motion for 0.2 µs, we stop by torque; to 1e-11."""
    rows = DATA["rest"]
    found = peer.sweep(peer.SWEEP)
    assert found.stable.all()
    assert np.allclose(rows[:, 0], peer.SWEEP["x"], rtol=1e-9, atol=1e-12)
    assert np.abs(found.m[0] - rows[:, 1:]).max() <= 1e-11


def test_the_thermal_average_of_the_comparison_is_the_exact_one():
    """Boltzmann's weight by quadrature (Brown, Phys. Rev. 130, 1677 (1963)) decides where programs
    differ: m_x, m_z within 4 standard errors (0.003 and 0.006) over 2000 junctions."""
    case = peer.HOT["fine step"]
    run = evolve(
        peer.ensemble(case, 2000), [case["b"][0]], 4000, case["dt"] * peer.CLOCK, settle_steps=3000,
    )  # fmt: skip
    exact, _ = thermal.boltzmann(
        case["k"], case["k2"], case["ky"], np.array(case["b"]), case["thermal"]
    )
    means = run.mean[:, 0]
    error = means.std(0) / np.sqrt(len(means))
    assert (error <= [0.003, 0.003, 0.006]).all()
    assert (np.abs(means.mean(0) - exact) <= 4 * error).all()
