"""Flow matching: its noise levels, and sampling against diffusers' pipelines of Stable Diffusion 3."""

from __future__ import annotations

from dataclasses import replace
from math import sqrt
from typing import Any

import diffusers
import pytest
import torch
from torch import Tensor

from graphengine.diffusion import conditioning
from graphengine.diffusion.denoisers import Denoiser, raw_to_denoised
from graphengine.diffusion.flow_samplers import flow_sampler
from graphengine.diffusion.noise import Noise
from graphengine.diffusion.samplers import SAMPLERS, Ask
from graphengine.diffusion.sampling import sample
from graphengine.diffusion.sampling_run import Place, run_sampler
from graphengine.diffusion.schedules import TrainedLevels, sampling_sigmas
from graphengine.errors import InputError
from graphengine.types import Conditioning, Guider, Latent, Mask, RunNoise, Sigmas
from tests.diffusion.gaussian import Gaussian
from tests.diffusion.tiny_checkpoint import tiny_model
from tests.diffusion.tiny_flow import tiny_flow_clip, tiny_flow_model, tiny_flow_vae

CONFIG: dict[str, object] = {
    "_class_name": "FlowMatchEulerDiscreteScheduler",
    "num_train_timesteps": 1000,
    "shift": 3.0,
}
SEED, STEPS, CFG = 5, 4, 3.0


def prompt(seed: int) -> Conditioning:
    generator = torch.Generator().manual_seed(seed)
    return Conditioning.of(torch.randn(1, 5, 64, generator=generator), torch.randn(1, 48, generator=generator))


def encoded() -> Latent:
    return Latent(torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(8)))


def pipeline(kind: str, **given: Any) -> Tensor:  # Any: diffusers is untyped
    parts = dict.fromkeys(f"{part}{number}" for part in ("text_encoder", "tokenizer") for number in ("", "_2", "_3"))
    scheduler = diffusers.FlowMatchEulerDiscreteScheduler.from_config(dict(CONFIG))
    pipe = getattr(diffusers, kind)(
        transformer=tiny_flow_model().network, scheduler=scheduler, vae=tiny_flow_vae().autoencoder, **parts
    )
    pipe.set_progress_bar_config(disable=True)
    positive, negative = prompt(1).parts[0], prompt(2).parts[0]
    result: Tensor = pipe(
        prompt_embeds=positive.embedding, pooled_prompt_embeds=positive.pooled,
        negative_prompt_embeds=negative.embedding, negative_pooled_prompt_embeds=negative.pooled,
        guidance_scale=CFG, num_inference_steps=STEPS, height=16, width=16,
        generator=torch.Generator().manual_seed(SEED), output_type="latent", **given,
    ).images  # fmt: skip
    return result


def ours(latent: Latent, sampler_name: Any, **options: Any) -> Tensor:  # Any: each test varies other inputs
    given = {"seed": SEED, "steps": STEPS, "cfg": CFG, "scheduler": "simple", **options}
    return sample(
        tiny_flow_model(), latent, sampler_name=sampler_name, positive=prompt(1), negative=prompt(2), **given
    ).samples  # fmt: skip


def test_levels_are_those_of_the_shifted_path() -> None:
    levels = TrainedLevels.of(CONFIG)
    t = 3 * 0.5 / (1 + 2 * 0.5)  # the middle, shifted by 3
    assert levels.sigma(499) == pytest.approx(t / (1 - t))
    assert levels.told(t / (1 - t)) == pytest.approx(1000 * t)
    assert levels.level_told(1000 * t) == pytest.approx(t / (1 - t))
    assert levels.scale(t / (1 - t)) == pytest.approx(1 - t)
    assert levels.told(levels.sigma_max) == 1000
    assert levels.level_told(1000) == levels.sigma_max == pytest.approx(2**20)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"use_dynamic_shifting": True}, "shift depends on the picture's size"),
        ({"shift": 0.0}, "1000 timesteps with a shift of 0.0"),
        ({"num_train_timesteps": None}, "no usable number of timesteps"),
    ],
    ids=["dynamic", "no shift", "no steps"],
)
def test_paths_without_levels_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        TrainedLevels.of(CONFIG | change)


def test_ideal_raw_output_gives_the_clean_data() -> None:
    data, noise, t = torch.randn(1, 4, 2, 2), torch.randn(1, 4, 2, 2), 0.8
    sigma = t / (1 - t)
    x = data + sigma * noise
    torch.testing.assert_close(raw_to_denoised("flow", noise - data, x, sigma), data)


def test_the_schedulers_sampler_equals_the_pipeline() -> None:
    theirs = pipeline("StableDiffusion3Pipeline")
    mine = ours(Latent(torch.zeros(1, 4, 8, 8)), "diffusers:FlowMatchEulerDiscreteScheduler")
    torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-5)


@pytest.mark.parametrize("has_t5", [True, False], ids=["", "without T5"])
def test_prompts_are_encoded_as_by_the_pipeline(has_t5: bool) -> None:
    """Two CLIP encoders and T5; where that isn't loaded, zeros take the place of its 256 tokens."""
    clip = tiny_flow_clip()
    encoders = [*clip.encoders] if has_t5 else [*clip.encoders[:2]]
    parts: dict[str, Any] = dict.fromkeys(("transformer", "scheduler", "vae", "text_encoder_3", "tokenizer_3"))
    for number, encoder in enumerate(encoders):
        suffix = f"_{number + 1}" if number else ""
        parts |= {f"text_encoder{suffix}": encoder.network, f"tokenizer{suffix}": encoder.tokenizer}
    pipe = diffusers.StableDiffusion3Pipeline(**parts)
    pipe.transformer = tiny_flow_model().network
    pipe.transformer.register_to_config(joint_attention_dim=64 if has_t5 else 4096)
    theirs = pipe.encode_prompt("a red square", None, None, "cpu", max_sequence_length=256)
    (mine,) = conditioning.encode(replace(clip, encoders=tuple(encoders), family="sd3"), "a red square").parts
    assert torch.equal(mine.embedding, theirs[0])
    assert mine.pooled is not None
    assert torch.equal(mine.pooled, theirs[2])


def test_the_schedulers_sampler_equals_the_image_to_image_pipeline() -> None:
    theirs = pipeline("StableDiffusion3Img2ImgPipeline", image=encoded().samples, strength=0.5)
    mine = ours(encoded(), "diffusers:FlowMatchEulerDiscreteScheduler", denoise=0.5)
    torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-5)


def test_our_euler_equals_the_pipeline_on_its_levels() -> None:
    theirs = pipeline("StableDiffusion3Pipeline")
    scheduler = diffusers.FlowMatchEulerDiscreteScheduler.from_config(dict(CONFIG))
    scheduler.set_timesteps(STEPS)
    levels = TrainedLevels.of(CONFIG)
    sigmas = Sigmas(torch.tensor([*(levels.level_told(float(each)) for each in scheduler.timesteps), 0.0]))
    guider = Guider(tiny_flow_model(), prompt(1), prompt(2), CFG)
    blank = Latent(torch.zeros(1, 4, 8, 8))
    mine = run_sampler(guider, RunNoise(SEED), "euler", sigmas, blank, Place()).latent.samples
    torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", SAMPLERS)
def test_every_sampler_runs_a_flow(name: str) -> None:
    latent = replace(encoded(), noise_mask=Mask(torch.cat([torch.ones(1, 8, 4), torch.zeros(1, 8, 4)], dim=2)))
    result = ours(latent, name)
    assert torch.isfinite(result).all()
    assert result[..., :4].abs().max() < 20
    assert torch.equal(result[..., 4:], latent.samples[..., 4:])


@pytest.mark.parametrize("name", ["euler_ancestral", "dpm_2_ancestral", "dpmpp_2s_ancestral"])
def test_samples_from_pure_noise_have_the_datas_mean_and_variance(name: str) -> None:
    data, size = Gaussian(), 10_000
    noise = Noise(11, (1, 1, 100, 100), dtype=torch.float64)
    times = torch.linspace(1, 0, 300 if name == "euler_ancestral" else 60, dtype=torch.float64)
    sigmas = (times / (1 - times)).clamp(max=2**20)
    result = data.run(flow_sampler(name, noise() * sigmas[0], sigmas, noise))
    bias = 0.02 if name == "euler_ancestral" else 0.0  # of the method, which is of first order
    assert abs(result.mean().item() - data.mean) < 3 * data.std / sqrt(size) + bias
    assert abs(result.var().item() - data.std**2) < 3 * data.std**2 * sqrt(2 / size) + bias


@pytest.mark.parametrize("name", ["euler", "diffusers:FlowMatchEulerDiscreteScheduler"])
def test_the_last_step_reports_what_comes_out(name: str) -> None:
    reported: list[Tensor] = []
    result = ours(encoded(), name, on_step=lambda done, total, denoised: reported.append(denoised))
    assert len(reported) == STEPS
    torch.testing.assert_close(reported[-1], result, rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", ["simple", "sgm_uniform", "normal"])
def test_schedules_of_steps_begin_in_pure_noise(name: Any) -> None:  # Any: any schedule's name
    levels = TrainedLevels.of(CONFIG)
    sigmas = sampling_sigmas(levels, name, steps=4)
    assert [levels.told(sigma) for sigma in sigmas[:1].tolist()] == [1000]
    assert (sigmas[:-1] > sigmas[1:]).all()


def test_samplers_of_the_other_kind_are_refused() -> None:
    with pytest.raises(InputError, match="DDIMScheduler doesn't fit a model that predicts 'flow'"):
        ours(encoded(), "diffusers:DDIMScheduler")
    with pytest.raises(InputError, match="doesn't fit a model that predicts 'epsilon'"):
        sample(
            tiny_model(), encoded(), seed=0, steps=2, cfg=1, scheduler="normal", positive=prompt(1), negative=prompt(2),
            sampler_name="diffusers:FlowMatchEulerDiscreteScheduler",
        )  # fmt: skip


def test_latents_that_do_not_fill_patches_are_refused() -> None:
    with pytest.raises(InputError, match="multiples of 2"):
        ours(Latent(torch.zeros(1, 4, 7, 8)), "euler")


def test_pooled_prompts_that_do_not_fit_are_refused() -> None:
    bare = Conditioning.of(torch.zeros(1, 5, 64))
    with pytest.raises(InputError, match="doesn't have the 48 features"):
        Denoiser(tiny_flow_model(), bare, bare, cfg=1, batch=1)(Ask(torch.zeros(1, 4, 8, 8), 1.0))
