"""Open checkpoints and pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, NamedTuple

from graphengine import Context, FilesIn, Widget, node
from graphengine.config import Precision
from graphengine.diffusion.facts import checkpoint_facts
from graphengine.types import Clip, Image, Mask, Model, Vae

ChosenPrecision = Annotated[Precision, Widget("select", advanced=True)]


class Checkpoint(NamedTuple):
    """A checkpoint's three parts.

    Attributes:
        model: Removes noise; for KSampler.
        clip: Reads prompts; for CLIPEncode.
        vae: Turns latents into pictures and back; for VAEDecode and VAEEncode.
    """

    model: Model
    clip: Clip
    vae: Vae


class Picture(NamedTuple):
    """A picture file.

    Attributes:
        image: The picture; every frame of an animation, as a batch.
        mask: What is transparent in it; nothing if it has no transparency.
    """

    image: Image
    mask: Mask


@node(
    "LoadCheckpoint",
    category="loaders",
    device="gpu",
    refine=lambda literals, _facts: checkpoint_facts(literals["ckpt_name"]),
)
def load_checkpoint(
    ctx: Context,
    ckpt_name: Annotated[Path, FilesIn("checkpoints")] = Path("embedded"),
    precision: ChosenPrecision = "auto",
) -> Checkpoint:
    """Open a checkpoint and give its three parts.

    Stable Diffusion 1 and 2, XL and its refiner, and inpainting models of these are told by the file itself.

    Args:
        ckpt_name: A safetensors file or diffusers folder in models/checkpoints; "embedded" is the small model that
            comes along.
        precision: Number format of the weights. "auto" suits the device, "file" keeps what the file has.
    """
    from graphengine.diffusion import checkpoints

    wanted = ctx.settings.precision if precision == "auto" else precision
    return Checkpoint(*checkpoints.load(ckpt_name, precision=wanted, device=ctx.device))


@node("LoadImage", category="image")
def load_image(image: Annotated[Path, FilesIn("input"), Widget("image")]) -> Picture:
    """Open a picture from the input folder.

    Photos are turned the right way up. PNG, JPEG, WebP, TIFF, GIF and more, grey, 16-bit and CMYK too.

    Args:
        image: The picture file.
    """
    from graphengine.diffusion import images

    return Picture(*images.load(image))
