"""Prompt with pictures: image encoders and IP-Adapters."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from graphengine import Context, FilesIn, InputError, Widget, node
from graphengine.diffusion.facts import clip_vision_facts, ip_adapter_facts
from graphengine.diffusion.lora_names import family_of
from graphengine.diffusion.options import Crop, PictureAspect, PictureCombination
from graphengine.types import ClipVision, ClipVisionOutput, Image, IPAdapter, Mask, Model
from graphengine_nodes.inputs import Share
from graphengine_nodes.loaders import ChosenPrecision

Facts = Mapping[str, Mapping[str, object]]


@node(
    "LoadIPAdapter",
    category="loaders",
    device="gpu",
    outputs="ip_adapter",
    refine=lambda literals, _facts: ip_adapter_facts(literals["ipadapter_name"]),
)
def load_ip_adapter(
    ctx: Context, ipadapter_name: Annotated[Path, FilesIn("ipadapter")], precision: ChosenPrecision = "auto"
) -> IPAdapter:
    """Open an IP-Adapter, which lets a model attend to pictures as to a prompt.

    Args:
        ipadapter_name: A safetensors file in models/ipadapter, made for the model's family: plain, "plus" or "full
            face". FaceID adapters read faces instead of pictures and can't be used.
        precision: Number format of the weights. "auto" suits the device, "file" keeps what the file has.
    """
    from graphengine.diffusion import ip_adapter_files

    wanted = ctx.settings.precision if precision == "auto" else precision
    return ip_adapter_files.read(ipadapter_name, precision=wanted, device=ctx.device, share=ctx.shared)


@node(
    "LoadCLIPVision",
    category="loaders",
    device="gpu",
    outputs="clip_vision",
    refine=lambda literals, _facts: clip_vision_facts(literals["clip_name"]),
)
def load_clip_vision(
    ctx: Context, clip_name: Annotated[Path, FilesIn("clip_vision")], precision: ChosenPrecision = "auto"
) -> ClipVision:
    """Open an image encoder, which says in numbers what a picture shows.

    Args:
        clip_name: A safetensors file or transformers folder in models/clip_vision. Most IP-Adapters were trained with
            ViT-H, the plain one of XL with ViT-bigG.
        precision: Number format of the weights. "auto" suits the device, "file" keeps what the file has.
    """
    from graphengine.diffusion import clip_vision

    wanted = ctx.settings.precision if precision == "auto" else precision
    return clip_vision.read(clip_name, precision=wanted, device=ctx.device, share=ctx.shared)


@node(
    "CLIPVisionEncode",
    category="conditioning",
    device="gpu",
    outputs="pictures",
    refine=lambda _literals, facts: {"pictures": dict(facts.get("clip_vision", {}))},
)
def clip_vision_encode(ctx: Context, clip_vision: ClipVision, image: Image, crop: Crop = "center") -> ClipVisionOutput:
    """Say in numbers what pictures show.

    Args:
        clip_vision: From LoadCLIPVision.
        image: One picture or a batch.
        crop: The network sees a square: center cuts the middle out, as in its training; disabled squeezes the whole.
    """
    from graphengine.diffusion import clip_vision as encoders

    with ctx.loaded(clip_vision) as device:
        return encoders.encode(clip_vision, image, crop=crop, device=device)


def _checked(_literals: Mapping[str, Any], facts: Facts) -> dict[str, Any]:  # Any: values
    """Refuse an adapter for another family or image encoder; all facts of the model are those of the output."""
    adapter, pictures = facts.get("ip_adapter", {}), facts.get("pictures", {})
    wanted, width = adapter.get("context_width"), facts.get("model", {}).get("context_width")
    if isinstance(wanted, int) and isinstance(width, int) and wanted != width:
        raise InputError(
            "ip_adapter",
            f"it is made for {family_of(wanted)}, this model is of {family_of(width)}.",
            "Choose an IP-Adapter for this model's family.",
        )
    for name in ("image_width", "image_state_width"):
        if {name} <= adapter.keys() & pictures.keys() and adapter[name] != pictures[name]:
            raise InputError(
                "pictures",
                f"the image encoder says {pictures[name]} numbers of a picture, the IP-Adapter reads {adapter[name]}.",
                "Choose the image encoder that the IP-Adapter was trained with, in LoadCLIPVision.",
            )
    return {}


@node("ApplyIPAdapter", category="conditioning", refine=_checked)
def apply_ip_adapter(
    model: Model,
    ip_adapter: IPAdapter,
    pictures: ClipVisionOutput,
    weight: Annotated[float, Field(ge=-1, le=5), Widget("number", step=0.05)] = 1.0,
    combine: PictureCombination = "concat",
    aspect: PictureAspect = "all",
    start_percent: Share = 0.0,
    end_percent: Share = 1.0,
    attention_mask: Mask | None = None,
) -> Model:
    """Let a model attend to pictures beside the prompt; several in a row add up.

    The model itself stays as it is, and saving it saves nothing of this.

    Args:
        model: From LoadCheckpoint, a LoRA or another ApplyIPAdapter.
        ip_adapter: From LoadIPAdapter.
        pictures: From CLIPVisionEncode.
        weight: How much the pictures count beside the prompt; 0 switches them off.
        combine: What is done with several pictures: "concat" attends to all of them, "average" to their mean.
        aspect: What is taken from the pictures; of Stable Diffusion XL alone it is known which layers decide about
            style and composition.
        start_percent: When they begin to count, from 0 (pure noise) to 1 (the picture).
        end_percent: When they cease to; 0.5 leaves the details to the prompt.
        attention_mask: Where they count; everywhere if left open. It is stretched to the picture.
    """
    from graphengine.diffusion import ip_adapters

    return ip_adapters.with_pictures(
        model,
        ip_adapter,
        pictures,
        weight=weight,
        combine=combine,
        aspect=aspect,
        timesteps=(start_percent, end_percent),
        mask=attention_mask,
    )


@apply_ip_adapter.check
def _(start_percent: float, end_percent: float) -> None:
    if start_percent >= end_percent:
        raise InputError(
            "end_percent", f"{end_percent} isn't after {start_percent}.", "Choose more than start_percent."
        )
