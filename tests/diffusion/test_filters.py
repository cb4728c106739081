from __future__ import annotations

import colorsys

import pytest
import torch

from graphengine.diffusion import blending, filters
from graphengine.diffusion.options import BlendMode
from graphengine.errors import InputError
from graphengine.types import Image


def noise(count: int = 1, seed: int = 0) -> Image:
    return Image(torch.rand(count, 6, 8, 3, generator=torch.Generator().manual_seed(seed)))


def color(*values: float) -> Image:
    return Image(torch.tensor(values)[None, None, None])


def test_a_blur_keeps_flat_pictures_and_the_sum_inside() -> None:
    flat = Image(torch.full((1, 5, 5, 3), 0.3))
    assert torch.allclose(filters.blur(flat, 2.0, radius=9), flat)
    point = torch.zeros(1, 21, 21, 3)
    point[:, 10, 10] = 1
    blurred = filters.blur(Image(point), 1.5, radius=5)
    assert blurred.sum() == pytest.approx(3, rel=1e-5)
    assert torch.allclose(
        blurred[0, 10, 10:13, 0] / blurred[0, 10, 10, 0], torch.tensor([1, 0.8007, 0.4111]), atol=1e-4
    )
    assert not blurred[0, :5].any()


def test_sharpening_is_the_opposite_of_a_blur() -> None:
    picture = Image(0.4 + 0.2 * noise())
    lost = picture - filters.blur(picture, 1.0, radius=1)
    assert torch.allclose(filters.sharpen(picture, 1.0, radius=1, amount=0.5), picture + 0.5 * lost, atol=1e-6)
    assert torch.equal(filters.sharpen(picture, 1.0, radius=1, amount=0), picture)


def test_colours_change_by_what_is_asked_and_nothing_else() -> None:
    assert torch.equal(filters.adjust(noise()), noise())
    assert torch.equal(filters.adjust(color(0.2, 0.4, 0.8), brightness=2), color(0.4, 0.8, 1))
    assert torch.allclose(filters.adjust(color(0.2, 0.5, 0.6), contrast=2), color(0, 0.5, 0.7))
    assert torch.allclose(filters.adjust(color(0.25, 1, 0), gamma=2), color(0.5, 1, 0))
    grey = filters.adjust(noise(), saturation=0)
    assert torch.allclose(grey[..., 0], grey[..., 1], atol=1e-6)
    assert torch.allclose(grey[..., 0], filters.luma(noise()), atol=1e-6)


def test_hue_goes_round_and_keeps_brightness() -> None:
    muted = Image(0.4 + 0.1 * noise())  # so that nothing is clamped
    turned = filters.adjust(muted, hue=100)
    assert torch.allclose(filters.luma(turned), filters.luma(muted), atol=1e-3)
    assert torch.allclose(filters.adjust(turned, hue=260), muted, atol=2e-3)
    assert torch.equal(filters.adjust(muted, hue=360), muted)
    red = filters.adjust(color(0.6, 0.4, 0.4), hue=120)[0, 0, 0].tolist()
    assert colorsys.rgb_to_hsv(*red)[0] == pytest.approx(1 / 3, abs=0.04)


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("normal", 0.6), ("multiply", 0.24), ("screen", 0.76), ("overlay", 0.48), ("darken", 0.4), ("lighten", 0.6),
        ("color_dodge", 1.0), ("color_burn", 0.0), ("hard_light", 0.52), ("difference", 0.2), ("exclusion", 0.52),
        ("soft_light", 0.4 + 0.2 * (0.4**0.5 - 0.4)), ("add", 1.0), ("subtract", 0.0),
    ],
)  # fmt: skip
def test_modes_blend_a_light_grey_on_a_dark_one(mode: BlendMode, expected: float) -> None:
    """0.6 on 0.4, worked out by hand from the specification's formulas."""
    below, above = color(0.4, 0.4, 0.4), color(0.6, 0.6, 0.6)
    assert blending.blend(below, above, mode, 1).flatten().tolist() == pytest.approx([expected] * 3, abs=1e-6)
    assert torch.equal(blending.blend(below, above, mode, 0), below)


@pytest.mark.parametrize("mode", BlendMode.__args__)  # type: ignore[attr-defined]  # a Literal's choices
def test_modes_stay_finite_and_in_range_at_the_ends(mode: BlendMode) -> None:
    ends = Image(torch.tensor([[[[0.0, 0.0, 0.0], [1.0, 1.0, 1.0]]]]))
    for above in (ends, Image(ends.flip(2))):
        blended = blending.blend(ends, above, mode, 1)
        assert torch.isfinite(blended).all()
        assert 0 <= blended.min() <= blended.max() <= 1


def test_blending_brings_sizes_and_batches_together() -> None:
    assert blending.blend(noise(3), Image(torch.zeros(1, 3, 9, 3)), "normal", 1).abs().max() < 1e-6
    assert blending.blend(noise(), noise(3, seed=1), "multiply", 0.5).shape == (3, 6, 8, 3)
    with pytest.raises(InputError, match="a batch of 2 beside a batch of 3"):
        blending.blend(noise(3), noise(2), "normal", 1)
