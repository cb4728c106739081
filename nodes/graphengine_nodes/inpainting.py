"""Repaint parts of pictures."""

from __future__ import annotations

from typing import NamedTuple

from graphengine import Context, node
from graphengine.diffusion.memory import encoding_memory
from graphengine.types import Conditioning, Image, Latent, Mask, Model, Vae


class Inpainting(NamedTuple):
    """What a sampler needs to repaint.

    Attributes:
        positive: The positive prompt, with the picture.
        negative: The negative prompt, with the picture.
        latent: The picture's latent, to start from.
    """

    positive: Conditioning
    negative: Conditioning
    latent: Latent


@node("InpaintModelConditioning", category="conditioning/inpaint", device="gpu", memory=encoding_memory)
def inpaint_model_conditioning(
    ctx: Context,
    positive: Conditioning,
    negative: Conditioning,
    vae: Vae,
    pixels: Image,
    mask: Mask,
    noise_mask: bool = True,
) -> Inpainting:
    """Show a picture to an inpainting model, a checkpoint that was trained to repaint.

    Args:
        positive: What you want to see.
        negative: What you don't want to see.
        vae: From LoadCheckpoint.
        pixels: The picture; its sides must be multiples of 8.
        mask: What is repainted.
        noise_mask: Keep the rest exactly. Off, the model may change it a little so that seams fit better.
    """
    from graphengine.diffusion import inpainting

    with ctx.loaded(vae) as device:
        made = inpainting.prepare(positive, negative, vae, pixels, mask, keeps_rest=noise_mask, device=device)
    return Inpainting(*made)


@node("DifferentialDiffusion", category="model")
def differential_diffusion(model: Model) -> Model:
    """Repaint by grades: a latent mask then says from when on each place is repainted.

    White is repainted from the first step, grey only in the last ones, so that more of what was there shows through,
    and black never. For soft seams, and for changing parts of a picture more and others less. It needs a latent with a
    mask, from SetLatentNoiseMask.

    Args:
        model: From LoadCheckpoint.
    """
    from dataclasses import replace

    return replace(model, differential=True)
