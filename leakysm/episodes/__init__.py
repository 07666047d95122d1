"""Episodes: which images stand in which few-shot task."""

from leakysm.episodes.sampler import Episode, check_episode, sample

__all__ = ["Episode", "check_episode", "sample"]
