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
    """

    samples: Tensor
    mask: Tensor
    noise: Tensor

    def around(self, answer: Callable[[Ask], Tensor]) -> Callable[[Ask], Tensor]:
        """Show the model the known part in every request, and put it into every answer.

        The sampler's own x is left alone: drawn towards an estimate that is the known latent, it gets there by itself.
        """

        def answer_around(ask: Ask) -> Tensor:
            shown = torch.lerp(self.samples + self.noise * ask.sigma, ask.x, self.mask)
            return torch.lerp(self.samples, answer(replace(ask, x=shown)), self.mask)

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
