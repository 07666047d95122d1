"""Episodes: which images are in which few-shot task. `sampler` draws them, the same for a seed on every machine."""

from leakysm.episodes.sampler import Episode, EpisodeForm, Indices, check_episode, require_classes, sample

__all__ = ["Episode", "EpisodeForm", "Indices", "check_episode", "require_classes", "sample"]
