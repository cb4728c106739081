"""What a denoiser is trained to predict, and how its errors count.

A clean sample x is seen at a timestep t through noise of a unit Gaussian, with a = alphas_cumprod[t]:

    noised(x, t)    = sqrt(a) x + sqrt(1 - a) noise
    epsilon         = noise
    v_prediction    = sqrt(a) noise - sqrt(1 - a) x
    sample          = x

Sources: Ho et al. 2020, arXiv:2006.11239; Salimans & Ho 2022, arXiv:2202.00512 (v).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

import torch
from diffusers import DDPMScheduler
from torch import Tensor
from torch.nn import functional

from graphengine.training_types import LossName, LossWeighting
from graphengine.types import Prediction


class NoiseLevels:
    """The forward process of a scheduler's configuration.

    Args:
        scheduler_config: Of any diffusers scheduler that is defined by betas.
        device: Where the table of noise levels is kept.

    Attributes:
        alphas_cumprod: float32 ``[timesteps]``, the share of signal left, falling from about 1.
    """

    def __init__(self, scheduler_config: Mapping[str, object], device: torch.device | str = "cpu") -> None:
        self.alphas_cumprod = alphas_cumprod(scheduler_config).to(device)

    @property
    def digest(self) -> str:
        """A hash of the table."""
        return hashlib.blake2b(self.alphas_cumprod.cpu().numpy().tobytes(), digest_size=16).hexdigest()

    def __len__(self) -> int:
        return len(self.alphas_cumprod)

    def noised(self, samples: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """Show clean samples ``[B, C, h, w]`` through noise at their timesteps ``[B]``."""
        signal, rest = self._scales(timesteps)
        return signal * samples + rest * noise

    def target(self, prediction: Prediction, samples: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """Give what the network should answer, ``[B, C, h, w]``.

        Raises:
            ValueError: for ``mixing``, which has no timesteps.
        """
        signal, rest = self._scales(timesteps)
        match prediction:
            case "epsilon":
                return noise
            case "v_prediction":
                return signal * noise - rest * samples
            case "sample":
                return samples
            case _:
                raise ValueError(f"{prediction!r} has no target at a timestep")

    def weights(self, weighting: LossWeighting, prediction: Prediction, *, gamma: float = 5.0) -> Tensor:
        """Give the weight of the squared error at each timestep, float32 ``[timesteps]``.

        ``min_snr`` weighs the error of x by min(SNR, gamma), which is min(SNR, gamma) / SNR on the error of the noise
        and min(SNR, gamma) / (SNR + 1) on that of v; SNR = a / (1 - a). Source: Hang et al. 2023, arXiv:2303.09556.
        """
        match weighting:
            case "none":
                return torch.ones_like(self.alphas_cumprod)
            case "sqrt_one_minus_alphas":
                return (1 - self.alphas_cumprod).sqrt()
            case "min_snr":
                snr = self.alphas_cumprod / (1 - self.alphas_cumprod)
                capped = snr.clamp(max=gamma)
                # Without signal (zero terminal SNR) capped / snr is 0 / 0; its limit is 1.
                of_noise = torch.where(snr > 0, capped / snr.clamp(min=torch.finfo(snr.dtype).tiny), 1.0)
                return {"epsilon": of_noise, "v_prediction": capped / (snr + 1)}.get(prediction, capped)

    def _scales(self, timesteps: Tensor) -> tuple[Tensor, Tensor]:
        alphas = self.alphas_cumprod[timesteps].view(-1, 1, 1, 1)
        return alphas.sqrt(), (1 - alphas).sqrt()


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


def distances(loss: LossName, predicted: Tensor, target: Tensor) -> Tensor:
    """Give each example's mean distance from its target, float32 ``[B]``.

    ``huber`` is quadratic up to a difference of 1 and linear beyond.
    """
    functions: dict[LossName, Callable[..., Tensor]] = {
        "mse": functional.mse_loss,
        "l1": functional.l1_loss,
        "huber": functional.huber_loss,
    }
    return functions[loss](predicted.float(), target.float(), reduction="none").flatten(1).mean(1)
