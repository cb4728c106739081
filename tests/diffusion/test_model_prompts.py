"""What models take beside the prompt: SDXL the picture's size, inpainting models the picture; against diffusers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import diffusers
import pytest
import torch
from diffusers import UNet2DConditionModel
from torch import Tensor

from graphengine.diffusion import conditioning, conditioning_parts
from graphengine.diffusion.denoisers import Denoiser, RunSteps
from graphengine.diffusion.guiders import answerer_for
from graphengine.diffusion.samplers import Ask
from graphengine.diffusion.sampling import sample
from graphengine.errors import InputError
from graphengine.types import Clip, Conditioning, Guider, InpaintingGuide, Latent, Mask, Model, PictureSize
from tests.diffusion.test_conditioning import tiny_sdxl_clip
from tests.diffusion.tiny_checkpoint import tiny_clip, tiny_model, tiny_vae

pytestmark = pytest.mark.filterwarnings("ignore:__array:DeprecationWarning")  # diffusers' schedulers

STEPS, CFG, SEED = 4, 3.0, 5


def sdxl_model(*, numbers: int = 6) -> Model:
    """A model that reads 40 features a token, and 20 pooled ones beside numbers of the picture."""
    torch.manual_seed(0)
    network = UNet2DConditionModel(
        sample_size=4, in_channels=4, out_channels=4, layers_per_block=1, block_out_channels=(8, 16),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=40, attention_head_dim=4, norm_num_groups=4, addition_embed_type="text_time",
        addition_time_embed_dim=8, projection_class_embeddings_input_dim=20 + numbers * 8,
    )  # fmt: skip
    return replace(tiny_model(), network=network.eval().requires_grad_(False), family="sdxl")


def inpainting_model() -> Model:
    torch.manual_seed(0)
    network = UNet2DConditionModel(
        sample_size=4, in_channels=9, out_channels=4, layers_per_block=1, block_out_channels=(8, 16),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=16, attention_head_dim=4, norm_num_groups=4,
    )  # fmt: skip
    return replace(tiny_model(), network=network.eval().requires_grad_(False), extra_channels=5)


def pipeline(kind: str, model: Model, clip: Clip, **parts: Any) -> Any:  # Any: diffusers is untyped
    scheduler = diffusers.EulerDiscreteScheduler.from_config(dict(model.scheduler_config))
    first, *others = clip.encoders
    second = {"text_encoder_2": others[0].network, "tokenizer_2": others[0].tokenizer} if others else {}
    made = getattr(diffusers, kind)(
        unet=model.network, scheduler=scheduler, vae=tiny_vae().autoencoder,
        text_encoder=first.network, tokenizer=first.tokenizer, **second, **parts,
    )  # fmt: skip
    made.set_progress_bar_config(disable=True)
    return made


def ours(model: Model, positive: Conditioning, negative: Conditioning, latent: Latent) -> Tensor:
    return sample(
        model, latent, seed=SEED, steps=STEPS, cfg=CFG, sampler_name="diffusers:EulerDiscreteScheduler",
        scheduler="normal", positive=positive, negative=negative,
    ).samples  # fmt: skip


@pytest.mark.parametrize("negative", ["b c", None], ids=["negative prompt", "none"])
def test_sdxl_equals_the_pipeline(negative: str | None) -> None:
    """Without a negative prompt the pipeline takes zeros, as ConditioningZeroOut gives them."""
    model, clip = sdxl_model(), tiny_sdxl_clip()
    pipe = pipeline("StableDiffusionXLPipeline", model, clip, add_watermarker=False)
    theirs = pipe(
        "a red b", negative_prompt=negative, guidance_scale=CFG, num_inference_steps=STEPS, height=8, width=16,
        generator=torch.Generator().manual_seed(SEED), output_type="latent",
    ).images  # fmt: skip
    positive = conditioning.encode(clip, "a red b")
    against = conditioning_parts.zero_out(positive) if negative is None else conditioning.encode(clip, negative)
    mine = ours(model, positive, against, Latent(torch.zeros(1, 4, 4, 8)))
    torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-4)


def test_sdxl_is_told_the_size_it_is_given() -> None:
    model, clip = sdxl_model(), tiny_sdxl_clip()
    theirs = pipeline("StableDiffusionXLPipeline", model, clip, add_watermarker=False)(
        "a red b", negative_prompt="c", guidance_scale=CFG, num_inference_steps=STEPS, height=8, width=16,
        generator=torch.Generator().manual_seed(SEED), output_type="latent", original_size=(64, 32),
        crops_coords_top_left=(3, 5), target_size=(24, 48), negative_original_size=(8, 9),
        negative_crops_coords_top_left=(1, 2), negative_target_size=(6, 7),
    ).images  # fmt: skip
    size = PictureSize(width=32, height=64, crop_x=5, crop_y=3, target_width=48, target_height=24)
    other = PictureSize(width=9, height=8, crop_x=2, crop_y=1, target_width=7, target_height=6)
    positive = conditioning_parts.set_size(conditioning.encode(clip, "a red b"), size)
    negative = conditioning_parts.set_size(conditioning.encode(clip, "c"), other)
    mine = ours(model, positive, negative, Latent(torch.zeros(1, 4, 4, 8)))
    torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-4)


def told(guider: Guider) -> list[list[float]]:
    """Give the numbers that the network is told beside the pooled prompts, negative first."""
    seen: list[Tensor] = []

    def record(module: torch.nn.Module, positional: tuple[Any, ...], named: dict[str, Any]) -> None:  # Any: a hook's
        seen.append(named["added_cond_kwargs"]["time_ids"])

    guider.model.network.register_forward_pre_hook(record, with_kwargs=True)
    with torch.no_grad():
        answer = answerer_for(guider, batch=1, device="cpu", sparing=False, steps=RunSteps(0, 1))
        answer(Ask(torch.zeros(1, 4, 4, 8), 1))
    return [numbers for each in seen for numbers in each.tolist()]


def test_the_refiner_is_told_how_beautiful_the_picture_is() -> None:
    prompt = conditioning.encode(tiny_sdxl_clip(), "red")
    model = sdxl_model(numbers=5)
    assert told(Guider(model, prompt, prompt, cfg=2)) == [[8, 16, 0, 0, 2.5], [8, 16, 0, 0, 6]]
    scored = conditioning_parts.set_size(prompt, PictureSize(width=100, height=200, aesthetic_score=9.0))
    assert told(Guider(sdxl_model(numbers=5), scored, prompt, cfg=2)) == [[8, 16, 0, 0, 2.5], [200, 100, 0, 0, 9]]


def test_the_refiner_is_told_so_among_three_prompts() -> None:
    prompt = conditioning.encode(tiny_sdxl_clip(), "red")
    guider = Guider(sdxl_model(numbers=5), prompt, prompt, cfg=2, middle=prompt, middle_cfg=1.5)
    assert told(guider) == [[8, 16, 0, 0, 2.5], [8, 16, 0, 0, 6], [8, 16, 0, 0, 6]]


def test_the_base_is_told_the_latents_size_where_none_is_given() -> None:
    prompt = conditioning.encode(tiny_sdxl_clip(), "red")
    assert told(Guider(sdxl_model(), prompt, prompt, cfg=2)) == [[8, 16, 0, 0, 8, 16]] * 2


def test_inpainting_models_equal_the_pipeline() -> None:
    model, clip = inpainting_model(), tiny_clip()
    generator = torch.Generator().manual_seed(1)
    image = torch.randn(1, 4, 4, 4, generator=generator)
    kept = torch.randn(1, 4, 4, 4, generator=generator)
    mask = torch.zeros(1, 1, 8, 8)
    mask[..., :4] = 1
    pipe = pipeline(
        "StableDiffusionInpaintPipeline", model, clip, safety_checker=None, feature_extractor=None,
        requires_safety_checker=False,
    )  # fmt: skip
    theirs = pipe(
        "a red b", negative_prompt="c", image=image, mask_image=mask, masked_image_latents=kept, strength=1.0,
        guidance_scale=CFG, num_inference_steps=STEPS, height=8, width=8,
        generator=torch.Generator().manual_seed(SEED), output_type="latent",
    ).images  # fmt: skip
    guide = InpaintingGuide(kept, Mask(mask[0]))
    positive, negative = (
        conditioning_parts.set_inpainting(conditioning.encode(clip, text), guide) for text in ("a red b", "c")
    )
    mine = ours(model, positive, negative, Latent(torch.zeros(1, 4, 4, 4)))
    torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("model", "prompt", "message"),
    [
        (inpainting_model(), Conditioning.of(torch.zeros(1, 8, 16)), "isn't told which part of which picture"),
        (sdxl_model(), Conditioning.of(torch.zeros(1, 8, 40)), "no pooled state"),
        (sdxl_model(), Conditioning.of(torch.zeros(1, 8, 40), torch.zeros(1, 24)), "pooled state of 24 features"),
    ],
    ids=["inpainting", "not pooled", "another family"],
)
def test_prompts_that_say_too_little_are_refused(model: Model, prompt: Conditioning, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        Denoiser(model, prompt, prompt, cfg=1.0, batch=1)
    assert caught.value.input == "positive"


def test_a_picture_of_another_size_is_refused() -> None:
    guide = InpaintingGuide(torch.zeros(1, 4, 4, 4), Mask(torch.ones(1, 8, 8)))
    prompt = conditioning_parts.set_inpainting(Conditioning.of(torch.zeros(1, 8, 16)), guide)
    with pytest.raises(InputError, match=r"latents of \[4, 4\] cells, and what is sampled \[4, 8\]"):
        Denoiser(inpainting_model(), prompt, prompt, cfg=1.0, batch=1)(Ask(torch.zeros(1, 4, 4, 8), 1.0))
