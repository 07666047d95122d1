"""Optimizers."""

from leakysm.optim.optimizers import SGD, Adam, Optimizer, check_learning_rate

OPTIMIZERS: dict[str, type[Optimizer]] = {"adam": Adam, "sgd": SGD}

__all__ = ["OPTIMIZERS", "SGD", "Adam", "Optimizer", "check_learning_rate"]
