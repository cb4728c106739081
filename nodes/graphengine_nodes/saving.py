"""Write models to disk."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from graphengine import Context, InputError, Widget, node
from graphengine.training_types import Lora, ModelCard
from graphengine.types import Clip, ControlNet, LearnedVectors, Model, Vae

if TYPE_CHECKING:
    from graphengine.diffusion.model_cards import CardKind

Name = Annotated[str, Field(min_length=1, max_length=200)]
Precision = Literal["float32", "float16", "bfloat16"]


def workflow_text(ctx: Context) -> str:
    """Give the workflow that runs, to be kept in what it saves; an empty text if none does."""
    return "" if ctx.workflow is None else ctx.workflow.dump()


@node("SaveCheckpoint", category="model/saving", output_node=True, outputs="path")
def save_checkpoint(
    ctx: Context,
    model: Model | None = None,
    clip: Clip | None = None,
    vae: Vae | None = None,
    name: Name = "checkpoint",
    precision: Precision = "float32",
    layout: Annotated[Literal["diffusers folder", "single file"], Widget("select")] = "diffusers folder",
    card: ModelCard | None = None,
) -> str:
    """Write a checkpoint below the output folder, with its workflow.

    It appears there complete or not at all. What LoRAs and merges changed is in its weights. The path is that of the
    folder, or of a single file that has no card; of several files it is the first one's.

    Args:
        model: The denoiser, as it is with all LoRAs that it went through.
        clip: The text encoder with its tokenizer.
        vae: The autoencoder that goes with it.
        name: Of the folder, or of the file, which ends in .safetensors. A checkpoint of that name is replaced.
        precision: Of the weights in the files; float16 halves their size.
        layout: A diffusers folder may hold any parts, and has the workflow as workflow.json. A single file needs all
            three to be opened as a checkpoint, and has the workflow in its metadata. A vae alone, or a clip alone, goes
            into a file for LoadVAE or LoadCLIP; of a clip with several text encoders each into one: name_1, name_2 ….
        card: What to tell of it in a README.md in the folder, from ModelCard; a single file then goes into a folder
            of its name.
    """
    import torch

    from graphengine.diffusion import checkpoints
    from graphengine.diffusion.checkpoint_writing import pipeline_of
    from graphengine.diffusion.model_cards import write_card

    if clip is not None and clip.words:
        words = ", ".join(word.placeholder for word in clip.words)
        ctx.warn(f"The clip was taught {words}, which a checkpoint has no room for: save each by SaveEmbedding.")
    workflow = workflow_text(ctx)
    write: dict[str, Any] = {"dtype": getattr(torch, precision), "workflow": workflow}  # Any: keyword arguments
    if layout == "diffusers folder":
        folder = ctx.outputs.folder(name)
        opens = pipeline_of(model, clip, vae)
        card_of = partial(write_card, kind="folder", name=folder.name, pipeline=opens, workflow=workflow)
        describe = partial(card_of, card=card) if card else None
        checkpoints.save(folder, model=model, clip=clip, vae=vae, **write, beside=describe)
        return str(folder)
    stem = name.removesuffix(".safetensors")
    if model is not None:
        path = _place(ctx, stem, card)
        checkpoints.save_single_file(path, model=model, clip=clip, vae=vae, **write)
        pipeline = pipeline_of(model, clip, vae) if model.family and clip and vae else ""
        return _described(ctx, path, card, kind="checkpoint", pipeline=pipeline, for_comfyui=bool(model.family))
    if (clip is None) == (vae is None):
        raise InputError(
            "model", "nothing is linked.", "Link one, or a clip or vae alone, or choose the diffusers folder."
        )
    if clip is not None:
        count = len(clip.encoders)
        numbers = [f"_{number + 1}" for number in range(count)] if count > 1 else [""]
        paths = [_place(ctx, stem, card, number) for number in numbers]
        checkpoints.save_clip_files(paths, clip, **write)
        return _described(ctx, paths[0], card, kind="text encoder", for_comfyui=bool(clip.family))
    assert vae is not None, "one of the three is given"
    path = _place(ctx, stem, card)
    checkpoints.save_vae_file(path, vae, **write)
    return _described(ctx, path, card, kind="autoencoder")


def _place(ctx: Context, stem: str, card: ModelCard | None, number: str = "") -> Path:
    """Give the path of a safetensors file: in a folder of its own, if there is a card to go with it."""
    return ctx.outputs.folder(
        f"{stem}/{Path(stem).name}{number}.safetensors" if card else f"{stem}{number}.safetensors"
    )


def _described(
    ctx: Context,
    path: Path,
    card: ModelCard | None,
    *,
    kind: CardKind,
    pipeline: str = "",
    for_comfyui: bool = False,
) -> str:
    """Write the card that goes with a file, if there is one; give the path of what was saved."""
    from graphengine.diffusion.model_cards import write_card

    if card is None:
        return str(path)
    ctx.outputs.folder(path.with_name("README.md").relative_to(ctx.settings.output.resolve()).as_posix())
    write_card(
        path.parent,
        card,
        kind=kind,
        name=path.name,
        pipeline=pipeline,
        for_comfyui=for_comfyui,
        workflow=workflow_text(ctx),
    )
    return str(path.parent)


@node("SaveLora", category="model/saving", output_node=True, outputs="path")
def save_lora(
    ctx: Context,
    lora: Lora | None,
    name: Name = "lora",
    layout: Annotated[Literal["kohya", "diffusers"], Widget("select")] = "kohya",
    precision: Precision = "float16",
    card: ModelCard | None = None,
) -> str:
    """Write a trained LoRA below the output folder, with its workflow, so that running the file trains it again.

    Put the file into models/loras to choose it in LoadLora. The path is the file's, or its folder's if it has a card.

    Args:
        lora: From TrainLoop.
        name: Of the file, which ends in .safetensors. A file of that name is replaced.
        layout: How its layers are named. ComfyUI, A1111 and kohya's scripts read kohya, diffusers reads both,
            though dora under its own names only; LoadLora too. There are no diffusers names for loha and lokr.
        precision: Of the numbers in it; float16 halves its size.
        card: What to tell of it in a README.md, from ModelCard; both then go into a folder of this name.
    """
    import torch

    from graphengine.diffusion.lora_writing import write_lora

    if lora is None:
        raise InputError("lora", "no LoRA was trained.", "Link LoraRecipe to the TrainRecipe of its TrainLoop.")
    path = _place(ctx, name.removesuffix(".safetensors"), card)
    write_lora(path, lora, layout=layout, dtype=getattr(torch, precision), workflow=workflow_text(ctx))
    is_known = "base version" in lora.training
    pipeline = "DiffusionPipeline" if is_known and lora.recipe.method in ("lora", "dora") else ""
    return _described(ctx, path, card, kind="lora", pipeline=pipeline, for_comfyui=is_known)


@node("SaveEmbedding", category="model/saving", output_node=True, outputs="path")
def save_embedding(
    ctx: Context,
    word: LearnedVectors | None,
    name: Annotated[str, Field(max_length=200)] = "",
    layout: Annotated[Literal["web interfaces", "diffusers"], Widget("select")] = "web interfaces",
    card: ModelCard | None = None,
) -> str:
    """Write a learned word below the output folder, with its workflow, so that running the file trains it again.

    Put the file into models/embeddings to write embedding:NAME in prompts. The path is the file's, or its folder's
    if it has a card.

    Args:
        word: From TrainLoop.
        name: Of the file, which ends in .safetensors; empty for the word itself. A file of that name is replaced.
        layout: What its vectors are called: emb_params, as A1111 and ComfyUI save them, or by the word, as diffusers
            does. Those of several text encoders are clip_l and clip_g in both; CLIPEncode reads all of them.
        card: What to tell of it in a README.md, from ModelCard; both then go into a folder of this name.
    """
    from graphengine.diffusion.embedding_writing import write_embedding

    if word is None:
        raise InputError("word", "no word was trained.", "Link WordRecipe to the TrainRecipe of its TrainLoop.")
    path = _place(ctx, (name or word.name).removesuffix(".safetensors"), card)
    write_embedding(path, word, layout=layout, workflow=workflow_text(ctx))
    is_known = "base version" in word.training
    pipeline = "DiffusionPipeline" if is_known and len(word.vectors) == 1 else ""
    return _described(ctx, path, card, kind="embedding", pipeline=pipeline, for_comfyui=is_known)


@node("SaveControlNet", category="model/saving", output_node=True, outputs="path")
def save_control_net(
    ctx: Context,
    control_net: ControlNet,
    name: Name = "controlnet",
    layout: Annotated[Literal["diffusers folder", "single file"], Widget("select")] = "single file",
    precision: Precision = "float16",
    card: ModelCard | None = None,
) -> str:
    """Write a ControlNet below the output folder, with its workflow, so that running it trains it again.

    Put it into models/controlnet to choose it in LoadControlNet. The path is that of the folder, or of a single file
    that has no card.

    Args:
        control_net: From TrainLoop.
        name: Of the folder, or of the file, which ends in .safetensors. A ControlNet of that name is replaced.
        layout: ComfyUI and diffusers read both; a folder has the workflow as workflow.json, a file in its header.
        precision: Of the weights in it; float16 halves its size.
        card: What to tell of it in a README.md in the folder, from ModelCard; a single file then goes into a folder
            of its name.
    """
    import torch

    from graphengine.diffusion.control_writing import write_control_net
    from graphengine.diffusion.model_cards import write_card

    stem = name.removesuffix(".safetensors")
    path = ctx.outputs.folder(stem) if layout == "diffusers folder" else _place(ctx, stem, card)
    workflow = workflow_text(ctx)
    write_control_net(path, control_net, layout=layout, dtype=getattr(torch, precision), workflow=workflow)
    is_known = "base version" in control_net.training
    if layout == "single file":
        opens = "ControlNetModel" if is_known else ""
        return _described(ctx, path, card, kind="controlnet", pipeline=opens, for_comfyui=is_known)
    if card is not None:
        write_card(path, card, kind="controlnet", name=path.name, for_comfyui=is_known, workflow=workflow)
    return str(path)
