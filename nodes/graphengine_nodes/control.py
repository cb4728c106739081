"""Steer a picture by another: ControlNets and T2I-Adapters."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, NamedTuple

from pydantic import Field

from graphengine import Context, FilesIn, InputError, Widget, node
from graphengine.diffusion.facts import control_net_facts
from graphengine.types import Conditioning, Control, ControlNet, Image
from graphengine_nodes.inputs import Share
from graphengine_nodes.loaders import ChosenPrecision

UnionKind = Literal[
    "openpose",
    "depth",
    "hed/pidi/scribble/ted",
    "canny/lineart/anime_lineart/mlsd",
    "normal",
    "segment",
    "tile",
    "repaint",
]
_KINDS: tuple[UnionKind, ...] = UnionKind.__args__  # type: ignore[attr-defined]  # a Literal's own, in the order of files


class Steered(NamedTuple):
    """Both prompts, steered.

    Attributes:
        positive: The positive prompt, for a sampler.
        negative: The negative prompt, for a sampler.
    """

    positive: Conditioning
    negative: Conditioning


@node(
    "LoadControlNet",
    category="loaders",
    device="gpu",
    outputs="control_net",
    refine=lambda literals, _facts: control_net_facts(literals["control_net_name"]),
)
def load_control_net(
    ctx: Context,
    control_net_name: Annotated[Path, FilesIn("controlnet")],
    precision: ChosenPrecision = "auto",
) -> ControlNet:
    """Open a ControlNet or T2I-Adapter, which steers pictures by another one.

    Args:
        control_net_name: A safetensors file or diffusers folder in models/controlnet, made for the model's family.
        precision: Number format of the weights. "auto" suits the device, "file" keeps what the file has.
    """
    from graphengine.diffusion import control_files

    wanted = ctx.settings.precision if precision == "auto" else precision
    return control_files.read(control_net_name, precision=wanted, device=ctx.device, share=ctx.shared)


@node("SetUnionControlNetType", category="conditioning", outputs="control_net")
def set_union_control_net_type(
    control_net: ControlNet, type: UnionKind = "canny/lineart/anime_lineart/mlsd"
) -> ControlNet:
    """Say which kind of picture a ControlNet for several kinds is given.

    Args:
        control_net: From LoadControlNet, a "union" one.
        type: What the picture shows: a body's pose, depth, soft or hard edges, normals, segments, the picture itself in
            a lower resolution, or what is repainted.
    """
    from graphengine.diffusion import controls

    return controls.of_kind(control_net, _KINDS.index(type), type)


@node("ControlNetApplyAdvanced", category="conditioning")
def control_net_apply_advanced(
    positive: Conditioning,
    negative: Conditioning,
    control_net: ControlNet,
    image: Image,
    strength: Annotated[float, Field(ge=0, le=10), Widget("number", step=0.05)] = 1.0,
    start_percent: Share = 0.0,
    end_percent: Share = 1.0,
) -> Steered:
    """Let a picture, such as edges or depth, steer what is drawn; several in a row add up.

    Pictures of several kinds for one "union" ControlNet are read together.

    Args:
        positive: What you want to see, from CLIPEncode.
        negative: What you don't want to see, from CLIPEncode.
        control_net: From LoadControlNet.
        image: What steers, as the ControlNet was trained: edges from Canny, say. It is resized and cut to the result.
        strength: How much it counts; 0 switches it off.
        start_percent: When it begins to count, from 0 (pure noise) to 1 (the picture).
        end_percent: When it ceases to; 0.5 leaves the details to the prompt.
    """
    from graphengine.diffusion import controls

    if strength == 0:
        return Steered(positive, negative)
    control = Control(control_net, image, strength, (start_percent, end_percent))
    return Steered(controls.steered(positive, control), controls.steered(negative, control))


@control_net_apply_advanced.check
def _(start_percent: float, end_percent: float) -> None:
    if start_percent >= end_percent:
        raise InputError(
            "end_percent", f"{end_percent} isn't after {start_percent}.", "Choose more than start_percent."
        )
