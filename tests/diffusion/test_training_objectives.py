"""The targets of training against closed forms, and against diffusers' schedulers."""

from __future__ import annotations

import pytest
import torch
from diffusers import DDPMScheduler
from diffusers.training_utils import compute_snr

from graphengine.diffusion.networks import scheduler_config
from graphengine.diffusion.objectives import NoiseLevels, distances, mix_with_noise
from graphengine.types import Prediction

TIMESTEPS = torch.tensor([0, 1, 250, 998, 999])
PREDICTIONS: tuple[Prediction, ...] = ("epsilon", "v_prediction", "sample")


def draws() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(5, 2, 3, 3, generator=generator), torch.randn(5, 2, 3, 3, generator=generator)


def test_noise_and_velocity_equal_diffusers() -> None:
    samples, noise = draws()
    config = scheduler_config("v_prediction", betas="scaled_linear")
    levels, reference = NoiseLevels(config), DDPMScheduler.from_config(config)

    torch.testing.assert_close(levels.noised(samples, noise, TIMESTEPS), reference.add_noise(samples, noise, TIMESTEPS))
    torch.testing.assert_close(
        levels.target("v_prediction", samples, noise, TIMESTEPS), reference.get_velocity(samples, noise, TIMESTEPS)
    )


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_a_perfect_prediction_gives_back_the_clean_sample(prediction: Prediction) -> None:
    samples, noise = draws()
    levels = NoiseLevels(scheduler_config(prediction, betas="squaredcos_cap_v2"))
    timesteps = torch.tensor([0, 1, 250, 500, 700])
    target = levels.target(prediction, samples, noise, timesteps)
    noised = levels.noised(samples, noise, timesteps)
    a = levels.alphas_cumprod[timesteps].view(-1, 1, 1, 1)

    clean = {
        "epsilon": (noised - (1 - a).sqrt() * target) / a.sqrt(),
        "v_prediction": a.sqrt() * noised - (1 - a).sqrt() * target,
        "sample": target,
    }[prediction]

    torch.testing.assert_close(clean, samples, atol=1e-4, rtol=1e-4)


def test_mixing_has_no_target_at_a_timestep() -> None:
    samples, noise = draws()
    with pytest.raises(ValueError, match="mixing"):
        NoiseLevels({}).target("mixing", samples, noise, TIMESTEPS)


def test_mixing_is_linear() -> None:
    mixed = mix_with_noise(torch.zeros(3, 1, 2, 2), torch.ones(3, 1, 2, 2), torch.tensor([0.0, 0.25, 1.0]))
    torch.testing.assert_close(mixed.mean((1, 2, 3)), torch.tensor([0.0, 0.25, 1.0]))


def test_weights_are_what_their_names_say() -> None:
    levels = NoiseLevels(scheduler_config("epsilon", betas="scaled_linear"))
    a = levels.alphas_cumprod

    assert torch.equal(levels.weights("none", "epsilon"), torch.ones(1000))
    torch.testing.assert_close(levels.weights("sqrt_one_minus_alphas", "epsilon"), (1 - a).sqrt())


def test_min_snr_weighs_the_clean_sample_alike_whatever_is_predicted() -> None:
    """The error of x is that of the noise over SNR, and that of v over SNR + 1; SNR as diffusers computes it."""
    config = scheduler_config("epsilon", betas="scaled_linear")
    levels = NoiseLevels(config)
    snr = compute_snr(DDPMScheduler.from_config(config), torch.arange(1000))

    torch.testing.assert_close(levels.weights("min_snr", "sample", gamma=5), snr.clamp(max=5))
    torch.testing.assert_close(levels.weights("min_snr", "epsilon", gamma=5), snr.clamp(max=5) / snr)
    torch.testing.assert_close(levels.weights("min_snr", "v_prediction", gamma=5), snr.clamp(max=5) / (snr + 1))


def test_min_snr_is_finite_without_any_signal() -> None:
    config = {**scheduler_config("v_prediction", betas="scaled_linear"), "rescale_betas_zero_snr": True}
    levels = NoiseLevels(config)

    assert levels.alphas_cumprod[-1] < 1e-6
    for prediction in PREDICTIONS:
        assert levels.weights("min_snr", prediction).isfinite().all()


def test_distances_are_means_of_each_example() -> None:
    predicted, target = torch.tensor([[0.0, 3.0], [1.0, 1.0]]), torch.tensor([[0.0, 0.0], [1.0, 0.0]])

    assert distances("mse", predicted, target).tolist() == [4.5, 0.5]
    assert distances("l1", predicted, target).tolist() == [1.5, 0.5]
    assert distances("huber", predicted, target).tolist() == [1.25, 0.25]
