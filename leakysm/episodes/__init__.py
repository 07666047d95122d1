"""Episodes: which images stand in which few-shot task."""

from leakysm.episodes.sampler import Episode, EpisodeForm, Indices, check_episode, sample

__all__ = ["Episode", "EpisodeForm", "Indices", "check_episode", "sample"]
