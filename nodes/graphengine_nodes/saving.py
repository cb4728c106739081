"""Write models to disk."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from graphengine import Context, InputError, Widget, node
from graphengine.training_types import Lora
from graphengine.types import Clip, Model, Vae

Name = Annotated[str, Field(min_length=1, max_length=200)]
Precision = Literal["float32", "float16", "bfloat16"]


@node("SaveCheckpoint", category="model/saving", output_node=True)
def save_checkpoint(
    ctx: Context,
    model: Model | None = None,
    clip: Clip | None = None,
    vae: Vae | None = None,
    name: Name = "checkpoint",
    precision: Precision = "float32",
    layout: Annotated[Literal["diffusers folder", "single file"], Widget("select")] = "diffusers folder",
) -> None:
    """Write a checkpoint below the output folder, with its workflow.

    It appears there complete or not at all. What LoRAs and merges changed is in its weights.

    Args:
        model: The denoiser, as it is with all LoRAs that it went through.
        clip: The text encoder with its tokenizer.
        vae: The autoencoder that goes with it.
        name: Of the folder, or of the file, which ends in .safetensors. A checkpoint of that name is replaced.
        precision: Of the weights in the files; float16 halves their size.
        layout: A diffusers folder may hold any parts, and has the workflow as workflow.json. A single file needs all
            three to be opened as a checkpoint, and has the workflow in its metadata. A vae alone, or a clip alone, goes
            into a file for LoadVAE or LoadCLIP; of a clip with several text encoders each into one: name_1, name_2 ….
    """
    import torch

    from graphengine.diffusion import checkpoints

    dtype = getattr(torch, precision)
    workflow = "" if ctx.workflow is None else ctx.workflow.dump()
    if layout == "diffusers folder":
        folder = ctx.outputs.folder(name)
        checkpoints.save(folder, model=model, clip=clip, vae=vae, dtype=dtype, workflow=workflow)
        return
    if model is None and (clip is None) == (vae is None):
        raise InputError(
            "model", "nothing is linked.", "Link one, or a clip or vae alone, or choose the diffusers folder."
        )
    stem = name.removesuffix(".safetensors")
    if model is None and clip is not None:
        count = len(clip.encoders)
        stems = [f"{stem}_{number + 1}" for number in range(count)] if count > 1 else [stem]
        paths = [ctx.outputs.folder(f"{each}.safetensors") for each in stems]
        checkpoints.save_clip_files(paths, clip, dtype=dtype, workflow=workflow)
        return
    path = ctx.outputs.folder(f"{stem}.safetensors")
    if model is None and vae is not None:
        checkpoints.save_vae_file(path, vae, dtype=dtype, workflow=workflow)
        return
    assert model is not None, "one of the three is given"
    checkpoints.save_single_file(path, model=model, clip=clip, vae=vae, dtype=dtype, workflow=workflow)


@node("SaveLora", category="model/saving", output_node=True)
def save_lora(
    ctx: Context,
    lora: Lora | None,
    name: Name = "lora",
    layout: Annotated[Literal["kohya", "diffusers"], Widget("select")] = "kohya",
    precision: Precision = "float16",
) -> None:
    """Write a trained LoRA below the output folder, with its workflow, so that running the file trains it again.

    Put the file into models/loras to choose it in LoadLora.

    Args:
        lora: From TrainLoop.
        name: Of the file, which ends in .safetensors. A file of that name is replaced.
        layout: How its layers are named. ComfyUI, A1111 and kohya's scripts read kohya, diffusers reads both,
            though dora under its own names only; LoadLora too. There are no diffusers names for loha and lokr.
        precision: Of the numbers in it; float16 halves its size.
    """
    import torch

    from graphengine.diffusion.lora_writing import write_lora

    if lora is None:
        raise InputError("lora", "no LoRA was trained.", "Link LoraRecipe to the TrainRecipe of its TrainLoop.")
    path = ctx.outputs.folder(f"{name.removesuffix('.safetensors')}.safetensors")
    workflow = "" if ctx.workflow is None else ctx.workflow.dump()
    write_lora(path, lora, layout=layout, dtype=getattr(torch, precision), workflow=workflow)
