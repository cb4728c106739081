"""The nodes pass everything on; what the functions do is tested in ``tests/diffusion``."""

from __future__ import annotations

import pytest
import torch

from graphengine.errors import InputError
from graphengine.types import Image
from graphengine_nodes import image_effects as effects
from graphengine_nodes import image_geometry as geometry


def noise(count: int = 1) -> Image:
    return Image(torch.rand(count, 6, 8, 3, generator=torch.Generator().manual_seed(0)))


def test_pictures_are_cut_turned_scaled_and_joined() -> None:
    picture = noise()
    assert torch.equal(geometry.image_crop(picture, 3, 2, 4, 1), picture[:, 1:3, 4:7])
    assert torch.equal(geometry.image_flip(picture), picture.flip(1))
    assert geometry.image_rotate(picture).shape == (1, 8, 6, 3)
    assert geometry.image_scale_by(picture, "area", 0.5).shape == (1, 3, 4, 3)
    assert geometry.image_scale_to_total_pixels(picture, "area", 0.01).shape == (1, 89, 118, 3)
    assert geometry.image_stitch(picture, picture, "down", True, 2).shape == (1, 14, 8, 3)


def test_outpainting_selects_what_was_added() -> None:
    padded = geometry.image_pad_for_outpaint(noise(), left=1, top=2, right=3, bottom=4, feathering=0)
    assert padded.image.shape == (1, 12, 12, 3)
    assert torch.equal(padded.image[:, 2:8, 1:9], noise())
    assert padded.mask.sum() == 12 * 12 - 6 * 8


def test_batches_are_taken_apart_and_repeated() -> None:
    assert torch.equal(geometry.image_from_batch(noise(3), -1), noise(3)[2:])
    assert torch.equal(geometry.repeat_image_batch(noise(2), 2)[2:], noise(2))
    assert [len(each) for each in geometry.rebatch_images([noise(3), noise(2)], 4)] == [4, 1]


def test_effects_pass_their_settings_on() -> None:
    picture = noise()
    assert torch.allclose(effects.image_invert(effects.image_invert(picture)), picture)
    assert effects.image_adjust(picture, brightness=0).max() == 0
    assert torch.allclose(effects.image_blend(picture, Image(picture * 0), 0.25), picture * 0.75)
    blurred = effects.image_blur(picture, 3, 2.0)
    assert blurred.var() < picture.var() < effects.image_sharpen(picture, 3, 2.0, 0.05).var()


def test_lines_are_white_on_black() -> None:
    half = torch.zeros(1, 12, 12, 3)
    half[:, :, 6:] = 1
    assert effects.canny(Image(half)).mean() == pytest.approx(1 / 12)
    assert 0 < effects.line_art(Image(half)).mean() < 0.5
    (check,) = effects.canny.checks
    with pytest.raises(InputError, match="above the high threshold"):
        check(0.9, 0.8)


@pytest.mark.parametrize(
    ("function", "inputs"),
    [
        (geometry.image_crop, "image width height x y"),
        (geometry.image_pad_for_outpaint, "image left top right bottom feathering"),
        (geometry.image_flip, "image flip_method"),
        (geometry.image_rotate, "image rotation"),
        (geometry.image_scale_by, "image upscale_method scale_by"),
        (geometry.image_scale_to_total_pixels, "image upscale_method megapixels"),
        (geometry.image_stitch, "image1 image2 direction match_image_size spacing_width spacing_color"),
        (geometry.image_from_batch, "image batch_index length"),
        (geometry.repeat_image_batch, "image amount"),
        (geometry.rebatch_images, "images batch_size"),
        (effects.image_blend, "image1 image2 blend_factor blend_mode"),
        (effects.image_blur, "image blur_radius sigma"),
        (effects.image_sharpen, "image sharpen_radius sigma alpha"),
        (effects.canny, "image low_threshold high_threshold"),
    ],
    ids=lambda value: value.definition.id if hasattr(value, "definition") else "",
)
def test_inputs_have_their_public_names_and_order(function: object, inputs: str) -> None:
    definition = function.definition  # type: ignore[attr-defined]  # nodes of several signatures
    assert [each.name for each in definition.inputs] == inputs.split()
