"""Gaussian data, for which the ideal denoiser and the probability flow have closed forms.

data ~ N(mean, std^2)         D(x, sigma) = mean + std^2 / (std^2 + sigma^2) (x - mean)
flow from level a to b:       x_b = mean + (x_a - mean) sqrt((std^2 + b^2) / (std^2 + a^2))
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import torch
from torch import Tensor

from graphengine.diffusion.samplers import Ask, Sampler
from graphengine.diffusion.sampling_run import drive


@dataclass(frozen=True)
class Gaussian:
    mean: float = 0.5
    std: float = 0.8

    def denoised(self, x: Tensor, sigma: float) -> Tensor:
        return self.mean + (x - self.mean) * (self.std**2 / (self.std**2 + sigma**2))

    def flow(self, x: Tensor, start: float, end: float) -> Tensor:
        return self.mean + (x - self.mean) * sqrt((self.std**2 + end**2) / (self.std**2 + start**2))

    def run(self, sampler: Sampler) -> Tensor:
        """Step a sampler to its end with the ideal denoiser."""
        return drive(sampler, self.answer, lambda ask, answer: None)

    def answer(self, ask: Ask) -> Tensor:
        return self.denoised(ask.x, ask.sigma)


def levels_between(start: float, end: float, steps: int) -> Tensor:
    """Space levels as Karras et al. 2022 do, in float64 so that rounding doesn't hide an order."""
    grid: Tensor = torch.linspace(start ** (1 / 7), end ** (1 / 7), steps + 1, dtype=torch.float64) ** 7
    return grid
