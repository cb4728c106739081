from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from graphengine.diffusion import conditioning
from graphengine.errors import InputError
from graphengine.types import Area, Conditioning, ConditioningPart, Mask
from graphengine_nodes import conditioning as nodes
from tests.diffusion.test_conditioning import tiny_sdxl_clip
from tests.diffusion.tiny_checkpoint import tiny_clip
from tests.nodes.running import Run


def prompt(text: str) -> Conditioning:
    return conditioning.encode(tiny_clip(), text)


def only(result: Conditioning) -> ConditioningPart:
    (part,) = result.parts
    return part


def test_prompts_of_any_length_are_encoded_without_a_warning(tmp_path: Path) -> None:
    run = Run(tmp_path)
    for text in ("red", "a b c d e f a red b"):
        result = nodes.clip_encode(run.context, text, clip=tiny_clip())
        assert torch.equal(only(result).embedding, only(prompt(text)).embedding)
    assert run.warnings == []


def test_learned_words_are_found_in_the_embeddings_folder(tmp_path: Path) -> None:
    run = Run(tmp_path, roots=(tmp_path,))
    (tmp_path / "embeddings").mkdir()
    save_file({"emb_params": torch.ones(2, 16)}, tmp_path / "embeddings" / "mine.safetensors")
    result = nodes.clip_encode(run.context, "a embedding:mine", clip=tiny_clip())
    assert not torch.equal(only(result).embedding, only(prompt("a")).embedding)


def test_sdxl_is_told_the_size(tmp_path: Path) -> None:
    run, clip = Run(tmp_path), tiny_sdxl_clip()
    result = only(nodes.clip_encode_sdxl(run.context, 640, 480, 1, 2, 512, 256, "red", "a", clip=clip))
    assert torch.equal(result.embedding, only(conditioning.encode(clip, ("a", "red"))).embedding)
    assert result.size is not None
    size = result.size
    assert (size.width, size.height, size.crop_x, size.crop_y) == (640, 480, 1, 2)
    assert (size.target_width, size.target_height) == (512, 256)
    with pytest.raises(InputError, match="1 text encoder"):
        nodes.clip_encode_sdxl(run.context, text_g="red", clip=tiny_clip())
    refined = only(nodes.clip_encode_sdxl_refiner(run.context, 2.5, 640, 480, "red", clip=tiny_clip()))
    assert refined.size is not None
    assert refined.size.aesthetic_score == 2.5


def test_an_earlier_layer_is_read(tmp_path: Path) -> None:
    run = Run(tmp_path)
    earlier = nodes.clip_set_last_layer(tiny_clip(), -2)
    result = nodes.clip_encode(run.context, "red", clip=earlier)
    assert not torch.allclose(only(result).embedding, only(prompt("red")).embedding)


def test_both_prompts_of_a_combination_count() -> None:
    red, a = prompt("red"), prompt("a")
    assert nodes.conditioning_combine(red, a).parts == red.parts + a.parts


def test_concatenation_is_read_as_one_prompt() -> None:
    red, a = only(prompt("red")), only(prompt("a"))
    result = only(nodes.conditioning_concat(prompt("red"), prompt("a")))
    assert torch.equal(result.embedding, torch.cat([red.embedding, a.embedding], dim=1))
    with pytest.raises(InputError, match="it has 2 parts") as caught:
        nodes.conditioning_concat(prompt("a"), prompt("[a:b:0.5]"))
    assert caught.value.input == "conditioning_from"
    other = conditioning.encode(tiny_clip(width=24), "a")
    with pytest.raises(InputError, match="24 features a token, and conditioning_to 16"):
        nodes.conditioning_concat(prompt("a"), other)


def test_an_average_lies_between_two_prompts() -> None:
    red, long = only(prompt("red")), only(prompt("a b c d e f a b"))
    empty = only(prompt("")).embedding
    result = only(nodes.conditioning_average(prompt("red"), prompt("a b c d e f a b"), 0.25))
    longer = torch.cat([red.embedding, empty], dim=1)
    torch.testing.assert_close(result.embedding, 0.25 * longer + 0.75 * long.embedding)
    assert result.pooled is not None
    assert red.pooled is not None
    assert long.pooled is not None
    torch.testing.assert_close(result.pooled, 0.25 * red.pooled + 0.75 * long.pooled)
    unchanged = only(nodes.conditioning_average(prompt("red"), prompt("a"), 1.0))
    assert torch.equal(unchanged.embedding, red.embedding)


def test_nothing_is_said_by_zeros() -> None:
    result = only(nodes.conditioning_zero_out(prompt("red")))
    assert result.embedding.shape == (1, 8, 16)
    assert result.pooled is not None
    assert result.padding is not None
    assert not any(tensor.any() for tensor in (result.embedding, result.pooled, result.padding))


def test_places_and_times_are_set_on_every_part() -> None:
    scheduled = prompt("[red:a:0.5]")
    mask = Mask(torch.ones(1, 4, 4))
    result = nodes.conditioning_set_area(scheduled, 32, 16, 8, 4, 0.5)
    assert [part.area for part in result.parts] == [Area(8, 4, 32, 16)] * 2
    result = nodes.conditioning_set_mask(result, mask, 0.5, "mask bounds")
    assert [(part.mask is mask, part.crop_to_mask, part.strength) for part in result.parts] == [(True, True, 0.25)] * 2
    result = nodes.conditioning_set_timestep_range(result, 0.2, 0.6)
    assert [part.timesteps for part in result.parts] == [(0.2, 0.6)] * 2
    share = nodes.conditioning_set_area_percentage(prompt("a"), 0.5, 1.0, 0.25, 0.0)
    assert only(share).area == Area(0.25, 0.0, 0.5, 1.0, "share")


def test_empty_times_are_refused_before_anything_runs() -> None:
    (check,) = nodes.conditioning_set_timestep_range.checks
    check(start=0.2, end=0.6)
    with pytest.raises(InputError, match=r"from 0\.6 to 0\.6 there is nothing"):
        check(start=0.6, end=0.6)
