"""Merge models: a new one, made of the weights of others. Those stay as they are."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from graphengine import Widget, node
from graphengine.types import Clip, Model, Vae
from graphengine_nodes.inputs import Share

Multiplier = Annotated[float, Field(ge=-10, le=10), Widget("slider", step=0.01, to=2)]


@node("ModelMergeSimple", category="model/merging")
def model_merge_simple(model1: Model, model2: Model, ratio: Share = 1.0) -> Model:
    """Mix two models of one family.

    Args:
        model1: The first; the result predicts and is scheduled as it is.
        model2: The second, of the same family.
        ratio: Share of the first; 0.5 mixes them evenly.
    """
    from graphengine.diffusion import merging

    return merging.blend_models(model1, model2, ratio)


@node("ModelMergeBlocks", category="model/merging")
def model_merge_blocks(
    model1: Model, model2: Model, input: Share = 1.0, middle: Share = 1.0, out: Share = 1.0
) -> Model:
    """Mix two models of one family, with a share for each part of the network.

    Args:
        model1: The first; the result predicts and is scheduled as it is.
        model2: The second, of the same family.
        input: Share of the first in the blocks that lead down; they decide what is where.
        middle: Share of the first in the middle.
        out: Share of the first in the blocks that lead up again; they decide much of the style.
    """
    from graphengine.diffusion import merging

    return merging.blend_blocks(model1, model2, input=input, middle=middle, out=out)


@node("ModelMergeAddDifference", category="model/merging")
def model_merge_add_difference(model1: Model, model2: Model, model3: Model, multiplier: Multiplier = 1.0) -> Model:
    """Give a model what another learned: model1 + (model2 - model3) × multiplier.

    Args:
        model1: The model that gains something; an inpainting model may gain what a plain one learned.
        model2: The fine-tuned model.
        model3: The model that it was tuned from.
        multiplier: How much of it; below 0 takes it away.
    """
    from graphengine.diffusion import merging

    return merging.add_model_difference(model1, model2, model3, multiplier)


@node("ModelMergeSubtract", category="model/merging")
def model_merge_subtract(model1: Model, model2: Model, multiplier: Multiplier = 1.0) -> Model:
    """Give what sets one model apart from another, for ModelMergeAdd: (model1 - model2) × multiplier.

    Args:
        model1: The model that has something.
        model2: The model that lacks it.
        multiplier: How much of it.
    """
    from graphengine.diffusion import merging

    return merging.subtract_models(model1, model2, multiplier)


@node("ModelMergeAdd", category="model/merging")
def model_merge_add(model1: Model, model2: Model) -> Model:
    """Add the weights of two models, one of which is a difference from ModelMergeSubtract.

    Args:
        model1: The model that gains something.
        model2: What is added.
    """
    from graphengine.diffusion import merging

    return merging.add_models(model1, model2)


@node("CLIPMergeSimple", category="model/merging")
def clip_merge_simple(clip1: Clip, clip2: Clip, ratio: Share = 1.0) -> Clip:
    """Mix the text encoders of two models of one family.

    Args:
        clip1: The first; its words are used.
        clip2: The second, of the same family.
        ratio: Share of the first; 0.5 mixes them evenly.
    """
    from graphengine.diffusion import merging

    return merging.blend_clips(clip1, clip2, ratio)


@node("CLIPMergeAddDifference", category="model/merging")
def clip_merge_add_difference(clip1: Clip, clip2: Clip, clip3: Clip, multiplier: Multiplier = 1.0) -> Clip:
    """Give text encoders what others learned: clip1 + (clip2 - clip3) × multiplier.

    Args:
        clip1: The text encoders that gain something.
        clip2: The fine-tuned ones.
        clip3: Those that they were tuned from.
        multiplier: How much of it; below 0 takes it away.
    """
    from graphengine.diffusion import merging

    return merging.add_clip_difference(clip1, clip2, clip3, multiplier)


@node("VAEMergeSimple", category="model/merging")
def vae_merge_simple(vae1: Vae, vae2: Vae, ratio: Share = 1.0) -> Vae:
    """Mix two autoencoders of one kind.

    Args:
        vae1: The first; the result scales latents as it does.
        vae2: The second, built like the first.
        ratio: Share of the first; 0.5 mixes them evenly.
    """
    from graphengine.diffusion import merging

    return merging.blend_vaes(vae1, vae2, ratio)
