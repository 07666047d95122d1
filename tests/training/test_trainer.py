"""The trainer: a step is the net's, the loss's and the optimizer's; one that is not finite changes nothing."""

from __future__ import annotations

import doctest
from collections.abc import Callable

import numpy as np
import pytest

import leakysm as lk
from leakysm.data import Dataset
from leakysm.episodes import EpisodeForm, sample
from leakysm.errors import CheckFailed, UserError
from leakysm.optim import SGD
from leakysm.runs import TrainConfig
from leakysm.runs.build import build_trainer
from leakysm.training import SplitImages, Trainer

Make = Callable[..., TrainConfig]


def test_a_step_is_loss_gradient_update_and_running_statistics(data: Dataset, config: Make) -> None:
    settings = config(optimizer="sgd", learning_rate=0.01)
    trainer = build_trainer(settings, data, lk.backend("numpy"))
    net, metric, train = lk.Conv4(1, seed=5), settings.metric, data.split("train")
    optimizer = SGD(0.01, halve_every=3)
    for k in range(2):
        step = trainer.step()
        episode = sample(train.starts, 3, 1, 2, seed=5, split="train", episode=k)
        z, saved = net.forward(data.inputs.to_float(train.images[np.concatenate([episode.support, episode.query])]))
        arguments = (z[:3], episode.support_labels, z[3:], episode.query_labels)
        loss = lk.prototypical_loss(*arguments, distance=metric)
        dz = np.concatenate(lk.prototypical_loss_vjp(*arguments, distance=metric))
        optimizer.step(net.vector, net.backward(saved, dz))
        net.update_running(saved)
        # float32, the same operations in another grouping; the scale of each is its largest value
        eps = 64 * np.finfo(np.float32).eps
        assert abs(step.loss - float(loss)) <= eps * (1 + step.figures[3])
        assert np.abs(trainer.net.vector - net.vector).max() <= eps * np.abs(net.vector).max()
        for name, value in net.running.items():
            assert np.abs(trainer.net.running[name] - value).max() <= eps * np.abs(value).max()
    assert trainer.episode == 2


@pytest.mark.parametrize("distance", ["squared-euclidean", "leaky", "euclidean", "cosine"])
def test_every_distance_learns(data: Dataset, config: Make, distance: str) -> None:
    parameters = {} if distance == "leaky" else {"threshold": None, "slope": None, "per": None}
    trainer = build_trainer(config(distance=distance, halve_every=0, **parameters), data, lk.backend("numpy"))
    losses = [trainer.step().loss for _ in range(12)]
    assert np.mean(losses[-4:]) < np.mean(losses[:4])


@pytest.mark.parametrize("backend", ["numpy", "reference"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_loss_that_is_not_finite_changes_nothing(data: Dataset, config: Make, backend: str, value: float) -> None:
    trainer = build_trainer(config(), data, lk.backend(backend))
    trainer.step()
    trainer.net.parameters["block4.shift"][:] = value
    before = {name: array.copy() for part in trainer.state() for name, array in part.items()}
    with pytest.raises(CheckFailed) as caught:
        trainer.step()
    assert str(caught.value).startswith("the loss is nan at episode 2, expected a finite number")
    after = {name: array for part in trainer.state() for name, array in part.items()}
    assert all(before[name].tobytes() == after[name].tobytes() for name in before)
    assert trainer.episode == 1


def test_a_gradient_that_is_not_finite_changes_nothing(
    data: Dataset, config: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = build_trainer(config(), data, lk.backend("numpy"))
    real = trainer.net.backward

    def overflowing(saved: object, dz: np.ndarray) -> np.ndarray:
        gradient = real(saved, dz)
        gradient[7] = -np.inf
        return gradient

    monkeypatch.setattr(trainer.net, "backward", overflowing)
    before = trainer.net.vector.copy()
    with pytest.raises(CheckFailed, match="the gradient is inf at episode 1"):
        trainer.step()
    assert trainer.net.vector.tobytes() == before.tobytes()
    assert (trainer.episode, trainer.optimizer.steps) == (0, 0)
    assert all(np.all(trainer.net.running[f"block{b}.mean"] == 0) for b in range(1, 5))


@pytest.mark.parametrize(("optimizer", "largest"), [("adam", 3e19), ("sgd", None)])
def test_a_gradient_whose_square_overflows_never_reaches_adam(
    data: Dataset, config: Make, monkeypatch: pytest.MonkeyPatch, optimizer: str, largest: float | None
) -> None:
    trainer = build_trainer(config(optimizer=optimizer, learning_rate=1e-30), data, lk.backend("numpy"))
    real = trainer.net.backward

    def huge(saved: object, dz: np.ndarray) -> np.ndarray:
        gradient = real(saved, dz)
        gradient[7] = -3e19
        return gradient

    monkeypatch.setattr(trainer.net, "backward", huge)
    before = trainer.net.vector.copy()
    if largest is None:  # SGD squares nothing
        trainer.step()
        trainer.require_finite_state()
        return
    with pytest.raises(CheckFailed, match=r"the gradient is 3e\+19 at episode 1, expected at most 1\.84e\+19 for adam"):
        trainer.step()
    assert trainer.net.vector.tobytes() == before.tobytes()
    assert (trainer.episode, trainer.optimizer.steps) == (0, 0)


def test_an_optimizer_that_is_not_finite_is_not_worth_keeping(data: Dataset, config: Make) -> None:
    trainer = build_trainer(config(), data, lk.backend("numpy"))
    trainer.step()
    trainer.require_finite_state()
    trainer.optimizer.slots["second_moment"][3] = np.inf
    with pytest.raises(CheckFailed, match="second_moment is not finite after episode 1"):
        trainer.require_finite_state()


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_a_restored_trainer_goes_on_bit_for_bit(data: Dataset, config: Make, optimizer: str) -> None:
    first, second = (build_trainer(config(optimizer=optimizer), data, lk.backend("numpy")) for _ in range(2))
    for _ in range(2):
        first.step()
    second.load_state(*first.state(), first.episode)
    for _ in range(3):
        assert first.step() == second.step()
    assert first.net.vector.tobytes() == second.net.vector.tobytes()
    assert all(first.net.running[k].tobytes() == second.net.running[k].tobytes() for k in first.net.running)


def test_threads_do_not_change_a_bit(data: Dataset, config: Make) -> None:
    one, two = (build_trainer(config(), data, lk.backend("numpy", threads=n)) for n in (1, 2))
    assert [one.step() for _ in range(3)] == [two.step() for _ in range(3)]
    assert one.net.vector.tobytes() == two.net.vector.tobytes()


def test_the_example_in_its_docstring_holds() -> None:
    (example,) = doctest.DocTestFinder(recurse=False).find(Trainer, globs={})
    outcome = doctest.DocTestRunner().run(example)
    assert (outcome.failed, outcome.attempted) == (0, len(example.examples))
    assert outcome.attempted > 5


def test_images_on_another_engine_than_the_nets_are_refused(data: Dataset) -> None:
    images = SplitImages(lk.backend("numpy"), data, "train")
    net = lk.Conv4(engine=lk.backend("reference"))
    with pytest.raises(UserError, match="images and net are on different engines"):
        Trainer(images, net, lk.Cosine(), SGD(0.01), EpisodeForm(3, 1, 2), seed=0)
