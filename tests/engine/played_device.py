"""A device of a limited size, played by the CPU."""

from __future__ import annotations

import weakref
from collections.abc import Collection
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef

from graphengine.engine.device_memory import DeviceMemory

GPU = "cuda:0"
MIB = 1024**2
RESERVE = 256  # MiB that are never given to networks


class Device:
    """A device of so many MiB besides the reserve. Weights stay where they are; who would be there is noted.

    Attributes:
        moves: (name, device) in order.
        says_free: Whether it tells how much is free.
        claims_mib: How much more it tells than it has.
        peak_mib: The most that was there at once.
        visits: How many tensors came for a layer that was computed.
    """

    def __init__(self, size_mib: float, budget_mib: float | None = None) -> None:
        self.size_mib = size_mib
        self.says_free = True
        self.claims_mib = 0.0
        self.moves: list[tuple[str, str]] = []
        self.seen: weakref.WeakSet[nn.Module] = weakref.WeakSet()
        self.weights: dict[int, float] = {}
        self.peak_mib = 0.0
        self.visits = 0
        self._visitors: list[tuple[StorageWeakRef, float]] = []
        self.memory = DeviceMemory(
            None if budget_mib is None else int(budget_mib * MIB),
            free_bytes=self._free_bytes,
            move=self._move,
            copied=self._copied,
        )

    @property
    def on_it(self) -> set[str]:
        """The networks whose weights are all there."""
        return {_name(each) for each in self.seen if all(id(weight) in self.weights for weight in each.parameters())}

    @property
    def used_mib(self) -> float:
        """What is there, visitors as well."""
        self._visitors = [
            (storage, size)
            for storage, size in self._visitors
            if not storage.expired()  # type: ignore[no-untyped-call]  # torch has no types there
        ]
        return sum(self.weights.values()) + sum(size for _, size in self._visitors)

    def _free_bytes(self, device: str) -> int | None:
        free = self.size_mib + RESERVE + self.claims_mib - self.used_mib
        return int(free * MIB) if self.says_free else None

    def _move(self, module: nn.Module, device: str, weights: Collection[int]) -> None:
        self.moves.append((_name(module), device))
        self.seen.add(module)
        for weight in weights:
            self.weights.pop(weight, None)
        if device == GPU:
            arriving = {id(each): each.nbytes / MIB for each in module.parameters() if id(each) in weights}
            self._take(sum(arriving.values()))
            self.weights |= arriving

    def _copied(self, tensor: Tensor, device: str) -> Tensor:
        self._take(tensor.nbytes / MIB)
        copy = tensor.clone()
        storage = StorageWeakRef(copy.untyped_storage())  # type: ignore[no-untyped-call]  # as above
        self._visitors.append((storage, copy.nbytes / MIB))
        self.visits += 1
        return copy

    def _take(self, size_mib: float) -> None:
        if self.used_mib + size_mib > self.size_mib:
            raise RuntimeError("CUDA out of memory. Tried to allocate 1 GiB.")
        self.peak_mib = max(self.peak_mib, self.used_mib + size_mib)


class Weights(nn.Module):
    """A network that is nothing but weights, all in one layer."""

    def __init__(self, name: str, size_mib: float, *shared: nn.Parameter) -> None:
        super().__init__()
        self.name = name
        own = [nn.Parameter(torch.empty(int(size_mib * MIB) // 4))] if size_mib else []
        self.weights = nn.ParameterList([*own, *shared])


class Layers(nn.Sequential):
    """A network of so many layers of 1 MiB."""

    def __init__(self, name: str, count: int) -> None:
        super().__init__(*(nn.Linear(512, 512, bias=False).requires_grad_(False) for _ in range(count)))
        self.name = name


@dataclass(frozen=True)
class Part:
    """A value with a network, as models are."""

    network: nn.Module
    source: str


def part(name: str, size_mib: float = 1) -> Part:
    """Make a value with a network of one layer."""
    return Part(Weights(name, size_mib), name)


def layered(name: str, count: int) -> Part:
    """Make a value with a network of layers of 1 MiB."""
    return Part(Layers(name, count), name)


def _name(module: nn.Module) -> str:
    return str(getattr(module, "name", type(module).__name__))
