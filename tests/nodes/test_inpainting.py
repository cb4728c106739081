from __future__ import annotations

from pathlib import Path

import pytest
import torch

from graphengine.diffusion import vae
from graphengine.errors import InputError
from graphengine.types import Conditioning, Image, Mask
from graphengine_nodes import inpainting as nodes
from tests.diffusion.tiny_checkpoint import tiny_model, tiny_vae
from tests.nodes.running import Run


def test_inpainting_models_are_shown_the_picture_with_grey_in_the_hole(tmp_path: Path) -> None:
    pixels = Image(torch.rand(2, 8, 8, 3))
    mask = torch.zeros(1, 4, 4)
    mask[:, :, 2:] = 0.8
    prompt = Conditioning.of(torch.zeros(1, 8, 16))
    made = nodes.inpaint_model_conditioning(Run(tmp_path).context, prompt, prompt, tiny_vae(), pixels, Mask(mask))
    hole = torch.zeros(1, 8, 8)
    hole[:, :, 4:] = 1
    grey = pixels.clone()
    grey[:, :, 4:] = 0.5
    for side in (made.positive, made.negative):
        guide = side.parts[0].inpainting
        assert guide is not None
        assert torch.equal(guide.mask, hole)
        torch.testing.assert_close(guide.latents, vae.encode(tiny_vae(), Image(grey)).samples)
    torch.testing.assert_close(made.latent.samples, vae.encode(tiny_vae(), pixels).samples)
    assert made.latent.noise_mask is not None
    assert torch.equal(made.latent.noise_mask, hole)
    assert not torch.equal(pixels, grey)


def test_the_rest_may_change_a_little(tmp_path: Path) -> None:
    prompt = Conditioning.of(torch.zeros(1, 8, 16))
    pixels, mask = Image(torch.rand(1, 8, 8, 3)), Mask(torch.ones(1, 8, 8))
    made = nodes.inpaint_model_conditioning(Run(tmp_path).context, prompt, prompt, tiny_vae(), pixels, mask, False)
    assert made.latent.noise_mask is None


def test_masks_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    prompt = Conditioning.of(torch.zeros(1, 8, 16))
    pixels, masks = Image(torch.rand(1, 8, 8, 3)), Mask(torch.ones(2, 8, 8))
    with pytest.raises(InputError, match=r"shape \[2, 8, 8\] for 1 pictures") as caught:
        nodes.inpaint_model_conditioning(Run(tmp_path).context, prompt, prompt, tiny_vae(), pixels, masks)
    assert caught.value.input == "mask"


def test_a_model_repaints_by_grades() -> None:
    model = tiny_model()
    changed = nodes.differential_diffusion(model)
    assert changed.differential
    assert changed.network is model.network
    assert not model.differential
