"""The motion in torch against the numba code, on the processor: both follow one equation with the
same random numbers, so that nothing but rounding may differ."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sim_backend.llg import kernel, motion, motion_torch, thermal
from sim_backend.llg.ensemble import Ensemble
from sim_backend.llg.motion_torch import evolve, evolve_anywhere
from sim_backend.llg.ranges import ParameterError

CURRENT = np.linspace(-0.02, 0.02, 5)
WORD = st.integers(0, 2**32 - 1)
few = settings(max_examples=20, deadline=None, derandomize=True, database=None)


@pytest.fixture(autouse=True)
def one_thread():
    """Numba and torch share OpenMP: what one sets, the other has."""
    torch.set_num_threads(1)


def all_terms(**more):
    """Four junctions with every term; damped enough that rounding dies out."""
    rows = {
        "k_t": [2e-3, 4e-3, 6e-3, -3e-3], "ky_t": [0.0, 1e-3, 1e-3, 2e-3], "alpha": 0.1,
        "tilt_rad": 0.1, "damping_like_x_t": 2e-5, "damping_like_z_t": [1e-5, 0, -1e-5, 3e-5],
        "field_like_x_t": 1e-5, "direction_x": (0.6, 0.8, 0.0),
    }  # fmt: skip
    return Ensemble(**(rows | more))


def apart(one, other):
    """Largest difference of everything that two runs give."""
    assert one.next_step == other.next_step
    pairs = [
        (getattr(one, n), getattr(other, n)) for n in ("mean", "squares", "last", "trajectory")
    ]
    for a, b in pairs:
        assert a.shape == b.shape and a.dtype == b.dtype
    return max(np.abs(a - b).max() for a, b in pairs)


# -- noise ----------------------------------------------------------------------------------------


@few
@given(st.tuples(WORD, WORD, WORD, WORD), WORD, WORD)
def test_philox_in_signed_words_is_philox(words, low, high):
    """Philox4x32-7 (Salmon et al., SC11) in int64 gives the bits of the unsigned code."""
    counter = motion_torch.Counter.of(low | high << 32, torch.tensor(0), torch.tensor(0))
    found = motion_torch.philox(tuple(torch.tensor(w) for w in words), counter.keys)
    expected = kernel.philox(*(np.uint64(w) for w in (*words, low, high)))
    assert [int(w) for w in found] == [int(w) for w in expected]


def test_number_of_ones():
    """Against Python's own count, at the ends and in between."""
    words = [0, 1, 2**31, 2**32 - 1, *(np.random.default_rng(0).integers(0, 2**32, 200).tolist())]
    assert motion_torch.ones(torch.tensor(words)).tolist() == [w.bit_count() for w in words]


def test_noise_is_that_of_the_numba_code():
    """The same whole numbers for any junction, point and step, steps beyond 2**32 included."""
    key, steps = 0xFEDCBA9876543210, np.arange(2**32 - 3, 2**32 + 3)
    junction, point = torch.tensor([[5], [2**31]]), torch.tensor([[0, 7]])
    counter = motion_torch.Counter.of(key, junction, point)
    for i, step in enumerate(steps):
        found = torch.stack(motion_torch.noise(counter, torch.tensor(step)), dim=-1)
        for j in range(2):
            for p in range(2):
                words = np.uint64(key), int(junction[j, 0]), int(point[0, p]), steps
                assert found[j, p].tolist() == kernel.noise(*words)[i].tolist()


# -- motion ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [None, 3])
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-12), ("float32", 2e-5)])
def test_trajectories_and_averages_are_those_of_the_numba_code(seed, dtype, tolerance):
    """All terms, with and without heat, 1000 steps: vectors, means and second moments to 1e-12 in
    double precision, to 2e-5 in single (300 units of its last place)."""
    run = {
        "seed": seed, "start": (0.6, 0.0, 0.8), "settle_steps": 10, "squares": True, "every": 300,
        "first_step": 2**32 - 100, "first_junction": 9, "first_point": 4, "dtype": dtype,
    }  # fmt: skip
    ours = evolve(all_terms(), CURRENT, 1000, 5e-12, device="cpu", **run)
    theirs = motion.evolve(all_terms(), CURRENT, 1000, 5e-12, threads=1, **run)
    assert apart(ours, theirs) <= tolerance
    assert np.abs(np.linalg.norm(ours.last, axis=-1) - 1).max() <= (
        1e-15 if tolerance < 1e-9 else 2e-7
    )


def test_line_heat_and_field_along_x_are_those_of_the_numba_code():
    """Temperature and k that follow the current's square, a constant field along x; to 1e-12."""
    warm = all_terms(heating_k_per_a2=2e5, k_per_a2_t=-1.5, hx_t=[0, 1e-3, -1e-3, 0])
    run = {"seed": 3, "start": (0.6, 0.0, 0.8), "squares": True, "every": 50}
    ours = evolve(warm, CURRENT, 200, 5e-12, device="cpu", **run)
    theirs = motion.evolve(warm, CURRENT, 200, 5e-12, threads=1, **run)
    assert apart(ours, theirs) <= 1e-12


def test_line_heat_is_the_temperature_and_k_of_that_current():
    """T = T₀ + r I² and k = k₀ + q I²: a junction that heats moves as one that has that temperature
    and k without a current; to 1e-13."""
    i, rise, fall = 0.015, 2e5, -1.5
    run = {"seed": 1, "start": (0.6, 0.0, 0.8), "device": "cpu"}
    warm = evolve(Ensemble(heating_k_per_a2=rise, k_per_a2_t=fall), [i], 100, 5e-12, **run)
    other = Ensemble(temperature_k=300 + rise * i**2, k_t=4e-3 + fall * i**2)
    assert np.abs(warm.last - evolve(other, [i], 100, 5e-12, **run).last).max() <= 1e-13


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_the_bits_do_not_depend_on_how_the_work_is_cut(dtype):
    """Junctions, points and steps in pieces, and other numbers of threads: the same bits."""
    junctions = all_terms()
    run = {"seed": 5, "dtype": dtype, "device": "cpu"}
    whole = evolve(junctions, CURRENT, 60, 5e-12, **run).last
    assert np.array_equal(evolve(junctions, CURRENT, 60, 5e-12, **run).last, whole)
    for j in (slice(0, 1), slice(1, 4)):
        for p in (slice(0, 3), slice(3, 5)):
            place = {"first_junction": j.start, "first_point": p.start}
            one = evolve(junctions[j], CURRENT[p], 25, 5e-12, **place, **run)
            two = evolve(
                junctions[j], CURRENT[p], 35, 5e-12, start=one.last, first_step=one.next_step,
                **place, **run,
            )  # fmt: skip
            assert np.array_equal(two.last, whole[j, p])
    torch.set_num_threads(2)
    try:
        wide = np.linspace(-0.02, 0.02, 9_000)  # enough for torch to share it out
        shared = evolve(junctions, wide, 1, 5e-12, **run).last
    finally:
        torch.set_num_threads(1)
    assert np.array_equal(evolve(junctions, wide, 1, 5e-12, **run).last, shared)


def test_thermal_averages_are_boltzmanns():
    """Second moments of 500 junctions at kT/(Ms V) = 20 mT against the quadrature (Brown, Phys.
    Rev. 130, 1677 (1963)), within 4 standard errors, none above 0.012."""
    k, b, heat = 0.02, 0.01, 0.02
    junctions = Ensemble(
        k_t=np.full(500, k), k2_t=0.0, hz_t=b, alpha=0.5, temperature_k=300.0,
        volume_m3=1.380649e-23 * 300 / (heat * 1e6),
    )  # fmt: skip
    run = evolve(junctions, [0.0], 500, 1e-12, settle_steps=500, squares=True, device="cpu")
    _, exact = thermal.boltzmann(k, 0.0, 0.0, np.array([0.0, 0.0, b]), heat)
    error = run.squares[:, 0].std(0) / np.sqrt(500)
    assert (error <= 0.012).all()
    assert (np.abs(run.squares[:, 0].mean(0) - exact) <= 4 * error).all()


def test_a_step_compiles_into_one_graph_with_the_same_result(monkeypatch):
    """torch.compile meets no break in a step, whatever the seed, and what it traces is the step:
    run without a code generator, the bits are the same."""
    graphs = []

    def backend(graph, example):
        graphs.append(graph)
        return graph

    monkeypatch.setattr(
        motion_torch, "_one_graph", lambda f: torch.compile(f, fullgraph=True, backend=backend)
    )
    run = {"start": (0.6, 0.0, 0.8), "squares": True, "every": 1, "device": "cpu"}
    for seed in (1, 2):
        traced = evolve(all_terms(), CURRENT, 3, 5e-12, seed=seed, compiled=True, **run)
        assert apart(traced, evolve(all_terms(), CURRENT, 3, 5e-12, seed=seed, **run)) == 0
    assert len(graphs) == 1


# -- which way ------------------------------------------------------------------------------------


@pytest.mark.parametrize("there", [True, False])
def test_auto_takes_cuda_where_torch_sees_it(monkeypatch, there):
    """And numba where it does not; threads are numba's alone."""
    taken = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    monkeypatch.setattr(motion_torch, "evolve", lambda *a, **more: taken.append(("torch", more)))
    monkeypatch.setattr(motion, "evolve", lambda *a, **more: taken.append(("numba", more)))
    evolve_anywhere(Ensemble(), [0.0], 1, 1e-12, seed=4, threads=1, compiled=False)
    evolve_anywhere(Ensemble(), [0.0], 1, 1e-12, device="cpu")
    first = (
        ("torch", {"seed": 4, "device": "cuda", "compiled": False})
        if there
        else ("numba", {"seed": 4, "threads": 1})
    )
    assert taken == [first, ("torch", {"device": "cpu"})]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"steps": 0}, "steps is 0"), ({"dt_s": float("nan")}, "dt_s is nan"),
        ({"dtype": "float16"}, "dtype is 'float16'"), ({"dt_s": 1e-9}, "turns by"),
        ({"start": (1.0, 1.0, 0.0)}, "length of start"), ({"first_step": -1}, "first_step is -1"),
    ],
)  # fmt: skip
def test_what_is_out_of_range_is_refused_as_by_the_numba_code(wrong, message):
    """The same sentence from both."""
    asked = {"steps": 1, "dt_s": 1e-12} | wrong
    said = []
    for call in (lambda **a: evolve(device="cpu", **a), motion.evolve):
        with pytest.raises(ParameterError, match=message) as error:
            call(junctions=Ensemble(), current_a=[0.01], **asked)
        said.append(str(error.value))
    assert said[0] == said[1]


def test_the_motion_leaves_torch_its_number_of_threads():
    """numba's threading layer may be the one that torch uses."""
    before = torch.get_num_threads()
    motion.evolve(Ensemble(), [0.0], 1, 1e-12, threads=1)
    assert torch.get_num_threads() == before
