from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache
from typing import Any, get_args

import diffusers
import pytest
import torch
from torch import Tensor, nn

from graphengine.diffusion.samplers import SAMPLERS
from graphengine.diffusion.sampling import add_noise, sample
from graphengine.diffusion.scheduler_samplers import SCHEDULER_CLASSES
from graphengine.diffusion.schedules import TrainedLevels, sampling_sigmas
from graphengine.errors import Cancelled, InputError
from graphengine.types import Conditioning, Latent, Mask, Model, Prediction, SamplerName
from tests.diffusion.tiny_checkpoint import tiny_model

# From diffusers itself. It turns tensors into NumPy arrays in a way that NumPy 2 warns of.
pytestmark = pytest.mark.filterwarnings("ignore:__array:DeprecationWarning")

SEED = 2**64 - 2  # so that a batch of three passes the largest seed
SINGLE_STEP: list[SamplerName] = ["euler", "heun", "dpm_2", "ddim"]


class Formula(diffusers.UNet2DConditionModel):  # type: ignore[misc]  # diffusers is untyped
    """A network that costs nothing: its answer depends on all it is given, each item's on that item alone."""

    def forward(
        self, sample: Tensor, timestep: Tensor, encoder_hidden_states: Tensor, **unused: object
    ) -> tuple[Tensor]:
        prompt = encoder_hidden_states.mean(dim=(1, 2))[:, None, None, None]
        return ((0.8 * sample + prompt + timestep / 100).tanh(),)


def model_for(prediction: Prediction = "epsilon", *, network: nn.Module | None = None) -> Model:
    """A short table of noise levels, since diffusers' KDPM2 schedulers take a second to set up a long one."""
    config = {
        "num_train_timesteps": 100, "beta_schedule": "scaled_linear", "beta_start": 0.008, "beta_end": 0.12,
        "clip_sample": False, "steps_offset": 1, "set_alpha_to_one": False, "skip_prk_steps": True,
        "prediction_type": prediction,
    }  # fmt: skip
    if network is None:
        network = Formula(
            sample_size=4, block_out_channels=(4,), down_block_types=("DownBlock2D",), up_block_types=("UpBlock2D",),
            mid_block_type=None, layers_per_block=1, norm_num_groups=2, cross_attention_dim=16,
        ).eval()  # fmt: skip
    return Model(network, prediction, config)


@lru_cache
def usual_model() -> Model:
    """Make the model that runs share which ask for no other."""
    return model_for()


def prompts() -> dict[str, Conditioning]:
    generator = torch.Generator().manual_seed(1)
    return {name: Conditioning.of(torch.randn(1, 5, 16, generator=generator)) for name in ("positive", "negative")}


def blank(batch: int = 2) -> Latent:
    return Latent(torch.zeros(batch, 4, 4, 4))


def encoded(batch: int = 2) -> Latent:
    return Latent(torch.randn(batch, 4, 4, 4, generator=torch.Generator().manual_seed(8)))


def left_half(latent: Latent, *, soft: bool = False) -> Latent:
    """Select the left half; if soft, with a column that is selected partly."""
    mask = torch.zeros(1, 8, 8)
    mask[..., : 3 if soft else 4] = 1
    return replace(latent, noise_mask=Mask(mask))


def run(latent: Latent, sampler_name: str, *, model: Model | None = None, **options: Any) -> Tensor:
    # Any: each test varies other inputs
    given = {"seed": SEED, "steps": 6, "cfg": 2.5, "scheduler": "karras", **prompts(), **options}
    result = sample(model or usual_model(), latent, sampler_name=sampler_name, **given)  # type: ignore[arg-type]  # any name
    assert result.samples.shape == latent.samples.shape
    assert result.samples.dtype == torch.float32
    return result.samples


def pipeline(
    kind: str, model: Model, class_name: str, *, steps: int, **given: Any
) -> Tensor:  # Any: diffusers is untyped
    """Run one of diffusers' Stable Diffusion pipelines on the same model, without text encoder and autoencoder."""
    scheduler = getattr(diffusers, class_name).from_config(dict(model.scheduler_config))
    parts = dict.fromkeys(["vae", "text_encoder", "tokenizer", "safety_checker", "feature_extractor"])
    pipe = getattr(diffusers, kind)(unet=model.network, scheduler=scheduler, requires_safety_checker=False, **parts)
    pipe.set_progress_bar_config(disable=True)
    result: Tensor = pipe(
        prompt_embeds=prompts()["positive"].parts[0].embedding.expand(2, -1, -1),
        negative_prompt_embeds=prompts()["negative"].parts[0].embedding.expand(2, -1, -1),
        guidance_scale=2.5,
        num_inference_steps=steps,
        generator=[torch.Generator().manual_seed((SEED + item) % 2**64) for item in range(2)],
        output_type="latent",
        **given,
    ).images
    return result


@pytest.mark.parametrize("class_name", SCHEDULER_CLASSES)
def test_diffusers_samplers_equal_the_pipeline_bit_for_bit(class_name: str) -> None:
    model = model_for("v_prediction", network=tiny_model().network)
    theirs = pipeline("StableDiffusionPipeline", model, class_name, steps=4, height=32, width=32)
    assert torch.equal(run(blank(), f"diffusers:{class_name}", model=model, steps=4), theirs)


@pytest.mark.parametrize("class_name", SCHEDULER_CLASSES)
def test_diffusers_samplers_equal_the_image_to_image_pipeline_bit_for_bit(class_name: str) -> None:
    model = model_for()
    latent = encoded()
    theirs = pipeline("StableDiffusionImg2ImgPipeline", model, class_name, steps=6, image=latent.samples, strength=0.7)
    assert torch.equal(run(latent, f"diffusers:{class_name}", model=model, denoise=0.7), theirs)


@pytest.mark.parametrize("name", [*SAMPLERS, "diffusers:DDPMScheduler", "diffusers:EulerAncestralDiscreteScheduler"])
@pytest.mark.parametrize("masked", [False, True], ids=["", "masked"])
def test_item_of_a_batch_equals_that_item_alone(name: str, masked: bool) -> None:
    latent = left_half(encoded(3)) if masked else encoded(3)
    together = run(latent, name, denoise=0.7)
    alone = run(replace(latent, samples=latent.samples[2:]), name, denoise=0.7, seed=0)
    assert torch.equal(together[2:], alone)


@pytest.mark.parametrize("name", SAMPLERS)
def test_same_seed_same_result_and_another_seed_another(name: str) -> None:
    first = run(blank(), name)
    assert torch.equal(run(blank(), name), first)
    assert not torch.allclose(run(blank(), name, seed=4), first)


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("masked", [False, True], ids=["", "masked"])
@pytest.mark.parametrize("denoise", [1.0, 0.6])
def test_noise_added_before_equals_noise_added_by_the_sampler(name: str, masked: bool, denoise: float) -> None:
    latent = left_half(encoded()) if masked else encoded()
    noised = add_noise(model_for(), latent, seed=SEED, steps=6, scheduler="karras", denoise=denoise)
    assert torch.equal(run(noised, name, denoise=denoise, add_noise=False), run(latent, name, denoise=denoise))


@pytest.mark.parametrize("name", SINGLE_STEP)
@pytest.mark.parametrize("masked", [False, True], ids=["", "masked"])
def test_two_parts_of_a_run_equal_the_whole(name: str, masked: bool) -> None:
    latent = left_half(encoded()) if masked else encoded()
    half = replace(latent, samples=run(latent, name, end_at_step=3, return_with_leftover_noise=True))
    assert torch.equal(run(half, name, add_noise=False, start_at_step=3), run(latent, name))


def test_run_that_stops_early_goes_to_the_data_unless_noise_is_to_be_left() -> None:
    clean = run(blank(), "euler", end_at_step=2, model=model_for("sample"))
    left = run(blank(), "euler", end_at_step=2, return_with_leftover_noise=True, model=model_for("sample"))
    assert clean.std() < 2 < left.std()


@pytest.mark.parametrize("name", [*SAMPLERS, *(f"diffusers:{name}" for name in SCHEDULER_CLASSES)])
def test_unmasked_latents_are_kept_bit_for_bit(name: str) -> None:
    latent = left_half(encoded())
    result = run(latent, name)
    assert torch.equal(result[..., 2:], latent.samples[..., 2:])
    assert not torch.isclose(result[..., :2], latent.samples[..., :2]).any()


@pytest.mark.parametrize("name", ["euler", "dpmpp_2m", "uni_pc"])
def test_known_part_is_shown_at_the_noise_level_of_each_request(name: str) -> None:
    model, latent = model_for(), left_half(encoded())
    noise = add_noise(model, Latent(torch.zeros(2, 4, 4, 4)), seed=SEED, steps=6, scheduler="karras", denoise=0.6)
    seen: list[Tensor] = []
    model.network.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    run(latent, name, model=model, denoise=0.6, cfg=1.0)
    sigmas = [float(level) for level in karras_levels(model, steps=10)[4:-1]]
    for x, sigma in zip(seen, sigmas, strict=True):
        known = latent.samples + noise.samples * (sigma / sigmas[0])
        expected = known / (1 + sigma**2) ** 0.5
        torch.testing.assert_close(x[..., 2:], expected[..., 2:], rtol=1e-4, atol=1e-5)


def karras_levels(model: Model, *, steps: int) -> Tensor:
    return sampling_sigmas(TrainedLevels.of(model.scheduler_config), "karras", steps=steps)


def test_partly_selected_latents_are_mixed_with_what_was_there() -> None:
    """
    mask      1 1 1 0 0 0 0 0     at 8 pixels a row
    latents    1   ½   0   0      at 4 cells: the second is repainted by half
    """
    latent = left_half(encoded(), soft=True)
    result = run(latent, "euler")[..., 1]
    repainted = run(left_half(encoded()), "euler")[..., 1]
    kept = latent.samples[..., 1]
    assert not torch.isclose(result, kept).any()
    assert (result - kept).abs().mean() < (repainted - kept).abs().mean()


def test_selection_thinner_than_a_cell_is_not_lost() -> None:
    mask = torch.zeros(1, 80, 80)
    mask[:, 33, 47] = 1  # one pixel, above the latent's cell (1, 2)
    latent = replace(encoded(), noise_mask=Mask(mask))
    changed = (run(latent, "euler") != latent.samples).any(dim=(0, 1))
    assert changed.nonzero().tolist() == [[1, 2]]


def test_each_latent_can_have_its_own_mask() -> None:
    mask = torch.stack([torch.ones(4, 4), torch.zeros(4, 4)])
    latent = replace(encoded(), noise_mask=Mask(mask))
    result = run(latent, "euler")
    assert not torch.isclose(result[0], latent.samples[0]).any()
    assert torch.equal(result[1], latent.samples[1])


def test_noise_is_not_added_to_unmasked_latents() -> None:
    latent = left_half(encoded())
    noised = add_noise(model_for(), latent, seed=1, steps=6, scheduler="normal")
    assert torch.equal(noised.samples[..., 2:], latent.samples[..., 2:])
    assert noised.samples[..., :2].std() > 5


def test_mask_stays_with_the_result() -> None:
    latent = left_half(encoded())
    given: dict[str, Any] = prompts()  # Any: as inputs by name
    result = sample(model_for(), latent, seed=1, steps=2, cfg=1.0, sampler_name="euler", scheduler="normal", **given)
    assert result.noise_mask is latent.noise_mask


def test_noise_at_the_highest_level_has_the_variance_of_noise_and_data() -> None:
    model = model_for()
    first = torch.randn(1, 4, 4, 4, generator=torch.Generator().manual_seed(5))
    highest, lower = karras_levels(model, steps=20)[:2].tolist()
    full = add_noise(model, blank(1), seed=5, steps=20, scheduler="karras").samples
    torch.testing.assert_close(full, first * (1 + highest**2) ** 0.5)
    part = add_noise(model, blank(1), seed=5, steps=19, scheduler="karras", denoise=0.95).samples
    torch.testing.assert_close(part, first * lower)


@pytest.mark.parametrize("name", ["euler", "diffusers:EulerDiscreteScheduler"])
def test_denoise_0_changes_nothing(name: SamplerName) -> None:
    latent = encoded()
    assert torch.equal(run(latent, name, denoise=0), latent.samples)
    assert add_noise(model_for(), latent, seed=1, steps=6, scheduler="normal", denoise=0) is latent


@pytest.mark.parametrize("name", [name for name in get_args(SamplerName) if "FlowMatch" not in name])
def test_each_step_is_reported_once_with_its_denoised_estimate(name: SamplerName) -> None:
    reports: list[tuple[int, int]] = []
    model = model_for("v_prediction")

    def on_step(done: int, total: int, denoised: Tensor) -> None:
        reports.append((done, total))
        assert denoised.shape == (2, 4, 4, 4)
        assert denoised.std() < 10  # x itself begins at 25

    run(blank(), name, model=model, on_step=on_step)
    assert reports == [(done, 6) for done in range(1, 7)]


def test_part_of_a_run_counts_its_own_steps() -> None:
    reports: list[tuple[int, int]] = []
    options: dict[str, Any] = {"on_step": lambda done, total, _: reports.append((done, total))}  # Any: inputs differ
    run(encoded(), "heun", start_at_step=2, end_at_step=5, **options)
    run(encoded(), "diffusers:HeunDiscreteScheduler", denoise=0.5, **options)
    assert reports == [(1, 3), (2, 3), (3, 3)] * 2


@pytest.mark.parametrize("name", ["dpm_2", "diffusers:DDIMScheduler"])
def test_exception_from_the_report_ends_the_run(name: str) -> None:
    model, calls = model_for(), 0

    def count(module: nn.Module, given: object) -> None:
        nonlocal calls
        calls += 1

    def cancel(done: int, total: int, denoised: Tensor) -> None:
        if done == 2:
            raise Cancelled

    model.network.register_forward_pre_hook(count)
    with pytest.raises(Cancelled):
        run(blank(), name, model=model, on_step=cancel)
    assert calls == (4 if name == "dpm_2" else 2)


def test_result_can_be_trained_on() -> None:
    """No trace of the run's own state: neither a graph nor an inference tensor."""
    result = run(blank(), "euler")
    assert not result.requires_grad
    weight = torch.ones(1, requires_grad=True)
    (result * weight).sum().backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
    assert weight.grad is not None


def test_runs_of_unconditional_models() -> None:
    network = diffusers.UNet2DModel(
        sample_size=4, in_channels=4, out_channels=4, layers_per_block=1, block_out_channels=(8, 16),
        down_block_types=("DownBlock2D",) * 2, up_block_types=("UpBlock2D",) * 2, norm_num_groups=4,
        add_attention=False,
    )  # fmt: skip
    model = replace(model_for(), network=network.eval())
    assert torch.isfinite(run(blank(), "dpmpp_2m", model=model)).all()
    with pytest.raises(InputError, match="latents of 4 x 3 cells can't be divided"):
        run(Latent(torch.zeros(1, 4, 3, 4)), "euler", model=model)


@pytest.mark.parametrize(
    ("options", "wrong_input", "message"),
    [
        ({"sampler_name": "dpm_adaptive"}, "sampler_name", "there is no sampler 'dpm_adaptive'"),
        ({"sampler_name": "diffusers:Euler"}, "sampler_name", "there is no sampler 'diffusers:Euler'"),
        ({"scheduler": "cosine"}, "scheduler", "there is no schedule 'cosine'"),
        ({"steps": 0}, "steps", "0 is too small"),
        ({"steps": 101, "scheduler": "simple"}, "steps", "would need 101 levels"),
        ({"denoise": 1.1}, "denoise", "1.1 is out of range"),
        ({"denoise": -0.1, "sampler_name": "diffusers:DDIMScheduler"}, "denoise", "-0.1 is out of range"),
        ({"end_at_step": 7}, "end_at_step", "7 is past the last of 6 steps"),
        ({"start_at_step": 6}, "start_at_step", "6 leaves no step to run before step 6"),
        ({"start_at_step": 4, "end_at_step": 4}, "start_at_step", "4 leaves no step to run before step 4"),
        ({"latent": Latent(torch.zeros(1, 3, 4, 4))}, "latent_image", "don't fit a model of 4 channels"),
        ({"latent": Latent(torch.full((1, 4, 4, 4), torch.nan))}, "latent_image", "holds NaN"),
        ({"latent": replace(blank(), noise_mask=Mask(torch.ones(3, 8, 8)))}, "latent_image", "holds 2 latents"),
        ({"sampler_name": "diffusers:DDIMScheduler", "add_noise": False}, "add_noise", "add their own noise"),
        ({"sampler_name": "diffusers:DDIMScheduler", "end_at_step": 3}, "end_at_step", "always run to the end"),
        (
            {"sampler_name": "diffusers:DDIMScheduler", "return_with_leftover_noise": True},
            "end_at_step",
            "always run to the end",
        ),
        ({"sampler_name": "diffusers:DDIMScheduler", "steps": 101}, "sampler_name", "refused the model or 101 steps"),
        ({"sampler_name": "diffusers:DDIMScheduler", "denoise": 0.1}, "start_at_step", "leaves no step"),
    ],
)
def test_values_that_can_not_be_used_are_refused(options: dict[str, Any], wrong_input: str, message: str) -> None:
    arguments = {"latent": blank(), "sampler_name": "euler", **options}
    with pytest.raises(InputError, match=message) as caught:
        run(**arguments)
    assert caught.value.input == wrong_input


def test_scheduler_that_can_not_step_such_a_model_says_so() -> None:
    with pytest.raises(InputError, match="KDPM2DiscreteScheduler can't step with a model that predicts 'sample'"):
        run(blank(), "diffusers:KDPM2DiscreteScheduler", model=model_for("sample"))


@contextmanager
def time_in(network: nn.Module) -> Iterator[list[float]]:
    """Measure the seconds spent in a network's calls."""
    spent = [0.0]

    def before(module: nn.Module, given: object) -> None:
        spent[0] -= time.thread_time()

    def after(module: nn.Module, given: object, result: object) -> None:
        spent[0] += time.thread_time()

    hooks = [network.register_forward_pre_hook(before), network.register_forward_hook(after)]
    yield spent
    for hook in hooks:
        hook.remove()


def test_driving_costs_little_beside_the_model() -> None:
    """At most 1 ms of our own a step, whatever the model: in processor time, which load hardly changes."""
    model = model_for()
    with time_in(model.network) as in_network:
        started = time.thread_time()
        run(blank(), "euler", model=model, steps=20)
        whole = time.thread_time() - started
    assert whole - in_network[0] < 20 * 0.001 + 0.01


def test_sampling_sparingly_gives_the_same_up_to_rounding() -> None:
    latent = blank(3)
    usual, sparing = (run(latent, "euler", sparing=each) for each in (False, True))
    assert torch.allclose(usual, sparing, atol=1e-4)


@pytest.mark.parametrize("name", ["euler", "heun", "diffusers:EulerDiscreteScheduler", "diffusers:PNDMScheduler"])
def test_scheduled_prompts_change_at_their_step(name: str) -> None:
    """A prompt until step 3 of 6, then another: as the run with each, handed over there."""
    first, second = prompts()["positive"].parts[0], prompts()["negative"].parts[0]
    scheduled = Conditioning((replace(first, steps=((0, 0.5),)), replace(second, steps=((0.5, 1e9),))))
    seen = prompts_at_each_step(name, scheduled)
    expected = [float(part.embedding.mean()) for part in (first, second)]
    assert seen == [*expected[:1] * 3, *expected[1:] * 3]
    if name == "euler":
        assert prompts_at_each_step(name, scheduled, start_at_step=2) == [*expected[:1], *expected[1:] * 3]


def prompts_at_each_step(name: str, positive: Conditioning, **options: Any) -> list[float]:  # Any: as for run
    """Give the mean of the context at the last evaluation of each step."""
    model, given, steps = model_for(), [], []

    def record(module: nn.Module, positional: tuple[Any, ...], named: dict[str, Any]) -> None:  # Any: a hook's
        given.append(float(named["encoder_hidden_states"].mean()))

    model.network.register_forward_pre_hook(record, with_kwargs=True)
    run(
        blank(1), name, model=model, positive=positive, cfg=1,
        on_step=lambda done, total, denoised: steps.append(given[-1]), **options,
    )  # fmt: skip
    return steps


@pytest.mark.parametrize("name", ["euler", "heun", "diffusers:EulerDiscreteScheduler", "diffusers:DDIMScheduler"])
def test_grades_of_a_mask_say_from_when_each_cell_is_repainted(name: str) -> None:
    """Columns of grades 1, 0.5, 0.25 and 0."""
    latent = replace(encoded(1), noise_mask=Mask(torch.tensor([[[1, 0.5, 0.25, 0.0]] * 4])))
    model = replace(model_for(), differential=True)
    result = run(latent, name, model=model, cfg=1, steps=8, scheduler="sgm_uniform")
    whole = run(replace(latent, noise_mask=None), name, model=model, cfg=1, steps=8, scheduler="sgm_uniform")
    assert torch.equal(result[..., 3], latent.samples[..., 3])
    torch.testing.assert_close(result[..., 0], whole[..., 0])
    changes = [float((result - latent.samples)[..., column].abs().mean()) for column in range(4)]
    assert changes[3] == 0 < changes[2] < changes[1]


def test_grades_begin_where_as_much_of_the_way_is_left() -> None:
    """The network is asked about cells of grade 0.5 as they were, with noise, until half of the timesteps are left."""
    mask = torch.full((1, 4, 4), 0.5)
    mask[..., :2] = 1
    latent = replace(encoded(1), noise_mask=Mask(mask))
    model = replace(model_for(), differential=True)
    levels = TrainedLevels.of(model.scheduler_config)
    asked: list[tuple[float, Tensor]] = []

    def record(module: nn.Module, given: tuple[Any, ...]) -> None:  # Any: a hook's
        asked.append((float(given[1]), given[0]))

    model.network.register_forward_pre_hook(record)
    run(latent, "euler", model=model, cfg=1, steps=8, scheduler="sgm_uniform")
    first_noise = None
    for timestep, seen in asked:
        sigma = levels.sigma(timestep)
        x = seen * (1 + sigma**2) ** 0.5
        noise = (x - latent.samples)[..., 2:] / sigma
        first_noise = noise if first_noise is None else first_noise
        is_kept = torch.allclose(noise, first_noise, atol=1e-3)
        assert is_kept == (timestep > asked[0][0] / 2)
