"""ControlNets and T2I-Adapters steer as in diffusers' pipelines, and only where and when they are told to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from diffusers import (
    StableDiffusionAdapterPipeline,
    StableDiffusionControlNetInpaintPipeline,
    StableDiffusionControlNetPipeline,
    StableDiffusionXLControlNetPipeline,
    StableDiffusionXLControlNetUnionPipeline,
)
from torch import Tensor

from graphengine.diffusion import conditioning_parts, controls, sampling
from graphengine.diffusion.denoisers import Denoiser
from graphengine.diffusion.samplers import Ask
from graphengine.errors import InputError
from graphengine.types import Area, Conditioning, Control, ControlNet, Image, InpaintingGuide, Latent, Mask, Model
from tests.diffusion.pipelines import CFG, NEGATIVE, POSITIVE, SIZE, STEPS, picture, with_pipeline
from tests.diffusion.tiny_control import LIKE_SD, LIKE_SDXL, controlnet, steered_model, t2i_adapter, union


def sampled(model: Model, *given: Control, prompts: Sequence[Conditioning] = (POSITIVE, NEGATIVE)) -> Tensor:
    positive, negative = prompts
    for control in given:
        positive, negative = controls.steered(positive, control), controls.steered(negative, control)
    return sampling.sample(
        model, Latent(torch.zeros(1, 4, SIZE, SIZE)), seed=5, steps=STEPS, cfg=CFG,
        sampler_name="diffusers:DDIMScheduler", scheduler="normal", positive=positive, negative=negative,
    ).samples  # fmt: skip


def planes(image: Image) -> Tensor:
    return image.permute(0, 3, 1, 2)


def test_a_controlnet_steers_as_in_diffusers() -> None:
    model, network = steered_model(), controlnet()
    expected = with_pipeline(
        StableDiffusionControlNetPipeline, model, controlnet=network, image=planes(picture()),
        controlnet_conditioning_scale=0.7,
    )  # fmt: skip
    result = sampled(model, Control(ControlNet(network), picture(), 0.7))
    assert torch.allclose(result, expected, atol=1e-4)
    assert not torch.allclose(result, sampled(model), atol=1e-2)


def test_several_controlnets_add_up_as_in_diffusers() -> None:
    model, networks = steered_model(), [controlnet(seed=1), controlnet(seed=2)]
    expected = with_pipeline(
        StableDiffusionControlNetPipeline, model, controlnet=networks,
        image=[planes(picture(1)), planes(picture(2))], controlnet_conditioning_scale=[0.7, 0.4],
    )  # fmt: skip
    given = [
        Control(ControlNet(network), picture(number + 1), strength)
        for number, (network, strength) in enumerate(zip(networks, (0.7, 0.4), strict=True))
    ]
    assert torch.allclose(sampled(model, *given), expected, atol=1e-4)


def test_an_xl_models_controlnet_is_told_the_size_too() -> None:
    model, network = steered_model(LIKE_SDXL), controlnet(LIKE_SDXL)
    expected = with_pipeline(
        StableDiffusionXLControlNetPipeline, model, controlnet=network, image=planes(picture()),
        controlnet_conditioning_scale=0.7,
    )  # fmt: skip
    assert torch.allclose(sampled(model, Control(ControlNet(network), picture(), 0.7)), expected, atol=1e-4)


def test_a_union_is_told_which_kind_of_picture_it_is_given() -> None:
    model, network = steered_model(LIKE_SDXL), union(8)
    expected = with_pipeline(
        StableDiffusionXLControlNetUnionPipeline, model, controlnet=network, control_image=[planes(picture())],
        control_mode=[3], controlnet_conditioning_scale=0.7,
    )  # fmt: skip
    told = controls.of_kind(ControlNet(network, "union"), 3, "canny")
    assert torch.allclose(sampled(model, Control(told, picture(), 0.7)), expected, atol=1e-4)

    both = with_pipeline(
        StableDiffusionXLControlNetUnionPipeline, model, controlnet=network,
        control_image=[planes(picture(1)), planes(picture(2))], control_mode=[3, 7],
        controlnet_conditioning_scale=[0.7, 0.4],
    )  # fmt: skip
    edges, repainted = replace(told, kind=3), replace(told, kind=7)
    assert torch.allclose(
        sampled(model, Control(edges, picture(1), 0.7), Control(repainted, picture(2), 0.4)), both, atol=1e-4
    )


def test_a_union_wants_to_be_told_a_kind_that_it_knows() -> None:
    model, network = steered_model(LIKE_SDXL), union()
    with pytest.raises(InputError, match=r"'union' reads several kinds .*\n.*SetUnionControlNetType"):
        sampled(model, Control(ControlNet(network, "union"), picture()))
    with pytest.raises(InputError, match="'union' doesn't read 'tile'"):
        controls.of_kind(ControlNet(network, "union"), 6, "tile")
    with pytest.raises(InputError, match="'plain' reads one kind of picture only"):
        controls.of_kind(ControlNet(controlnet(), "plain"), 3, "canny")


def test_a_t2i_adapter_steers_as_in_diffusers() -> None:
    model, network = steered_model(), t2i_adapter()
    expected = with_pipeline(
        StableDiffusionAdapterPipeline, model, adapter=network, image=planes(picture()),
        adapter_conditioning_scale=0.7,
    )  # fmt: skip
    result = sampled(model, Control(ControlNet(network), picture(), 0.7))
    assert torch.allclose(result, expected, atol=1e-4)
    assert not torch.allclose(result, sampled(model), atol=1e-2)


def denoised(model: Model, *given: Control, sigma: float = 1.0, **options: Any) -> Tensor:
    positive, negative = POSITIVE, NEGATIVE
    for control in given:
        positive, negative = controls.steered(positive, control), controls.steered(negative, control)
    x = torch.randn(2, 4, SIZE, SIZE, generator=torch.Generator().manual_seed(9))
    with torch.no_grad():
        return Denoiser(model, positive, negative, cfg=CFG, batch=2, **options)(Ask(x, sigma))


def test_a_control_counts_within_its_share_of_the_way() -> None:
    model = steered_model()
    first_half = Control(ControlNet(controlnet()), picture(), timesteps=(0.0, 0.5))
    always, levels = (
        replace(first_half, timesteps=(0.0, 1.0)),
        Denoiser(model, POSITIVE, NEGATIVE, cfg=1, batch=1).levels,
    )
    before, after = levels.at_share(0.4), levels.at_share(0.6)
    assert torch.equal(denoised(model, first_half, sigma=before), denoised(model, always, sigma=before))
    assert torch.equal(denoised(model, first_half, sigma=after), denoised(model, sigma=after))


def test_one_item_at_a_time_is_steered_alike() -> None:
    model = steered_model()
    for network in (controlnet(), t2i_adapter()):
        dark = Image(torch.zeros_like(picture(1)))
        control = Control(ControlNet(network), Image(torch.cat([picture(1), dark])))
        together = denoised(model, control)
        assert torch.allclose(denoised(model, control, sparing=True), together, atol=1e-5)
        first = denoised(model, replace(control, image=picture(1)))
        assert torch.allclose(first[:1], together[:1], atol=1e-5)
        assert not torch.allclose(first[1:], together[1:], atol=1e-3)


def test_an_inpainting_model_is_steered_as_in_diffusers() -> None:
    """The ControlNet reads the four channels of the latents, not the five that the model is shown besides."""
    model = replace(steered_model(LIKE_SD | {"in_channels": 9, "out_channels": 4}), extra_channels=5)
    network, image = controlnet(), planes(picture(3))
    mask = torch.zeros(1, 1, SIZE * 8, SIZE * 8)
    mask[..., : SIZE * 4] = 1
    kept = []

    def prepare(pipeline: Any) -> None:  # Any: diffusers' pipelines are untyped
        pipeline.vae.quant_conv.weight.data[4:] = 0
        pipeline.vae.quant_conv.bias.data[4:] = -30  # it draws latents, so close to their mean that it makes no odds
        shown = (2 * image - 1) * (mask < 0.5)
        kept.append(pipeline.vae.encode(shown).latent_dist.mode().detach() * pipeline.vae.config.scaling_factor)

    expected = with_pipeline(
        StableDiffusionControlNetInpaintPipeline, model, prepare, controlnet=network, image=image, mask_image=mask,
        control_image=planes(picture()), controlnet_conditioning_scale=0.7, strength=1.0,
    )  # fmt: skip
    guide = InpaintingGuide(kept[0], Mask(mask[0]))
    shown = (conditioning_parts.set_inpainting(prompt, guide) for prompt in (POSITIVE, NEGATIVE))
    result = sampled(model, Control(ControlNet(network), picture(), 0.7), prompts=tuple(shown))
    assert torch.allclose(result, expected, atol=1e-4)


def test_an_area_is_steered_by_its_part_of_the_picture() -> None:
    """A prompt for the left half alone sees the left half of the edges."""
    model = steered_model()
    control = Control(ControlNet(controlnet()), picture(size=64))
    left = Area(0, 0, 0.5, 1, unit="share")
    steered = controls.steered(POSITIVE, control)
    whole = Conditioning((replace(steered.parts[0], area=left), *POSITIVE.parts))
    half = replace(control, image=Image(control.image[:, :, :32]))
    x = torch.randn(1, 4, 8, 8)
    with torch.no_grad():
        both = Denoiser(model, whole, NEGATIVE, cfg=1, batch=1)(Ask(x, 1.0))
        alone = Denoiser(model, controls.steered(POSITIVE, half), NEGATIVE, cfg=1, batch=1)(
            Ask(x[..., :4].clone(), 1.0)
        )
        plain = Denoiser(model, POSITIVE, NEGATIVE, cfg=1, batch=1)(Ask(x, 1.0))
    weight = 0.5  # beside the prompt for all of the picture, at the left edge
    assert torch.allclose(both[..., :1], weight * alone[..., :1] + (1 - weight) * plain[..., :1], atol=1e-5)


def test_pictures_of_another_size_are_cut_and_resized() -> None:
    model, network = steered_model(), controlnet()
    wide = Image(torch.cat([torch.zeros(1, 64, 32, 3), torch.ones(1, 64, 64, 3), torch.zeros(1, 64, 32, 3)], dim=2))
    white = Image(torch.ones(1, 8 * SIZE, 8 * SIZE, 3))
    ours, theirs = (denoised(model, Control(ControlNet(network), image)) for image in (wide, white))
    assert torch.allclose(ours, theirs, atol=1e-4)


def test_a_control_network_of_another_family_is_refused_by_name() -> None:
    other = controlnet(LIKE_SD | {"cross_attention_dim": 32})
    with pytest.raises(InputError, match=r"'edges' in it is for another family .* prompts of 32 .* model of 16"):
        denoised(steered_model(), Control(ControlNet(other, "edges"), picture()))
    narrow = t2i_adapter((64, 64))
    with pytest.raises(InputError, match=r"channels, the model's \[32, 64\]"):
        denoised(steered_model(), Control(ControlNet(narrow, "edges"), picture()))


def test_a_number_of_pictures_that_fits_no_latents_is_refused() -> None:
    three = Image(torch.cat([picture(1)] * 3))
    with pytest.raises(InputError, match="the 3 pictures for 'edges' don't fit 2 latents"):
        denoised(steered_model(), Control(ControlNet(controlnet(), "edges"), three))
