"""New, untrained networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field

from graphengine import Context, InputError, node
from graphengine.diffusion.facts import factor_of_levels
from graphengine.training_types import Dataset, Tokenizer
from graphengine.types import Clip, ControlNet, Image, Model, Vae
from graphengine_nodes.inputs import Seed

Betas = Literal["scaled_linear", "linear", "squaredcos_cap_v2"]
Layers = Annotated[int, Field(ge=1, le=48)]
Heads = Annotated[int, Field(ge=1, le=128)]
Groups = Annotated[int, Field(ge=1, le=256)]
Numbers = Annotated[str, Field(pattern=r"^\s*\d+(\s*,\s*\d+)*\s*$")]
Sizes = Annotated[int, Field(ge=4, le=8192)]

Literals = Mapping[str, Any]  # Any: of each input's own type
Facts = Mapping[str, Any]  # Any: a fact is a number or a text


@node("TrainTokenizer", category="training/networks", outputs="tokenizer")
def train_tokenizer(
    dataset: Dataset,
    vocab_size: Annotated[int, Field(ge=514, le=65_536)] = 1024,
    max_length: Annotated[int, Field(ge=3, le=1024)] = 32,
    min_frequency: Annotated[int, Field(ge=1)] = 2,
) -> Tokenizer:
    """Learn a tokenizer from a dataset's captions, in CLIP's layout.

    Args:
        dataset: Gives captions; of an endless one the first 20,000 are read.
        vocab_size: At most so many tokens; fewer if no more parts of words occur often enough.
        max_length: Tokens of a prompt, with one for its start and one for its end.
        min_frequency: Parts of words seen less often stay apart.
    """
    from graphengine.diffusion import tokenizer_training

    return tokenizer_training.train_tokenizer(
        dataset, vocab_size=vocab_size, max_length=max_length, min_frequency=min_frequency
    )


@node(
    "NewClip",
    category="training/networks",
    refine=lambda literals, _facts: {"clip": {"context_width": literals.get("width")}},
)
def new_clip(
    tokenizer: Tokenizer,
    seed: Seed = 0,
    width: Annotated[int, Field(ge=8, le=4096)] = 128,
    layers: Layers = 2,
    heads: Heads = 4,
) -> Clip:
    """Make an untrained CLIP text encoder.

    Args:
        tokenizer: From TrainTokenizer.
        seed: Decides the weights.
        width: Numbers in the state of a token; a multiple of heads.
        layers: How many transformer blocks lie one after the other.
        heads: Attention heads of each layer.
    """
    from graphengine.diffusion import networks

    return networks.new_clip(tokenizer, seed=seed, width=width, layers=layers, heads=heads)


def _autoencoder_facts(literals: Literals, _facts: Mapping[str, Facts]) -> Mapping[str, Facts]:
    levels = literals.get("block_channels")
    factor = factor_of_levels(_numbers(levels)) if levels else None
    return {"vae": {"latent_channels": literals.get("latent_channels"), "latent_factor": factor}}


@node("NewAutoencoder", category="training/networks", refine=_autoencoder_facts)
def new_autoencoder(
    seed: Seed = 0,
    block_channels: Numbers = "16, 32, 64, 64",
    layers_per_block: Layers = 1,
    latent_channels: Annotated[int, Field(ge=1, le=64)] = 4,
    mid_attention: bool = False,
    norm_groups: Groups = 2,
    scaling_factor: Annotated[float, Field(gt=0)] = 1.0,
    size: Sizes = 128,
) -> Vae:
    """Make an untrained autoencoder between pictures and latents.

    Args:
        seed: Decides the weights.
        block_channels: Channels of each level, fine to coarse; each level but the last halves the picture's sides.
        layers_per_block: Depth of each level.
        latent_channels: Numbers in each cell of the latents; 4 in Stable Diffusion.
        mid_attention: Attention at the coarsest level.
        norm_groups: Groups of each normalisation; must divide all channels.
        scaling_factor: What latents are multiplied by to reach unit variance.
        size: Side of the pictures it is made for; others work too.
    """
    from graphengine.diffusion import networks

    return networks.new_autoencoder(
        seed=seed,
        block_channels=_numbers(block_channels),
        layers_per_block=layers_per_block,
        latent_channels=latent_channels,
        mid_attention=mid_attention,
        norm_groups=norm_groups,
        scaling_factor=scaling_factor,
        size=size,
    )


def _unet_facts(literals: Literals, facts: Mapping[str, Facts]) -> Mapping[str, Facts]:
    return {
        "model": {
            "context_width": facts["clip"].get("context_width"),
            "latent_channels": literals.get("latent_channels"),
            "latent_factor": literals.get("latent_factor"),
        }
    }


@node("NewUNet", category="training/networks", refine=_unet_facts)
def new_unet(
    clip: Clip,
    seed: Seed = 0,
    block_channels: Numbers = "64, 96, 128",
    attention_levels: Numbers = "0, 1, 1",
    layers_per_block: Layers = 1,
    heads: Heads = 8,
    norm_groups: Groups = 16,
    pooled_text: bool = True,
    latent_channels: Annotated[int, Field(ge=1, le=64)] = 4,
    latent_factor: Annotated[int, Field(ge=1, le=64)] = 8,
    latent_size: Sizes = 16,
    prediction: Literal["epsilon", "v_prediction", "sample"] = "v_prediction",
    betas: Betas = "scaled_linear",
) -> Model:
    """Make an untrained denoiser that reads captions.

    Args:
        clip: The text encoder whose states it will read.
        seed: Decides the weights.
        block_channels: Channels of each level, fine to coarse.
        attention_levels: 1 for each level that looks at the caption, 0 for the others.
        layers_per_block: Depth of each level.
        heads: Attention heads of each layer.
        norm_groups: Groups of each normalisation; must divide all channels.
        pooled_text: Add the caption as a whole to the time embedding, too.
        latent_channels: Channels of the latents it denoises; the autoencoder's.
        latent_factor: Picture pixels for each latent cell, along a side; 1 denoises pictures themselves.
        latent_size: Side of the latents it is made for; others work too.
        prediction: What it predicts: the noise (epsilon), the velocity, or the clean sample.
        betas: How noise grows with the timesteps.
    """
    from graphengine.diffusion import networks

    return networks.new_unet(
        seed=seed,
        text_width=networks.text_width(clip),
        block_channels=_numbers(block_channels),
        attention_levels=_switches(attention_levels),
        layers_per_block=layers_per_block,
        heads=heads,
        norm_groups=norm_groups,
        pooled_text=pooled_text,
        latent_channels=latent_channels,
        latent_factor=latent_factor,
        latent_size=latent_size,
        prediction=prediction,
        betas=betas,
    )


def _control_net_facts(_literals: Literals, facts: Mapping[str, Facts]) -> Mapping[str, Facts]:
    return {"control_net": {"context_width": facts["model"].get("context_width")}}


@node("NewControlNet", category="training/networks", outputs="control_net", refine=_control_net_facts)
def new_control_net(
    model: Model,
    seed: Seed = 0,
    hint_widths: Numbers = "16, 32, 96, 256",
    hint_start: Literal["zero", "random"] = "zero",
) -> ControlNet:
    """Make a ControlNet for a model, to be trained by TrainLoop: a copy of its way down that says nothing yet.

    Args:
        model: What it will steer: a Stable Diffusion 1, 2 or XL, or one from NewUNet.
        seed: Decides the weights of the layers that read the hint.
        hint_widths: Channels of those layers, fine to coarse; each but the last halves the hint's sides, so that it
            comes to the latents' size: four numbers for Stable Diffusion.
        hint_start: What they give at first: nothing (zero) as published, or something (random), which short trainings
            learn from sooner.
    """
    from graphengine.diffusion import new_controls

    return new_controls.new_control_net(model, seed=seed, hint_widths=_numbers(hint_widths), hint_start=hint_start)


def _pixel_model_facts(literals: Literals, _facts: Mapping[str, Facts]) -> Mapping[str, Facts]:
    return {"model": {"latent_channels": literals.get("channels"), "latent_factor": 1}}


@node("NewUNet2D", category="training/networks", refine=_pixel_model_facts)
def new_unet_2d(
    seed: Seed = 0,
    size: Sizes = 28,
    channels: Annotated[int, Field(ge=1, le=64)] = 1,
    block_channels: Numbers = "32, 64, 64",
    attention_levels: Numbers = "0, 1, 1",
    layers_per_block: Layers = 2,
    norm_groups: Groups = 32,
    prediction: Literal["epsilon", "v_prediction", "sample", "mixing"] = "epsilon",
    betas: Betas = "squaredcos_cap_v2",
) -> Model:
    """Make an untrained denoiser of pictures, without captions.

    Args:
        seed: Decides the weights.
        size: Side of the pictures it is made for.
        channels: 1 for grey pictures, 3 for colour.
        block_channels: Channels of each level, fine to coarse.
        attention_levels: 1 for each level with attention, 0 for the others.
        layers_per_block: Depth of each level.
        norm_groups: Groups of each normalisation; must divide all channels.
        prediction: What it predicts: epsilon, v_prediction or sample; mixing is the walk-through's, without timesteps.
        betas: How noise grows with the timesteps.
    """
    from graphengine.diffusion import networks

    return networks.new_unet_2d(
        seed=seed,
        size=size,
        channels=channels,
        block_channels=_numbers(block_channels),
        attention_levels=_switches(attention_levels),
        layers_per_block=layers_per_block,
        norm_groups=norm_groups,
        prediction=prediction,
        betas=betas,
    )


@node("NewBasicUNet", category="training/networks", refine=_pixel_model_facts)
def new_basic_unet(seed: Seed = 0, channels: Annotated[int, Field(ge=1, le=64)] = 1) -> Model:
    """Make the walk-through's small net, which learns to remove uniform noise mixed into a picture.

    Args:
        seed: Decides the weights.
        channels: 1 for grey pictures, 3 for colour.
    """
    from graphengine.diffusion import networks

    return networks.new_basic_unet(seed=seed, channels=channels)


class MixingPictures(NamedTuple):
    """What the mixing sampler gives.

    Attributes:
        images: The pictures made.
        steps: A grid: for each step, what the network was shown and what it predicted.
    """

    images: Image
    steps: Image


@node("MixingSampler", category="training/walk-through")
def mixing_sampler(
    ctx: Context,
    model: Model,
    seed: Seed = 0,
    steps: Annotated[int, Field(ge=1, le=1000)] = 5,
    count: Annotated[int, Field(ge=1, le=256)] = 8,
    size: Annotated[int, Field(ge=4, le=1024, multiple_of=4)] = 28,
) -> MixingPictures:
    """Make pictures with a model that learnt to remove uniform noise: step by step towards its predictions.

    Args:
        model: Trained with prediction mixing.
        seed: Decides the noise it starts from.
        steps: Model evaluations; 5 show something, 40 are good.
        count: Pictures to make.
        size: Side of the pictures, in pixels.
    """
    from graphengine.diffusion import plots, walkthrough

    sampling = walkthrough.sample_mixing(model, size=size, count=count, steps=steps, seed=seed)
    history = list(ctx.progress(sampling, total=steps))
    return MixingPictures(plots.to_image(history[-1].predicted), plots.mixing_grid(history))


@node("PlotSchedule", category="training/walk-through")
def plot_schedule(
    model: Model,
    width: Annotated[int, Field(ge=128, le=8192)] = 640,
    height: Annotated[int, Field(ge=128, le=8192)] = 400,
) -> Image:
    """Draw how much of the picture and how much noise a model's schedule has at each timestep.

    Args:
        model: Its schedule is drawn.
        width: Of the picture, in pixels.
        height: Of the picture, in pixels.
    """
    from graphengine.diffusion import plots

    return plots.plot_schedule(model, width=width, height=height)


def _numbers(text: str) -> Sequence[int]:
    return [int(part) for part in text.split(",")]


def _switches(text: str) -> Sequence[bool]:
    numbers = _numbers(text)
    if any(number > 1 for number in numbers):
        raise InputError("attention_levels", f"{text!r} holds more than 0 and 1.", "Write 1 or 0 for each level.")
    return [number == 1 for number in numbers]
