"""Conv4: its laws, and the same net in PyTorch."""

import numpy as np
import pytest

import leakysm as lk
from leakysm.backends import BACKENDS

PINNED = np.array([0.0275807473808527, -0.019543278962373734, -0.011045705527067184], np.float32)
CPU = [name for name in BACKENDS if name != "cupy"]


def images(n=6, side=28, channels=1, seed=0):
    return np.random.Generator(np.random.Philox(seed)).random((n, side, side, channels), dtype=np.float32)


def test_embedding_sizes():
    net = lk.Conv4(channels=2)
    assert lk.Conv4().embedding_size((28, 28)) == 64
    assert lk.Conv4(3).embedding_size((84, 84, 3)) == 1600
    assert net(images(side=83)).shape == (6, 5 * 5 * 2)


def test_parameters_are_views_of_one_vector_and_the_seed_decides_them():
    net, same, other = lk.Conv4(seed=1), lk.Conv4(seed=1), lk.Conv4(seed=2)
    assert net.vector.shape == (9 * 64 + 3 * 9 * 64 * 64 + 8 * 64,)
    np.testing.assert_array_equal(net.vector, same.vector)
    assert not np.array_equal(net.vector, other.vector)
    net.vector[:] = 3
    assert all(np.all(p == 3) for p in net.parameters.values())
    weight = same.parameters["block2.weight"]
    # The numbers of seed 1 themselves: should NumPy ever draw others, a seed would mean another net.
    np.testing.assert_array_equal(weight.ravel()[:3], PINNED)
    assert abs(weight.std() / np.sqrt(2 / 576) - 1) < 0.02  # Kaiming normal, fan-out


@pytest.mark.parametrize(("backend", "blocks"), [*((backend, 4) for backend in CPU), ("numpy", 2)])
def test_gradient_of_the_net_agrees_with_differences(backend, blocks):
    net = lk.Conv4(channels=3, blocks=blocks, dtype="float64", engine=lk.backend(backend))
    x = images(4, 16).astype(np.float64)
    rng = np.random.Generator(np.random.Philox(3))
    z, saved = net.forward(x)
    dz = rng.standard_normal(z.shape)
    gradient = net.backward(saved, dz)
    direction, start, h = rng.standard_normal(net.vector.shape), net.vector.copy(), 1e-5
    total = 0.0
    for step, weight in ((-2, 1), (-1, -8), (1, 8), (2, -1)):
        net.vector[:] = start + step * h * direction
        total += weight * float(np.sum(net.forward(x)[0] * dz)) / (12 * h)
    scale = float(np.sum(np.abs(gradient * direction)))
    assert abs(total - float(gradient @ direction)) <= 1e-7 * scale  # rounding over h, kinks at h = 1e-5 apart


def test_running_statistics_and_the_two_norms():
    net, x = lk.Conv4(channels=4), images()
    before = {k: v.copy() for k, v in net.running.items()}
    _, saved = net.forward(x)
    for name, value in before.items():
        np.testing.assert_array_equal(net.running[name], value)
    z = lk.conv2d(x, net.parameters["block1.weight"])
    y, mean, variance = lk.batch_norm(z, np.ones(4, "f"), np.zeros(4, "f"))
    net.update_running(saved)
    n = y.size // 4
    eps = np.finfo(np.float32).eps
    np.testing.assert_allclose(net.running["block1.mean"], 0.1 * mean, rtol=0, atol=64 * eps)
    np.testing.assert_allclose(
        net.running["block1.variance"], 0.9 + 0.1 * variance * n / (n - 1), rtol=0, atol=64 * eps
    )
    np.testing.assert_array_equal(net.embed(x, "episode"), net.forward(x)[0])
    assert not np.array_equal(net.embed(x, "running"), net.embed(x, "episode"))
    running = net.embed(x, "running")
    np.testing.assert_allclose(running[:3], net.embed(x[:3], "running"), rtol=0, atol=1e3 * eps * np.abs(running).max())


def test_state_goes_round():
    net, other = lk.Conv4(channels=4, seed=1), lk.Conv4(channels=4, seed=2)
    other.load_state(net.state())
    np.testing.assert_array_equal(net(images()), other(images()))
    state = net.state()
    state["block1.mean"][:] = 9
    assert not np.any(net.running["block1.mean"] == 9)
    with pytest.raises(ValueError, match=r"block1.weight has shape"):
        lk.Conv4(channels=3).load_state(state)
    with pytest.raises(ValueError, match=r"it has 4 blocks, and the net 2; load the same net"):
        lk.Conv4(channels=4, blocks=2).load_state(state)
    del state["block2.shift"]
    with pytest.raises(ValueError, match=r"block2.shift is missing or unknown"):
        other.load_state(state)


def test_bad_calls():
    for call, message in [
        (lambda: lk.Conv4(0), "in_channels is 0"),
        (lambda: lk.Conv4(channels=1.5), "channels is 1.5"),
        (lambda: lk.Conv4(seed="a"), "seed is 'a'"),
        (lambda: lk.Conv4(engine="numpy"), "engine is 'numpy'"),
        (lambda: lk.Conv4()([[1.0]]), "images are a list"),
        (lambda: lk.Conv4(dtype="float16"), "dtype is 'float16'"),
        (lambda: lk.Conv4()(images(side=15)), "at least 16"),
        (lambda: lk.Conv4(3)(images()), "images have shape"),
        (lambda: lk.Conv4()(images(), "batch"), "norm is 'batch'"),
        (lambda: lk.backend("torch"), "backend is 'torch'"),
        (lambda: lk.backend("numpy", device="cuda"), "runs on the CPU"),
        (lambda: lk.backend("cupy", device="cpu"), "runs on a GPU"),
    ]:
        with pytest.raises(ValueError, match=message):
            call()


@pytest.fixture(scope="module")
def omniglot_images(omniglot_path, omniglot_cache):
    from leakysm.data import load

    data = load("omniglot", omniglot_path, cache_dir=omniglot_cache)
    return data.inputs.to_float(data.splits["test"].images[np.arange(0, 20 * 12, 4)])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", ["omniglot", "photographs"])
@pytest.mark.parametrize("metric", [lk.SquaredEuclidean(), lk.LeakySquaredEuclidean(threshold=1.0, slope=0.1)], ids=str)
def test_pytorch_with_the_same_weights(kind, metric, dtype, request):
    """NCHW, torch's own convolution, batch norm and autograd: the same embeddings, loss and parameter gradients.

    The bound is k eps scale. k is measured (at most 650), with a margin: Omniglot's images are almost empty, so the
    condition of batch norm, mean |x| / sigma, is large in each of the four blocks. scale is an array's largest
    magnitude. After the softmax it is multiplied by 1 + the largest distance, because the rounding error of a logit
    is the relative error of a probability.
    """
    torch = pytest.importorskip("torch")
    F = torch.nn.functional
    way, shot, query = 5, 1, 2
    x = request.getfixturevalue("omniglot_images") if kind == "omniglot" else images(15, 84, 3)
    x = x[: way * (shot + query)].astype(dtype)
    labels = np.repeat(np.arange(way), shot + query)
    is_support = np.tile(np.arange(shot + query) < shot, way)
    net = lk.Conv4(x.shape[3], seed=5, dtype=dtype)
    z, saved = net.forward(x)
    episode = (z[is_support], labels[is_support], z[~is_support], labels[~is_support])
    loss = lk.prototypical_loss(*episode, distance=metric)
    dz = np.empty_like(z)
    dz[is_support], dz[~is_support] = lk.prototypical_loss_vjp(*episode, distance=metric)
    gradient = net.backward(saved, dz)

    theirs = {name: torch.tensor(p.copy(), requires_grad=True) for name, p in net.parameters.items()}
    t = torch.tensor(x.transpose(0, 3, 1, 2).copy())
    for b in range(1, 5):
        w, scale, shift = (theirs[f"block{b}.{part}"] for part in ("weight", "scale", "shift"))
        t = F.conv2d(t, w.permute(3, 2, 0, 1), padding=1)
        t = F.max_pool2d(F.relu(F.batch_norm(t, None, None, scale, shift, training=True, eps=1e-5)), 2)
    t = t.permute(0, 2, 3, 1).flatten(1)  # our flattening order
    centres = torch.stack([t[torch.tensor(is_support & (labels == m))].mean(0) for m in range(way)])
    d = ((t[torch.tensor(~is_support)][:, None] - centres[None]) ** 2).sum(-1)
    if isinstance(metric, lk.LeakySquaredEuclidean):
        d = torch.where(d <= metric.threshold, d, metric.threshold + metric.slope * (d - metric.threshold))
    torch_loss = F.cross_entropy(-d, torch.tensor(labels[~is_support]))
    torch_loss.backward()

    eps = np.finfo(dtype).eps
    k, condition = 2000, 1 + float(d.detach().max())
    their_z = t.detach().numpy()
    assert np.max(np.abs(z - their_z)) <= k * eps * np.abs(their_z).max()
    assert abs(float(loss) - float(torch_loss.detach())) <= k * eps * condition
    parts = net.parts(gradient)
    for name, tensor in theirs.items():
        their = tensor.grad.numpy()
        assert np.max(np.abs(parts[name] - their)) <= k * eps * condition * np.abs(their).max(), name
