"""What keeps a training from starting: looked for before anything is copied, and told all at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from torch import nn

from graphengine.diffusion.training_controls import control_net_checks
from graphengine.diffusion.training_denoisers import denoiser_checks
from graphengine.diffusion.training_optimizers import make_optimizer
from graphengine.diffusion.training_tasks import Trainable
from graphengine.errors import GraphEngineError, InputError
from graphengine.training_types import Dataset, Recipe
from graphengine.types import Clip, ControlNet, Model, Vae

__all__ = ["check_training"]

Check = Callable[[], object]


def check_training(
    subject: Trainable,
    dataset: Dataset,
    recipe: Recipe,
    steps: int,
    *,
    clip: Clip | None,
    vae: Vae | None,
    held_out: Dataset | None,
    base: Model | None,
) -> None:
    """Refuse what can't be trained so.

    Raises:
        InputError: for the one input that is wrong.
        GraphEngineError: naming all of several.
    """
    checks: list[Check] = [
        *_count_checks(recipe, steps),
        partial(_check_length, dataset),
        partial(_check_kind, subject, recipe),
        partial(_check_base, subject, base),
        lambda: make_optimizer({"": nn.Linear(1, 1)}, recipe),  # whether there is such a one
    ]
    if held_out:
        checks.append(partial(_check_length, held_out, "held_out", ", or leave it open"))
    if isinstance(subject, Model) and subject.prediction != "mixing":
        checks += denoiser_checks(subject, dataset, recipe, clip=clip, vae=vae)
    if isinstance(subject, ControlNet):
        checks += control_net_checks(subject, base, dataset, recipe, clip=clip, vae=vae)
    _raise_all(checks)


def _raise_all(checks: list[Check]) -> None:
    refused: list[InputError] = []
    for check in checks:
        try:
            check()
        except InputError as error:
            refused.append(error)
    if len(refused) == 1:
        raise refused[0]
    if refused:
        told = "\n".join(f"  {line}" for error in refused for line in str(error).splitlines())
        raise GraphEngineError(f"{len(refused)} problems:\n{told}")


def _count_checks(recipe: Recipe, steps: int) -> Iterator[Check]:
    counts = {"batch_size": recipe.batch_size, "checkpoint_every": recipe.checkpoint_every}
    counts |= {"accumulate": recipe.accumulate, "keep_checkpoints": recipe.keep_checkpoints, "steps": steps}
    for name, count in counts.items():
        yield partial(_check_count, name, count)


def _check_count(name: str, count: int) -> None:
    if count < 1:
        raise InputError(name, f"{count} is too small.", "Choose 1 or more.")


def _check_length(dataset: Dataset, name: str = "dataset", otherwise: str = "") -> None:
    if dataset.length == 0:
        raise InputError(name, "it is empty.", f"Choose one with at least one example{otherwise}.")


def _check_kind(subject: Trainable, recipe: Recipe) -> None:
    if isinstance(subject, Model) and subject.prediction != "mixing":
        return
    if recipe.lora:
        raise InputError(
            "recipe",
            "it trains a LoRA, which is for models that denoise step by step.",
            "Leave 'lora' open in TrainRecipe to train the weights themselves.",
        )
    if recipe.word:
        raise InputError(
            "recipe",
            "it trains a word, which is for models that draw what prompts say.",
            "Leave 'word' open in TrainRecipe.",
        )


def _check_base(subject: Trainable, base: Model | None) -> None:
    if base is not None and not isinstance(subject, ControlNet):
        raise InputError("base", "it is for training a ControlNet only.", "Leave it open.")
