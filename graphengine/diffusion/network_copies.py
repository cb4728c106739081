"""Copies of networks that have some weights of their own and share all others, so that nothing loaded is written to."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Set
from typing import Any

from torch import Tensor, nn


def with_weights(network: nn.Module, weights: Mapping[str, Tensor]) -> nn.Module:
    """Copy the modules of a network that lead to some of its parameters, with new tensors in the place of those.

    All other modules are the very same ones in both networks.

    Args:
        weights: By the parameter's name; of its shape.
    """
    changed = {
        id(network.get_parameter(name)): nn.Parameter(weight, requires_grad=False) for name, weight in weights.items()
    }
    return _copied(network, changed, set(), weights)


def with_own_modules(network: nn.Module, names: Iterable[str]) -> nn.Module:
    """Copy some modules of a network and those that lead to them; all others and all weights are the same in both.

    Args:
        names: Of the modules.
    """
    own = [f"{name}." for name in names]
    return _copied(network, {}, {id(network), *(id(network.get_submodule(name[:-1])) for name in own)}, own)


def _copied(network: nn.Module, changed: dict[int, nn.Parameter], own: Set[int], places: Iterable[str]) -> nn.Module:
    """Copy what leads to changed parameters and own modules.

    Args:
        places: The names of these: up to each of their dots is the name of a module that is copied.
    """
    copies = {""} | {place[:dot] for place in places for dot in range(len(place)) if place[dot] == "."}
    if any("forward" in vars(network.get_submodule(name)) for name in copies):  # a hook that knows its module
        # deepcopy takes from this what it would copy: the tensors themselves, or what stands for them. Any: deepcopy's
        memo: dict[int, Any] = {id(tensor): tensor for tensor in (*network.parameters(), *network.buffers())}
        return copy.deepcopy(network, memo | changed)
    copied = _copied_where_needed(network, changed, own)
    return network if copied is None else copied


def _copied_where_needed(module: nn.Module, changed: dict[int, nn.Parameter], own: Set[int]) -> nn.Module | None:
    """Copy a module with what leads to changed parameters and own modules; None if there are none in it."""
    parameters = {name: changed[id(each)] for name, each in module._parameters.items() if id(each) in changed}
    modules = {
        name: copied
        for name, each in module._modules.items()
        if each is not None and (copied := _copied_where_needed(each, changed, own)) is not None
    }
    if not parameters and not modules and id(module) not in own:
        return None
    copied = type(module).__new__(type(module))
    for name, value in vars(module).items():
        copied.__dict__[name] = copy.copy(value) if isinstance(value, dict) else value
    copied.__dict__["_parameters"] = module._parameters | parameters
    copied.__dict__["_modules"] = module._modules | modules
    return copied
