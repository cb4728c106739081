"""Try a training before it starts."""

from __future__ import annotations

from typing import Annotated, NamedTuple, TypeVar

from pydantic import Field

from graphengine import Context, node
from graphengine.diffusion.memory import training_memory
from graphengine.training_types import Dataset, Recipe
from graphengine.types import Clip, ControlNet, Model, Vae
from graphengine_nodes.inputs import Seed
from graphengine_nodes.training_checks import needs_clip

Subject = TypeVar("Subject", Model, Vae, Clip, ControlNet)


class TryTrainingOutputs(NamedTuple):
    """What a trial showed.

    Attributes:
        summary: All of it in sentences.
        seconds: How long all steps would take here.
        gigabytes: The most memory that was held at once.
        learns: Whether the self-test's loss fell below 70 %; on if it was not asked for.
    """

    summary: str
    seconds: float
    gigabytes: float
    learns: bool


@node("TryTraining", category="training", device="gpu", memory=training_memory, cacheable=False, refine=needs_clip)
def try_training(
    ctx: Context,
    model: Subject,
    dataset: Dataset,
    recipe: Recipe,
    steps: Annotated[int, Field(ge=1, le=100_000_000)] = 1000,
    seed: Seed = 0,
    clip: Clip | None = None,
    vae: Vae | None = None,
    trial_steps: Annotated[int, Field(ge=1, le=1000)] = 3,
    overfit_steps: Annotated[int, Field(ge=0, le=100_000)] = 0,
    base: Model | None = None,
) -> TryTrainingOutputs:
    """Find out how long a training would take and how much memory, and whether it learns at all, before it starts.

    Nothing that is trained here is kept.

    Args:
        model: What is to be trained, as for TrainLoop.
        dataset: Examples to learn from.
        recipe: How to train, from TrainRecipe.
        steps: Steps that the training is to have, for the estimate.
        seed: As for TrainLoop.
        clip: The text encoder of a model that reads captions.
        vae: The autoencoder that gives latents, where the dataset has only pictures.
        trial_steps: Steps to time, after a first one that isn't.
        overfit_steps: Steps of a self-test: train on one batch only, which a sound set-up soon knows by heart; 0 for
            none. From 50 on it tells something.
        base: As for TrainLoop.
    """
    from graphengine.diffusion.training_trial import try_training as try_out

    trial = try_out(
        model,
        dataset,
        recipe,
        steps=steps,
        seed=seed,
        clip=clip,
        vae=vae,
        base=base,
        device=ctx.device,
        trial_steps=trial_steps,
        overfit_steps=overfit_steps,
        watch=ctx.report_progress,
    )
    if not trial.learns:
        ctx.warn(trial.summary)
    return TryTrainingOutputs(trial.summary, trial.seconds, trial.memory_bytes / 1e9, trial.learns)
