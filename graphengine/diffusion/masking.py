"""Repainting part of a latent: what a mask keeps while a sampler runs, and afterwards."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

from graphengine.diffusion.samplers import Ask
from graphengine.errors import InputError
from graphengine.types import Latent


@dataclass(frozen=True)
class KnownRegion:
    """The part of a latent that a masked run keeps.

    Attributes:
        samples: The clean latents, ``[B, C, h, w]``.
        mask: ``[B or 1, 1, h, w]`` in 0…1; 1 is repainted, 0 keeps its latent.
        noise: ``[B, C, h, w]``, the noise that the kept part is shown through, the same at every level.
        share_left: If given, the mask's grades say from when each cell is repainted, instead of how much: a cell is
            repainted wholly while at most its grade is left of the run, which this tells at a noise level. Source:
            Differential Diffusion, Levin & Fried 2023, arXiv:2306.00950.
    """

    samples: Tensor
    mask: Tensor
    noise: Tensor
    share_left: Callable[[float], float] | None = None

    def mask_at(self, sigma: float) -> Tensor:
        """Give how much of each cell is repainted at a noise level."""
        if self.share_left is None:
            return self.mask
        return ((self.mask >= self.share_left(sigma)) & (self.mask > 0)).to(self.mask.dtype)

    def around(self, answer: Callable[[Ask], Tensor]) -> Callable[[Ask], Tensor]:
        """Show the model the known part in every request, and put it into every answer.

        The sampler's own x is left alone: drawn towards an estimate that is the known latent, it gets there by itself.
        """

        def answer_around(ask: Ask) -> Tensor:
            mask = self.mask_at(ask.sigma)
            shown = torch.lerp(self.samples + self.noise * ask.sigma, ask.x, mask)
            return torch.lerp(self.samples, answer(replace(ask, x=shown)), mask)

        return answer_around


def latent_mask(latent: Latent) -> Tensor | None:
    """Give a latent's mask at the latent's own size, float32 ``[B or 1, 1, h, w]`` in 0…1, or None.

    A mask of another size is stretched to the latent by averaging areas. So a cell is exactly 0 only if no pixel above
    it is selected, however thin the selection, and exactly 1 only if all are; interpolation would miss some pixels.

    Raises:
        InputError: if the masks are neither one nor as many as the latents.
    """
    if latent.noise_mask is None:
        return None
    batch, _, height, width = latent.samples.shape
    mask: Tensor = latent.noise_mask
    if mask.ndim != 3 or len(mask) not in (1, batch):
        raise InputError(
            "latent_image",
            f"its mask has shape {list(mask.shape)}, and it holds {batch} latents.",
            f"Give one mask [1, H, W] for all, or {batch}.",
        )
    return functional.interpolate(mask[:, None].float(), size=(height, width), mode="area")
