"""What a training is, by name: a saved state resumes only a training of which all of this is the same."""

from __future__ import annotations

import json
from dataclasses import fields, is_dataclass
from typing import Any

from graphengine.diffusion.training_state import Identity
from graphengine.diffusion.training_tasks import TrainingTask, digest_of
from graphengine.training_types import Dataset, Recipe

# Fields of a Recipe that don't change the weights.
_NOT_IDENTITY = {
    "checkpoint_every", "checkpoint_minutes", "keep_checkpoints", "data_workers", "if_diverged",
    "gradient_checkpointing", "compile",
}  # fmt: skip
# Those that the identity of states has had from the first.
_FIRST_FIELDS = {
    "batch_size", "optimizer", "learning_rate", "lr_schedule", "warmup_steps", "weight_decay", "max_grad_norm",
    "ema_decay", "loss", "loss_weighting", "min_snr_gamma", "caption_dropout", "train_text_encoder", "kl_weight",
    "latent_weight", "latent_noise", "analytic_share", "precision", "attention",
}  # fmt: skip
_DEFAULTS = {each.name: each.default for each in fields(Recipe)}


def identity_of(task: TrainingTask, dataset: Dataset, recipe: Recipe, *, steps: int, seed: int) -> Identity:
    """Name all that decides a training's weights."""
    chosen = recipe_choices(recipe)
    weights = {
        f"starting weights of {name}": digest_of(module, as_float32=True) for name, module in task.trained.items()
    }
    frozen = {f"weights of {name}": digest_of(module, as_float32=True) for name, module in task.frozen.items()}
    # A falling learning rate was planned for a number of steps; a constant one goes on for more.
    planned = {} if recipe.lr_schedule == "constant" else {"steps": steps}
    return {**chosen, **weights, **frozen, **task.facts, **planned, "seed": seed, "dataset": dataset.digest}


def recipe_choices(recipe: Recipe) -> dict[str, str | int | float | bool]:
    """Name what decides the weights of what a recipe chooses.

    Choices that came with later versions aren't named where they are left at their default, so that states saved before
    are still found: such a default must never change.
    """
    plain = {name: value for name, value in vars(recipe).items() if name in _FIRST_FIELDS}
    for name, value in vars(recipe).items():
        if name in _NOT_IDENTITY or name in _FIRST_FIELDS or value == _DEFAULTS[name]:
            continue
        parts = vars(value) if is_dataclass(value) else {"": value}
        plain |= {f"{name} {part}".strip(): _as_plain(each) for part, each in parts.items()}
    return plain


def _as_plain(value: Any) -> str | int | float | bool:  # Any: a recipe's choice, as JSON knows it or nested
    return value if isinstance(value, str | int | float | bool) else json.dumps(value)
