"""Give PyTorch's Conv4 the weights of ours."""

from __future__ import annotations

from typing import Any

from leakysm.exchange.torch_layout import to_torch
from leakysm.nets import Conv4


def take_weights(net: Any, ours: Conv4) -> None:
    """Both lists have one order: a convolution's kernel, then what its batch norm has."""
    import torch

    arrays = to_torch(ours.state(), bias=False).values()
    net.load_state_dict(dict(zip(net.state_dict(), map(torch.tensor, arrays), strict=True)))
