"""Episodes: which images stand in which few-shot task."""

from leakysm.episodes.sampler import Episode, Indices, check_episode, sample

__all__ = ["Episode", "Indices", "check_episode", "sample"]
