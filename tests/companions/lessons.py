"""What the companions' trainings share: the embedded model, held fast, drawn pictures, and a loop over both."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import DDPMScheduler
from torch import Tensor, nn

import graphengine
from graphengine.diffusion import checkpoints, conditioning
from graphengine.types import Clip, Vae

EMBEDDED = Path(graphengine.__file__).parent / "models" / "checkpoints" / "embedded"
MODELS = EMBEDDED.parents[1]
UNTOLD = 0.1
"""Share of examples whose prompt is left out, as in the embedded model's own training."""


@dataclass(frozen=True)
class Teacher:
    """The embedded model, whose weights stay as they are."""

    unet: Any  # Any: diffusers' networks are untyped
    clip: Clip
    vae: Vae
    scheduler: DDPMScheduler

    @classmethod
    def open(cls, folder: Path = EMBEDDED) -> Teacher:
        """Open it in float32; its weights take no gradients."""
        model, clip, vae = checkpoints.load(folder, precision="float32")
        return cls(model.network, clip, vae, DDPMScheduler.from_pretrained(folder / "scheduler"))

    def read(self, captions: Iterable[str]) -> Tensor:
        """Give what the text encoder makes of prompts: float32 ``[B, T, D]``."""
        read = [conditioning.encode(self.clip, caption).parts[0].embedding for caption in captions]
        return torch.cat(read)

    def lesson(
        self, latents: Tensor, generator: torch.Generator, *, late: float = 1.0
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Give noisy latents, their timesteps and the velocities to predict, as the UNet was trained.

        Args:
            late: Power of the evenly drawn share of all timesteps; below 1 there is more noise.
        """
        noise = torch.randn(latents.shape, generator=generator)
        timesteps = (1000 * torch.rand(len(latents), generator=generator) ** late).long()
        scheduler: Any = self.scheduler  # Any: diffusers' schedulers are half typed
        noisy = scheduler.add_noise(latents, noise, timesteps)
        return noisy, timesteps, scheduler.get_velocity(latents, noise, timesteps)


def taught(network: nn.Module, losses: Callable[[int], Tensor], *, steps: int, rate: float) -> Iterator[int]:
    """Take steps of AdamW downhill, at a rate that rises for 100 steps and falls to nothing; give each step's number.

    Args:
        losses: Gives a step's loss, from its number.
        rate: Highest learning rate.
    """
    weights = [weight for weight in network.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps, pct_start=min(0.3, 100 / steps))
    shown, begun = 0.0, time.monotonic()
    for step in range(steps):
        loss = losses(step)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        schedule.step()
        shown += loss.item() / 50
        if step % 50 == 49:
            sys.stderr.write(f"step {step + 1}: loss {shown:.4f}, {time.monotonic() - begun:.0f} s\n")
            shown = 0.0
        yield step
