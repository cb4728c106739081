"""How several devices train one thing: a process each, every one with its share of each batch.

The process of rank r computes part r of every batch, with the random numbers that these examples have in the whole
batch; gradients are averaged over the group. So n devices train as one does whose batch is n times as large.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
from accelerate import Accelerator  # type: ignore[import-untyped]  # accelerate ships no types
from accelerate.utils import DistributedDataParallelKwargs  # type: ignore[import-untyped]  # as above
from torch import Tensor, nn

from graphengine.diffusion.batch_order import Order
from graphengine.diffusion.step_random import StepRandom
from graphengine.diffusion.training_tasks import TrainingTask
from graphengine.training_types import Examples


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

    accelerate averages gradients while the backward pass still runs, and clips them. Three of its parts are not used,
    as they can't keep what is promised here: its loss scaling refuses float16 on CPUs, its data loaders can't say
    which example stands where in a batch, and its learning-rate schedules count a step once for each process.
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
        return float(self._accelerator.clip_grad_norm_(parameters, max_norm))

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
    parallel = DistributedDataParallelKwargs(find_unused_parameters=True, broadcast_buffers=False)
    return Accelerator(cpu=device.type == "cpu", kwargs_handlers=[parallel], **options)
