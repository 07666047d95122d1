"""Adam, SGD with momentum, and the halving of the learning rate: all in `optimizers`."""

from leakysm.optim.optimizers import SGD, Adam, Optimizer, check_learning_rate

OPTIMIZERS: dict[str, type[Optimizer]] = {kind.name: kind for kind in (Adam, SGD)}

__all__ = ["OPTIMIZERS", "SGD", "Adam", "Optimizer", "check_learning_rate"]
