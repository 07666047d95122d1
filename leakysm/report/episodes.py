"""Episodes for the page: one with the net's answers, many to find the worst classes, and one for the sliders."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leakysm.data import ClassSet, Dataset
from leakysm.data.dataset import Report
from leakysm.episodes import Episode, EpisodeForm, sample
from leakysm.nets import Net
from leakysm.ops import log_softmax
from leakysm.ops.metrics import SquaredEuclidean
from leakysm.runs import Restored
from leakysm.runs.build import new_net
from leakysm.training.evaluation import SplitEmbeddings, embed_split, finite_distances
from leakysm.training.images import SplitImages

Floats = NDArray[np.float64]
EPISODES = 100  # that tell the worst classes
PAIRS = 20_000  # of a query and a class, and of two classes, to play with


@dataclass(frozen=True)
class Answers:
    """One test episode and the net's answers. distances, probabilities: (queries, way)."""

    episode: Episode
    form: EpisodeForm
    distances: Floats
    probabilities: Floats


@dataclass(frozen=True)
class Worst:
    """A class, how many of its queries were right, and the class that its wrong ones went to most often."""

    number: int
    right: int
    seen: int
    taken_for: int | None

    @property
    def accuracy(self) -> float:
        """Accuracy in percent."""
        return 100 * self.right / self.seen


class Classifier:
    """A run's trained net as a classifier of the test split's episodes, by the run's own norm and seed."""

    def __init__(self, run: Restored, data: Dataset, report: Report) -> None:
        self.run, self.classes = run, data.split("test")
        images = SplitImages(run.net.engine, data, "test")
        self.embeddings = embed_split(run.net, images, run.config.norm, report=report)

    def answers(self, form: EpisodeForm, number: int = 0) -> Answers:
        """Test episode `number` of that form."""
        config = self.run.config
        episode = sample(self.classes.starts, *form, seed=config.seed, split="test", episode=number)
        z = self.embeddings.of(np.concatenate([episode.support, episode.query]))
        distances = finite_distances(self.run.net.engine, config.metric, z, episode.support_labels, form.way)
        return Answers(episode, form, distances, np.exp(log_softmax(-self.run.scale * distances)))

    def worst(self, form: EpisodeForm, episodes: int, report: Report) -> list[Worst]:
        """The classes of the first test episodes, the worst first."""
        labels = self.classes.labels
        right, seen, taken = Counter[int](), Counter[int](), Counter[tuple[int, int]]()
        for number in range(episodes):
            answers = self.answers(form, number)
            names = labels[answers.episode.support[:: form.shot]]
            own = names[answers.episode.query_labels].tolist()
            for true, found in zip(own, names[answers.distances.argmin(axis=1)].tolist(), strict=True):
                seen[true] += 1
                right[true] += true == found
                taken[true, found] += true != found
            report(number + 1, episodes)
        classes = [Worst(k, right[k], seen[k], _most_taken_for(k, taken)) for k in seen]
        return sorted(classes, key=lambda one: (one.accuracy, -one.seen, one.number))


def _most_taken_for(true: int, taken: Counter[tuple[int, int]]) -> int | None:
    wrong = {found: n for (one, found), n in taken.items() if one == true and n}
    return max(wrong, key=lambda found: (wrong[found], -found)) if wrong else None


def to_play_with(run: Restored, data: Dataset) -> dict[str, Any]:
    """The squared distances of the first training episode, by the untrained net and by the trained one.

    labels: of the queries. nets: a name; squared (queries, way); between (way, way), of the prototypes to one another.
    Both nets use the episode's own batch statistics, as training does.
    """
    config, engine = run.config, run.net.engine
    query = max(1, min(config.query, PAIRS // config.way**2))
    form = EpisodeForm(config.way, config.shot, query)
    images = SplitImages(engine, data, "train")
    whole = sample(images.starts, config.way, config.shot, config.query, seed=config.seed, split="train", episode=0)
    kept = np.arange(len(whole.query)).reshape(config.way, -1)[:, :query].ravel()
    nets = [("after training", run.net)]
    if run.checkpoint.episode:  # imported weights have another beginning
        nets.insert(0, ("before training", new_net(config, images.channels, engine)))
    return {
        "labels": whole.query_labels[kept].tolist(),
        "form": form._asdict(),
        "nets": [{"name": name, **_squared(net, images, whole, kept, config.way)} for name, net in nets],
    }


def _squared(net: Net, images: SplitImages, episode: Episode, kept: NDArray[np.int64], way: int) -> dict[str, Any]:
    metric, engine = SquaredEuclidean(), net.engine
    z = SplitEmbeddings(images, "episode", lambda at: net.embed(images(at), norm="episode")).of(
        np.concatenate([episode.support, episode.query])
    )
    squared = finite_distances(engine, metric, z, episode.support_labels, way)[kept]
    prototypes, _ = engine.operation("prototypes").forward(
        z[: len(episode.support)], engine.asarray(episode.support_labels), way
    )
    between, _ = engine.operation(metric.operation).forward(prototypes, prototypes)
    rows = {"squared": squared, "between": engine.to_host(between).astype(np.float64)}
    return {name: [[float(f"{d:.7g}") for d in row] for row in values] for name, values in rows.items()}


def class_image(classes: ClassSet, number: int) -> NDArray[np.uint8]:
    """The first image of a class (H, W, C)."""
    image: NDArray[np.uint8] = classes.images[classes.starts[number]]
    return image
