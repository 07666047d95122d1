"""Experiments made of several runs: `compare`, `sweep` and `gradients`, and what they share."""
