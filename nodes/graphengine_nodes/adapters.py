"""Change a model with small files: LoRA and its kin."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import Field

from graphengine import Context, FilesIn, Widget, node
from graphengine.diffusion.lora_names import check_family
from graphengine.types import Clip, Model

Strength = Annotated[float, Field(ge=-20, le=20), Widget("number", step=0.05)]
LoraPath = Annotated[Path, FilesIn("loras")]


class Adapted(NamedTuple):
    """A model and its text encoder, changed.

    Attributes:
        model: The model with the LoRA in it.
        clip: The text encoder with the LoRA in it.
    """

    model: Model
    clip: Clip


def _checked(literals: Mapping[str, Any], facts: Mapping[str, Mapping[str, object]]) -> dict[str, Any]:  # Any: values
    """Refuse a LoRA for another family than the model's; all facts of the inputs are those of the outputs."""
    if "lora_name" in literals:  # it may be linked
        check_family(literals["lora_name"], facts.get("model", {}).get("context_width"))
    return {}


@node("LoadLora", category="loaders", refine=_checked)
def load_lora(
    ctx: Context,
    model: Model,
    clip: Clip,
    lora_name: LoraPath,
    strength_model: Strength = 1.0,
    strength_clip: Strength = 1.0,
) -> Adapted:
    """Change a model and its text encoder by a LoRA, LoHa, LoKr, DoRA or OFT.

    Put several in a row to combine them. The model itself isn't loaded again when the LoRA or its strength changes.

    Args:
        model: From LoadCheckpoint, or another LoadLora.
        clip: From the same node.
        lora_name: A file of kohya's scripts, LyCORIS, diffusers or PEFT in models/loras, made for this kind of model.
        strength_model: How much of it in the model; 0 leaves the model as it is, negative values turn it around.
        strength_clip: How much of it in the text encoder, if the file has something for that.
    """
    from graphengine.diffusion import adapters, lora_files

    changed, changed_clip, notices = adapters.with_lora(
        model,
        clip,
        lora_files.read(lora_name),
        strength_model=strength_model,
        strength_clip=strength_clip,
        source=lora_name.name,
    )
    for notice in notices:
        ctx.warn(notice)
    return Adapted(changed, changed_clip)


@node("LoadLoraModelOnly", category="loaders", refine=_checked)
def load_lora_model_only(ctx: Context, model: Model, lora_name: LoraPath, strength_model: Strength = 1.0) -> Model:
    """Change a model by a LoRA, LoHa, LoKr, DoRA or OFT, without its text encoder.

    Args:
        model: From LoadCheckpoint, or another LoadLora.
        lora_name: A file of kohya's scripts, LyCORIS, diffusers or PEFT in models/loras, made for this kind of model.
        strength_model: How much of it; 0 leaves the model as it is, negative values turn it around.
    """
    from graphengine.diffusion import adapters, lora_files

    changed, notices = adapters.with_model_lora(
        model, lora_files.read(lora_name), strength=strength_model, source=lora_name.name
    )
    for notice in notices:
        ctx.warn(notice)
    return changed
