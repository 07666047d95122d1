"""Twenty training steps on the engine stay as near to float64 as float32 itself does.

Training multiplies roundings: after twenty steps of Adam, the reference in float32 differs from itself in float64 by
about 1e-2.
"""

import numpy as np

from leakysm.backends import backend
from leakysm.nets import Conv4
from leakysm.ops.metrics import LeakySquaredEuclidean
from leakysm.optim import Adam
from leakysm.training.loss import episode_loss

WAY, QUERY, SIDE = 4, 2, 18


def losses(engine, dtype):
    rng = np.random.default_rng(0)
    classes = rng.random((20, SIDE, SIDE, 1))
    net, optimizer = Conv4(1, engine=engine, dtype=dtype), Adam(1e-3)
    support, query = np.arange(WAY), np.repeat(np.arange(WAY), QUERY)
    found = []
    for _ in range(20):
        drawn = rng.choice(20, WAY, replace=False)
        noise = rng.standard_normal((WAY * (1 + QUERY), SIDE, SIDE, 1))
        images = classes[np.concatenate([drawn, np.repeat(drawn, QUERY)])] + 0.5 * noise
        z, saved = net.forward(engine.asarray(images.astype(dtype)))
        result = episode_loss(engine, LeakySquaredEuclidean(), z, support, query, WAY)
        optimizer.step(net.vector, net.backward(saved, result.dz))
        found.append(float(result.loss))
    return np.array(found)


def test_losses_of_twenty_steps_are_as_accurate_as_the_reference_s():
    exact = losses(backend("reference"), "float64")
    reference, ours = (abs(losses(backend(name), "float32") - exact) / exact for name in ("reference", "numpy"))
    assert ours[0] <= 16 * np.finfo(np.float32).eps
    assert ours[:5].max() <= 10 * reference[:5].max()
    assert ours.max() <= 10 * reference.max()
    assert reference.max() < 0.1, "float32 tells nothing here"
    assert abs(losses(backend("numpy"), "float64") - exact).max() <= 1e-7 * exact.max()
