"""The recorded training step, run on the CPU, against the trainer's own step with the reference engine."""

from __future__ import annotations

import weakref

import numpy as np
import pytest

from leakysm import Cosine, Euclidean, LeakySquaredEuclidean, Log, RestrictedSquaredEuclidean, SquaredEuclidean
from leakysm.backends.reference import ReferenceEngine
from leakysm.nets import Conv4
from leakysm.optim import SGD, Adam
from leakysm.training.device_step import Images, TrainingStep, device_step
from leakysm.training.loss import episode_loss
from leakysm.training.sparsity import sparsity
from tests.backends.cupy.block_cases import assert_close
from tests.backends.cupy.host_kernels import HostEngine, HostKernels

WAY, SHOT, QUERY = 3, 2, 3
K = 64  # of assert_close, in float32
METRICS = [
    SquaredEuclidean(),
    LeakySquaredEuclidean(threshold=2.0, slope=0.1),
    LeakySquaredEuclidean(threshold=0.1, slope=0.3, per="coordinate"),
    Euclidean(),
    Cosine(),
]


def images(channels=1):
    random = np.random.default_rng(0)
    mean, deviation = random.uniform(0.1, 0.4, channels), random.uniform(0.5, 1, channels)
    pixels = random.integers(0, 256, (40, 17, 21, channels), dtype=np.uint8)
    return Images(pixels, mean.astype("float32"), deviation.astype("float32"))


def indices(seed):
    return np.random.default_rng(seed).permutation(40)[: WAY * (SHOT + QUERY)].astype(np.int64)


def build(folder, *arguments, channels=1, **options):
    """`step_with` the host's kernels."""
    return step_with(HostKernels(folder, **options), *arguments, channels=channels)


def step_with(kernels, metric=METRICS[1], optimizer=None, channels=1):
    """(step, net, optimizer); a narrow net, to be fast."""
    net = Conv4(channels, channels=4, seed=1, engine=HostEngine(kernels))
    optimizer = optimizer or Adam(0.01)
    form = {"way": WAY, "shot": SHOT, "query": QUERY}
    return TrainingStep(kernels, net, optimizer, metric, images(channels), **form), net, optimizer


def reference_step(net, optimizer, metric, data, chosen):
    """What the step must do, by the reference operations. Returns the record."""
    x = ((data.pixels[chosen] / data.mean.dtype.type(255)) - data.mean) / data.deviation
    z, saved = net.forward(x.astype(data.mean.dtype))
    labels = [np.repeat(np.arange(WAY), k) for k in (SHOT, QUERY)]
    result = episode_loss(net.engine, metric, z, *labels, WAY)
    figures = sparsity(result.distances, result.ddistances, result.dz[WAY * SHOT :])
    gradient = net.backward(saved, result.dz)
    optimizer.step(net.vector, gradient)
    net.update_running(saved)
    return np.array([result.loss, result.accuracy, *figures, abs(gradient).max()])


@pytest.mark.parametrize("metric", METRICS, ids=str)
@pytest.mark.parametrize(("optimizer", "channels"), [(SGD, 3), (Adam, 1)])
def test_three_steps_are_the_trainers(kernel_folder, metric, optimizer, channels):
    """The reference in float64, from the same numbers, differs only by the roundings of float32.

    Adam has epsilon 0.01: with 1e-8 it would enlarge a gradient that is 0 but for rounding.
    """
    options = {"halve_every": 2} | ({"epsilon": 0.01} if optimizer is Adam else {})
    step, net, ours = build(kernel_folder, metric, optimizer(0.01, **options), channels=channels)
    other = Conv4(channels, channels=4, seed=1, dtype="float64", engine=ReferenceEngine())
    other.vector[...] = net.vector
    data = Images(step.images.pixels, *(a.astype("float64") for a in step.images[1:]))
    theirs = optimizer(0.01, **options)
    for i in range(3):
        record = step(indices(i))
        expected = reference_step(other, theirs, metric, data, indices(i))
        assert_close(record, expected, abs(expected) + 1, K, "record")
    assert ours.steps == theirs.steps == 3
    assert_close(net.vector, other.vector, abs(other.vector).max(), K, "parameters")
    for name, value in net.running.items():
        assert_close(value, other.running[name], abs(other.running[name]).max(), K, name)
    for name, slot in ours.slots.items():
        assert_close(slot, theirs.slots[name], abs(theirs.slots[name]).max(), K, name)


def run(step, net, optimizer, steps=2):
    records = [step(indices(i)) for i in range(steps)]
    return [*records, *net.state().values(), *optimizer.slots.values()]


def test_what_runs_beside_may_run_late_and_in_any_order(kernel_folder):
    """The same bits whatever a GPU may reorder: threads, blocks, and the launches beside the main line."""
    expected = run(*build(kernel_folder))
    for options in ({"late": True}, {"descending": True}):
        for a, b in zip(run(*build(kernel_folder, **options)), expected, strict=True):
            np.testing.assert_array_equal(a, b)


def test_what_runs_beside_the_main_line(kernel_folder):
    step, _, _ = build(kernel_folder)
    programs = []
    step.kernels.program = lambda launches, given, result: programs.append(launches) or (lambda: None)
    step(indices(0))
    beside = [launch.name.partition("<")[0] for launch in programs[0] if launch.beside]
    summary = ["row_lengths", "summarise"]
    assert beside == ["turn_kernel"] * 3 + summary + ["weight_gradient", "sum_slices"] * 3 + ["update_running"] * 4
    joins = [launch.name.partition("<")[0] for launch in programs[0] if launch.joins]
    assert joins == ["prototypes", "largest_magnitude"]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("where", ["weights", "images"])
def test_nothing_changes_where_loss_or_gradient_is_not_finite(kernel_folder, bad, where):
    step, net, optimizer = build(kernel_folder)
    step(indices(0))
    if where == "weights":
        net.parameters["block2.scale"][1] = bad
    else:
        step.images.mean[0] = bad
    before = [a.copy() for a in (*net.state().values(), *optimizer.slots.values())]
    record = step(indices(1))
    assert not np.isfinite(record[[0, -1]]).all()
    assert optimizer.steps == 1
    for a, b in zip((*net.state().values(), *optimizer.slots.values()), before, strict=True):
        np.testing.assert_array_equal(a, b)


def test_exchanged_state_is_taken_up_and_the_run_goes_on_exactly(kernel_folder):
    """Resumption: another step from a copy of the state gives the same bits as going on."""
    step, net, optimizer = build(kernel_folder)
    run(step, net, optimizer, 1)
    state, slots = net.state(), {name: a.copy() for name, a in optimizer.state().items()}
    expected = step(indices(5))

    again, new_net, new_optimizer = build(kernel_folder)
    again(indices(3))  # another past
    new_net.load_state(state)
    new_optimizer.load_state(slots)
    np.testing.assert_array_equal(again(indices(5)), expected)
    for name, value in new_net.state().items():
        np.testing.assert_array_equal(value, net.state()[name])
    assert new_optimizer.steps == optimizer.steps


def test_an_old_programs_arrays_go_before_new_ones_come(kernel_folder):
    step, net, _ = build(kernel_folder)
    programs = []
    record, trace = step.kernels.program, step._trace

    def recorded(launches, *ends):
        programs.append(weakref.ref(ends[0][0]))
        return record(launches, *ends)

    step.kernels.program = recorded
    step(indices(0))
    net.load_state(net.state())
    step._trace = lambda *given: programs.append(programs[0]()) or trace(*given)
    step(indices(1))
    assert programs[1] is None


def test_the_program_is_recorded_once(kernel_folder):
    step, _, _ = build(kernel_folder)
    recorded = []
    record = step.kernels.program
    step.kernels.program = lambda *given: recorded.append(1) or record(*given)
    for i in range(3):
        step(indices(i))
    assert len(recorded) == 1


def test_a_metric_without_a_kernel_has_no_step_of_its_own(tmp_path):
    engine, form = HostEngine(HostKernels(tmp_path)), {"way": WAY, "shot": SHOT, "query": QUERY}
    net, metric = Conv4(1, channels=4, seed=1, engine=engine), RestrictedSquaredEuclidean(Log(2.0))
    assert device_step(engine, net, Adam(0.01), metric, images(), **form) is None
    own = type("Own", (SquaredEuclidean,), {"__call__": lambda self, x, c: 0})()
    assert device_step(engine, net, Adam(0.01), own, images(), **form) is None


def test_what_the_kernels_cannot_compute_has_no_step_of_its_own(tmp_path):
    """Channels in no groups of four, float64, and what somebody's own class may compute in another way."""
    engine, form = HostEngine(HostKernels(tmp_path)), {"way": WAY, "shot": SHOT, "query": QUERY}
    net = Conv4(1, channels=4, seed=1, engine=engine)
    others = [
        Conv4(1, channels=6, engine=engine),
        Conv4(1, channels=4, dtype="float64", engine=engine),
        type("Own", (Conv4,), {})(1, channels=4, engine=engine),
    ]
    for other in others:
        assert device_step(engine, other, Adam(0.01), METRICS[1], images(), **form) is None
    assert device_step(engine, net, type("Own", (Adam,), {})(0.01), METRICS[1], images(), **form) is None
    assert device_step(engine, net, Adam(0.01), METRICS[1], images(), **form) is not None
