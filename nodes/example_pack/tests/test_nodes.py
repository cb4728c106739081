"""Each node by itself, without an engine."""

from __future__ import annotations

import pytest
import torch
from film_look.nodes import bracket, fuse, grain, match_colors

from graphengine import InputError
from graphengine.authoring.testing import FakeContext, run_node
from graphengine.types import Image


def grey(brightness: float, size: int = 8) -> Image:
    return Image(torch.full((1, size, size, 3), brightness))


def test_grain_is_the_same_for_a_seed_and_has_the_strength_asked_for() -> None:
    first, again = (run_node(grain, image=grey(0.5, 64), amount=0.1, seed=3) for _ in range(2))
    assert torch.equal(first, again)
    assert not torch.equal(first, run_node(grain, image=grey(0.5, 64), amount=0.1, seed=4))
    assert first.std().item() == pytest.approx(0.1, rel=0.05)


@pytest.mark.parametrize("brightness", [0.0, 1.0])
def test_black_and_white_have_no_grain(brightness: float) -> None:
    assert torch.equal(run_node(grain, image=grey(brightness)), grey(brightness))


def test_matched_colours_are_those_of_the_reference() -> None:
    generator = torch.Generator().manual_seed(0)
    image, reference = (Image(torch.rand(1, 16, 16, 3, generator=generator)) for _ in range(2))
    matched = run_node(match_colors, image=image, reference=reference)
    assert torch.equal(matched.reshape(-1, 3).sort(dim=0).values, reference.reshape(-1, 3).sort(dim=0).values)
    assert torch.equal(run_node(match_colors, image=image, reference=reference, strength=0), image)


def test_each_exposure_has_twice_the_light_of_the_one_before() -> None:
    exposures = run_node(bracket, image=grey(0.2), stops=1, count=3)
    assert [round(each.mean().item(), 4) for each in exposures] == [0.1, 0.2, 0.4]


def test_well_exposed_parts_win() -> None:
    ctx = FakeContext()
    fused = run_node(fuse, ctx=ctx, images=[grey(0.0), grey(0.5), grey(1.0)])
    assert fused.mean().item() == pytest.approx(0.5, abs=0.01)
    assert ctx.progress_reports[-1] == 1


def test_exposures_must_have_one_size() -> None:
    with pytest.raises(InputError, match="different sizes"):
        run_node(fuse, images=[grey(0.5), grey(0.5, size=4)])


def test_the_range_must_not_be_empty() -> None:
    with pytest.raises(InputError, match="is not below high"):
        run_node(fuse, images=[grey(0.5)], low=0.6, high=0.4)


def test_workflows_of_version_1_still_load() -> None:
    assert fuse.migrations[1]({"margin": 0.1}) == {"low": 0.1, "high": 0.9}
