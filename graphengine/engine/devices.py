"""Which networks are on the device, and who makes room when memory is short.

Weights wait on the CPU until a node uses them, and stay on the device afterwards: the next run most likely wants them
again. When room is short, those that were not used for the longest time go back. Moving weights changes no value.
"""

from __future__ import annotations

import dataclasses
import gc
import sys
import threading
import weakref
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from graphengine.errors import GraphEngineError

if TYPE_CHECKING:
    from torch import nn

__all__ = ["DeviceMemory", "check_device", "free_bytes", "move_weights"]

_RESERVE_BYTES = 256 * 1024**2  # libraries' own buffers, and what fragmentation costs


def check_device(device: str) -> None:
    """Refuse a device that this machine, or this build of torch, doesn't have.

    Raises:
        GraphEngineError: naming those that it has.
    """
    if device == "cpu":  # which needs no torch to be known
        return
    import torch

    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # the second where torch was built without it
        there = ["cpu", *(f"cuda:{number}" for number in range(torch.cuda.device_count()))]
        if torch.backends.mps.is_available():
            there.append("mps")
        raise GraphEngineError(
            f"there is no device {device!r} for torch {torch.__version__}. It has {', '.join(there)}.\n"
            "  Choose one of these, or install a torch that is built for your device and its driver."
        ) from error


def free_bytes(device: str) -> int | None:
    """Tell how much more a device can hold; None if it doesn't say."""
    import torch

    kind = device.partition(":")[0]
    if kind == "cuda":
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)  # torch keeps it for later
        return int(torch.cuda.mem_get_info(device)[0]) + unused
    if kind == "mps":
        return torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory()
    return None


def move_weights(module: nn.Module, device: str, weights: Collection[int]) -> None:
    """Move weights of a network, given by their identity; what leaves a GPU is free for other programs as well.

    Whatever else the network has comes with them to a device, and goes with the last of them.
    """
    import torch

    if device != "cpu" or all(id(weight) in weights for weight in module.parameters()):
        module.to(device)
    else:
        for weight in module.parameters():
            if id(weight) in weights:
                weight.data = weight.data.to(device)
    if device == "cpu" and torch.cuda.is_available():
        torch.cuda.empty_cache()


@dataclass(eq=False)
class _Resident:
    """A network on a device."""

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
        free_bytes: Tells how much more a device can hold, or None.
        move: Moves weights of a network; raises a RuntimeError that says "out of memory" if they don't fit.
    """

    def __init__(
        self,
        *,
        free_bytes: Callable[[str], int | None] = free_bytes,
        move: Callable[[nn.Module, str, Collection[int]], None] = move_weights,
    ) -> None:
        self._free_bytes = free_bytes
        self._move = move
        self._residents: dict[int, _Resident] = {}  # by the network's id, the least recently used first
        self._lock = threading.RLock()  # async nodes load from their own thread

    @contextmanager
    def loaded(self, values: Iterable[object], device: str) -> Iterator[None]:
        """Have the networks of some values on a device within the block; on "cpu" nothing is done.

        Raises:
            GraphEngineError: if they don't fit although all that is not in use was moved away.
        """
        if device == "cpu":
            yield
            return
        held: list[_Resident] = []
        try:
            with self._lock:
                for name, module in _networks(values):
                    resident = self._bring(module, name, device)
                    resident.holders += 1
                    held.append(resident)
            yield
        finally:
            with self._lock:
                for resident in held:
                    resident.holders -= 1

    def make_room(self, wanted_bytes: int, device: str, values: Iterable[object] = ()) -> None:
        """Move networks away until this much is free besides the networks of some values, which may stay or come."""
        if device == "cpu":
            return
        with self._lock:
            networks = [module for _, module in _networks(values)]
            wanted = {weight: size for module in networks for weight, size in _weights(module).items()}
            missing = sum(wanted[weight] for weight in wanted.keys() - self._weights_on(device))
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
            self._forget_dead()
            return [resident.name for resident in self._residents.values() if resident.device == device]

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
                try:
                    self._move_or_undo(module, resident)
                except _OutOfMemory as error:
                    raise GraphEngineError(self._no_room(resident)) from error.__cause__
        self._residents.pop(id(module), None)
        self._residents[id(module)] = resident  # now the most recently used
        return resident

    def _move_or_undo(self, module: nn.Module, resident: _Resident) -> None:
        missing = resident.weights.keys() - self._weights_on(resident.device)
        try:
            self._move(module, resident.device, missing)
        except RuntimeError as error:
            self._move(module, "cpu", missing)  # a part of it may have arrived
            if "out of memory" in str(error).lower():
                raise _OutOfMemory from error
            raise

    def _missing_bytes(self, resident: _Resident) -> int:
        return sum(resident.weights[weight] for weight in resident.weights.keys() - self._weights_on(resident.device))

    def _weights_on(self, device: str) -> set[int]:
        self._forget_dead()
        return {weight for each in self._residents.values() if each.device == device for weight in each.weights}

    def _free_up(
        self, wanted_bytes: int | None, device: str, *, kept: Collection[int] = (), spared: Collection[int] = ()
    ) -> None:
        """Move networks away, the least recently used first, until there is room; all that may go for None.

        Args:
            kept: Weights that stay.
            spared: Networks that stay.
        """
        if wanted_bytes is not None and self._has_room(wanted_bytes, device):
            return
        gc.collect()  # networks in reference cycles that nobody uses
        self._forget_dead()
        for resident in [each for each in self._residents.values() if each.device == device]:
            if wanted_bytes is not None and self._has_room(wanted_bytes, device):
                return
            if not resident.holders and id(resident.module()) not in spared:
                self._send_back(resident, kept)

    def _has_room(self, wanted_bytes: int, device: str) -> bool:
        free = self._free_bytes(device)
        return free is None or free >= wanted_bytes + _RESERVE_BYTES

    def _send_back(self, resident: _Resident, kept: Collection[int]) -> None:
        """Move the weights away that no other network on the device has."""
        module = resident.module()
        if module is not None and self._residents.pop(id(module), None) is not None:
            leaving = resident.weights.keys() - self._weights_on(resident.device) - set(kept)
            if leaving:
                self._move(module, "cpu", leaving)

    def _forget_dead(self) -> None:
        self._residents = {key: each for key, each in self._residents.items() if each.module() is not None}

    def _no_room(self, wanted: _Resident) -> str:
        free = self._free_bytes(wanted.device)
        held = [f"{each.name} ({_amount(each.size_bytes)})" for each in self._residents.values() if each.holders]
        message = f"{wanted.name} doesn't fit on {wanted.device}: it takes {_amount(wanted.size_bytes)}"
        message += "" if free is None else f", {_amount(free)} are free"
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


def _weights(module: nn.Module) -> dict[int, int]:
    return {id(weight): weight.nbytes for weight in module.parameters()}


def _amount(size_bytes: int) -> str:
    return f"{size_bytes / 1024**3:.1f} GiB" if size_bytes >= 1024**3 / 10 else f"{size_bytes / 1024**2:.1f} MiB"
