"""Write models to disk."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from graphengine import Context, InputError, Widget, node
from graphengine.types import Clip, Model, Vae


@node("SaveCheckpoint", category="model/saving", output_node=True)
def save_checkpoint(
    ctx: Context,
    model: Model | None = None,
    clip: Clip | None = None,
    vae: Vae | None = None,
    name: Annotated[str, Field(min_length=1, max_length=200)] = "checkpoint",
    precision: Literal["float32", "float16", "bfloat16"] = "float32",
    layout: Annotated[Literal["diffusers folder", "single file"], Widget("select")] = "diffusers folder",
) -> None:
    """Write a checkpoint below the output folder, with its workflow.

    It appears there complete or not at all. What LoRAs and merges changed is in its weights.

    Args:
        model: The denoiser.
        clip: The text encoder with its tokenizer.
        vae: The autoencoder.
        name: Of the folder, or of the file, which ends in .safetensors. A checkpoint of that name is replaced.
        precision: Of the weights in the files; float16 halves their size.
        layout: A diffusers folder may hold any parts, and has the workflow as workflow.json. A single file needs the
            model, and all three to be opened as a checkpoint; it has the workflow in its metadata.
    """
    import torch

    from graphengine.diffusion import checkpoints

    dtype = getattr(torch, precision)
    workflow = "" if ctx.workflow is None else ctx.workflow.dump()
    if layout == "diffusers folder":
        folder = ctx.outputs.folder(name)
        checkpoints.save(folder, model=model, clip=clip, vae=vae, dtype=dtype, workflow=workflow)
        return
    if model is None:
        raise InputError("model", "nothing is linked.", "Link one, or choose the diffusers folder for other parts.")
    path = ctx.outputs.folder(f"{name.removesuffix('.safetensors')}.safetensors")
    checkpoints.save_single_file(path, model=model, clip=clip, vae=vae, dtype=dtype, workflow=workflow)
