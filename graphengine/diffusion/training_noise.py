"""Which noise a training step adds, and how much of it: the timesteps."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from graphengine.diffusion.step_random import StepRandom
from graphengine.training_types import ObjectiveRecipe


def draw_timesteps(random: StepRandom, recipe: ObjectiveRecipe, count: int, batch: int) -> Tensor:
    """Draw a timestep for each example, int64 ``[B]`` in 0 … count - 1; the last has most noise.

    Sources: Esser et al. 2024, arXiv:2403.03206, eqs. 19 (``logit_normal``), 20 (``mode``) and 23 (``shifted``).
    """
    if recipe.timesteps == "uniform" and (recipe.first_timestep, recipe.last_timestep) == (0, 1):
        return random.integers(count, batch)
    share = _draw_share(random, recipe, batch).clamp(0, 1)
    share = recipe.first_timestep + (recipe.last_timestep - recipe.first_timestep) * share
    return (share * count).long().clamp(max=count - 1)


def _draw_share(random: StepRandom, recipe: ObjectiveRecipe, batch: int) -> Tensor:
    match recipe.timesteps:
        case "uniform":
            return random.uniform(batch)
        case "logit_normal":
            return torch.sigmoid(recipe.logit_mean + recipe.logit_deviation * random.normal(batch))
        case "mode":
            u = random.uniform(batch)
            return 1 - u - recipe.mode_scale * ((math.pi / 2 * u).cos().square() - 1 + u)
        case "shifted":
            u = random.uniform(batch)
            return recipe.timestep_shift * u / (1 + (recipe.timestep_shift - 1) * u)


def draw_noise(random: StepRandom, recipe: ObjectiveRecipe, *shape: int) -> Tensor:
    """Draw the noise of a batch, float32 ``[B, C, h, w]``.

    An offset is one more number for each channel of each example (Guttenberg 2023, crosslabs.org/blog/diffusion-with-
    offset-noise). Pyramid noise adds coarser noise, halved again and again, each ``pyramid_noise`` times as strong as
    the one before, and is brought back to unit deviation (Kasiopy & Whitaker 2023, "Multi-resolution noise").
    """
    noise = random.normal(*shape)
    if recipe.pyramid_noise > 0:
        noise = _with_coarser(noise, random, recipe.pyramid_noise)
    if recipe.noise_offset > 0:
        noise = noise + recipe.noise_offset * random.normal(*shape[:2], 1, 1)
    return noise


def _with_coarser(noise: Tensor, random: StepRandom, discount: float) -> Tensor:
    batch, channels, height, width = noise.shape
    level = 1
    while max(height, width) >> level >= 1:
        sides = (max(1, height >> level), max(1, width >> level))
        coarse = random.normal(batch, channels, *sides)
        noise = noise + discount**level * functional.interpolate(coarse, (height, width), mode="bilinear")
        level += 1
    deviation: Tensor = noise.flatten(1).std(1)
    return noise / deviation.view(-1, 1, 1, 1)


def perturbed(noise: Tensor, random: StepRandom, recipe: ObjectiveRecipe) -> Tensor:
    """Give the noise that is seen, a little off the noise that is to be found (Ning et al. 2023, arXiv:2301.11706)."""
    if recipe.input_perturbation == 0:
        return noise
    return noise + recipe.input_perturbation * random.normal(*noise.shape)
