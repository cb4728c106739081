"""Training denoisers that read the captions of two encoders, and sizes: Stable Diffusion XL's kind."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open

from graphengine.diffusion import conditioning, lora_files
from graphengine.diffusion.adapters import with_lora
from graphengine.diffusion.cached_captions import CachedCaptions
from graphengine.diffusion.lora_writing import LoraLayout, write_lora
from graphengine.diffusion.step_random import StepRandom
from graphengine.diffusion.tensor_store import TensorStore
from graphengine.diffusion.training import train
from graphengine.diffusion.training_captions import read_captions
from graphengine.diffusion.training_denoisers import DenoisingTask
from graphengine.errors import InputError
from graphengine.training_types import ExampleField, Examples, LoraRecipe, Recipe
from graphengine.types import Clip
from tests.diffusion.test_conditioning import tiny_sdxl_clip
from tests.diffusion.test_model_prompts import sdxl_model
from tests.diffusion.tiny_training import Blocks, finish, same_weights, weights_of

RECIPE = Recipe(batch_size=2, learning_rate=1e-2, caption_dropout=0, data_workers=0)


@dataclass(frozen=True)
class Uncut(Blocks):
    """Blocks with captions that are short enough for the tiny encoders."""

    channels: int = 3
    fields: Collection[ExampleField] = ("captions", "latents")

    def examples(self, indices: Sequence[int], fields: Collection[ExampleField]) -> Examples:
        return replace(super().examples(indices, fields), captions=[("red", "a b")[index % 2] for index in indices])


@dataclass(frozen=True)
class Cut(Uncut):
    """Such blocks, cut out of larger pictures."""

    fields: Collection[ExampleField] = ("captions", "latents", "sizes")

    def examples(self, indices: Sequence[int], fields: Collection[ExampleField]) -> Examples:
        sizes = torch.tensor([[64, 48, 0, 8, 8, 8]]).expand(len(indices), -1)
        return replace(super().examples(indices, fields), sizes=sizes)


UNCUT, CUT = Uncut(), Cut()


def networks(clip: Clip) -> list[torch.nn.Module]:
    return [encoder.network for encoder in clip.encoders]


def test_captions_are_read_as_prompts_are() -> None:
    clip = tiny_sdxl_clip()
    states, pooled = read_captions(clip, networks(clip), ["red", "a b"], torch.device("cpu"))
    assert pooled is not None
    for row, text in enumerate(("red", "a b")):
        (part,) = conditioning.encode(clip, text).parts
        torch.testing.assert_close(states[row : row + 1], part.embedding)
        torch.testing.assert_close(pooled[row : row + 1], part.pooled)


@pytest.mark.parametrize(
    ("data", "told"), [(UNCUT, [8, 8, 0, 0, 8, 8]), (CUT, [64, 48, 0, 8, 8, 8])], ids=["uncut", "cut"]
)
def test_a_step_is_told_the_pooled_caption_and_the_sizes(data: Blocks, told: list[int]) -> None:
    """Against the published step written out: add_noise, UNet with its added conditions, mse."""
    model, clip = sdxl_model(), tiny_sdxl_clip()
    task = DenoisingTask(model, data, RECIPE, torch.device("cpu"), clip=clip, vae=None)
    examples = data.examples([0, 1], task.fields)
    loss = task.losses(examples, StepRandom(0, 0))["denoising"]

    assert examples.latents is not None
    random = StepRandom(0, 0)
    timesteps, noise = random.integers(1000, 2), random.normal(*examples.latents.shape)
    parts = [conditioning.encode(clip, caption).parts[0] for caption in examples.captions or ()]
    pooled = [part.pooled for part in parts if part.pooled is not None]
    added = {"text_embeds": torch.cat(pooled), "time_ids": torch.tensor([told, told]).float()}
    noised = task._levels.noised(examples.latents, noise, timesteps)
    embedding = torch.cat([part.embedding for part in parts])
    network: Any = model.network  # Any: diffusers is untyped
    with torch.no_grad():
        predicted = network(noised, timesteps, encoder_hidden_states=embedding, added_cond_kwargs=added).sample
    torch.testing.assert_close(loss, (predicted - noise).square().mean())


def test_cached_captions_give_pooled_ones_too(tmp_path: Path) -> None:
    model, clip, recipe = sdxl_model(), tiny_sdxl_clip(), replace(RECIPE, caption_dropout=0.5)
    cached = CachedCaptions(CUT, clip, TensorStore(tmp_path, 10**8))
    cached.fill()
    losses = []
    for data in (CUT, cached):
        task = DenoisingTask(model, data, recipe, torch.device("cpu"), clip=clip, vae=None)
        assert ("pooled" in task.fields) is (data is cached)
        examples = data.examples([0, 1, 2, 3], task.fields)
        losses.append(task.losses(examples, StepRandom(0, 0))["denoising"].item())
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)
    assert losses[0] != losses[1]  # half precision was read


@pytest.mark.parametrize("layout", ["kohya", "diffusers"])
def test_a_lora_of_both_text_encoders_is_saved_and_loads(layout: LoraLayout, tmp_path: Path) -> None:
    recipe = replace(RECIPE, lora=LoraRecipe(rank=2, alpha=3), train_text_encoder=True)
    clip = tiny_sdxl_clip()
    _, result = finish(train(sdxl_model(), CUT, recipe, steps=2, seed=1, clip=clip))
    assert result.lora
    assert result.clip
    write_lora(tmp_path / "a.safetensors", result.lora, layout=layout, dtype=torch.float32)

    with safe_open(tmp_path / "a.safetensors", "pt") as file:
        names = list(file.keys())
        assert file.metadata()["ss_base_model_version"] == "sdxl_base_v1-0"
    starts = {
        "kohya": ("lora_unet_", "lora_te1_", "lora_te2_"),
        "diffusers": ("unet.", "text_encoder.", "text_encoder_2."),
    }
    assert all(any(name.startswith(start) for name in names) for start in starts[layout])
    loaded, loaded_clip, notices = with_lora(
        sdxl_model(), tiny_sdxl_clip(), lora_files.read(tmp_path / "a.safetensors"),
        strength_model=1, strength_clip=1, source="a",
    )  # fmt: skip
    assert notices == []
    pairs = zip([loaded.network, *networks(loaded_clip)], [result.subject.network, *networks(result.clip)], strict=True)
    for mine, theirs in pairs:
        weights = weights_of(theirs)
        assert all(torch.allclose(weight, weights[name], atol=1e-6) for name, weight in weights_of(mine).items())
    for before, after in zip(networks(clip), networks(result.clip), strict=True):
        assert not same_weights(weights_of(before), weights_of(after))


def test_text_encoders_are_trained_whole_and_resume(tmp_path: Path) -> None:
    recipe = replace(RECIPE, train_text_encoder=True, text_encoder_rate=1e-3)

    def run(steps: int, folder: Path | None) -> list[dict[str, torch.Tensor]]:
        training = train(sdxl_model(), UNCUT, recipe, steps=steps, seed=1, clip=tiny_sdxl_clip(), state_dir=folder)
        result = finish(training)[1]
        assert result.clip
        return [weights_of(network) for network in (result.subject.network, *networks(result.clip))]

    whole = run(2, None)
    run(1, tmp_path)
    resumed = run(2, tmp_path)
    assert all(same_weights(first, second) for first, second in zip(whole, resumed, strict=True))


def test_refiners_and_other_encoders_are_refused() -> None:
    for model, clip, match in (
        (sdxl_model(numbers=5), tiny_sdxl_clip(), "asks for 5 sizes"),
        (sdxl_model(), tiny_sdxl_clip(second=32), "48 wide; the model reads 40"),
    ):
        with pytest.raises(InputError, match=match):
            next(train(model, UNCUT, RECIPE, steps=1, seed=0, clip=clip))
