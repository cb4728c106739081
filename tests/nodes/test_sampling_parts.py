"""Sampling in parts comes to the same bits as KSampler, and to what KSampler can't do."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from graphengine.authoring.testing import FakeContext
from graphengine.diffusion import conditioning
from graphengine.errors import InputError
from graphengine.types import Conditioning, Guider, Latent, Mask, OwnSamplerName, SamplerChoice
from graphengine_nodes import noise_levels
from graphengine_nodes import sampling_parts as nodes
from graphengine_nodes.latents import empty_latent, set_latent_noise_mask
from graphengine_nodes.sampling import ksampler
from tests.diffusion.tiny_checkpoint import tiny_clip, tiny_model

PROMPT = conditioning.encode(tiny_clip(), "red")
OTHER = conditioning.encode(tiny_clip(), "blue")
NOTHING = conditioning.encode(tiny_clip(), "")
EULER = SamplerChoice("euler")


@pytest.fixture
def ctx(tmp_path: Path) -> FakeContext:
    return FakeContext(tmp_path)


def masked() -> Latent:
    samples = torch.randn(2, 4, 4, 4, generator=torch.Generator().manual_seed(3))
    mask = torch.zeros(1, 32, 32)
    mask[..., 12:] = 1
    return set_latent_noise_mask(Latent(samples), Mask(mask))


@pytest.mark.parametrize("sampler", ["euler", "euler_ancestral", "dpmpp_2m_sde", "uni_pc"])
@pytest.mark.parametrize("denoise", [1.0, 0.6])
def test_the_same_parts_equal_ksampler_bit_for_bit(ctx: FakeContext, sampler: OwnSamplerName, denoise: float) -> None:
    model, latent = tiny_model(), masked()
    whole = ksampler(
        ctx, model, 5, 4, 3.0, sampler, "karras", positive=PROMPT, negative=NOTHING, latent_image=latent,
        denoise=denoise,
    )  # fmt: skip
    levels = noise_levels.basic_scheduler(model, "karras", 4, denoise)
    chosen = nodes.ksampler_select(sampler)
    guider = nodes.cfg_guider(model, PROMPT, NOTHING, 3.0)
    advanced = nodes.sampler_custom_advanced(ctx, nodes.random_noise(5), guider, chosen, levels, latent)
    custom = nodes.sampler_custom(
        ctx, model, True, 5, 3.0, positive=PROMPT, negative=NOTHING, sampler=chosen, sigmas=levels, latent_image=latent
    )
    assert torch.equal(advanced.output.samples, whole.samples)
    assert torch.equal(custom.output.samples, whole.samples)
    assert advanced.output.noise_mask is latent.noise_mask


def test_two_samplers_on_split_levels_equal_one(ctx: FakeContext) -> None:
    model, blank = tiny_model(), empty_latent(32, 32)
    guider, levels = nodes.basic_guider(model, PROMPT), noise_levels.basic_scheduler(model, steps=4)
    whole = nodes.sampler_custom_advanced(ctx, nodes.random_noise(5), guider, EULER, levels, blank)
    high, low = noise_levels.split_sigmas(levels, 2)
    first = nodes.sampler_custom_advanced(ctx, nodes.random_noise(5), guider, EULER, high, blank)
    second = nodes.sampler_custom_advanced(ctx, nodes.disable_noise(), guider, EULER, low, first.output)
    assert torch.equal(second.output.samples, whole.output.samples)
    assert not torch.equal(first.output.samples, first.denoised_output.samples)


def test_the_estimate_is_the_result_where_no_noise_is_left(ctx: FakeContext) -> None:
    model = tiny_model()
    levels = noise_levels.basic_scheduler(model, steps=3)
    result = nodes.sampler_custom_advanced(
        ctx, nodes.random_noise(), nodes.basic_guider(model, PROMPT), EULER, levels, masked()
    )
    assert torch.allclose(result.output.samples, result.denoised_output.samples, atol=1e-5)
    kept = result.denoised_output.samples[..., 0]
    assert torch.equal(kept, masked().samples[..., 0])


def test_no_levels_leave_the_latent_as_it_is(ctx: FakeContext) -> None:
    model, latent = tiny_model(), masked()
    guider = nodes.basic_guider(model, PROMPT)
    for levels in (
        noise_levels.basic_scheduler(model, denoise=0),
        noise_levels.split_sigmas(noise_levels.manual_sigmas("5 0"), 0)[0],
    ):
        result = nodes.sampler_custom_advanced(ctx, nodes.random_noise(), guider, EULER, levels, latent)
        assert result.output is latent


def test_walking_up_and_down_again_comes_back(ctx: FakeContext) -> None:
    """A picture becomes the noise that it would come from, and that noise the picture."""
    model = tiny_model()
    guider = nodes.basic_guider(model, PROMPT)
    picture = Latent(torch.randn(1, 4, 4, 4, generator=torch.Generator().manual_seed(3)))
    down, heun = noise_levels.karras_scheduler(40, 8.0, 0.01), nodes.ksampler_select("heun")
    up = nodes.sampler_custom_advanced(
        ctx, nodes.disable_noise(), guider, heun, noise_levels.flip_sigmas(down), picture
    )
    assert up.output.samples.std() > 2 * picture.samples.std()
    again = nodes.sampler_custom_advanced(ctx, nodes.disable_noise(), guider, heun, down, up.output)
    assert torch.allclose(again.output.samples, picture.samples, atol=0.05)


def test_two_prompts_are_followed_by_their_own_scales(ctx: FakeContext) -> None:
    model, blank = tiny_model(), empty_latent(32, 32)

    def sampled(guider: Guider) -> torch.Tensor:
        levels = noise_levels.manual_sigmas("5 2 0")
        return nodes.sampler_custom_advanced(ctx, nodes.random_noise(1), guider, EULER, levels, blank).output.samples

    def dual(first: float, second: float, style: str = "regular") -> torch.Tensor:
        return sampled(nodes.dual_cfg_guider(model, PROMPT, OTHER, NOTHING, first, second, style))  # type: ignore[arg-type]  # named freely

    only_second = sampled(nodes.cfg_guider(model, OTHER, NOTHING, 4.0))
    only_first = sampled(nodes.cfg_guider(model, PROMPT, OTHER, 4.0))
    assert torch.allclose(dual(0, 4), only_second, atol=1e-4)
    assert torch.allclose(dual(4, 1), only_first, atol=1e-4)
    assert torch.allclose(dual(4, 1, "nested"), only_first, atol=1e-4)
    assert torch.allclose(dual(0, 4, "nested"), only_second, atol=1e-4)
    assert not torch.allclose(dual(4, 4), dual(4, 4, "nested"), atol=1e-2)


def test_each_step_is_reported_and_what_the_guider_holds_is_brought_to_the_device(ctx: FakeContext) -> None:
    guider, blank = nodes.basic_guider(tiny_model(), PROMPT), empty_latent(32, 32)
    levels = noise_levels.manual_sigmas("5 2 1 0")
    nodes.sampler_custom_advanced(ctx, nodes.random_noise(), guider, EULER, levels, blank)
    assert ctx.progress_reports == pytest.approx([1 / 3, 2 / 3, 1])
    assert ctx.loaded_values == [guider]


def test_what_is_wrong_in_a_guider_is_said_of_the_guider(ctx: FakeContext) -> None:
    wide = Conditioning.of(torch.zeros(1, 8, 32))
    for guider in (nodes.basic_guider(tiny_model(), wide), nodes.cfg_guider(tiny_model(), PROMPT, wide)):
        with pytest.raises(InputError, match="32") as caught:
            nodes.sampler_custom_advanced(
                ctx, nodes.random_noise(), guider, EULER, noise_levels.manual_sigmas(), empty_latent(32, 32)
            )
        assert caught.value.input == "guider"


def test_written_levels_are_read_before_the_run() -> None:
    (check,) = noise_levels.manual_sigmas.checks
    check("14.6 0")
    with pytest.raises(InputError, match="8 doesn't go on from 7"):
        check("14 7 8 0")


def test_levels_upside_down_are_refused_before_the_run() -> None:
    for scheduler in (noise_levels.karras_scheduler, noise_levels.exponential_scheduler):
        (check,) = scheduler.checks
        with pytest.raises(InputError, match="isn't below sigma_max"):
            check(1.0, 1.0)


@pytest.mark.parametrize(
    ("function", "inputs"),
    [
        (nodes.random_noise, "noise_seed"),
        (nodes.basic_guider, "model conditioning"),
        (nodes.cfg_guider, "model positive negative cfg"),
        (nodes.dual_cfg_guider, "model cond1 cond2 negative cfg_conds cfg_cond2_negative style"),
        (nodes.ksampler_select, "sampler_name"),
        (noise_levels.basic_scheduler, "model scheduler steps denoise"),
        (noise_levels.karras_scheduler, "steps sigma_max sigma_min rho"),
        (noise_levels.exponential_scheduler, "steps sigma_max sigma_min"),
        (noise_levels.split_sigmas, "sigmas step"),
        (noise_levels.split_sigmas_denoise, "sigmas denoise"),
        (nodes.sampler_custom, "model add_noise noise_seed cfg positive negative sampler sigmas latent_image"),
        (nodes.sampler_custom_advanced, "noise guider sampler sigmas latent_image"),
    ],
    ids=lambda value: value.definition.id if hasattr(value, "definition") else "",
)
def test_inputs_have_their_public_names_and_order(function: object, inputs: str) -> None:
    definition = function.definition  # type: ignore[attr-defined]  # nodes of several signatures
    assert [each.name for each in definition.inputs] == inputs.split()
