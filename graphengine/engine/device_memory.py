"""Which networks are on the device, and who makes room when memory is short.

Weights wait on the CPU until a node uses them, and stay on the device afterwards: the next run most likely wants them
again. When room is short, those that were not used for the longest time go back. Networks that don't fit even then are
computed layer by layer. Moving weights changes no value.
"""

from __future__ import annotations

import dataclasses
import gc
import sys
import threading
import weakref
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from graphengine.engine.devices import copied, free_bytes, move_weights
from graphengine.errors import GraphEngineError

if TYPE_CHECKING:
    from torch import Tensor, nn

    from graphengine.engine.layer_by_layer import Layer

__all__ = ["DeviceMemory"]

_RESERVE_BYTES = 256 * 1024**2  # libraries' own buffers, and what fragmentation costs


@dataclass(eq=False)
class _Resident:
    """A network on a device, or as much of it as there is room for."""

    module: weakref.ref[nn.Module]
    name: str
    device: str
    weights: Mapping[int, int]  # sizes in bytes by identity, which is the same in all networks that share a weight
    holders: int = 0

    @property
    def size_bytes(self) -> int:
        return sum(self.weights.values())


class DeviceMemory:
    """The networks that are on devices, of all runs of one engine.

    It doesn't keep them alive: a network that nobody refers to any more is gone from the device as well. Networks may
    share weights, as those with a LoRA do with the one without: these are there once, and leave with the last of them.

    Args:
        budget_bytes: For networks and what is computed with them; all that the device has if None.
        free_bytes: Tells how much more a device can hold, or None.
        move: Moves weights of a network; raises a RuntimeError that says "out of memory" if they don't fit.
        copied: Gives a weight on a device, for a layer that is there only while it is computed.
    """

    def __init__(
        self,
        budget_bytes: int | None = None,
        *,
        free_bytes: Callable[[str], int | None] = free_bytes,
        move: Callable[[nn.Module, str, Collection[int]], None] = move_weights,
        copied: Callable[[Tensor, str], Tensor] = copied,
    ) -> None:
        self._budget_bytes = budget_bytes
        self._free_bytes = free_bytes
        self._move = move
        self._copied = copied
        self._residents: dict[int, _Resident] = {}  # by the network's id, the least recently used first
        self._partly: list[_Resident] = []  # networks in use some layers of which stay on the device
        self._lock = threading.RLock()  # async nodes load from their own thread

    @contextmanager
    def loaded(self, values: Iterable[object], device: str, work_bytes: int = 0) -> Iterator[None]:
        """Have the networks of some values on a device within the block; on "cpu" nothing is done.

        What doesn't fit there whole comes layer by layer, each as it is computed.

        Args:
            work_bytes: What is to be computed takes so much besides.

        Raises:
            GraphEngineError: if they don't fit although all that is not in use was moved away.
        """
        if device == "cpu":
            yield
            return
        used = ExitStack()
        try:
            with self._lock:
                self._take(_networks(values), device, work_bytes, used)
            yield
        finally:
            with self._lock:
                used.close()

    def make_room(self, wanted_bytes: int, device: str, values: Iterable[object] = ()) -> None:
        """Move networks away until this much is free besides the networks of some values, which may stay or come."""
        if device == "cpu":
            return
        with self._lock:
            networks = [module for _, module in _networks(values)]
            wanted = _weights(*networks)
            missing = sum(wanted[weight] for weight in wanted.keys() - self._weights_on(device).keys())
            spared = {id(module) for module in networks}
            self._free_up(wanted_bytes + missing, device, kept=wanted.keys(), spared=spared)

    def unload(self, device: str) -> None:
        """Move all networks away that are not in use."""
        if device != "cpu":
            with self._lock:
                self._free_up(None, device)

    def resident_names(self, device: str) -> list[str]:
        """Name what is on a device, the least recently used first."""
        with self._lock:
            return [resident.name for resident in self._on(device)]

    # Whole, or layer by layer

    def _take(self, networks: Sequence[tuple[str, nn.Module]], device: str, work_bytes: int, used: ExitStack) -> None:
        large = self._too_large([module for _, module in networks], device, work_bytes)
        has_less = False
        for name, module in networks:
            if module not in large:
                try:
                    self._hold(self._bring(module, name, device), used)
                except _OutOfMemory as error:
                    room = self._room(device)
                    if room is not None and room < _largest_layer([module]):
                        raise GraphEngineError(self._no_room(module, name, device)) from error.__cause__
                    large.append(module)  # the device doesn't tell, or has less room than it says, or in pieces
                    has_less = True
        spare = 0 if has_less else self._spare_room(large, device, work_bytes)
        for name, module in networks:
            if module in large:
                spare -= self._divide(module, name, device, spare, used)

    def _too_large(self, modules: Sequence[nn.Module], device: str, work_bytes: int) -> list[nn.Module]:
        """Choose the networks to be computed layer by layer: the smallest that will do."""
        room = self._room(device)
        if room is None:
            return []
        held = {weight for resident in self._on(device) if resident.holders for weight in resident.weights}
        room += sum(size for weight, size in self._weights_on(device).items() if weight not in held)  # they may all go

        def fits(divided: Collection[nn.Module], work: int) -> bool:
            whole = _weights(*(module for module in modules if module not in divided))
            missing = sum(size for weight, size in whole.items() if weight not in held)
            return missing + _largest_layer(divided) + work <= room

        for work in (work_bytes, 0):  # if the work doesn't fit in any case, at least it is not slow
            large: list[nn.Module] = []
            for module in sorted((each for each in modules if not held.issuperset(_weights(each))), key=_size):
                if fits(large, work):
                    break
                large.append(module)
            for module in sorted(large, key=_size, reverse=True):  # the last one may have made enough room by itself
                if fits([each for each in large if each is not module], work):
                    large.remove(module)
            if fits(large, work):
                return large
        return []

    def _spare_room(self, large: Sequence[nn.Module], device: str, work_bytes: int) -> int:
        """Tell how much of large networks may stay on a device, besides the layer that is just computed."""
        if not large:
            return 0
        self._free_up(None, device)
        return max(0, (self._room(device) or 0) - work_bytes - _largest_layer(large))

    def _divide(self, module: nn.Module, name: str, device: str, spare: int, used: ExitStack) -> int:
        """Have a network computed layer by layer; the smallest layers stay, as they cost most time a byte."""
        from graphengine.engine.layer_by_layer import visiting

        staying, visitors = self._divided(module, device, spare)
        resident = _Resident(weakref.ref(module), name, device, staying)
        try:
            self._move_or_undo(module, resident)
        except _OutOfMemory:  # it has less room than it says, or in pieces
            return self._divide(module, name, device, 0, used)
        self._partly.append(resident)
        used.callback(self._undivide, resident)
        self._hold(resident, used)
        used.enter_context(visiting(module, visitors, device, self._copied))
        return resident.size_bytes

    def _divided(self, module: nn.Module, device: str, spare: int) -> tuple[dict[int, int], list[Layer]]:
        """Choose what of a network stays on a device, as sizes by identity, and the layers that visit it."""
        from graphengine.engine.layer_by_layer import layers_of

        there = self._weights_on(device).keys()
        staying: dict[int, int] = {}
        visitors: list[Layer] = []
        for layer in sorted(layers_of(module), key=lambda layer: layer.size_bytes):
            missing = {weight: size for weight, size in layer.weights.items() if weight not in there | staying.keys()}
            if layer.buffers_bytes or sum(staying.values()) + sum(missing.values()) > spare:
                visitors.append(layer)
            else:
                staying |= missing
        return staying, visitors

    def _undivide(self, resident: _Resident) -> None:
        self._partly.remove(resident)
        self._leave(resident)

    def _hold(self, resident: _Resident, used: ExitStack) -> None:
        resident.holders += 1
        used.callback(self._let_go, resident)

    def _let_go(self, resident: _Resident) -> None:
        resident.holders -= 1

    # Coming and going

    def _resident(self, module: nn.Module, device: str) -> _Resident | None:
        resident = self._residents.get(id(module))
        known = resident is not None and resident.module() is module and resident.device == device
        return resident if known else None

    def _bring(self, module: nn.Module, name: str, device: str) -> _Resident:
        resident = self._resident(module, device)
        if resident is None:
            resident = _Resident(weakref.ref(module), name, device, _weights(module))
            self._free_up(self._missing_bytes(resident), device, kept=resident.weights.keys())
            try:
                self._move_or_undo(module, resident)
            except _OutOfMemory:
                self._free_up(None, device, kept=resident.weights.keys())
                self._move_or_undo(module, resident)
        self._residents.pop(id(module), None)
        self._residents[id(module)] = resident  # now the most recently used
        return resident

    def _move_or_undo(self, module: nn.Module, resident: _Resident) -> None:
        if self._budget_bytes is not None and self._missing_bytes(resident) > self._budget_left(resident.device):
            raise _OutOfMemory
        missing = resident.weights.keys() - self._weights_on(resident.device).keys()
        try:
            self._move(module, resident.device, missing)
        except RuntimeError as error:
            self._move(module, "cpu", missing)  # a part of it may have arrived
            if "out of memory" in str(error).lower():
                raise _OutOfMemory from error
            raise

    def _missing_bytes(self, resident: _Resident) -> int:
        there = self._weights_on(resident.device)
        return sum(size for weight, size in resident.weights.items() if weight not in there)

    def _on(self, device: str) -> list[_Resident]:
        self._residents = {key: each for key, each in self._residents.items() if each.module() is not None}
        return [each for each in (*self._residents.values(), *self._partly) if each.device == device]

    def _weights_on(self, device: str) -> dict[int, int]:
        """Give the sizes of all weights on a device, in bytes by identity."""
        return {weight: size for each in self._on(device) for weight, size in each.weights.items()}

    def _free_up(
        self, wanted_bytes: int | None, device: str, *, kept: Collection[int] = (), spared: Collection[int] = ()
    ) -> None:
        """Move networks away, the least recently used first, until there is room; all that may go for None.

        Args:
            kept: Weights that stay.
            spared: Networks that stay.
        """
        idle = [each for each in self._on(device) if not each.holders and id(each.module()) not in spared]
        if not idle or (wanted_bytes is not None and self._has_room(wanted_bytes, device)):
            return
        gc.collect()  # networks in reference cycles that nobody uses
        for resident in idle:
            if wanted_bytes is not None and self._has_room(wanted_bytes, device):
                return
            self._residents = {key: each for key, each in self._residents.items() if each is not resident}
            self._leave(resident, kept)

    def _leave(self, resident: _Resident, kept: Collection[int] = ()) -> None:
        """Move the weights away that no other network on the device has."""
        module = resident.module()
        leaving = resident.weights.keys() - self._weights_on(resident.device).keys() - set(kept)
        if module is not None and leaving:
            self._move(module, "cpu", leaving)

    # What there is room for

    def _room(self, device: str) -> int | None:
        """Tell how much more may come; None if the device doesn't say."""
        free = self._free_bytes(device)
        room = None if free is None else free - _RESERVE_BYTES
        if self._budget_bytes is None:
            return room
        left = self._budget_left(device)
        return left if room is None else min(room, left)

    def _budget_left(self, device: str) -> int:
        return (self._budget_bytes or 0) - sum(self._weights_on(device).values())

    def _has_room(self, wanted_bytes: int, device: str) -> bool:
        room = self._room(device)
        return room is None or room >= wanted_bytes

    def _no_room(self, module: nn.Module, name: str, device: str) -> str:
        free = self._free_bytes(device)
        held = [f"{each.name} ({_amount(each.size_bytes)})" for each in self._on(device) if each.holders]
        message = f"{name} doesn't fit on {device}: it takes {_amount(_size(module))}"
        message += "" if free is None else f", {_amount(free)} are free"
        message += "" if self._budget_bytes is None else f", {_amount(self._budget_bytes)} may be used"
        message += f", in use are {', '.join(held)}. " if held else ". "
        return message + "End other programs that use the device, or choose a smaller model or the CPU."


class _OutOfMemory(Exception):
    """The device is full; its cause is what torch raised."""


def _networks(values: Iterable[object]) -> list[tuple[str, nn.Module]]:
    """Find the networks among values, in the fields of dataclasses and in tuples, each with a name for messages."""
    torch = sys.modules.get("torch")  # without it there is no network either
    if torch is None:
        return []
    found: dict[int, tuple[str, nn.Module]] = {}
    for value in values:
        for part in _parts(value):
            if isinstance(part, torch.nn.Module):
                found.setdefault(id(part), (_name(value), part))
    return list(found.values())


def _parts(value: object) -> Iterator[object]:
    """Give a value and what it is made of, as far as dataclasses and tuples go."""
    yield value
    if isinstance(value, tuple):
        for item in value:
            yield from _parts(item)
    elif dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            yield from _parts(getattr(value, field.name))


def _name(value: object) -> str:
    source = getattr(value, "source", "")
    return f"{type(value).__name__} {source!r}" if isinstance(source, str) and source else type(value).__name__


def _weights(*modules: nn.Module) -> dict[int, int]:
    """Give the sizes of all weights of some networks, in bytes by identity."""
    return {id(weight): weight.nbytes for module in modules for weight in module.parameters()}


def _size(module: nn.Module) -> int:
    return sum(_weights(module).values())


def _largest_layer(modules: Iterable[nn.Module]) -> int:
    """Give the size of the largest layer of some networks; 0 without one."""
    from graphengine.engine.layer_by_layer import layers_of

    return max((layer.size_bytes for module in modules for layer in layers_of(module)), default=0)


def _amount(size_bytes: int) -> str:
    return f"{size_bytes / 1024**3:.1f} GiB" if size_bytes >= 1024**3 / 10 else f"{size_bytes / 1024**2:.1f} MiB"
