"""Random numbers of a training step, as a pure function of (seed, step).

Nothing draws from torch's global generator, so a training that resumes at a step needs no random state from a file, and
what else the process draws changes nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


def derive_seed(seed: int, *names: int | str) -> int:
    """Mix a seed with names into an independent one, 0 … 2^63 - 1."""
    text = "/".join(str(part) for part in (seed, *names))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


class StepRandom:
    """The random numbers of one step: drawn on the CPU, so that a seed means the same on every device.

    A step whose batch is computed in parts gives each part its rows of the numbers that the whole batch would have.

    Args:
        part: Which part of the batch this is, counted from 0.
        parts: How many of equal size there are.
    """

    def __init__(
        self, seed: int, step: int, device: torch.device | str = "cpu", *, part: int = 0, parts: int = 1
    ) -> None:
        self._generator = torch.Generator().manual_seed(derive_seed(seed, "step", step))
        self._device = device
        self._part = part
        self._parts = parts

    def normal(self, batch: int, *shape: int) -> Tensor:
        """Draw standard normal numbers for each example, float32."""
        return self._mine(torch.randn(batch * self._parts, *shape, generator=self._generator))

    def uniform(self, batch: int, *shape: int) -> Tensor:
        """Draw numbers uniform in 0 ≤ x < 1 for each example, float32."""
        return self._mine(torch.rand(batch * self._parts, *shape, generator=self._generator))

    def happens(self, probability: float, batch: int) -> list[bool]:
        """Decide for each example, from one uniform number; nothing is waited for on the device."""
        numbers = torch.rand(batch * self._parts, generator=self._generator)
        happening: list[bool] = (self._part_of(numbers) < probability).tolist()
        return happening

    def integers(self, below: int, batch: int, *shape: int) -> Tensor:
        """Draw whole numbers uniform in 0 … below - 1 for each example, int64."""
        return self._mine(torch.randint(below, (batch * self._parts, *shape), generator=self._generator))

    def are_first(self, batch: int, share: float) -> Tensor:
        """Tell which examples are among the first share of the whole batch, bool ``[B]``."""
        whole = batch * self._parts
        return self._mine(torch.arange(whole) < share * whole)

    def _mine(self, numbers: Tensor) -> Tensor:
        return self._part_of(numbers).to(self._device)

    def _part_of(self, numbers: Tensor) -> Tensor:
        return numbers.chunk(self._parts)[self._part]


@contextmanager
def seeded_globally(seed: int, device: torch.device | str = "cpu") -> Iterator[None]:
    """Seed torch's global generators for this block, then put them back.

    For what takes no generator: the initial weights of layers, and dropout.
    """
    device = torch.device(device)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        # torch.manual_seed would seed every device there is, and formats a stack trace while CUDA is not in use.
        torch.default_generator.manual_seed(seed)
        if device.type == "cuda":
            torch.cuda.manual_seed(seed)
        yield
