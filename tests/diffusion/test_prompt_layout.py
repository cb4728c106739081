"""Regional prompts against a reference that asks the network about each part alone, cell by cell."""

from __future__ import annotations

from dataclasses import replace
from math import sqrt
from typing import Any

import pytest
import torch
from torch import Tensor

from graphengine.diffusion.denoisers import Denoiser, RunSteps, raw_to_denoised
from graphengine.diffusion.model_prompts import Moments
from graphengine.diffusion.samplers import Ask
from graphengine.diffusion.schedules import TrainedLevels
from graphengine.errors import InputError
from graphengine.types import Area, Conditioning, ConditioningPart, Mask, Model
from tests.diffusion.test_denoisers import Recording
from tests.diffusion.tiny_checkpoint import tiny_model

SIGMA = 2.0
FACTOR = 2  # of the tiny model


def part(seed: int, **options: Any) -> ConditioningPart:  # Any: each test sets others
    return ConditioningPart(torch.randn(1, 5, 16, generator=torch.Generator().manual_seed(seed)), **options)


def combined(*parts: ConditioningPart) -> Conditioning:
    return Conditioning(parts)


def latents(batch: int = 2, height: int = 8, width: int = 16) -> Tensor:
    return torch.randn(batch, 4, height, width, generator=torch.Generator().manual_seed(3))


def answer(positive: Conditioning, negative: Conditioning, *, cfg: float = 3.0, x: Tensor | None = None) -> Tensor:
    x = latents() if x is None else x
    with torch.no_grad():
        return Denoiser(tiny_model(), positive, negative, cfg=cfg, batch=len(x))(Ask(x, SIGMA))


def alone(each: ConditioningPart, x: Tensor, rows: slice = slice(None), columns: slice = slice(None)) -> Tensor:
    """Ask the network itself about a window of x."""
    model = tiny_model()
    levels = TrainedLevels.of(model.scheduler_config)
    seen = x[..., rows, columns] / sqrt(1 + SIGMA**2)
    context = each.embedding.expand(len(x), -1, -1)
    with torch.no_grad():
        raw: Tensor = model.network(seen, torch.tensor(levels.timestep(SIGMA)), context).sample
    return raw


def guided(positive: Tensor, negative: Tensor, cfg: float = 3.0) -> Tensor:
    return raw_to_denoised("epsilon", negative + cfg * (positive - negative), latents(), SIGMA)


def test_combined_prompts_are_averaged_by_strength() -> None:
    one, other, negative = part(1, strength=0.5), part(2, strength=1.5), part(3)
    mean = 0.25 * alone(one, latents()) + 0.75 * alone(other, latents())
    result = answer(combined(one, other), combined(negative))
    torch.testing.assert_close(result, guided(mean, alone(negative, latents())), rtol=1e-4, atol=1e-4)


def test_masks_weigh_each_cell() -> None:
    mask = Mask(torch.rand(1, 16, 32, generator=torch.Generator().manual_seed(5)))  # in pixels, of two a cell
    one, other = part(1, mask=mask, strength=2.0), part(2)
    weight = 2 * mask.reshape(1, 8, 2, 16, 2).mean(dim=(2, 4))[:, None]
    mean = (weight * alone(one, latents()) + alone(other, latents())) / (weight + 1)
    result = answer(combined(one, other), combined(part(3)))
    torch.testing.assert_close(result, guided(mean, alone(part(3), latents())), rtol=1e-4, atol=1e-4)


def test_each_item_may_have_its_mask() -> None:
    masks = Mask(torch.stack([torch.ones(16, 32), torch.zeros(16, 32)]))
    result = answer(combined(part(1, mask=masks, strength=1e6), part(2)), combined(part(3)))
    only_one, only_other = (answer(combined(part(seed)), combined(part(3))) for seed in (1, 2))
    torch.testing.assert_close(result[:1], only_one[:1], rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(result[1:], only_other[1:], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("area", [Area(16, 0, 16, 16), Area(0.5, 0, 0.5, 1, "share")], ids=["pixels", "shares"])
def test_areas_are_asked_about_alone_and_fade_at_inner_edges(area: Area) -> None:
    """The right half: 8 cells across, whose left edge rises over a quarter of them."""
    one, other = part(1, area=area), part(2)
    weight = torch.zeros(8, 16)
    weight[:, 8:] = torch.tensor([0.5, 1, 1, 1, 1, 1, 1, 1])
    there = torch.zeros_like(latents())
    there[..., 8:] = alone(one, latents(), columns=slice(8, 16))
    mean = (weight * there + alone(other, latents())) / (weight + 1)
    result = answer(combined(one, other), combined(part(3)))
    torch.testing.assert_close(result, guided(mean, alone(part(3), latents())), rtol=1e-4, atol=1e-4)


def test_areas_that_cover_the_picture_need_no_other_prompt() -> None:
    left, right = part(1, area=Area(0, 0, 16, 16)), part(2, area=Area(16, 0, 16, 16))
    result = answer(combined(left, right), combined(part(3)), cfg=1)
    expected = torch.cat(
        [alone(left, latents(), columns=slice(0, 8)), alone(right, latents(), columns=slice(8, 16))], dim=-1
    )
    torch.testing.assert_close(result, raw_to_denoised("epsilon", expected, latents(), SIGMA), rtol=1e-4, atol=1e-4)


def test_a_mask_may_be_asked_about_in_its_bounds() -> None:
    mask = torch.zeros(1, 8, 16)
    mask[:, 2:6, 4:12] = 1
    result = answer(combined(part(1, mask=Mask(mask), crop_to_mask=True), part(2)), combined(part(3)), cfg=1)
    expected = alone(part(2), latents())
    within = alone(part(1), latents(), slice(2, 6), slice(4, 12))
    expected[..., 2:6, 4:12] = (expected[..., 2:6, 4:12] + within) / 2
    torch.testing.assert_close(result, raw_to_denoised("epsilon", expected, latents(), SIGMA), rtol=1e-4, atol=1e-4)


def test_without_a_negative_prompt_a_place_is_not_guided() -> None:
    mask = torch.zeros(1, 8, 16)
    mask[..., :8] = 1
    result = answer(combined(part(1)), combined(part(3, mask=Mask(mask))))
    positive, negative = alone(part(1), latents()), alone(part(3), latents())
    expected = torch.cat([guided(positive, negative)[..., :8], guided(positive, positive)[..., 8:]], dim=-1)
    torch.testing.assert_close(result, expected, rtol=1e-4, atol=1e-4)
    nowhere = answer(combined(part(1)), combined(part(3, mask=Mask(torch.zeros(1, 8, 16)))))
    torch.testing.assert_close(nowhere, guided(positive, positive), rtol=1e-4, atol=1e-4)


def test_prompts_of_the_same_shapes_share_a_call() -> None:
    model = tiny_model()
    recording = Recording(model.network)
    recording.attach()
    positive = combined(
        part(1),
        part(2, area=Area(0, 0, 16, 16)),
        part(3, area=Area(16, 0, 16, 16)),
        part(4, mask=Mask(torch.ones(1, 4, 4))),
    )
    with torch.no_grad():
        Denoiser(model, positive, combined(part(5)), cfg=2.0, batch=2)(Ask(latents(), SIGMA))
    assert [tuple(call[0].shape) for call in recording.calls] == [(6, 4, 8, 16), (4, 4, 8, 8)]


def test_shorter_prompts_are_lengthened_by_the_empty_one() -> None:
    model = tiny_model()
    recording = Recording(model.network)
    recording.attach()
    empty = torch.randn(1, 5, 16)
    short, long = part(1, padding=empty), ConditioningPart(torch.randn(1, 15, 16), padding=empty)
    with torch.no_grad():
        Denoiser(model, combined(long), combined(short), cfg=2.0, batch=1)(Ask(latents(1), SIGMA))
    ((_, _, context),) = recording.calls
    assert context is not None
    assert torch.equal(context, torch.cat([torch.cat([short.embedding, empty, empty], dim=1), long.embedding]))


def test_prompts_that_cannot_be_lengthened_have_calls_of_their_own() -> None:
    long = ConditioningPart(torch.randn(1, 7, 16, generator=torch.Generator().manual_seed(9)))
    result = answer(combined(long), combined(part(1)))
    expected = guided(alone(long, latents()), alone(part(1), latents()))
    torch.testing.assert_close(result, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("positive", "message"),
    [
        (part(1, mask=Mask(torch.zeros(1, 4, 4))), "no prompt counts in 100.0% of the picture"),
        (part(1, area=Area(0, 0, 16, 16)), "no prompt counts in 50.0% of the picture"),
        (part(1, area=Area(32, 0, 16, 16)), "lies outside the picture of 32 x 16"),
    ],
    ids=["empty mask", "half", "outside"],
)
def test_places_without_a_prompt_are_refused(positive: ConditioningPart, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        answer(combined(positive), combined(part(2)))
    assert caught.value.input == "positive"


# Moments


def levels() -> TrainedLevels:
    return TrainedLevels.of(tiny_model().scheduler_config)


def numbers_at(parts: list[ConditioningPart], *, share: float = 0.5, step: int = 0, steps: int = 10) -> tuple[int, ...]:
    """Give which count that far on the way, plus one that always does."""
    moments = Moments([("positive", each) for each in [*parts, part(0)]], levels(), steps=steps)
    return moments.at(levels().sigma((1 - share) * (len(levels()) - 1)), step)[:-1]


def test_timestep_ranges_follow_the_noise_level() -> None:
    parts = [part(1, timesteps=(0.0, 0.4)), part(2, timesteps=(0.4, 1.0)), part(3, timesteps=(0.3, 0.6))]
    assert numbers_at(parts, share=0.0) == (0,)
    assert numbers_at(parts, share=0.35) == (0, 2)
    assert numbers_at(parts, share=0.4) == (1, 2)
    assert numbers_at(parts, share=0.99) == (1,)


def test_steps_are_counted_as_shares_and_numbers() -> None:
    parts = [part(1, steps=((0.0, 0.29),)), part(2, steps=((0.29, 1e9),)), part(3, steps=((0.0, 0.5), (0.0, 8.0)))]
    assert numbers_at(parts, step=28, steps=100) == (0,)
    assert numbers_at(parts, step=29, steps=100) == (1,)
    assert numbers_at(parts, step=7, steps=100) == (0, 2)
    assert numbers_at(parts, step=8, steps=100) == (0,)
    assert numbers_at(parts, step=2, steps=5) == (1,)


def test_a_moment_without_a_positive_prompt_is_refused() -> None:
    late = combined(part(1, timesteps=(0.9, 1.0)))
    with pytest.raises(InputError, match=r"no prompt counts at step 1, noise level 2") as caught:
        answer(late, combined(part(2)))
    assert caught.value.input == "positive"


def test_where_no_negative_prompt_counts_there_is_no_guidance() -> None:
    late = combined(part(1, timesteps=(0.9, 1.0)))
    torch.testing.assert_close(answer(combined(part(2)), late), answer(combined(part(2)), late, cfg=1))


def test_the_denoiser_counts_steps_not_evaluations() -> None:
    model: Model = replace(tiny_model())
    scheduled = combined(part(1, steps=((0, 0.5),)), part(2, steps=((0.5, 1e9),)))
    x = latents(1)
    with torch.no_grad():
        first, second = (
            Denoiser(model, combined(part(seed)), combined(part(3)), cfg=1, batch=1)(Ask(x, SIGMA)) for seed in (1, 2)
        )
        denoiser = Denoiser(model, scheduled, combined(part(3)), cfg=1, batch=1, steps=RunSteps(1, 4))
        asks = [Ask(x, SIGMA), Ask(x, SIGMA, within_step=True), Ask(x, SIGMA)]
        answers = [denoiser(ask) for ask in asks]
    assert torch.equal(answers[0], first)
    assert torch.equal(answers[1], first)
    assert torch.equal(answers[2], second)
