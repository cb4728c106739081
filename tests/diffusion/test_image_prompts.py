"""Models attend to pictures as in diffusers' pipelines, and only where and when they are told to."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionControlNetPipeline, StableDiffusionPipeline, StableDiffusionXLPipeline
from PIL import Image as Picture
from torch import Tensor
from transformers import CLIPImageProcessorPil

from graphengine.diffusion import clip_vision, controls, ip_adapter_files, lora_files, sampling
from graphengine.diffusion.adapters import with_model_lora
from graphengine.diffusion.denoisers import Denoiser, RunSteps
from graphengine.diffusion.guiders import answerer_for
from graphengine.diffusion.ip_adapters import with_pictures
from graphengine.diffusion.samplers import Ask
from graphengine.errors import InputError
from graphengine.types import (
    Area,
    ClipVision,
    ClipVisionOutput,
    Conditioning,
    Control,
    ControlNet,
    Guider,
    Image,
    IPAdapter,
    Latent,
    Mask,
    Model,
)
from tests.diffusion.pipelines import CFG, NEGATIVE, POSITIVE, SIZE, STEPS, picture, with_pipeline
from tests.diffusion.tiny_control import LIKE_SD, LIKE_SDXL, controlnet, steered_model
from tests.diffusion.tiny_image_prompt import Kind, image_encoder, in_parts, ip_adapter, written
from tests.diffusion.tiny_lora import in_tensors, kohya
from tests.engine.played_device import GPU, Device

ENCODER = image_encoder()


def opened(tmp_path: Path, tensors: dict[str, Tensor], name: str = "adapter") -> IPAdapter:
    return ip_adapter_files.read(written(tmp_path / f"{name}.safetensors", tensors))


def sampled(model: Model, positive: Conditioning = POSITIVE, negative: Conditioning = NEGATIVE) -> Tensor:
    return sampling.sample(
        model, Latent(torch.zeros(1, 4, SIZE, SIZE)), seed=5, steps=STEPS, cfg=CFG,
        sampler_name="diffusers:DDIMScheduler", scheduler="normal", positive=positive, negative=negative,
    ).samples  # fmt: skip


def files(*seeds: int) -> list[Picture.Image]:
    return [Picture.fromarray(np.uint8(picture(seed)[0] * 255)) for seed in seeds]


def encoded(*seeds: int) -> ClipVisionOutput:
    """Encode what ``files`` gives."""
    images = [torch.from_numpy(np.asarray(each, np.float32) / 255)[None] for each in files(*seeds)]
    return clip_vision.encode(ClipVision(ENCODER, "encoder"), Image(torch.cat(images)))


def piped(kind: Any, model: Model, adapters: list[dict[str, Tensor]], scales: list[float], **given: Any) -> Tensor:
    """Run diffusers' pipeline with adapters; it changes the model."""

    def prepare(pipeline: Any) -> None:
        nothing = [""] * len(adapters)
        pipeline.load_ip_adapter([in_parts(each) for each in adapters], subfolder=nothing, weight_name=nothing)
        pipeline.set_ip_adapter_scale(scales)

    extractor = CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    return with_pipeline(kind, model, prepare, image_encoder=ENCODER, feature_extractor=extractor, **given)


@pytest.mark.parametrize("kind", ["plain", "plus", pytest.param("full", marks=pytest.mark.slow)])
def test_a_picture_is_attended_to_as_in_diffusers(tmp_path: Path, kind: Kind) -> None:
    model = steered_model()
    tensors = ip_adapter(model.network, kind)
    expected = piped(StableDiffusionPipeline, steered_model(), [tensors], [0.6], ip_adapter_image=files(1))
    prompted = with_pictures(model, opened(tmp_path, tensors), encoded(1), weight=0.6)
    plain = sampled(model)
    result = sampled(prompted)
    assert torch.allclose(result, expected, atol=1e-4)
    assert not torch.allclose(result, plain, atol=1e-2)
    assert torch.equal(sampled(model), plain)


@pytest.mark.parametrize("kind", [pytest.param("plain", marks=pytest.mark.slow), "plus"])
def test_an_xl_model_attends_to_pictures_as_in_diffusers(tmp_path: Path, kind: Kind) -> None:
    model = steered_model(LIKE_SDXL)
    tensors = ip_adapter(model.network, kind)
    expected = piped(StableDiffusionXLPipeline, steered_model(LIKE_SDXL), [tensors], [0.6], ip_adapter_image=files(1))
    result = sampled(with_pictures(model, opened(tmp_path, tensors), encoded(1), weight=0.6))
    assert torch.allclose(result, expected, atol=1e-4)


@pytest.mark.slow
def test_the_style_alone_is_taken_as_in_diffusers(tmp_path: Path) -> None:
    model = steered_model(LIKE_SDXL)
    tensors = ip_adapter(model.network)
    style: list[Any] = [{"up": {"block_0": [0.0, 0.6, 0.0]}}]
    expected = piped(StableDiffusionXLPipeline, steered_model(LIKE_SDXL), [tensors], style, ip_adapter_image=files(1))
    adapter = opened(tmp_path, tensors)
    result = sampled(with_pictures(model, adapter, encoded(1), weight=0.6, aspect="style"))
    assert torch.allclose(result, expected, atol=1e-4)
    assert not torch.allclose(result, sampled(model), atol=1e-3)
    with pytest.raises(InputError, match="layers decide about composition isn't known"):
        with_pictures(model, adapter, encoded(1), weight=1, aspect="composition")  # it has no such layer


def test_several_pictures_are_attended_to_together_as_in_diffusers(tmp_path: Path) -> None:
    model = steered_model()
    tensors = ip_adapter(model.network, "plus")
    expected = piped(StableDiffusionPipeline, steered_model(), [tensors], [0.6], ip_adapter_image=[files(1, 2)])
    adapter = opened(tmp_path, tensors)
    assert torch.allclose(sampled(with_pictures(model, adapter, encoded(1, 2), weight=0.6)), expected, atol=1e-4)

    mean = sampled(with_pictures(model, adapter, encoded(1, 2), weight=0.6, combine="average"))
    same = sampled(with_pictures(model, adapter, encoded(1, 1), weight=0.6, combine="average"))
    one = sampled(with_pictures(model, adapter, encoded(1), weight=0.6))
    assert torch.allclose(same, one, atol=1e-4)
    assert not torch.allclose(mean, one, atol=1e-3)


def test_adapters_in_a_row_add_up_as_in_diffusers_each_where_its_mask_is(tmp_path: Path) -> None:
    model = steered_model()
    adapters = [ip_adapter(model.network, "plain"), ip_adapter(model.network, "plus", seed=1)]
    left = torch.zeros(1, 8 * SIZE, 8 * SIZE)
    left[..., : 4 * SIZE] = 1
    masks = [left[None], 1 - left[None]]
    given: dict[str, Any] = {"ip_adapter_image": [files(1), files(2)]}
    summed = piped(StableDiffusionPipeline, steered_model(), adapters, [0.6, 0.3], **given)
    placed = piped(
        StableDiffusionPipeline, steered_model(), adapters, [0.6, 0.3],
        cross_attention_kwargs={"ip_adapter_masks": masks}, **given,
    )  # fmt: skip

    def prompted(*where: Mask | None) -> Model:
        result = model
        for number, (tensors, weight, mask) in enumerate(zip(adapters, (0.6, 0.3), where, strict=True)):
            adapter = opened(tmp_path, tensors, str(number))
            result = with_pictures(result, adapter, encoded(number + 1), weight=weight, mask=mask)
        return result

    assert torch.allclose(sampled(prompted(None, None)), summed, atol=1e-4)
    assert torch.allclose(sampled(prompted(Mask(left), Mask(1 - left))), placed, atol=1e-4)
    assert not torch.allclose(placed, summed, atol=1e-2)


@pytest.mark.slow
def test_a_controlnet_steers_it_as_in_diffusers(tmp_path: Path) -> None:
    model, network = steered_model(), controlnet()
    tensors = ip_adapter(model.network)
    expected = piped(
        StableDiffusionControlNetPipeline, steered_model(), [tensors], [0.6], ip_adapter_image=files(1),
        controlnet=network, image=picture(7).permute(0, 3, 1, 2), controlnet_conditioning_scale=0.7,
    )  # fmt: skip
    control = Control(ControlNet(network), picture(7), 0.7)
    prompted = with_pictures(model, opened(tmp_path, tensors), encoded(1), weight=0.6)
    steered = (controls.steered(each, control) for each in (POSITIVE, NEGATIVE))
    assert torch.allclose(sampled(prompted, *steered), expected, atol=1e-4)


def denoised(model: Model, positive: Conditioning = POSITIVE, sigma: float = 1.0, **options: Any) -> Tensor:
    x = torch.randn(2, 4, SIZE, SIZE, generator=torch.Generator().manual_seed(9))
    with torch.no_grad():
        return Denoiser(model, positive, NEGATIVE, cfg=CFG, batch=2, **options)(Ask(x, sigma))


@pytest.fixture(scope="module")
def model() -> Model:
    return steered_model()


@pytest.fixture(scope="module")
def adapter(model: Model, tmp_path_factory: pytest.TempPathFactory) -> IPAdapter:
    return opened(tmp_path_factory.mktemp("adapter"), ip_adapter(model.network))


def test_the_loaded_network_knows_nothing_of_it(model: Model, adapter: IPAdapter) -> None:
    network: Any = model.network  # Any: diffusers' networks are untyped
    processors, config = dict(network.attn_processors), dict(network.config)
    before = denoised(model)
    assert not torch.allclose(denoised(with_pictures(model, adapter, encoded(1), weight=1)), before, atol=1e-3)
    assert torch.equal(denoised(model), before)
    assert network.attn_processors == processors
    assert (dict(network.config), network.encoder_hid_proj) == (config, None)
    assert with_pictures(model, adapter, encoded(1), weight=0) is model


def test_pictures_count_within_their_share_of_the_way(model: Model, adapter: IPAdapter) -> None:
    always = with_pictures(model, adapter, encoded(1), weight=1)
    first_half = with_pictures(model, adapter, encoded(1), weight=1, timesteps=(0.0, 0.5))
    levels = Denoiser(model, POSITIVE, NEGATIVE, cfg=1, batch=1).levels
    before, after = levels.at_share(0.4), levels.at_share(0.6)
    assert torch.equal(denoised(first_half, sigma=before), denoised(always, sigma=before))
    assert torch.equal(denoised(first_half, sigma=after), denoised(model, sigma=after))


def test_one_item_at_a_time_is_shown_the_same(model: Model, adapter: IPAdapter) -> None:
    """Each item of the batch has its own mask: all of the picture, and nothing."""
    mask = Mask(torch.stack([torch.ones(8, 8), torch.zeros(8, 8)]))
    prompted = with_pictures(model, adapter, encoded(1, 2), weight=1, mask=mask)
    together = denoised(prompted)
    assert torch.allclose(denoised(prompted, sparing=True), together, atol=1e-5)
    everywhere = denoised(with_pictures(model, adapter, encoded(1, 2), weight=1))
    assert torch.allclose(together[:1], everywhere[:1], atol=1e-5)
    assert torch.allclose(together[1:], denoised(model)[1:], atol=1e-5)


def test_an_area_is_masked_by_its_part_of_the_mask(model: Model, adapter: IPAdapter) -> None:
    """A prompt for the left half alone sees the left half of the mask."""
    left = torch.zeros(1, 8 * SIZE, 8 * SIZE)
    left[..., : 4 * SIZE] = 1
    half = Conditioning((replace(POSITIVE.parts[0], area=Area(0, 0, 0.5, 1, unit="share")), *POSITIVE.parts))
    within, beside, everywhere = (
        denoised(with_pictures(model, adapter, encoded(1), weight=1, mask=mask), half)
        for mask in (Mask(left), Mask(1 - left), None)
    )
    windows = Denoiser(with_pictures(model, adapter, encoded(1), weight=1, mask=Mask(left)), half, half, cfg=1, batch=1)
    _layout, calls = windows.prepare(Ask(torch.zeros(1, 4, SIZE, SIZE), 1.0))
    found = {tuple(call.x.shape[2:]): call.images for call in calls}
    small, whole = found[SIZE, SIZE // 2], found[SIZE, SIZE]
    assert small is not None
    assert whole is not None
    assert small.masks[0] is not None
    assert whole.masks[0] is not None
    assert set(small.masks[0][SIZE * SIZE // 2].flatten().tolist()) == {1}
    assert set(whole.masks[0][SIZE * SIZE].flatten().tolist()) == {0, 1}
    assert not torch.allclose(within, beside, atol=1e-3)
    assert not torch.allclose(within, everywhere, atol=1e-3)


def test_masks_lie_right_at_every_level_of_odd_sizes(model: Model, adapter: IPAdapter) -> None:
    """56 × 144 cells become 7 × 18, for which diffusers' own masks would be of 6 × 21."""
    top = torch.zeros(1, 8 * 56, 8 * 144)
    top[:, : 8 * 32] = 1
    prompted = with_pictures(model, adapter, encoded(1), weight=1, mask=Mask(top))
    asked = Denoiser(prompted, POSITIVE, NEGATIVE, cfg=1, batch=1)
    _layout, (call,) = asked.prepare(Ask(torch.zeros(1, 4, 56, 144), 1.0))
    assert call.images is not None
    (levels,) = call.images.masks
    assert levels is not None
    small = levels[7 * 18].reshape(7, 18)
    assert torch.equal(small[:4], torch.ones(4, 18))
    assert torch.equal(small[4:], torch.zeros(3, 18))


def test_a_lora_before_and_after_it_gives_the_same(tmp_path: Path, model: Model, adapter: IPAdapter) -> None:
    lora = lora_files.read(written(tmp_path / "lora.safetensors", in_tensors(model.network, kohya("lora_unet"))))

    def changed(each: Model) -> Model:
        return with_model_lora(each, lora, strength=1, source="lora")[0]

    before = denoised(with_pictures(changed(model), adapter, encoded(1), weight=1))
    after = denoised(changed(with_pictures(model, adapter, encoded(1), weight=1)))
    assert torch.equal(before, after)
    assert not torch.allclose(after, denoised(with_pictures(model, adapter, encoded(1), weight=1)), atol=1e-3)


def test_guiders_of_three_prompts_attend_too(model: Model, adapter: IPAdapter) -> None:
    prompted = with_pictures(model, adapter, encoded(1), weight=1)
    x = torch.randn(1, 4, SIZE, SIZE)
    steps = RunSteps(0, 1)
    shown, plain = (
        answerer_for(
            Guider(each, POSITIVE, NEGATIVE, 2.0, POSITIVE, 2.0), batch=1, device="cpu", sparing=False, steps=steps
        )(Ask(x, 1.0))
        for each in (prompted, model)
    )
    two = answerer_for(Guider(prompted, POSITIVE, NEGATIVE, 2.0), batch=1, device="cpu", sparing=False, steps=steps)
    assert torch.allclose(shown, two(Ask(x, 1.0)), atol=1e-4)
    assert not torch.allclose(shown, plain, atol=1e-3)


def test_networks_larger_than_the_device_attend_too(model: Model, adapter: IPAdapter) -> None:
    prompted = with_pictures(model, adapter, encoded(1), weight=1)
    expected = denoised(prompted)
    device = Device(0.5)
    with device.memory.loaded([prompted], GPU):
        assert torch.equal(denoised(prompted), expected)
    assert device.visits > 100
    assert torch.equal(denoised(prompted), expected)


def test_a_model_in_another_format_is_served_as_well(model: Model, adapter: IPAdapter) -> None:
    half = replace(model, network=steered_model().network.to(torch.bfloat16))
    result = denoised(with_pictures(half, adapter, encoded(1), weight=1))
    assert torch.isfinite(result).all()
    assert next(adapter.network.parameters()).dtype == torch.float32


def test_an_adapter_that_does_not_fit_is_refused_by_name(tmp_path: Path, model: Model, adapter: IPAdapter) -> None:
    other = opened(tmp_path, ip_adapter(steered_model(LIKE_SD | {"cross_attention_dim": 32}).network), "wide")
    with pytest.raises(InputError, match=r"'wide.safetensors' is made for .* 32 .* this model is of .* 16 features"):
        with_pictures(model, other, encoded(1), weight=1)
    narrow = replace(encoded(1), pooled=torch.zeros(1, 8))
    with pytest.raises(InputError, match=r"'encoder' says 8 numbers of a picture, 'adapter.safetensors' reads 20"):
        with_pictures(model, adapter, narrow, weight=1)
    with pytest.raises(InputError, match="can't attend to pictures"):
        with_pictures(replace(model, network=torch.nn.Linear(1, 1)), adapter, encoded(1), weight=1)
    three = with_pictures(model, adapter, encoded(1), weight=1, mask=Mask(torch.ones(3, 8, 8)))
    with pytest.raises(InputError, match="3 masks of an image prompt don't fit 2 latents"):
        denoised(three)
