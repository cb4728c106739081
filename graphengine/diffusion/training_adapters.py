"""Adapters in training: small changes of frozen layers.

    y = layer(x) + alpha / rank · up(down(x))                    LoRA: beside the layer, so W's gradient is never made
    y = layer with W + change (x)                                the others, whose change isn't a product of two layers

What each change is stands in ``lora_updates``, which merges the trained tensors into weights; both are the same sums.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from graphengine.diffusion import lora_files
from graphengine.diffusion.lora_files import LoraFile
from graphengine.diffusion.lora_names import Part
from graphengine.diffusion.lora_targets import layer_ranks
from graphengine.diffusion.training_tasks import frozen_copy
from graphengine.training_types import Lora, LoraRecipe, Precision

Layer = nn.Linear | nn.Conv2d


class Adapters:
    """The adapters of one training.

    Args:
        recipe: Which.
        networks: That get them; they stay as they are, and so do their weights.
        device: Where to train.
        precision: What layers compute in.

    Attributes:
        networks: Copies with adapters that share all other weights with the given ones where those are as needed, see
            ``frozen_copy``, and on the device. Only the adapters' parameters require gradients.
    """

    def __init__(
        self,
        recipe: LoraRecipe,
        networks: Mapping[Part, nn.Module],
        device: torch.device,
        precision: Precision = "float32",
    ) -> None:
        self._recipe = recipe
        ranks = layer_ranks(networks, recipe)
        self.networks = {part: frozen_copy(network, device, precision) for part, network in networks.items()}
        self._layers: dict[Part, dict[str, AdaptedLayer]] = {part: {} for part in networks}
        for part, network in self.networks.items():
            for name, rank in ranks[part].items():
                layer = AdaptedLayer(cast(Layer, network.get_submodule(name)), recipe, rank).to(device)
                network.set_submodule(name, layer)
                self._layers[part][name] = layer

    def result(self) -> Lora:
        """Give the adapters as they are now."""
        layers = {
            part: {name: layer.tensors() for name, layer in adapted.items()} for part, adapted in self._layers.items()
        }
        return Lora({part: adapted for part, adapted in layers.items() if adapted}, self._recipe, {})


def as_file(lora: Lora) -> LoraFile:
    """Give adapters as what reading them from a file would give."""
    return lora_files.of_layers(
        {(cast(Part, part), name): roles for part, layers in lora.layers.items() for name, roles in layers.items()},
        "TrainLoop",
    )


class Change(Protocol):
    """The trained part of an adapted layer; an ``nn.Module`` whose parameters are named as in files."""

    def weight(self, base: Tensor, keep: Tensor | None) -> Tensor:
        """Give the changed weight in float32, shaped as the base; ``keep`` scales the change's rows, ``[out, 1]``."""


class AdaptedLayer(nn.Module):
    """A frozen layer and its change, in the layer's place."""

    def __init__(self, base: Layer, recipe: LoraRecipe, rank: int) -> None:
        super().__init__()
        self.base = base
        self._dropout = recipe.dropout
        self._alpha = recipe.alpha
        self._is_beside = recipe.method == "lora"
        rows, columns = base.weight.shape[0], base.weight[0].numel()
        scale = recipe.alpha / rank
        match recipe.method:
            case "lora":
                self.change: nn.Module = LowRankChange(rows, columns, rank, scale)
            case "dora":
                self.change = DecomposedChange(base.weight, rank, scale)
            case "loha":
                self.change = HadamardChange(rows, columns, rank, scale)
            case "lokr":
                self.change = KroneckerChange(rows, base.weight.shape, rank, scale)

    @property
    def weight(self) -> Tensor:
        """The frozen weight: networks ask their layers for its type."""
        return self.base.weight

    @property
    def bias(self) -> Tensor | None:
        return self.base.bias

    def forward(self, x: Tensor) -> Tensor:
        if self._is_beside:
            given = functional.dropout(x, self._dropout, self.training)
            beside: Tensor = self.base(x) + cast(LowRankChange, self.change)(given, self.base)
            return beside
        weight = cast(Change, self.change).weight(self.base.weight.float(), self._kept_rows())
        return _apply(self.base, x, weight, self.base.bias)

    def tensors(self) -> dict[str, Tensor]:
        """Give the change as files have it; factors of a convolution in the shapes of convolutions."""
        tensors = {name: parameter.detach().cpu().clone() for name, parameter in self.change.named_parameters()}
        if isinstance(self.base, nn.Conv2d) and "down" in tensors:
            tensors["down"] = tensors["down"].view(-1, *self.base.weight.shape[1:])
            tensors["up"] = tensors["up"][..., None, None]
        return tensors | {"alpha": torch.tensor(self._alpha)}

    def _kept_rows(self) -> Tensor | None:
        if not self.training or self._dropout == 0:
            return None
        ones = torch.ones(self.base.weight.shape[0], 1, device=self.base.weight.device)
        return functional.dropout(ones, self._dropout)


class LowRankChange(nn.Module):
    """LoRA: ``up @ down``, which begins at 0."""

    def __init__(self, rows: int, columns: int, rank: int, scale: float) -> None:
        super().__init__()
        self.down = _uniform(rank, columns)
        self.up = nn.Parameter(torch.zeros(rows, rank))
        self.scale = scale

    def forward(self, x: Tensor, base: Layer) -> Tensor:
        if isinstance(base, nn.Linear):
            return self._scaled(functional.linear(functional.linear(x, self.down), self.up))
        inner = _apply(base, x, self.down.view(-1, *base.weight.shape[1:]), None)  # [B, rank, h, w]
        return self._scaled(functional.conv2d(inner, self.up[..., None, None]))

    def _scaled(self, change: Tensor) -> Tensor:
        return change if self.scale == 1 else change * self.scale  # by 1: a pass over it all for nothing, and one back


class DecomposedChange(nn.Module):
    """DoRA: the direction of each row changes as LoRA's, its length is trained by itself."""

    def __init__(self, base: Tensor, rank: int, scale: float) -> None:
        super().__init__()
        low_rank = LowRankChange(base.shape[0], base[0].numel(), rank, scale)
        self.down, self.up, self.scale = low_rank.down, low_rank.up, scale
        self.lora_magnitude_vector = nn.Parameter(base.detach().float().flatten(1).norm(dim=1).cpu())

    def weight(self, base: Tensor, keep: Tensor | None) -> Tensor:
        changed = base.flatten(1) + _kept(self.up @ self.down * self.scale, keep)
        # The length is taken for constant, which saves memory and changes the result little: section 4.3 of the paper.
        length = changed.detach().norm(dim=1, keepdim=True)
        directed: Tensor = changed * (self.lora_magnitude_vector[:, None] / length)
        return directed.view_as(base)


class HadamardChange(nn.Module):
    """LoHa: two low-rank products, multiplied value by value; the second begins at 0."""

    def __init__(self, rows: int, columns: int, rank: int, scale: float) -> None:
        super().__init__()
        self.hada_w1_a = nn.Parameter(torch.randn(rows, rank) * 0.1)
        self.hada_w1_b = nn.Parameter(torch.randn(rank, columns))
        self.hada_w2_a = nn.Parameter(torch.zeros(rows, rank))
        self.hada_w2_b = nn.Parameter(torch.randn(rank, columns))
        self.scale = scale

    def weight(self, base: Tensor, keep: Tensor | None) -> Tensor:
        change = (self.hada_w1_a @ self.hada_w1_b) * (self.hada_w2_a @ self.hada_w2_b) * self.scale
        return base + _kept(change, keep).view_as(base)


class KroneckerChange(nn.Module):
    """LoKr: a small matrix ⊗ a large one, which is a product of two where that has fewer numbers, and begins at 0."""

    def __init__(self, rows: int, shape: torch.Size, rank: int, scale: float) -> None:
        super().__init__()
        (few_rows, many_rows), (few, many) = _near_square(rows), _near_square(shape[1])
        columns = many * math.prod(shape[2:])
        self.lokr_w1 = _uniform(few_rows, few)
        self._is_whole = rank >= max(many_rows, many) / 2
        self.scale = 1.0 if self._is_whole else scale
        if self._is_whole:
            self.lokr_w2 = nn.Parameter(torch.zeros(many_rows, columns))
        else:
            self.lokr_w2_a = _uniform(many_rows, rank)
            self.lokr_w2_b = nn.Parameter(torch.zeros(rank, columns))

    def weight(self, base: Tensor, keep: Tensor | None) -> Tensor:
        large = self.lokr_w2 if self._is_whole else self.lokr_w2_a @ self.lokr_w2_b
        return base + _kept(torch.kron(self.lokr_w1, large) * self.scale, keep).view_as(base)


def _kept(change: Tensor, keep: Tensor | None) -> Tensor:
    return change if keep is None else change * keep


def _apply(base: Layer, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Run a layer with another weight."""
    if isinstance(base, nn.Linear):
        return functional.linear(x, weight.to(x.dtype), None if bias is None else bias.to(x.dtype))
    padded = x
    padding: Any = base.padding  # Any: a pair, or a text
    if base.padding_mode != "zeros":
        padded, padding = functional.pad(x, base._reversed_padding_repeated_twice, mode=base.padding_mode), 0
    weight, bias = weight.to(x.dtype), None if bias is None else bias.to(x.dtype)
    return functional.conv2d(padded, weight, bias, base.stride, padding, base.dilation)


def _uniform(rows: int, columns: int) -> nn.Parameter:
    """Begin as ``nn.Linear`` does."""
    bound = 1 / math.sqrt(columns)
    return nn.Parameter(torch.empty(rows, columns).uniform_(-bound, bound))


def _near_square(number: int) -> tuple[int, int]:
    """Split a number into two factors as near to each other as can be, the smaller first."""
    small = next(each for each in range(math.isqrt(number), 0, -1) if number % each == 0)
    return small, number // small
