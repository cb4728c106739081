"""The targets of training against closed forms, and against diffusers' schedulers."""

from __future__ import annotations

import pytest
import torch
from diffusers import DDPMScheduler, FlowMatchEulerDiscreteScheduler
from diffusers.training_utils import compute_loss_weighting_for_sd3, compute_snr

from graphengine.diffusion.networks import scheduler_config
from graphengine.diffusion.objectives import distances, mix_with_noise
from graphengine.diffusion.step_random import StepRandom
from graphengine.diffusion.training_levels import NoiseLevels, loss_weights
from graphengine.diffusion.training_noise import draw_noise, draw_timesteps, perturbed
from graphengine.errors import InputError
from graphengine.training_types import LossWeighting, ObjectiveRecipe, Recipe
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
    signal, rest = (table[timesteps].view(-1, 1, 1, 1) for table in (levels.signal, levels.noise))

    clean = {
        "epsilon": (noised - rest * target) / signal,
        "v_prediction": signal * noised - rest * target,
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


def weights(levels: NoiseLevels, weighting: LossWeighting, prediction: Prediction = "epsilon") -> torch.Tensor:
    return loss_weights(levels, prediction, Recipe(loss_weighting=weighting, min_snr_gamma=5))


def test_weights_are_what_their_names_say() -> None:
    config = scheduler_config("epsilon", betas="scaled_linear")
    levels = NoiseLevels(config)
    snr = compute_snr(DDPMScheduler.from_config(config), torch.arange(1000))

    assert torch.equal(weights(levels, "none"), torch.ones(1000))
    assert torch.equal(weights(levels, "sqrt_one_minus_alphas"), levels.noise)
    torch.testing.assert_close(weights(levels, "debiased"), snr.clamp(max=1000).rsqrt())
    torch.testing.assert_close(weights(levels, "p2"), 1 / (1 + snr))
    torch.testing.assert_close(weights(levels, "soft_min_snr", "sample"), snr * 5 / (snr + 5))
    torch.testing.assert_close(weights(levels, "edm", "v_prediction"), torch.ones(1000))
    sigma, deviation = snr.rsqrt(), 0.5  # as the paper writes it, on the clean sample
    edm = loss_weights(levels, "sample", Recipe(loss_weighting="edm", objective=ObjectiveRecipe(edm_deviation=0.5)))
    torch.testing.assert_close(edm, (sigma**2 + deviation**2) / (sigma * deviation) ** 2)


@pytest.mark.parametrize("weighting", ["min_snr", "soft_min_snr", "debiased", "p2", "edm"])
def test_a_weighting_counts_the_clean_sample_alike_whatever_is_predicted(weighting: LossWeighting) -> None:
    """The error of x is that of the noise over SNR, and that of v over SNR + 1; SNR as diffusers computes it."""
    config = scheduler_config("epsilon", betas="scaled_linear")
    levels = NoiseLevels(config)
    snr = compute_snr(DDPMScheduler.from_config(config), torch.arange(1000))
    of_sample = weights(levels, weighting, "sample")

    torch.testing.assert_close(weights(levels, weighting, "epsilon"), of_sample / snr)
    torch.testing.assert_close(weights(levels, weighting, "v_prediction"), of_sample / (snr + 1))
    if weighting == "min_snr":
        torch.testing.assert_close(of_sample, snr.clamp(max=5))


def test_weights_are_finite_without_any_signal_or_refused() -> None:
    config = {**scheduler_config("v_prediction", betas="scaled_linear"), "rescale_betas_zero_snr": True}
    levels = NoiseLevels(config)

    assert levels.signal[-1] < 1e-3
    assert weights(levels, "min_snr")[-1] == pytest.approx(1, abs=1e-6)
    kinds: tuple[LossWeighting, ...] = ("min_snr", "soft_min_snr", "debiased", "p2", "edm")
    for weighting in kinds:
        assert weights(levels, weighting, "v_prediction").isfinite().all()
        assert weights(levels, weighting, "sample").isfinite().all()
    with pytest.raises(InputError, match="edm has no bound"):
        weights(levels, "edm", "epsilon")


FLOW = {"_class_name": "FlowMatchEulerDiscreteScheduler", "num_train_timesteps": 1000, "shift": 3.0}


def test_a_flow_goes_straight_from_data_to_noise() -> None:
    """Against diffusers: its levels, timesteps and noised samples, and its weightings of Stable Diffusion 3."""
    samples, noise = draws()
    levels = NoiseLevels(FLOW)
    reference = FlowMatchEulerDiscreteScheduler.from_config(FLOW)  # which counts from the noisiest on
    expected = reference.scale_noise(samples, reference.timesteps[999 - TIMESTEPS], noise)

    torch.testing.assert_close(levels.noised(samples, noise, TIMESTEPS), expected, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(levels.told[TIMESTEPS], reference.timesteps[999 - TIMESTEPS], atol=1e-2, rtol=1e-4)
    torch.testing.assert_close(levels.target("flow", samples, noise, TIMESTEPS), noise - samples)
    names: tuple[LossWeighting, ...] = ("sigma_sqrt", "cosmap")
    for name in names:
        published = compute_loss_weighting_for_sd3(name, levels.noise)
        torch.testing.assert_close(weights(levels, name, "flow"), published)
    snr = (levels.signal / levels.noise).square()
    torch.testing.assert_close(weights(levels, "min_snr", "flow"), snr.clamp(max=5) * levels.noise**2)


def test_weightings_of_flows_are_refused_for_others() -> None:
    with pytest.raises(InputError, match="cosmap is for flows; the model predicts epsilon"):
        weights(NoiseLevels(scheduler_config("epsilon", betas="linear")), "cosmap")


def drawn(recipe: ObjectiveRecipe) -> torch.Tensor:
    return draw_timesteps(StepRandom(0, 0), recipe, 1000, 20_000).double() / 1000


def test_timesteps_follow_their_distributions() -> None:
    uniform = drawn(ObjectiveRecipe())
    assert torch.equal(draw_timesteps(StepRandom(0, 0), ObjectiveRecipe(), 1000, 9), StepRandom(0, 0).integers(1000, 9))
    assert uniform.mean().item() == pytest.approx(0.5, abs=0.01)

    logit = drawn(ObjectiveRecipe(timesteps="logit_normal", logit_mean=0.5, logit_deviation=0.8)) + 5e-4
    assert torch.logit(logit).mean().item() == pytest.approx(0.5, abs=0.03)
    assert torch.logit(logit).std().item() == pytest.approx(0.8, abs=0.03)

    shifted = drawn(ObjectiveRecipe(timesteps="shifted", timestep_shift=3.0))
    assert (shifted < 0.75).double().mean().item() == pytest.approx(0.5, abs=0.02)  # 3 u / (1 + 2 u) of u = 1/2

    for scale, favours_middle in ((1.29, True), (-0.8, False)):
        mode = drawn(ObjectiveRecipe(timesteps="mode", mode_scale=scale))
        share = ((mode > 0.4) & (mode < 0.6)).double().mean().item()
        assert (share > 0.2) == favours_middle

    within = drawn(ObjectiveRecipe(timesteps="shifted", first_timestep=0.25, last_timestep=0.5))
    assert within.min() >= 0.25
    assert within.max() < 0.5


def test_noise_offset_moves_whole_channels() -> None:
    plain = draw_noise(StepRandom(1, 0), ObjectiveRecipe(), 4000, 2, 4, 4)
    offset = draw_noise(StepRandom(1, 0), ObjectiveRecipe(noise_offset=0.5), 4000, 2, 4, 4)

    moved = (offset - plain)[:, :, 0, 0]
    torch.testing.assert_close(offset - plain, moved[..., None, None].expand_as(plain), atol=1e-5, rtol=0)
    assert moved.std().item() == pytest.approx(0.5, abs=0.02)


def test_pyramid_noise_has_unit_deviation_and_larger_forms() -> None:
    noise = draw_noise(StepRandom(1, 0), ObjectiveRecipe(pyramid_noise=0.6), 400, 2, 8, 6)
    torch.testing.assert_close(noise.flatten(1).std(1), torch.ones(400))
    assert (noise[..., 1:] * noise[..., :-1]).mean().item() > 0.15  # of plain noise 0


def test_perturbation_is_seen_but_not_to_be_found() -> None:
    noise = draw_noise(StepRandom(1, 0), ObjectiveRecipe(), 400, 2, 4, 4)
    seen = perturbed(noise, StepRandom(2, 0), ObjectiveRecipe(input_perturbation=0.1))
    assert (seen - noise).std().item() == pytest.approx(0.1, abs=0.01)
    assert perturbed(noise, StepRandom(2, 0), ObjectiveRecipe()) is noise


def test_distances_are_means_of_each_example() -> None:
    predicted, target = torch.tensor([[0.0, 3.0], [1.0, 1.0]]), torch.tensor([[0.0, 0.0], [1.0, 0.0]])

    assert distances("mse", predicted, target).tolist() == [4.5, 0.5]
    assert distances("l1", predicted, target).tolist() == [1.5, 0.5]
    assert distances("huber", predicted, target).tolist() == [1.25, 0.25]


def test_a_mask_says_where_errors_count_and_huber_where_they_grow_evenly() -> None:
    predicted, target = torch.full((1, 2, 2, 2), 3.0), torch.zeros(1, 2, 2, 2)
    mask = torch.tensor([[[[1.0, 0.0], [0.5, 0.0]]]])

    assert distances("mse", predicted, target, mask=mask).tolist() == [9 * 1.5 / 4]
    assert distances("huber", predicted, target, huber_delta=2).tolist() == [2 * (3 - 1)]
