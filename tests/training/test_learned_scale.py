"""The learned scale: its gradient against 50-digit differentiation, its state, and a run that is resumed exactly."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from decimal import Decimal, localcontext
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import leakysm as lk
from leakysm.backends import backend
from leakysm.data import Dataset
from leakysm.errors import CheckFailed, UserError
from leakysm.predict.predict import predict
from leakysm.runs import RunFolder, Stopped, TrainConfig, evaluate_run, load_checkpoint, restore, train
from leakysm.runs.build import build_trainer
from leakysm.runs.checkpoint import save_checkpoint
from leakysm.training.loss import episode_loss
from tests.backends.cupy.host_kernels import HostEngine
from tests.training.test_loss_and_sparsity import METRICS, embeddings

Make = Callable[..., TrainConfig]
PLAIN = {"distance": "squared-euclidean", "threshold": None, "slope": None, "per": None}


def loss_in_decimals(distances: np.ndarray, labels: np.ndarray, a: Decimal) -> Decimal:
    """The mean of log sum_j exp(-exp(a) d_ij) + exp(a) d_iy."""
    scale = a.exp()
    terms = [
        sum((-scale * Decimal(float(d))).exp() for d in row).ln() + scale * Decimal(float(row[y]))
        for row, y in zip(distances, labels, strict=True)
    ]
    return sum(terms) / len(terms)


@pytest.mark.parametrize("metric", METRICS[:4], ids=str)
@settings(max_examples=10)
@given(seed=st.integers(0, 2**32), a=st.floats(-3, 2))
def test_the_gradient_is_that_of_50_digits(metric: lk.Metric, seed: int, a: float) -> None:
    z, support_labels, query_labels = embeddings(seed, 4, 2, 2)
    engine, log_scale = backend("reference"), np.array([a])
    found = episode_loss(engine, metric, z, support_labels, query_labels, 4, log_scale)
    plain = episode_loss(engine, metric, z, support_labels, query_labels, 4)
    with localcontext(prec=50):
        step, exact = Decimal("1e-15"), Decimal(a)
        loss, above, below = (loss_in_decimals(plain.distances, query_labels, exact + h) for h in (0, step, -step))
        slope = (above - below) / (2 * step)
    largest = float(np.exp(a) * (1 + plain.distances.max()))
    bound = 64 * 2.0**-52 * (1 + largest) ** 2  # each is a sum of terms up to the largest logit
    assert found.dlog_scale.shape == (1,)
    assert abs(float(found.loss) - float(loss)) <= bound
    assert abs(float(found.dlog_scale[0]) - float(slope)) <= bound
    assert found.accuracy == plain.accuracy
    assert np.allclose(found.distances, np.exp(a) * plain.distances, rtol=4 * 2.0**-52, atol=0)
    # of the embeddings: those of the metric times a constant
    prototypes = lk.prototypes(z[:8], support_labels, 4)
    dquery, _ = metric.vjp(z[8:], prototypes, np.exp(a) * found.ddistances)
    assert np.abs(found.dz[8:] - dquery).max() <= bound * (1 + np.abs(z).max())


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_it_is_trained_by_the_nets_optimizer_and_restored_bit_for_bit(
    data: Dataset, config: Make, optimizer: str
) -> None:
    wanted = config(optimizer=optimizer, learn_scale=True)
    first, second = (build_trainer(wanted, data, backend("numpy")) for _ in range(2))
    assert first.scale
    assert second.scale
    assert first.scale.log_scale.tolist() == [0]
    gradient = first.forward()[1].dlog_scale
    first.step()
    rate = 0.001
    expected = -rate * np.sign(gradient) if optimizer == "adam" else -rate * gradient
    assert np.allclose(first.scale.log_scale, expected, rtol=1e-4)
    first.step()
    second.load_state(*first.state(), first.episode, first.scale_state())
    for _ in range(3):
        assert first.step() == second.step()
    assert first.scale.log_scale.tobytes() == second.scale.log_scale.tobytes()
    assert first.net.vector.tobytes() == second.net.vector.tobytes()
    first.scale.log_scale[:] = np.nan
    with pytest.raises(CheckFailed, match="log_scale is not finite after episode 5"):
        first.require_finite_state()


def test_on_a_gpu_it_is_trained_by_the_ordinary_step(host_kernels: object, data: Dataset, config: Make) -> None:
    on_gpu = config(learn_scale=True, backend="cupy", device="cuda:0", optimizer="sgd")
    ours = build_trainer(on_gpu, data, HostEngine(host_kernels))
    theirs = build_trainer(on_gpu, data, backend("reference"))
    assert np.allclose(ours.step().row, theirs.step().row, rtol=1e-4, atol=1e-5)
    assert ours.scale
    assert theirs.scale
    assert np.allclose(ours.scale.log_scale, theirs.scale.log_scale, rtol=1e-3, atol=1e-8)
    assert float(ours.scale.log_scale[0]) != 0


def test_a_run_keeps_it_resumes_it_exactly_and_uses_it(data: Dataset, config: Make, tmp_path: Path) -> None:
    wanted = config(**PLAIN, learn_scale=True)
    whole = train(wanted, data=data, out=tmp_path / "whole")
    asked = iter([False, False, False, True])
    with pytest.raises(Stopped):
        train(wanted, data=data, out=tmp_path / "cut", stop=lambda: next(asked, True))
    train(wanted, data=data, out=tmp_path / "cut", resume=True)
    for name in ("metrics.csv", "checkpoint-last.h5", "checkpoint-best.h5", "summary.json", "config.toml"):
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    last = load_checkpoint(tmp_path / "whole" / "checkpoint-last.h5")
    assert list(last.scale) == ["first_moment", "log_scale", "second_moment", "steps"]
    assert last.learned_scale == np.exp(np.float64(last.scale["log_scale"][0])) != 1
    restored = restore(tmp_path / "whole", backend("numpy"))
    assert whole.scale == restored.scale == json.loads((tmp_path / "whole" / "summary.json").read_text())["scale"]
    # a positive factor changes no nearest prototype, but the probabilities
    test = data.split("test")
    support = {name: test.images[test.starts[k]][None] for k, name in enumerate("ab")}
    plain = dataclasses.replace(restored, config=dataclasses.replace(restored.config, learn_scale=None))
    (one,), (other,) = (predict(run, support, test.images[1:2], "running") for run in (restored, plain))
    odds = [np.log(c[0].probability / c[1].probability) for c in (one, other)]
    assert odds[0] == pytest.approx(whole.scale * odds[1], rel=1e-9)
    assert [c.distance for c in one] == [c.distance for c in other]
    tested = evaluate_run(tmp_path / "whole", {"test_way": (2,)}, data=data)
    assert tested.accuracy == whole.tests[0].accuracy


def test_it_is_taken_back_with_the_step_before_a_validation_that_is_stopped(
    data: Dataset, config: Make, tmp_path: Path
) -> None:
    wanted = config(learn_scale=True)
    whole = train(wanted, data=data, out=tmp_path / "whole")
    validations: list[str] = []
    with pytest.raises(Stopped):
        train(
            wanted,
            data=data,
            out=tmp_path / "stopped",
            report=lambda progress: validations.extend([progress.phase] * (progress.phase == "validate")),
            stop=lambda: bool(validations),
        )
    resumed = train(wanted, data=data, out=tmp_path / "stopped", resume=True)
    assert resumed.to_json() == whole.to_json()
    metrics = [(tmp_path / name / "metrics.csv").read_bytes() for name in ("whole", "stopped")]
    assert metrics[0] == metrics[1]


def test_a_checkpoint_without_it_is_refused_and_so_is_one_with_it_elsewhere(
    data: Dataset, config: Make, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    wanted = config(learn_scale=True, episodes=2)
    train(wanted, data=data, out=out)
    folder = RunFolder(out)
    last = load_checkpoint(folder.last)
    for scale, words in (
        ({}, "log_scale is None"),
        ({"log_scale": np.zeros(2, np.float32)}, r"log_scale is of shape \(2,\)"),
        ({**last.scale, "steps": np.asarray(1)}, "steps is 1"),
    ):
        save_checkpoint(folder.last, dataclasses.replace(last, scale=scale))
        with pytest.raises(UserError, match=words):
            folder.checkpoint(folder.last, wanted)
    without = config(episodes=2)
    save_checkpoint(folder.last, dataclasses.replace(last, config=without.to_toml()))
    with pytest.raises(UserError, match="the run has no learned scale"):
        folder.checkpoint(folder.last, without)
