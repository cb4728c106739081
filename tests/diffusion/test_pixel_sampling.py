"""Pictures from models that work on pictures and read no captions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from graphengine.diffusion.denoisers import Denoiser
from graphengine.diffusion.pixel_sampling import sample_pictures
from graphengine.diffusion.samplers import Ask
from graphengine.errors import InputError
from graphengine.types import Conditioning, Image, Model
from tests.diffusion.tiny_training import tiny_model, tiny_text_model


def sampled(model: Model, **options: Any) -> Image:  # Any: of sample_pictures
    chosen: dict[str, Any] = {"seed": 3, "steps": 4, "width": 8, "height": 8, "count": 2} | options
    return sample_pictures(model, **{"sampler_name": "euler", "scheduler": "normal"} | chosen)


def sure_of(value: float) -> Model:
    """Give a model that takes every picture for one of this brightness, in -1…1."""
    model = tiny_model("sample")
    with torch.no_grad():
        for weight in model.network.parameters():
            weight.zero_()
        assert isinstance(model.network.conv_out, nn.Conv2d)
        assert model.network.conv_out.bias is not None
        model.network.conv_out.bias.fill_(value)
    return model


@pytest.mark.parametrize("sampler", ["euler", "ddpm", "diffusers:DDPMScheduler"])
def test_what_the_model_is_sure_of_is_drawn_as_a_picture(sampler: str) -> None:
    """The data's -1…1 become a picture's 0…1, and one grey channel three."""
    drawn = sampled(sure_of(0.5), sampler_name=sampler, width=12)
    torch.testing.assert_close(drawn, Image(torch.full((2, 8, 12, 3), 0.75)), atol=1e-3, rtol=0)


def test_estimates_stay_where_pictures_can_be_unless_the_configuration_says_otherwise() -> None:
    """From the noisiest level of a cosine schedule, an epsilon that is a little off is off by thousands."""
    clipping = tiny_model("epsilon")
    free = replace(clipping, scheduler_config={**clipping.scheduler_config, "clip_sample": False})
    x = torch.full((1, 1, 8, 8), 20_000.0)
    nothing = Conditioning.of(torch.zeros(1, 0, 0))
    clipped, wild = (
        Denoiser(model, nothing, nothing, cfg=1, batch=1)(Ask(x, 20_000.0)).abs().max() for model in (clipping, free)
    )
    assert clipped <= 1
    assert wild > 100


def test_a_picture_is_the_same_alone_as_among_others() -> None:
    model = tiny_model()
    together, alone = sampled(model, count=3, sampler_name="ddpm"), sampled(model, count=1, seed=5, sampler_name="ddpm")
    torch.testing.assert_close(together[2:], alone, atol=1e-5, rtol=0)
    assert not torch.allclose(together[0], together[1], atol=1e-2)


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        (tiny_text_model(), {}, "KSampler"),
        (replace(tiny_model(), latent_factor=8), {}, "works on latents"),
        (tiny_model("mixing"), {}, "MixingSampler"),
        (tiny_model(), {"height": 7}, "7 is not a multiple of 2"),
    ],
    ids=["reads captions", "latents", "mixing", "odd side"],
)
def test_what_does_not_fit_is_refused(model: Model, options: dict[str, int], message: str) -> None:
    with pytest.raises(InputError) as caught:
        sampled(model, **options)
    assert message in str(caught.value)
