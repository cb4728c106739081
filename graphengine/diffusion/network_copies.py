"""Copies of networks that have some weights of their own and share all others, so that nothing loaded is written to."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn


def with_weights(network: nn.Module, weights: Mapping[str, Tensor]) -> nn.Module:
    """Copy a network's structure, with new tensors in the place of some of its parameters.

    Args:
        weights: By the parameter's name; of its shape.
    """
    parameters = dict(network.named_parameters())
    # deepcopy takes from this what it would copy: the tensors themselves, or what stands for them. Any: deepcopy's
    memo: dict[int, Any] = {id(tensor): tensor for tensor in (*parameters.values(), *network.buffers())}
    memo |= {id(parameters[name]): nn.Parameter(weight, requires_grad=False) for name, weight in weights.items()}
    return copy.deepcopy(network, memo)
