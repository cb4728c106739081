"""Open checkpoints and pictures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from graphengine import Context, FilesIn, Widget, node
from graphengine.config import Precision
from graphengine.diffusion.facts import checkpoint_facts, clip_facts, denoiser_facts, vae_facts
from graphengine.diffusion.options import ClipKind, LatentKind
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

    Stable Diffusion 1, 2, 3 and 3.5, XL and its refiner, and inpainting models are told by the file itself.

    Args:
        ckpt_name: A safetensors file or diffusers folder in models/checkpoints; "embedded" is the small model that
            comes along.
        precision: Number format of the weights. "auto" suits the device, "file" keeps what the file has.
    """
    from graphengine.diffusion import checkpoints

    return Checkpoint(
        *checkpoints.load(ckpt_name, precision=_wanted(ctx, precision), device=ctx.device, share=ctx.shared)
    )


@node(
    "LoadUNet",
    category="loaders",
    device="gpu",
    refine=lambda literals, _facts: denoiser_facts(literals["unet_name"]),
)
def load_unet(ctx: Context, unet_name: Annotated[Path, FilesIn("unet")], precision: ChosenPrecision = "auto") -> Model:
    """Open a denoiser without text encoders and autoencoder.

    Args:
        unet_name: A safetensors file, in original or diffusers' names, or a diffusers folder, in models/unet;
            or a checkpoint, of which only this part is read.
        precision: Number format of the weights. "auto" suits the device, "file" keeps what the file has.
    """
    from graphengine.diffusion import checkpoints

    return checkpoints.load_model(unet_name, precision=_wanted(ctx, precision), device=ctx.device, share=ctx.shared)


@node(
    "LoadCLIP",
    category="loaders",
    device="gpu",
    refine=lambda literals, _facts: clip_facts(
        _given(literals, "clip_name", "clip_name2", "clip_name3"), literals.get("type", "auto")
    ),
)
def load_clip(
    ctx: Context,
    clip_name: Annotated[Path, FilesIn("clip")],
    clip_name2: Annotated[Path, FilesIn("clip")] | None = None,
    clip_name3: Annotated[Path, FilesIn("clip")] | None = None,
    type: ClipKind = "auto",
    precision: ChosenPrecision = "auto",
) -> Clip:
    """Open the text encoders that a denoiser reads prompts with: one, or two or three together.

    Args:
        clip_name: A safetensors file in models/clip, or a checkpoint that holds them all.
        clip_name2: The second of XL's or Stable Diffusion 3's; in any order.
        clip_name3: The third of Stable Diffusion 3's, T5; its tokenizer lies beside it, in a folder of the file's name.
        type: The denoiser's family. "auto" tells it by the encoders' widths.
        precision: Number format of the weights. "auto" suits the device, "file" keeps what the file has.
    """
    from graphengine.diffusion import checkpoints

    names = [name for name in (clip_name, clip_name2, clip_name3) if name is not None]
    return checkpoints.load_clip(
        *names, kind=type, precision=_wanted(ctx, precision), device=ctx.device, share=ctx.shared
    )


@node(
    "LoadVAE",
    category="loaders",
    device="gpu",
    refine=lambda literals, _facts: vae_facts(literals["vae_name"], literals.get("latents", "auto")),
)
def load_vae(
    ctx: Context,
    vae_name: Annotated[Path, FilesIn("vae")],
    latents: LatentKind = "auto",
    precision: ChosenPrecision = "auto",
) -> Vae:
    """Open an autoencoder, to use instead of a checkpoint's own; also the tiny ones, which are fast and rough.

    Args:
        vae_name: A safetensors file, in original or diffusers' names, or a diffusers folder, in models/vae;
            or a checkpoint, of which only this part is read.
        latents: Whose latents it is for, which no file of Stable Diffusion 1, 2 and XL tells by itself. "auto" goes by
            the number of channels, what the file says of itself, and "xl" in its name.
        precision: Number format of the weights. "auto" suits the device, "file" keeps what the file has.
    """
    from graphengine.diffusion import checkpoints

    return checkpoints.load_vae(
        vae_name, latents=latents, precision=_wanted(ctx, precision), device=ctx.device, share=ctx.shared
    )


@node("LoadImage", category="image")
def load_image(image: Annotated[Path, FilesIn("input"), Widget("image")]) -> Picture:
    """Open a picture from the input folder.

    Photos are turned the right way up. PNG, JPEG, WebP, TIFF, GIF and more, grey, 16-bit and CMYK too.

    Args:
        image: The picture file.
    """
    from graphengine.diffusion import images

    return Picture(*images.load(image))


def _wanted(ctx: Context, precision: Precision) -> Precision:
    return ctx.settings.precision if precision == "auto" else precision


def _given(literals: Mapping[str, Any], *names: str) -> list[Path]:  # Any: of each input's own type
    return [literals[name] for name in names if literals.get(name)]
