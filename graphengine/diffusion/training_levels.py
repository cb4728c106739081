"""The noise levels that a denoiser is trained at: what it sees, what it should answer, and how its errors count.

A clean sample x is seen at a timestep t through noise of a unit Gaussian, s of the one and n of the other:

    noised(x, t)    = s x + n noise         s = sqrt(a), n = sqrt(1 - a), a = alphas_cumprod[t]; of a flow s = 1 - n
    epsilon         = noise
    v_prediction    = s noise - n x
    sample          = x
    flow            = noise - x

Every answer tells x, so an error of each is an error of x times a factor; SNR = s^2 / n^2:

    |epsilon| = SNR |x|        |v| = (SNR + 1) |x|        |flow| = |x| / n^2        (squared errors)

A weighting is defined by what it makes of one of them, and the others follow from these.

Sources: Ho et al. 2020, arXiv:2006.11239; Salimans & Ho 2022, arXiv:2202.00512 (v); Esser et al. 2024, arXiv:2403.03206
(flow).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping

import torch
from torch import Tensor

from graphengine.diffusion.objectives import alphas_cumprod
from graphengine.diffusion.schedules import TrainedLevels
from graphengine.errors import InputError
from graphengine.training_types import LossWeighting, ObjectiveRecipe, Recipe
from graphengine.types import Prediction

_OF_FLOWS = ("sigma_sqrt", "cosmap")
_HIGHEST_SNR = 1000.0  # of debiased, as in kohya's scripts; and as far below 1
_HIGHEST_WEIGHT = 1e8


class NoiseLevels:
    """The forward process of a scheduler's configuration.

    Args:
        scheduler_config: Of any diffusers scheduler that is defined by betas, or of a flow.
        device: Where the tables are kept.

    Attributes:
        signal: float32 ``[timesteps]``, falling from about 1.
        noise: float32 ``[timesteps]``, rising to about 1.
        told: What the network is told at each timestep, ``[timesteps]``: of a flow the noise in thousandths.
    """

    def __init__(self, scheduler_config: Mapping[str, object], device: torch.device | str = "cpu") -> None:
        if str(scheduler_config.get("_class_name")).startswith("FlowMatch"):
            levels = TrainedLevels.of(scheduler_config)
            log_sigmas = torch.from_numpy(levels.log_sigmas)
            self._table = torch.sigmoid(log_sigmas).float()  # n = sigma / (1 + sigma)
            self.signal, self.noise = torch.sigmoid(-log_sigmas).float().to(device), self._table.to(device)
            self.told = self.noise * len(levels)
            return
        self._table = alphas_cumprod(scheduler_config)
        alphas = self._table.to(device)
        self.signal, self.noise = alphas.sqrt(), (1 - alphas).sqrt()
        self.told = torch.arange(len(alphas), device=device)

    @property
    def digest(self) -> str:
        """A hash of the table."""
        return hashlib.blake2b(self._table.numpy().tobytes(), digest_size=16).hexdigest()

    def __len__(self) -> int:
        return len(self._table)

    def noised(self, samples: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """Show clean samples ``[B, C, h, w]`` through noise at their timesteps ``[B]``."""
        signal, rest = self._scales(timesteps)
        return signal * samples + rest * noise

    def target(self, prediction: Prediction, samples: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """Give what the network should answer, ``[B, C, h, w]``.

        Raises:
            ValueError: for ``mixing``, which has no timesteps.
        """
        match prediction:
            case "epsilon":
                return noise
            case "v_prediction":
                signal, rest = self._scales(timesteps)
                return signal * noise - rest * samples
            case "sample":
                return samples
            case "flow":
                return noise - samples
            case _:
                raise ValueError(f"{prediction!r} has no target at a timestep")

    def _scales(self, timesteps: Tensor) -> tuple[Tensor, Tensor]:
        return self.signal[timesteps].view(-1, 1, 1, 1), self.noise[timesteps].view(-1, 1, 1, 1)


def loss_weights(levels: NoiseLevels, prediction: Prediction, recipe: Recipe) -> Tensor:
    """Give the weight of the squared error at each timestep, float32 ``[timesteps]``.

    On the error of x ``min_snr`` is min(SNR, gamma) (Hang et al. 2023, arXiv:2303.09556), ``soft_min_snr`` SNR gamma /
    (SNR + gamma) (Crowson et al. 2024, arXiv:2401.11605), ``edm`` SNR + 1 / deviation^2 (Karras et al. 2022,
    arXiv:2206.00364). On that of the noise ``debiased`` is 1 / sqrt(SNR) (Yu et al. 2023, arXiv:2310.08442) and ``p2``
    1 / (1 + SNR)^gamma (Choi et al. 2022, arXiv:2204.00227). ``sigma_sqrt`` and ``cosmap`` are a flow's (Esser et al.
    2024), on its own error; so is ``sqrt_one_minus_alphas``, n, on whatever is predicted.

    Raises:
        InputError: if the weighting isn't for this prediction.
    """
    weighting = recipe.loss_weighting
    if weighting in _OF_FLOWS and prediction != "flow":
        raise InputError(
            "recipe",
            f"its loss_weighting {weighting} is for flows; the model predicts {prediction}.",
            "Choose another.",
        )
    noise = levels.noise.double()
    snr = (levels.signal.double() / noise).square().clamp(min=torch.finfo(torch.float32).tiny)
    match weighting:
        case "none":
            weights = torch.ones_like(noise)
        case "sqrt_one_minus_alphas":
            weights = noise
        case "sigma_sqrt":
            weights = noise**-2
        case "cosmap":
            weights = 2 / (math.pi * (1 - 2 * noise + 2 * noise.square()))
        case _:
            weights = _on_clean(weighting, snr, recipe) * _of_clean(prediction, snr, noise)
    if weights.max() > _HIGHEST_WEIGHT:
        raise InputError(
            "recipe",
            f"its loss_weighting {weighting} has no bound where there is no signal and {prediction} is predicted.",
            "Choose another, or let the model predict v_prediction by ModelSampling.",
        )
    return weights.float()


def _on_clean(weighting: LossWeighting, snr: Tensor, recipe: Recipe) -> Tensor:
    """Give a weighting as what it makes of the squared error of x."""
    objective, gamma = recipe.objective or ObjectiveRecipe(), recipe.min_snr_gamma
    match weighting:
        case "min_snr":
            return snr.clamp(max=gamma)
        case "soft_min_snr":
            return snr * gamma / (snr + gamma)
        case "debiased":
            return snr / snr.clamp(1 / _HIGHEST_SNR, _HIGHEST_SNR).sqrt()
        case "p2":
            return snr / (1 + snr) ** objective.p2_gamma
        case "edm":
            return snr + objective.edm_deviation**-2
        case _:
            raise ValueError(f"{weighting!r} isn't defined on the clean sample")


def _of_clean(prediction: Prediction, snr: Tensor, noise: Tensor) -> Tensor:
    """Give the squared error of x by that of what is predicted."""
    match prediction:
        case "epsilon":
            return 1 / snr
        case "v_prediction":
            return 1 / (snr + 1)
        case "flow":
            return noise.square()
        case _:
            return torch.ones_like(snr)
