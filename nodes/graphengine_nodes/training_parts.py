"""Parts of a recipe that most trainings leave out; each plugs into TrainRecipe."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import Field

from graphengine import InputError, Widget, node
from graphengine.training_types import (
    AdapterMethod,
    LoraRecipe,
    ObjectiveRecipe,
    OptimizerRecipe,
    TimestepSampling,
    WordRecipe,
)
from graphengine_nodes.inputs import RareShare, Share

Rare = Widget("number", advanced=True)

_BLOCK = r"[\w.]+\s*=\s*\d{1,4}"
Rank = Annotated[int, Field(ge=1, le=4096)]


@node("LoraRecipe", category="training/recipes", outputs="lora")
def lora_recipe(
    method: AdapterMethod = "lora",
    rank: Rank = 16,
    alpha: Annotated[float, Field(gt=0, le=65_536)] = 16.0,
    targets: str = "attention",
    dropout: RareShare = 0.0,
    block_ranks: Annotated[
        str,
        Field(pattern=rf"^\s*({_BLOCK}(\s*[,\n]\s*{_BLOCK})*)?\s*$"),
        Widget("textarea", advanced=True),
    ] = "",
) -> LoraRecipe:
    """Choose which small changes to train instead of all of a model's weights: a LoRA, or one of its kin.

    Args:
        method: lora is two thin matrices beside a layer. dora also trains the lengths of its rows, loha and lokr say
            more with as few numbers; these three take longer a step.
        rank: Size of the change: 4 to 16 for a style or a thing, 32 to 128 for much that is new.
        alpha: The change counts alpha / rank times, so that another rank needs no other learning rate.
        targets: Layers to change, separated by commas: attention, cross_attention, feed_forward, projections, resnets,
            resampling, of transformers modulation; or what their names end with, such as attn2.to_k.
        dropout: Share of a layer's inputs that the change doesn't see at a step, against learning by heart.
        block_ranks: Other ranks for blocks, such as mid_block=4, up_blocks.1=32; 0 leaves a block out.
    """
    chosen = tuple(target for part in targets.split(",") if (target := part.strip()))
    if not chosen:
        raise InputError("targets", "none is named.", "Write attention, or other kinds of layers.")
    return LoraRecipe(
        method=method, rank=rank, alpha=alpha, dropout=dropout, targets=chosen, block_ranks=_ranks(block_ranks)
    )


@lora_recipe.check
def _ranks_once(block_ranks: Any) -> None:  # Any: a literal
    blocks = [block for block, _ in _ranks(block_ranks)]
    if len(set(blocks)) < len(blocks):
        twice = next(block for block in blocks if blocks.count(block) > 1)
        raise InputError("block_ranks", f"{twice!r} is there twice.", "Give each block one rank.")


def _ranks(text: str) -> tuple[tuple[str, int], ...]:
    pairs = (part.split("=") for part in text.replace("\n", ",").split(",") if part.strip())
    return tuple((block.strip(), int(rank)) for block, rank in pairs)


_NO_WORD = re.compile(r"[\s,()\[\]:{}|\\/]|[.;!?]$")  # what prompts read as something else, or as a word's end
_TEMPLATES = "a photo of {word}\na close-up photo of {word}\na photo of one {word}\na rendering of {word}"


@node("WordRecipe", category="training/recipes", outputs="word")
def word_recipe(
    placeholder: Annotated[str, Field(min_length=1, max_length=100)],
    initial: Annotated[str, Field(pattern=r"\S", max_length=1000)],
    vectors: Annotated[int, Field(ge=1, le=75)] = 1,
    keep_length: bool = False,
    templates: Annotated[str, Field(pattern=r"\S"), Widget("textarea", advanced=True)] = _TEMPLATES,
) -> WordRecipe:
    """Teach a model a word for what pictures show, by textual inversion; the model itself stays as it is.

    Captions that have the word in them teach it; others don't, and captions are never left out, whatever
    caption_dropout says, unless a LoRA is trained along. A learning rate of 0.001 to 0.01 is usual.

    Args:
        placeholder: The word, as captions and prompts have it; one that the text encoder doesn't know, such as
            <my-cat>.
        initial: What it starts from: a known word that says roughly what the pictures show, such as cat; or several,
            one for each vector in turn.
        vectors: How many stand for it. More say more, and are harder to combine with other words; 1 to 8 are usual.
        keep_length: Learn the vectors' directions only, so that the word never drowns the others.
        templates: Captions for pictures without one, a line each, with {word} for the word.
    """
    known = tuple(initial.replace(",", " ").split())
    lines = tuple(line.strip() for line in templates.splitlines() if line.strip())
    return WordRecipe(
        placeholder=placeholder.strip(), initial=known, vectors=vectors, keep_length=keep_length, templates=lines
    )


@word_recipe.check
def _is_one_word(placeholder: Any) -> None:  # Any: a literal
    if not placeholder.strip():
        raise InputError("placeholder", "it is empty.", "Write a word that the model doesn't know, such as <my-cat>.")
    if found := _NO_WORD.search(placeholder.strip()):
        raise InputError(
            "placeholder", f"it has {found[0]!r} in it.", "Use letters, digits, - and _, such as <my-cat>."
        )


@word_recipe.check
def _templates_have_the_word(templates: Any) -> None:  # Any: a literal
    without = [line for line in templates.splitlines() if line.strip() and "{word}" not in line]
    if without:
        raise InputError("templates", f"{without[0]!r} is without {{word}}.", "Write {word} where the word stands.")


@node("ObjectiveRecipe", category="training/recipes", outputs="objective")
def objective_recipe(
    timesteps: TimestepSampling = "uniform",
    first_timestep: Share = 0.0,
    last_timestep: Share = 1.0,
    noise_offset: Annotated[float, Field(ge=0, le=1)] = 0.0,
    pyramid_noise: Annotated[float, Field(ge=0, lt=1)] = 0.0,
    input_perturbation: Annotated[float, Field(ge=0, le=1)] = 0.0,
    logit_mean: Annotated[float, Field(ge=-10, le=10), Rare] = 0.0,
    logit_deviation: Annotated[float, Field(gt=0, le=10), Rare] = 1.0,
    mode_scale: Annotated[float, Field(ge=-1, le=1.75), Rare] = 1.29,
    timestep_shift: Annotated[float, Field(gt=0, le=100), Rare] = 3.0,
    huber_delta: Annotated[float, Field(gt=0), Rare] = 1.0,
    p2_gamma: Annotated[float, Field(ge=0, le=10), Rare] = 1.0,
    edm_deviation: Annotated[float, Field(gt=0), Rare] = 1.0,
) -> ObjectiveRecipe:
    """Choose which noise a model is shown in training, and the numbers of the losses that TrainRecipe names.

    What a model predicts, its zero terminal SNR and a flow's shift belong to the model: set them by ModelSampling, and
    the trained model is sampled as it was trained.

    Args:
        timesteps: How noisy the examples are: all amounts alike (uniform), the middle more often (logit_normal, mode),
            or more noise more often (shifted).
        first_timestep: Leave out less noise than this share of all timesteps.
        last_timestep: Leave out more noise than this share.
        noise_offset: Lets a model make pictures lighter and darker as a whole; 0.05 to 0.1, or 0 for none.
        pyramid_noise: The same for large forms, by coarser noise on top; 0.3 to 0.8, or 0 for none.
        input_perturbation: Noise that is seen but not to be found, against errors that add up in sampling; 0.1, or 0.
        logit_mean: Of logit_normal; above 0 for more noise.
        logit_deviation: Of logit_normal; how far from the middle.
        mode_scale: Of mode; above 0 for the middle, below 0 for the ends.
        timestep_shift: Of shifted; above 1 for more noise.
        huber_delta: The loss huber is squared up to this difference, and grows evenly beyond.
        p2_gamma: Of the weighting p2: the larger, the less moments with little noise count. 1 is as published.
        edm_deviation: Of the weighting edm, the data's deviation: about 1 for latents, 0.5 for pictures.
    """
    return ObjectiveRecipe(
        timesteps=timesteps,
        first_timestep=first_timestep,
        last_timestep=last_timestep,
        noise_offset=noise_offset,
        pyramid_noise=pyramid_noise,
        input_perturbation=input_perturbation,
        logit_mean=logit_mean,
        logit_deviation=logit_deviation,
        mode_scale=mode_scale,
        timestep_shift=timestep_shift,
        huber_delta=huber_delta,
        p2_gamma=p2_gamma,
        edm_deviation=edm_deviation,
    )


@objective_recipe.check
def _timesteps_rise(first_timestep: Any, last_timestep: Any) -> None:  # Any: literals
    if first_timestep >= last_timestep:
        raise InputError(
            "last_timestep", f"{last_timestep} is not above first_timestep, {first_timestep}.", "Choose a higher share."
        )


Beta = Annotated[float, Field(ge=0, lt=1), Rare]


@node("OptimizerRecipe", category="training/recipes", outputs="optimizer_options")
def optimizer_recipe(
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9,
    restarts: Annotated[int, Field(ge=1, le=1000)] = 1,
    power: Annotated[float, Field(gt=0, le=10)] = 1.0,
    custom_class: str = "",
    custom_options: Annotated[str, Widget("textarea")] = "",
    beta1: Beta = 0.9,
    beta2: Beta = 0.999,
    eps: Annotated[float, Field(gt=0, le=1), Rare] = 1e-8,
    nesterov: Annotated[bool, Widget("checkbox", advanced=True)] = False,
) -> OptimizerRecipe:
    """Set numbers of the optimizer and the schedule that TrainRecipe names, or name an optimizer of another package.

    Args:
        momentum: Of sgd: how much of each step the next one goes on with.
        restarts: How often cosine_with_restarts falls to 0.
        power: Of polynomial; 2 falls fast at first.
        custom_class: Of the optimizer custom: a class of an installed package, such as torch.optim.RAdam.
        custom_options: Its arguments as JSON, such as {"eps": 1e-6}; the learning rate and weight decay are given.
        beta1: Of Adam, lion and prodigy: how long gradients are averaged; 0.9 over some 10 steps.
        beta2: Of the same: how long their squares are, or of lion the average's decay, for which 0.99 is usual.
        eps: Of Adam and prodigy: keeps divisions finite.
        nesterov: Of sgd: look a step ahead.
    """
    return OptimizerRecipe(
        momentum=momentum,
        restarts=restarts,
        power=power,
        custom_class=custom_class.strip(),
        custom_options=custom_options,
        beta1=beta1,
        beta2=beta2,
        eps=eps,
        nesterov=nesterov,
    )
