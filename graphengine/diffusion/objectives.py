"""Parts of training objectives that know no noise levels: the betas' table, mixing, and how far a prediction is off."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from diffusers import DDPMScheduler
from torch import Tensor
from torch.nn import functional

from graphengine.training_types import LossName

_BETAS = (
    "num_train_timesteps",
    "beta_start",
    "beta_end",
    "beta_schedule",
    "trained_betas",
    "rescale_betas_zero_snr",
)


def alphas_cumprod(scheduler_config: Mapping[str, object]) -> Tensor:
    """Give the share of signal left at each timestep, float32 ``[timesteps]``."""
    # Given the betas alone: from_config looks at every scheduler class there is, which takes twenty times as long.
    given = {name: scheduler_config[name] for name in _BETAS if name in scheduler_config}
    scheduler: Any = DDPMScheduler(**given)  # Any: diffusers is untyped
    alphas: Tensor = scheduler.alphas_cumprod
    return alphas


def mix_with_noise(pictures: Tensor, noise: Tensor, amounts: Tensor) -> Tensor:
    """Mix pictures ``[B, C, H, W]`` in 0…1 with uniform noise by amounts ``[B]``: 0 is the picture, 1 the noise."""
    amounts = amounts.view(-1, 1, 1, 1)
    return pictures * (1 - amounts) + noise * amounts


def distances(
    loss: LossName, predicted: Tensor, target: Tensor, *, mask: Tensor | None = None, huber_delta: float = 1.0
) -> Tensor:
    """Give each example's mean distance from its target, float32 ``[B]``.

    Args:
        loss: ``huber`` is quadratic up to a difference of ``huber_delta`` and linear beyond.
        mask: ``[B, 1, h, w]`` in 0…1, how much each place counts; the mean is still over all of them.
    """
    difference = predicted.float() - target.float()
    match loss:
        case "mse":
            errors = difference.square()
        case "l1":
            errors = difference.abs()
        case "huber":
            errors = functional.huber_loss(predicted.float(), target.float(), reduction="none", delta=huber_delta)
    if mask is not None:
        errors = errors * mask
    return errors.flatten(1).mean(1)
