"""PyTorch's layout: there and back without loss, and the net computes the same in PyTorch itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leakysm.backends import backend
from leakysm.errors import UserError
from leakysm.exchange.torch_layout import from_torch, to_torch
from leakysm.nets import Conv4

EPS = 2.0**-52
K = 2**7  # four blocks of products of 18 to 27 terms, each normalised; measured at most 11, with a margin


def random_state(seed: int, channels: int = 3, in_channels: int = 2, dtype: str = "float64") -> dict[str, np.ndarray]:
    """A trained net's, as it were: no scale 1, no shift 0."""
    random = np.random.default_rng(seed)
    state = Conv4(in_channels, channels=channels, dtype=dtype, engine=backend("reference")).state()
    for name, array in state.items():
        if not name.endswith("weight"):
            array += random.uniform(0.1, 1, array.shape).astype(array.dtype)
    return state


def torch_net(channels: int = 3, in_channels: int = 2, bias: bool = True) -> Any:
    nn = pytest.importorskip("torch").nn

    def block(C: int) -> Any:
        layers = nn.Conv2d(C, channels, 3, padding=1, bias=bias), nn.BatchNorm2d(channels), nn.ReLU(), nn.MaxPool2d(2)
        return nn.Sequential(*layers)

    return nn.Sequential(*(block(in_channels if b == 0 else channels) for b in range(4)), nn.Flatten()).double()


def tensors(state_dict: dict[str, np.ndarray]) -> dict[str, Any]:
    torch = pytest.importorskip("torch")
    return {name: torch.from_numpy(np.array(array)) for name, array in state_dict.items()}


def channels_first(z: np.ndarray, side: int, channels: int) -> np.ndarray:
    """Our embeddings (N, side side channels) in PyTorch's order."""
    return z.reshape(len(z), side, side, channels).transpose(0, 3, 1, 2).reshape(len(z), -1)


def agree(ours: np.ndarray, theirs: np.ndarray) -> bool:
    return bool(np.all(np.abs(ours - theirs) <= K * EPS * np.abs(theirs).max() + 2.0**-1022))


@given(
    st.integers(0, 999),
    st.booleans(),
    st.sampled_from(["", "encoder.", "module.f."]),
    st.sampled_from(["float32", "float64"]),
)
def test_there_and_back_is_the_same_bits(seed: int, bias: bool, prefix: str, dtype: str) -> None:
    state = random_state(seed, dtype=dtype)
    back = from_torch(to_torch(state, prefix=prefix, bias=bias))
    assert set(back) == set(state)
    for name, array in state.items():
        assert back[name].dtype == array.dtype
        assert np.array_equal(back[name], array)


@pytest.mark.parametrize("norm", ["running", "episode"])
def test_pytorch_computes_our_embeddings_with_an_exported_net(norm: str) -> None:
    torch = pytest.importorskip("torch")
    net = Conv4(2, channels=3, dtype="float64", engine=backend("reference"))
    net.load_state(random_state(1))
    theirs = torch_net()
    theirs.load_state_dict(tensors(to_torch(net.state(), prefix="", batches=7)), strict=True)
    theirs.train(norm == "episode")
    x = np.random.default_rng(2).standard_normal((5, 37, 37, 2))
    with torch.no_grad():
        z = theirs(torch.from_numpy(x.transpose(0, 3, 1, 2).copy())).numpy()
    assert agree(channels_first(net.embed(x, norm), 2, 3), z)  # type: ignore[arg-type]


def snell(name: str) -> str:
    return f"encoder.{name}"


def numbered(name: str) -> str:
    """conv1.weight, bn1.weight, ... as many repositories have it."""
    block, layer, what = name.split(".")
    return f"{'conv' if layer == '0' else 'bn'}{int(block) + 1}.{what}"


def parallel(name: str) -> str:
    block, layer, what = name.split(".")
    return f"module.layer{int(block) + 9}.{layer}.{what}"  # layer10 comes after layer9


def worded(name: str) -> str:
    """Names that sort in another order than the net's."""
    block, layer, what = name.split(".")
    return f"{('stem', 'early', 'middle', 'last')[int(block)]}.{layer}.{what}"


@pytest.mark.parametrize("renamed", [snell, numbered, parallel, worded])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("norm", ["running", "episode"])
def test_a_pytorch_net_computes_the_same_here(renamed: Callable[[str], str], bias: bool, norm: str) -> None:
    torch = pytest.importorskip("torch")
    torch.manual_seed(3)
    theirs = torch_net(bias=bias)
    x = torch.randn(6, 2, 17, 17, dtype=torch.float64)
    with torch.no_grad():
        theirs(3 * x + 1)  # running statistics of its own
        theirs.train(norm == "episode")
        state_dict = {renamed(name): tensor.clone() for name, tensor in theirs.state_dict().items()}
        z = theirs(x).numpy()
    net = Conv4(2, channels=3, dtype="float64", engine=backend("reference"))
    net.load_state(from_torch(state_dict))
    ours = net.embed(np.ascontiguousarray(x.numpy().transpose(0, 2, 3, 1)), norm)  # type: ignore[arg-type]
    assert agree(channels_first(ours, 1, 3), z)


@given(st.integers(0, 999), st.sampled_from(["float32", "float64"]))
def test_a_bias_is_folded_into_the_mean_with_one_rounding(seed: int, dtype: str) -> None:
    state = random_state(seed, dtype=dtype)
    state_dict = to_torch(state)
    bias = np.random.default_rng(seed).standard_normal(3).astype(dtype)
    state_dict["encoder.2.0.bias"] = bias
    back = from_torch(state_dict)
    exact = state["block3.mean"].astype(np.longdouble) - bias
    assert np.array_equal(back["block3.mean"], exact.astype(np.float64).astype(dtype))
    assert all(np.array_equal(back[name], state[name]) for name in state if name != "block3.mean")


def without(name: str) -> Callable[[dict], None]:
    return lambda d: d.pop(name)


def reshaped(name: str, shape: tuple[int, ...]) -> Callable[[dict], None]:
    return lambda d: d.update({name: np.zeros(shape)})


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (without("encoder.1.0.weight"), "has 3 convolutions and 4 batch norms"),
        (without("encoder.1.1.running_mean"), "has 4 convolutions and 3 batch norms"),
        (without("encoder.1.1.running_var"), r"has no encoder\.1\.1\.running_var"),
        (without("encoder.3.1.weight"), r"has no encoder\.3\.1\.weight"),
        (reshaped("encoder.1.0.weight", (3, 3, 5, 5)), r"encoder\.1\.0\.weight has shape \(3, 3, 5, 5\)"),
        (reshaped("encoder.1.0.weight", (4, 3, 3, 3)), r"expected \(3, 3, 3, 3\)"),
        (reshaped("encoder.1.0.bias", (4,)), r"encoder\.1\.1 or the bias before it has shape \(4,\)"),
        (reshaped("encoder.1.1.bias", (4,)), r"expected \(3,\)"),
        (reshaped("head.weight", (5, 3)), r"holds head\.weight, which no Conv4 has"),
    ],
)
def test_what_is_no_conv4_is_told_in_one_line(spoil: Callable[[dict], None], message: str) -> None:
    state_dict = to_torch(random_state(0))
    spoil(state_dict)
    with pytest.raises(UserError, match=message) as caught:
        from_torch(state_dict)
    assert "\n" not in str(caught.value)


def test_names_with_numbers_are_taken_from_a_file_that_is_sorted() -> None:
    """Sorted as text, layer10 comes before layer9; sorted by number, after it."""
    state_dict = {parallel(name.removeprefix("encoder.")): value for name, value in to_torch(random_state(0)).items()}
    back = from_torch({name: state_dict[name] for name in sorted(state_dict)})
    assert all(np.array_equal(back[name], array) for name, array in random_state(0).items())


@pytest.mark.parametrize("order", ["sorted", "reversed"])
def test_an_order_in_doubt_is_refused(order: str) -> None:
    """Words that are sorted, as safetensors has them, and numbers against the order of the file."""
    rename = worded if order == "sorted" else numbered
    state_dict = {rename(name.removeprefix("encoder.")): value for name, value in to_torch(random_state(0)).items()}
    names = sorted(state_dict) if order == "sorted" else list(reversed(state_dict))
    with pytest.raises(UserError, match=r"the order of the layers .* is unknown; number their names"):
        from_torch({name: state_dict[name] for name in names})
