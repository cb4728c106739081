"""How several devices train one thing: a process each, every one with its share of each batch.

The process of rank r computes part r of every batch, with the random numbers that these examples have in the whole
batch; gradients are averaged over the group. So n devices train as one does whose batch is n times as large.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
from accelerate import Accelerator  # type: ignore[import-untyped]  # accelerate ships no types
from accelerate.utils import DistributedDataParallelKwargs  # type: ignore[import-untyped]  # as above
from torch import Tensor, nn
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from graphengine.diffusion.batch_order import Order
from graphengine.diffusion.step_random import StepRandom
from graphengine.diffusion.training_tasks import TrainingTask
from graphengine.errors import InputError
from graphengine.training_types import Examples

_MARGIN = 1e-5  # more than torch's arithmetic of norms may be off


@dataclass(frozen=True)
class Share:
    """What a process of a group computes.

    Attributes:
        rank: Its place in the group, counted from 0; the first saves states and measures held-out losses.
        count: Processes of the group.
    """

    rank: int = 0
    count: int = 1


class SharedOrder:
    """One process's parts of an order whose batches come in parts for all of them."""

    def __init__(self, order: Order, share: Share) -> None:
        self._order = order
        self._share = share

    def indices(self, step: int) -> Sequence[int]:
        """Give the numbers of the examples of a part; ``step`` counts this process's parts."""
        return self._order.indices(step * self._share.count + self._share.rank)


class Losses(nn.Module):
    """A task's losses as a network whose weights are those that are trained, as data-parallel training wants it."""

    def __init__(self, task: TrainingTask) -> None:
        super().__init__()
        self.trained = nn.ModuleDict(dict(task.trained))
        self._task = task

    def forward(self, examples: Examples, random: StepRandom) -> dict[str, Tensor]:
        return dict(self._task.losses(examples, random))


class SharedWork:
    """Runs a task's losses and their gradients by accelerate, alone or as one of a group.

    accelerate averages a group's gradients while the backward pass still runs, and clips them. Three of its parts are
    not used, as they can't keep what is promised here: its loss scaling refuses float16 on CPUs, its data loaders can't
    say which example stands where in a batch, and its learning-rate schedules count a step once for each process.
    """

    def __init__(self, task: TrainingTask, device: torch.device, share: Share) -> None:
        self._device = device
        self._share = share
        self._accelerator: Any = _make_accelerator(device, share)  # Any: untyped
        self._losses: Any = self._accelerator.prepare(Losses(task))  # Any: as above

    def losses(self, examples: Examples, random: StepRandom) -> Mapping[str, Tensor]:
        """Give the parts of the loss for this process's examples."""
        losses: Mapping[str, Tensor] = self._losses(examples, random)
        return losses

    def backward(self, loss: Tensor) -> None:
        """Add the gradients of a loss to those there are; outside ``apart`` they are averaged over the group."""
        self._accelerator.backward(loss)

    def apart(self) -> AbstractContextManager[None]:
        """Leave the gradients of losses that are computed within the block to this process, until the next ones."""
        context: AbstractContextManager[None] = self._accelerator.no_sync(self._losses)
        return context

    def clip(self, parameters: Sequence[nn.Parameter], max_norm: float) -> float:
        """Scale gradients down to a norm; give the norm that they had."""
        if self._share.count > 1:
            return float(self._accelerator.clip_grad_norm_(parameters, max_norm))
        norm = get_total_norm([each.grad for each in parameters if each.grad is not None])
        length = float(norm)
        if length * (1 + _MARGIN) + _MARGIN > max_norm:  # else torch would multiply each gradient by 1
            clip_grads_with_norm_(parameters, max_norm, norm)
        return length

    def means(self, values: Mapping[str, float]) -> dict[str, float]:
        """Average numbers over the group; a process waits here for all others."""
        if self._share.count == 1:
            return dict(values)
        mine = torch.tensor(list(values.values()), dtype=torch.float64, device=self._device)
        means: list[float] = self._accelerator.reduce(mine, reduction="mean").tolist()
        return dict(zip(values, means, strict=True))

    def wait(self) -> None:
        """Wait until all processes of the group are here."""
        self._accelerator.wait_for_everyone()


def _make_accelerator(device: torch.device, share: Share) -> Any:  # Any: untyped
    """Make accelerate's object; what it is shared by in a process is the same for every training there."""
    options: dict[str, Any] = {"mixed_precision": "no", "device_placement": False}  # Any: each option's own
    if share.count == 1:
        return Accelerator(**options)
    # Parts of a text encoder that its output doesn't depend on get no gradients.
    parallel = DistributedDataParallelKwargs(find_unused_parameters=True)
    return Accelerator(cpu=device.type == "cpu", kwargs_handlers=[parallel], **options)


def choose_devices(count: int, device: str, reserved: Sequence[str]) -> Sequence[str]:
    """Choose so many devices.

    Args:
        device: The run's own, which is the first.
        reserved: All that the run may use; empty for any of this machine.

    Raises:
        InputError: there are not so many.
    """
    if count == 1:
        return (device,)
    if reserved:
        if count > len(reserved):
            has = "1 device" if len(reserved) == 1 else f"{len(reserved)} devices"
            raise InputError(
                "devices",
                f"{count} are asked for, and this job has {has} ({', '.join(reserved)}).",
                "Write the number into the node, from which the server knows it; or give the job so many by "
                "limits.devices.",
            )
        return tuple(reserved[:count])
    there = _all_like(device, count)
    if count > len(there):
        raise InputError(
            "devices",
            f"{count} are asked for, and this machine has {len(there)} ({', '.join(there)}).",
            f"Choose {len(there)}, and a batch_size or accumulate so many times as large.",
        )
    return there[:count]


def check_group(devices: Sequence[str]) -> None:
    """Refuse devices that can't train together.

    Raises:
        InputError: with the reason.
    """
    kinds = {torch.device(each).type for each in devices}
    problem = ""
    if len(kinds) > 1 or not kinds <= {"cpu", "cuda"}:
        problem = f"{', '.join(devices)} can't train together."
    elif kinds == {"cuda"} and len({_cuda_number(each) for each in devices}) < len(devices):
        problem = f"{', '.join(devices)} names a GPU twice."
    elif not torch.distributed.is_available():
        problem = "this build of torch has no torch.distributed."
    if problem:
        raise InputError("devices", problem, "Use GPUs of CUDA, or CPUs, each once; or train on 1 device.")


def group_environment(rank: int, devices: Sequence[str]) -> dict[str, str]:
    """Give the environment variables by which a group's process knows its place and its device.

    All see the same GPUs, in the group's order, so that they can reach each other's memory.
    """
    count = len(devices)
    places = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count}
    environment = {name: str(value) for name, value in places.items()}
    if torch.device(devices[0]).type == "cuda":
        seen = os.environ.get("CUDA_VISIBLE_DEVICES")
        names = seen.split(",") if seen else [str(number) for number in range(torch.cuda.device_count())]
        environment["CUDA_VISIBLE_DEVICES"] = ",".join(names[_cuda_number(each)] for each in devices)
    else:
        environment["OMP_NUM_THREADS"] = os.environ.get(
            "OMP_NUM_THREADS", str(max(1, torch.get_num_threads() // count))
        )
    # Else each warns that a network could do without looking for weights that have no gradient.
    environment["TORCH_CPP_LOG_LEVEL"] = os.environ.get("TORCH_CPP_LOG_LEVEL", "ERROR")
    if sys.platform == "linux":  # they meet on this machine
        environment |= {name: os.environ.get(name, "lo") for name in ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME")}
    return environment


def device_of(rank: int, devices: Sequence[str]) -> torch.device:
    """Give a process's device, as it is called there."""
    kind = torch.device(devices[rank]).type
    return torch.device("cuda", rank) if kind == "cuda" else torch.device(kind)


def _all_like(device: str, count: int) -> Sequence[str]:
    """Name all devices of a kind, this one first; a CPU takes any number of processes, which share its cores."""
    kind = torch.device(device).type
    if kind == "cpu":
        return ("cpu",) * count
    if kind != "cuda":
        return (device,)
    first = _cuda_number(device)
    return [device, *(f"cuda:{number}" for number in range(torch.cuda.device_count()) if number != first)]


def _cuda_number(device: str) -> int:
    return torch.device(device).index or 0
