"""The changes that adapters make to weights, as the published methods define them.

    LowRank      up @ down · scale                          LoRA, Hu et al. 2021, arXiv:2106.09685
    Hadamard     (w1_a @ w1_b) ∘ (w2_a @ w2_b) · scale      LoHa, Hyeon-Woo et al. 2021, arXiv:2108.06098
    Kronecker    w1 ⊗ w2 · scale                            LoKr, Yeh et al. 2023, arXiv:2309.14859
    Difference   as it is
    Decomposed   magnitude · (W + change) / |W + change|    DoRA, Liu et al. 2024, arXiv:2402.09353
    Rotation     Rᵀ W, block by block                       OFT, Qiu et al. 2023, arXiv:2306.07280
                 … R₂ R₁ W, each of other blocks            BOFT, Liu et al. 2023, arXiv:2311.06243

Weights of convolutions are ``[out, in, height, width]``; factors see them as ``[out, in * height * width]``, or with a
core tensor (Tucker, or CP decomposition) as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Protocol

import torch
from torch import Tensor


class Update(Protocol):
    """A change of one weight."""

    @property
    def size(self) -> tuple[int, int | None]:
        """Rows of the weights it fits, and values in each: ``out, in * height * width``; None for any number."""

    def add_to(self, weight: Tensor, strength: float) -> None:
        """Change a float32 weight in place; ``strength`` 1 is the whole change."""


@dataclass(frozen=True, eq=False)
class LowRank:
    """A product of two thin matrices.

    Attributes:
        up: ``[out, rank]``, also with trailing 1s.
        down: ``[rank, in]`` or ``[rank, in, height, width]``.
        core: ``[rank, rank, height, width]`` between the two, of a convolution; None without.
        scale: Times which the product is taken: alpha / rank.
    """

    up: Tensor
    down: Tensor
    core: Tensor | None = None
    scale: float = 1.0

    @property
    def size(self) -> tuple[int, int]:
        kernel = 1 if self.core is None else prod(self.core.shape[2:])
        return self.up.shape[0], self.down[0].numel() * kernel

    def add_to(self, weight: Tensor, strength: float) -> None:
        up, down = self.up.flatten(1).to(weight), self.down.flatten(1).to(weight)
        if self.core is not None:
            down = torch.einsum("mnhw,ni->mihw", self.core.to(weight), down).flatten(1)
        weight.view(len(weight), -1).addmm_(up, down, alpha=self.scale * strength)  # [out, in * height * width]


@dataclass(frozen=True, eq=False)
class Hadamard:
    """Two low-rank products, multiplied value by value.

    Attributes:
        first: ``[out, rank]`` and ``[rank, in * …]``; with a core ``[rank, out]`` and ``[rank, in]``.
        second: As ``first``.
        cores: ``[rank, rank, height, width]`` of each, of a convolution; None without.
        scale: alpha / rank.
    """

    first: tuple[Tensor, Tensor]
    second: tuple[Tensor, Tensor]
    cores: tuple[Tensor, Tensor] | None = None
    scale: float = 1.0

    @property
    def size(self) -> tuple[int, int]:
        if self.cores is None:
            return self.first[0].shape[0], self.first[1].shape[1]
        return self.first[0].shape[1], self.first[1].shape[1] * prod(self.cores[0].shape[2:])

    def add_to(self, weight: Tensor, strength: float) -> None:
        first, second = (
            _product(pair, None if self.cores is None else self.cores[number], weight)
            for number, pair in enumerate((self.first, self.second))
        )
        weight.add_((first * second).view(weight.shape), alpha=self.scale * strength)


@dataclass(frozen=True, eq=False)
class Kronecker:
    """A Kronecker product of two matrices, each whole or a product itself.

    Attributes:
        first: ``[a, b]``, or its factors.
        second: ``[out / a, in / b]``, also with height and width; or its factors.
        core: ``[rank, rank, height, width]`` of the second's; None without.
        scale: alpha / rank; 1 if both are whole.
    """

    first: tuple[Tensor, ...]
    second: tuple[Tensor, ...]
    core: Tensor | None = None
    scale: float = 1.0

    @property
    def size(self) -> tuple[int, int]:
        rows, columns = _factored_size(self.second, self.core)
        times, across = _factored_size(self.first, None)
        return times * rows, across * columns

    def add_to(self, weight: Tensor, strength: float) -> None:
        first = _product(self.first, None, weight).flatten(1)
        second = _product(self.second, self.core, weight)
        first = first.view(*first.shape, *(1 for _ in second.shape[2:]))
        change = torch.kron(first, second.contiguous())
        weight.add_(change.reshape(weight.shape), alpha=self.scale * strength)


@dataclass(frozen=True, eq=False)
class Difference:
    """A whole weight's or bias's change."""

    values: Tensor

    @property
    def size(self) -> tuple[int, int]:
        return self.values.shape[0], self.values[0].numel()

    def add_to(self, weight: Tensor, strength: float) -> None:
        weight.add_(self.values.to(weight).view(weight.shape), alpha=strength)


@dataclass(frozen=True, eq=False)
class Decomposed:
    """A change of the direction of each row or column, whose length is given.

    Attributes:
        change: What changes the direction.
        magnitude: The lengths: ``[out]`` of the rows, or ``[in]`` of what each input contributes.
        by_input: Whether they are of the second kind.
    """

    change: Update
    magnitude: Tensor
    by_input: bool = False

    @property
    def size(self) -> tuple[int, int | None]:
        return self.change.size

    def add_to(self, weight: Tensor, strength: float) -> None:
        changed = weight.clone()
        self.change.add_to(changed, 1.0)
        kept = 1 if self.by_input else 0
        others = [axis for axis in range(weight.ndim) if axis != kept]
        length = torch.linalg.vector_norm(changed, dim=others, keepdim=True)
        shape = [-1 if axis == kept else 1 for axis in range(weight.ndim)]
        changed *= self.magnitude.to(weight).view(shape) / length.clamp_min(torch.finfo(weight.dtype).tiny)
        weight.lerp_(changed, strength)


@dataclass(frozen=True, eq=False)
class Rotation:
    """Rotations among a weight's rows, which leave the angles between its columns as they are.

    A block A gives the rotation ``(I + Q)(I - Q)⁻¹`` with ``Q = A - Aᵀ``, by Cayley's transform. LyCORIS and kohya's
    scripts rotate by its transpose, except in a butterfly.

    Attributes:
        blocks: ``[blocks, n, n]`` of neighbouring rows; or a butterfly's ``[stages, blocks, n, n]``, whose stage i
            rotates rows that are ``2^i n / 2`` apart along with their neighbours.
        rescale: What each row is multiplied by afterwards, ``[out, …]``; None for nothing.
        limit: Of the norm of all Q together; 0 for none.
    """

    blocks: Tensor
    rescale: Tensor | None = None
    limit: float = 0.0

    @property
    def size(self) -> tuple[int, int | None]:
        *stages, blocks, side, width = self.blocks.shape
        rows = blocks * side
        spans = [side * 2**stage for stage in range(stages[0])] if stages else []
        if side != width or len(stages) > 1 or (stages and side % 2) or any(rows % span for span in spans):
            raise ValueError(f"blocks of {list(self.blocks.shape)}")
        if self.rescale is not None and self.rescale.numel() != rows:
            raise ValueError(f"{self.rescale.numel()} factors for {rows} rows")
        return rows, None

    def add_to(self, weight: Tensor, strength: float) -> None:
        rows = weight.view(len(weight), -1)  # [out, in * height * width]
        rotations = torch.lerp(torch.eye(self.blocks.shape[-1]).to(weight), self._rotations(weight), strength)
        if rotations.ndim == 3:
            rotated = _turned(rotations.transpose(1, 2), rows)
        else:
            rotated = rows
            for stage, each in enumerate(rotations):
                half = 2**stage * each.shape[-1] // 2
                order = torch.arange(len(rows), device=rows.device).view(-1, 2, half).transpose(1, 2).flatten()
                rotated = torch.empty_like(rows).index_copy_(0, order, _turned(each, rotated[order]))
        if self.rescale is not None:
            rotated = rotated * torch.lerp(torch.ones_like(rows[:, :1]), self.rescale.to(weight).view(-1, 1), strength)
        rows.copy_(rotated)

    def _rotations(self, like: Tensor) -> Tensor:
        given = self.blocks.to(like)
        skewed = given - given.mT
        norm = torch.linalg.vector_norm(skewed)
        if 0 < self.limit < norm:
            skewed = skewed * (self.limit / norm)
        one = torch.eye(given.shape[-1]).to(like).expand_as(given)
        turned: Tensor = torch.linalg.solve(one - skewed, one + skewed)  # both factors commute
        return turned


def _turned(rotations: Tensor, rows: Tensor) -> Tensor:
    """Multiply groups of neighbouring rows by a matrix each."""
    return (rotations @ rows.view(len(rotations), rotations.shape[-1], -1)).view(rows.shape)


def _product(factors: Sequence[Tensor], core: Tensor | None, like: Tensor) -> Tensor:
    """Multiply the factors of a matrix, or of a convolution's weight around its core."""
    if len(factors) == 1:
        return factors[0].to(like)
    a, b = (factor.to(like) for factor in factors)
    if core is None:
        return a @ b
    return torch.einsum("mnhw,mo,ni->oihw", core.to(like), a, b)


def _factored_size(factors: Sequence[Tensor], core: Tensor | None) -> tuple[int, int]:
    if len(factors) == 1:
        return factors[0].shape[0], factors[0][0].numel()
    rows, columns = factors[0].shape[0], factors[1].shape[1]
    return (rows, columns) if core is None else (factors[0].shape[1], columns * prod(core.shape[2:]))
