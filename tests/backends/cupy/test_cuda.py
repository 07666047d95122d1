"""What a GPU alone can show. `pytest -m cuda` runs these; without CuPy or a GPU each is skipped and says so."""

from __future__ import annotations

import csv

import numpy as np
import pytest

import leakysm as lk
from leakysm import ops
from leakysm.backends.cupy.engine import CupyEngine, device_count, import_cupy
from leakysm.backends.cupy.kernels import Tiling
from leakysm.backends.reference import ReferenceEngine
from leakysm.data import load
from leakysm.errors import CheckFailed, UserError
from leakysm.nets import Conv4
from leakysm.optim import SGD, Adam
from leakysm.runs import train
from leakysm.runs.build import build_trainer
from leakysm.training.device_step import Images, device_step
from leakysm.verify.adapters.engine import EngineImplementation
from leakysm.verify.conformance import OWN_DTYPES, Settings, conform
from tests.backends.cupy.block_cases import SHAPES, assert_close, block, block_scales
from tests.backends.cupy.test_blocks import TF32
from tests.backends.cupy.test_split import NUMBERS, run_hard_products
from tests.tiny_run import _make_data
from tests.training.test_device_step import METRICS, indices
from tests.training.test_trainer_on_device import config

pytestmark = pytest.mark.cuda

OPERATIONS = sorted(ops.registry.OPERATIONS)
LARGE = [(360, 28, 28, 1, 64), (360, 14, 14, 64, 64), (80, 42, 42, 64, 64), (64, 84, 84, 3, 64)]


def open_engine(**options):
    try:
        return CupyEngine("cuda", **options)
    except UserError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def engine():
    return open_engine()


@pytest.fixture(params=["large tiles", "small tiles"])
def split(request):
    """Split products at every size."""
    engine = open_engine(products="split")
    engine.kernels.tiling = Tiling(large=0 if request.param == "large tiles" else 1 << 30, slices=176, shortest=16)
    return engine


def run_block(engine, case):
    pair = engine.operation("conv_block")
    *arguments, dy = map(engine.asarray, case)
    outputs, saved = pair.forward(*arguments)
    return [engine.to_host(a) for a in (*outputs, *pair.backward(saved, dy))]


@pytest.mark.parametrize("operation", OPERATIONS)
def test_conformance(engine, operation):
    report = conform(
        EngineImplementation(engine), operations=[operation], settings=Settings(dtypes=OWN_DTYPES, strict=True)
    )
    assert [row.status for row in report.rows] == ["passed"], [row.problem for row in report.rows]


@pytest.mark.parametrize("operation", ["conv2d", "conv_block", "conv_block_inference"])
def test_conformance_of_split_products(split, operation):
    settings = Settings(dtypes=("float32",), strict=True)
    report = conform(EngineImplementation(split), operations=[operation], settings=settings)
    assert [row.status for row in report.rows] == ["passed"], [row.problem for row in report.rows]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [s for s in SHAPES if s[0] * s[1] * s[2] > 1])
def test_blocks_are_those_of_the_reference(engine, shape, dtype):
    case = block(20, shape, dtype)
    scales, expected = block_scales(case), run_block(ReferenceEngine(), case)
    k = 8 * np.sqrt(9 * shape[3] + shape[0] * shape[1] * shape[2])
    for a, b, scale, name in zip(run_block(engine, case), expected, scales, scales._fields, strict=True):
        assert_close(a, b.astype("float64"), scale, k, name)


@pytest.mark.parametrize("shape", LARGE)
def test_blocks_at_training_sizes(engine, shape):
    """Our float32 kernels against the operations in float64, on whole numbers, so that both make the same choices."""
    case = block(21, shape)
    scales = block_scales(case)
    k = np.sqrt(9 * shape[3] + shape[0] * shape[1] * shape[2])
    ours, exact = run_block(engine, case), run_block(engine, case.astype("float64"))
    for a, b, scale, name in zip(ours, exact, scales, scales._fields, strict=True):
        assert_close(a, b, scale, k, name)


@pytest.mark.parametrize("shape", LARGE)
def test_the_same_call_gives_the_same_bits(engine, shape):
    case = block(22, shape, exact=False)
    first = run_block(engine, case)
    for _ in range(3):
        for a, b in zip(run_block(engine, case), first, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("shape", [(40, 14, 14, 64, 64), (360, 28, 28, 1, 64)])
def test_tensor_cores_round_factors_and_nothing_else(shape):
    engine = open_engine(products="tf32")
    case = block(23, shape, exact=False)
    dy = np.random.default_rng(23).normal(size=(*shape[:3], shape[4])).astype("float32")
    pair = engine.operation("conv2d")
    y, saved = pair.forward(engine.asarray(case.x), engine.asarray(case.w))
    results = [y, *pair.backward(saved, engine.asarray(dy))]
    x, w, g = (a.astype("float64") for a in (case.x, case.w, dy))
    exact = ops.conv2d(x, w), *ops.conv2d_vjp(x, w, g)
    scales = ops.conv2d(abs(x), abs(w)), *ops.conv2d_vjp(abs(x), abs(w), abs(g))
    for result, value, scale, name in zip(results, exact, scales, ("y", "dx", "dw"), strict=True):
        error = abs(engine.to_host(result) - value) / scale
        # Two roundings of a factor, and sums in the tensor cores' own float32.
        assert error.max() <= 2.5 * TF32, name
        assert error.max() > 2.0**-20, f"{name} was not rounded to TF32 at all"


@pytest.mark.parametrize("numbers", NUMBERS)
@pytest.mark.parametrize("shape", [(40, 14, 14, 64, 64), (13, 11, 9, 64, 64)])
def test_split_products_are_within_the_bounds_of_float32(split, shape, numbers):
    """What this device's tensor cores really cut; the tests on the CPU suppose an A100's."""
    results = run_hard_products(split.operation("conv2d"), shape, numbers, to_device=split.asarray)
    for name, result, value, scale, k in results:
        assert_close(split.to_host(result), value, scale, k, name)


@pytest.mark.parametrize("bad", [np.nan, np.inf, np.finfo("float32").max])
def test_where_splitting_says_nothing_the_result_is_the_ordinary_one(engine, split, bad):
    case = block(24, (2, 9, 11, 64, 64), exact=False)
    case.x.flat[777] = bad
    y, ordinary = (
        each.to_host(each.operation("conv2d").forward(each.asarray(case.x), each.asarray(case.w))[0])
        for each in (split, engine)
    )
    touched = ~np.isfinite(ordinary) | (abs(ordinary) > 1e30)
    assert touched.any()
    np.testing.assert_array_equal(y[touched], ordinary[touched])


def device_images(engine, channels=1):
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (40, 17, 21, channels), dtype=np.uint8)
    moments = random.uniform(0.3, 0.9, (2, channels)).astype("float32")
    return Images(*map(engine.asarray, (pixels, *moments)))


def steps(engine, metric, optimizer, count=4):
    """Records, parameters and slots after some steps by the graph."""
    net = Conv4(1, channels=64, seed=1, engine=engine)
    step = device_step(engine, net, optimizer, metric, device_images(engine), way=3, shot=2, query=3)
    records = [step(indices(i)) for i in range(count)]
    return [*records, *net.state().values(), *map(engine.to_host, optimizer.slots.values())]


@pytest.mark.parametrize("metric", METRICS, ids=str)
@pytest.mark.parametrize("optimizer", [Adam, SGD])
def test_the_graph_gives_the_same_bits_each_time(engine, metric, optimizer):
    first = steps(engine, metric, optimizer(0.001))
    for a, b in zip(steps(engine, metric, optimizer(0.001)), first, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("metric", METRICS, ids=str)
def test_the_graph_is_the_launches_one_by_one(engine, metric, monkeypatch):
    """Whether captured on two streams or launched in order on one: the same bits."""

    def one_by_one(launches, given, result):
        def run():
            given[0][...] = engine.asarray(given[1])
            for launch in launches:
                engine.kernels.start(*launch[:4])
            result[1][...] = engine.to_host(result[0])

        return run

    captured = steps(engine, metric, Adam(0.001))
    monkeypatch.setattr(engine.kernels, "program", one_by_one)
    for a, b in zip(steps(engine, metric, Adam(0.001)), captured, strict=True):
        np.testing.assert_array_equal(a, b)


def test_steps_are_those_of_the_cpu(engine):
    """The trainer on both, float32: records of the first steps agree to what the two orders of sums allow."""
    data = _make_data()
    settings = config(optimizer="sgd", learning_rate=0.01)
    ours, theirs = build_trainer(settings, data, engine), build_trainer(settings, data, lk.backend("numpy"))
    for _ in range(4):
        row, expected = np.array(ours.step().row, "float32"), np.array(theirs.step().row)
        assert_close(row, expected, 1 + abs(expected), 256, "row")
    parameters = engine.to_host(ours.net.vector)
    assert_close(parameters, theirs.net.vector.astype("float64"), abs(theirs.net.vector).max(), 256, "parameters")


def test_steps_after_the_first_take_no_more_memory(engine):
    trainer = build_trainer(config(), _make_data(), engine)
    trainer.step()
    pool = engine.xp.get_default_memory_pool()
    used = pool.used_bytes()
    for _ in range(5):
        trainer.step()
    assert pool.used_bytes() == used


def test_others_may_use_the_device_between_steps(engine):
    """The graph's own memory, labels and all, is given to nobody."""

    def records(disturbed):
        trainer = build_trainer(config(), _make_data(), engine)
        found = []
        for _ in range(4):
            found.append(trainer.step().row)
            others = [engine.xp.full(2**k, 255, np.uint8) for k in range(22) for _ in range(4)] if disturbed else []
            del others
        return found

    assert records(disturbed=True) == records(disturbed=False)


def test_a_loss_that_is_not_finite_changes_nothing(engine):
    trainer = build_trainer(config(), _make_data(), engine)
    trainer.step()
    trainer.net.parameters["block4.shift"][:] = float("nan")
    before = {name: array.copy() for part in trainer.state() for name, array in part.items()}
    with pytest.raises(CheckFailed, match="the loss is nan at episode 2"):
        trainer.step()
    for name, array in {name: a for part in trainer.state() for name, a in part.items()}.items():
        np.testing.assert_array_equal(array, before[name])


class CutOffError(Exception):
    pass


def test_a_run_that_was_cut_off_is_resumed_exactly(engine, tmp_path):
    def cut_off(progress):
        if progress.phase == "train" and progress.done == 3:
            raise CutOffError

    data = _make_data()
    train(config(), data=data, out=tmp_path / "whole")
    with pytest.raises(CutOffError):
        train(config(), data=data, out=tmp_path / "parts", report=cut_off)
    train(config(), data=data, out=tmp_path / "parts", resume=True)
    metrics = [(tmp_path / name / "metrics.csv").read_bytes() for name in ("whole", "parts")]
    assert metrics[0] == metrics[1]


def test_training_learns_as_on_the_cpu(engine, tmp_path):
    """Strokes, 5-way 1-shot: the loss falls, and unseen classes are told apart far better than by chance (20 %)."""
    settings = config(
        dataset="strokes", way=20, shot=1, query=5, episodes=150, test_way=(5,), test_query=5, test_episodes=200
    )
    summary = train(settings, data=load("strokes"), out=tmp_path / "run")
    with (tmp_path / "run" / "metrics.csv").open() as file:
        losses = [float(row["loss"]) for row in csv.DictReader(file)]
    assert np.mean(losses[-20:]) < np.mean(losses[:20])
    assert summary.tests[0].accuracy > 70


def test_labels_outside_are_refused(engine):
    logits = engine.asarray(np.zeros((3, 4), "float32"))
    for labels in ([0, 1, 4], [0, -1, 2]):
        with pytest.raises(UserError, match="labels run from"):
            engine.operation("cross_entropy").forward(logits, engine.asarray(np.array(labels)))


def test_out_of_memory_is_one_line(engine):
    with pytest.raises(UserError, match="out of memory on the device") as error:
        engine.operation("conv2d").forward(
            engine.xp.empty((1, 1 << 15, 1 << 12, 1), "float32"), engine.xp.empty((3, 3, 1, 1 << 14), "float32")
        )
    assert "\n" not in str(error.value)


def test_a_device_that_is_not_there_is_one_line(engine):
    count = device_count(import_cupy())
    with pytest.raises(UserError, match=f"{count} CUDA device"):
        CupyEngine(f"cuda:{count}")
