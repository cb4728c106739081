"""Ready a picture for models that were trained to repaint."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from graphengine.diffusion import vae
from graphengine.diffusion.conditioning_parts import set_inpainting
from graphengine.errors import InputError
from graphengine.types import Conditioning, Image, InpaintingGuide, Latent, Mask, Vae

__all__ = ["prepare"]


def prepare(
    positive: Conditioning,
    negative: Conditioning,
    autoencoder: Vae,
    pixels: Image,
    mask: Mask,
    *,
    keeps_rest: bool,
    device: torch.device | str = "cpu",
) -> tuple[Conditioning, Conditioning, Latent]:
    """Show both prompts the picture with grey where it is repainted, and give its latent to start from.

    Args:
        pixels: ``[B, H, W, 3]``, sides as for encoding.
        mask: ``[B or 1, H, W]`` of any size; from 0.5 on a pixel is repainted, as in training.
        keeps_rest: Whether the latent's mask keeps the rest bit for bit; else the model may change it a little.

    Raises:
        InputError: if there are several masks, but not one for each picture, or the picture's size doesn't fit.
    """
    if mask.ndim != 3 or len(mask) not in (1, len(pixels)):
        raise InputError(
            "mask",
            f"a mask of shape {list(mask.shape)} for {len(pixels)} pictures.",
            "Give one mask, or one for each picture.",
        )
    fitted: Tensor = functional.interpolate(mask[:, None].float(), size=pixels.shape[1:3], mode="bilinear")
    repainted = (fitted[:, 0] >= 0.5).float()  # [B or 1, H, W]
    grey = torch.lerp(pixels, torch.full_like(pixels, 0.5), repainted[..., None])
    kept = vae.encode(autoencoder, Image(grey), device=device)
    guide = InpaintingGuide(kept.samples, Mask(repainted))
    latent = vae.encode(autoencoder, pixels, device=device)
    start = Latent(latent.samples, Mask(repainted) if keeps_rest else None)
    return set_inpainting(positive, guide), set_inpainting(negative, guide), start
