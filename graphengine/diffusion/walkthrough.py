"""Diffusion from scratch, in the smallest form: a small convolutional net that removes uniform noise.

A picture is mixed linearly with uniform noise by a random amount; the net predicts the clean picture, without being
told the amount. Sampling starts from noise and moves a growing share of the way to each prediction.
Source: the walk-through "Diffusion models from scratch" of the Hugging Face diffusion course, unit 1.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn
from torch.nn import functional

from graphengine.diffusion.step_random import StepRandom
from graphengine.errors import InputError
from graphengine.types import Model


class BasicUNet(ModelMixin, ConfigMixin):  # type: ignore[misc]  # diffusers' mixins are untyped
    """Three convolutions down, three up, joined by additions: 309,057 parameters for one channel.

    It knows no timestep. Height and width must be multiples of 4.
    """

    @register_to_config  # type: ignore[untyped-decorator]  # diffusers is untyped
    def __init__(self, in_channels: int = 1, out_channels: int = 1) -> None:
        super().__init__()
        self.down = nn.ModuleList(
            nn.Conv2d(before, after, kernel_size=5, padding=2)
            for before, after in [(in_channels, 32), (32, 64), (64, 64)]
        )
        self.up = nn.ModuleList(
            nn.Conv2d(before, after, kernel_size=5, padding=2)
            for before, after in [(64, 64), (64, 32), (32, out_channels)]
        )

    def forward(self, x: Tensor) -> Tensor:
        """Predict the clean picture from a noisy one, both ``[B, C, H, W]`` in 0…1."""
        skips: list[Tensor] = []
        for level, convolution in enumerate(self.down):
            if level > 0:
                skips.append(x)
                x = functional.max_pool2d(x, 2)
            x = functional.silu(convolution(x))
        for level, convolution in enumerate(self.up):
            if level > 0:
                x = functional.interpolate(x, scale_factor=2.0) + skips.pop()
            x = functional.silu(convolution(x))
        return x


def predict_clean(network: nn.Module, noisy: Tensor) -> Tensor:
    """Ask a mixing network for the clean pictures ``[B, C, H, W]``; one with timesteps is told 0 always."""
    if isinstance(network, BasicUNet):
        clean: Tensor = network(noisy)
        return clean
    clean = network(noisy, 0).sample
    return clean


@dataclass(frozen=True)
class MixingStep:
    """One step of the mixing sampler.

    Attributes:
        noisy: What the network was shown, ``[B, C, H, W]`` in about 0…1.
        predicted: What it answered.
    """

    noisy: Tensor
    predicted: Tensor


def sample_mixing(model: Model, *, size: int, count: int, steps: int, seed: int) -> Iterator[MixingStep]:
    """Make pictures from uniform noise: step i of n moves 1 / (n - i) of the way to the prediction.

    The last step goes all the way, so the pictures are its ``predicted``. Picture k starts from the noise of
    ``seed + k``, so it is the same alone as in a batch.

    Args:
        model: One whose prediction is ``mixing``.
        size: Side of the pictures, a multiple of 4.
        count: Pictures, ≥ 1.
        steps: ≥ 1.

    Raises:
        InputError: for a model that predicts something else.
    """
    if model.prediction != "mixing":
        raise InputError(
            "model", f"its prediction is {model.prediction!r}, not mixing.", "Sample it with KSampler, or link another."
        )
    channels: int = model.network.config.in_channels  # type: ignore[union-attr,assignment]  # diffusers' configuration
    weight = next(model.network.parameters())
    x = torch.cat([StepRandom(seed + item, 0).uniform(1, channels, size, size) for item in range(count)])
    x = x.to(weight.device)
    for step in range(steps):
        with torch.no_grad():
            predicted = predict_clean(model.network, x)
        yield MixingStep(x.cpu(), predicted.cpu())
        x = x + (predicted - x) / (steps - step)
