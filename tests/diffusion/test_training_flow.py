"""Training transformers of Stable Diffusion 3's kind: steps, what they are told, the LoRAs that come of it."""

from __future__ import annotations

import copy
import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, FluxTransformer2DModel, StableDiffusion3Pipeline
from diffusers.training_utils import compute_loss_weighting_for_sd3
from safetensors import safe_open
from torch import nn
from transformers import CLIPTextConfig, T5Config

from graphengine.diffusion import conditioning, lora_files
from graphengine.diffusion.adapters import with_lora
from graphengine.diffusion.cached_captions import CachedCaptions
from graphengine.diffusion.lora_writing import LoraLayout, write_lora
from graphengine.diffusion.step_random import StepRandom
from graphengine.diffusion.tensor_store import TensorStore
from graphengine.diffusion.text_encoding import joined, pooled_together
from graphengine.diffusion.training import train
from graphengine.diffusion.training_captions import check_can_learn, read_captions
from graphengine.diffusion.training_denoisers import DenoisingTask
from graphengine.errors import InputError
from graphengine.training_types import (
    AdapterMethod,
    ExampleField,
    Examples,
    LoraRecipe,
    LossWeighting,
    ObjectiveRecipe,
    Recipe,
    TimestepSampling,
)
from graphengine.types import Clip, Model, TextEncoder
from tests.diffusion.original_layouts import shared_tokenizer
from tests.diffusion.tiny_flow import tiny_flow_clip, tiny_flow_model, tiny_flow_vae
from tests.diffusion.tiny_training import Blocks, finish, same_weights, weights_of

RECIPE = Recipe(batch_size=2, learning_rate=1e-2, caption_dropout=0, data_workers=0)
CPU = torch.device("cpu")


@dataclass(frozen=True)
class FewTokens(Blocks):
    """Latents, or pictures twice as large, with captions of words that both kinds of tokenizer know."""

    channels: int = 3
    length: int | None = None
    fields: Collection[ExampleField] = ("captions", "latents")

    def examples(self, indices: Sequence[int], fields: Collection[ExampleField]) -> Examples:
        captions = [("a red square", "a")[index % 2] for index in indices]
        return replace(super().examples(indices, fields), captions=captions if "captions" in fields else None)


DATA = FewTokens()


@pytest.fixture(scope="module")
def clip() -> Clip:
    made = tiny_flow_clip()
    made.encoders[2].tokenizer.model_max_length = 12  # of T5, which would be given 256
    return made


@pytest.fixture(scope="module")
def model() -> Model:
    return tiny_flow_model()


def networks(clip: Clip) -> list[nn.Module]:
    return [encoder.network for encoder in clip.encoders]


def test_captions_are_read_as_prompts_are(clip: Clip) -> None:
    states, pooled = read_captions(clip, networks(clip), ["a red square"], CPU)
    (part,) = conditioning.encode(clip, "a red square").parts
    assert torch.equal(states, part.embedding)
    assert pooled is not None
    assert part.pooled is not None
    assert torch.equal(pooled, part.pooled)


@pytest.mark.parametrize(
    "sampling", ["logit_normal", *(pytest.param(n, marks=pytest.mark.slow) for n in ("mode", "shifted"))]
)
def test_five_steps_equal_the_published_loop(sampling: TimestepSampling, model: Model, clip: Clip) -> None:
    """As diffusers' train_dreambooth_sd3.py has it: sigmas by the scheduler, noisy input, target n - x, weighted mse.

    Outputs are compared, not weights: Adam scales up gradients that are rounding only.
    """
    scheduler: Any = FlowMatchEulerDiscreteScheduler(shift=3.0)  # Any: diffusers is untyped
    network: Any = copy.deepcopy(model.network).train().requires_grad_(True)  # Any: as above
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, weight_decay=0.01)
    prompts = [conditioning.encode(clip, caption).parts[0] for caption in ("a red square", "a")]
    embeddings = torch.cat([part.embedding for part in prompts])
    pooled = torch.cat([part.pooled for part in prompts if part.pooled is not None])
    weighting: LossWeighting = "cosmap" if sampling == "mode" else "sigma_sqrt" if sampling == "shifted" else "none"
    losses = []
    for step in range(5):
        random = StepRandom(3, step)
        match sampling:
            case "logit_normal":
                density = torch.sigmoid(0.5 + 1.2 * random.normal(2))
            case "mode":
                u = random.uniform(2)
                density = 1 - u - 1.29 * (torch.cos(math.pi * u / 2) ** 2 - 1 + u)
            case _:
                density = 1 / (1 + (1 / random.uniform(2) - 1) / 3)
        indices = 999 - (density * 1000).long().clamp(0, 999)  # the scheduler's first timestep is the noisiest
        timesteps, sigmas = scheduler.timesteps[indices], scheduler.sigmas[indices].view(-1, 1, 1, 1)
        clean = DATA.examples([2 * step, 2 * step + 1], ["latents"]).latents
        assert clean is not None
        noise = random.normal(*clean.shape)
        noisy = (1.0 - sigmas) * clean + sigmas * noise
        predicted = network(
            hidden_states=noisy, timestep=timesteps, encoder_hidden_states=embeddings, pooled_projections=pooled
        ).sample
        weights = compute_loss_weighting_for_sd3(weighting, sigmas=sigmas)
        loss: Any = torch.mean((weights * (predicted - (noise - clean)) ** 2).reshape(2, -1), 1).mean()
        loss.backward()
        losses.append(loss.item())
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()

    objective = ObjectiveRecipe(timesteps=sampling, logit_mean=0.5, logit_deviation=1.2)
    recipe = replace(RECIPE, learning_rate=1e-3, objective=objective, loss_weighting=weighting)
    results, trained = finish(train(model, DATA, recipe, steps=5, seed=3, clip=clip))

    assert [result.loss for result in results] == pytest.approx(losses, rel=1e-4)
    assert weighting != "none" or losses[-1] < losses[0]
    with torch.no_grad():
        expected = network(noisy, embeddings, pooled, timesteps).sample
        mine: Any = trained.subject.network  # Any: as above
        torch.testing.assert_close(mine(noisy, embeddings, pooled, timesteps).sample, expected, atol=1e-3, rtol=1e-2)


def test_pictures_are_encoded_with_the_autoencoders_shift(model: Model, clip: Clip) -> None:
    vae, data = tiny_flow_vae(), FewTokens(fields=("captions", "images"), size=16)
    task = DenoisingTask(model, data, RECIPE, CPU, clip=clip, vae=vae)
    pictures = data.examples([0], ["images"]).images
    assert pictures is not None
    autoencoder: Any = vae.autoencoder  # Any: diffusers is untyped
    random = StepRandom(0, 0)
    with torch.no_grad():
        posterior = autoencoder.encode(pictures).latent_dist
    drawn = posterior.mean + posterior.std * random.normal(*posterior.mean.shape)
    latents = task._samples(data.examples([0], ["images"]), StepRandom(0, 0))
    torch.testing.assert_close(latents, (drawn - 0.0609) * 1.5305)


@pytest.mark.parametrize("layout", ["kohya", "diffusers"])
def test_a_lora_is_saved_and_loads_alike(layout: LoraLayout, model: Model, clip: Clip, tmp_path: Path) -> None:
    targets = ("attention", "feed_forward", "modulation", "context_embedder")
    lora = LoraRecipe(rank=2, alpha=3, targets=targets, block_ranks=(("transformer_blocks.1", 3),))
    recipe = replace(RECIPE, lora=lora, train_text_encoder=True)
    _, result = finish(train(model, DATA, recipe, steps=2, seed=1, clip=clip))
    assert result.lora
    assert result.clip
    assert set(result.lora.layers) == {"denoiser", "text_encoder", "text_encoder_2"}  # T5 stays as it is
    write_lora(tmp_path / "a.safetensors", result.lora, layout=layout, dtype=torch.float32)

    with safe_open(tmp_path / "a.safetensors", "pt") as file:
        names = list(file.keys())
    starts = {
        "kohya": ("lora_transformer_transformer_blocks_0_attn_add_k_proj.", "lora_te1_", "lora_te2_"),
        "diffusers": ("transformer.transformer_blocks.0.attn.add_k_proj.", "text_encoder.", "text_encoder_2."),
    }
    assert all(any(name.startswith(start) for name in names) for start in starts[layout])
    loaded, loaded_clip, notices = with_lora(
        model, clip, lora_files.read(tmp_path / "a.safetensors"), strength_model=1, strength_clip=1, source="a"
    )
    assert notices == []
    pairs = zip([loaded.network, *networks(loaded_clip)], [result.subject.network, *networks(result.clip)], strict=True)
    for mine, theirs in pairs:
        weights = weights_of(theirs)
        assert all(torch.allclose(weight, weights[name], atol=1e-6) for name, weight in weights_of(mine).items())
    assert not same_weights(weights_of(loaded.network), weights_of(model.network))


@pytest.mark.parametrize("method", ["lora", pytest.param("dora", marks=pytest.mark.slow)])
def test_a_saved_lora_answers_alike_in_diffusers_pipeline(
    method: AdapterMethod, model: Model, clip: Clip, tmp_path: Path
) -> None:
    pytest.importorskip("peft", reason="diffusers' load_lora_weights needs PEFT; it comes with the extra 'dev'")
    recipe = replace(
        RECIPE,
        lora=LoraRecipe(method=method, rank=2, alpha=3, targets=("attention", "feed_forward")),
        train_text_encoder=method == "lora",  # a text encoder's DoRA is lost in transformers 5.23
    )
    _, result = finish(train(model, DATA, recipe, steps=2, seed=1, clip=clip))
    assert result.lora
    write_lora(tmp_path / "a.safetensors", result.lora, layout="diffusers", dtype=torch.float32)
    parts: dict[str, Any] = {
        f"{part}{'' if number == 1 else f'_{number}'}": copy.deepcopy(value)
        for number, encoder in enumerate(clip.encoders, start=1)
        for part, value in (("text_encoder", encoder.network), ("tokenizer", encoder.tokenizer))
    }
    parts |= {"transformer": tiny_flow_model().network, "vae": tiny_flow_vae().autoencoder}
    pipeline: Any = StableDiffusion3Pipeline(scheduler=FlowMatchEulerDiscreteScheduler(), **parts)
    before = answer(pipeline.transformer)
    pipeline.load_lora_weights(str(tmp_path), weight_name="a.safetensors", local_files_only=True)

    torch.testing.assert_close(answer(pipeline.transformer), answer(result.subject.network), atol=1e-4, rtol=1e-4)
    assert not torch.allclose(answer(pipeline.transformer), before, atol=1e-4)
    for number, encoder in enumerate(result.clip.encoders[:2] if result.clip else (), start=1):
        theirs = getattr(pipeline, "text_encoder" if number == 1 else f"text_encoder_{number}")
        mine: Any = encoder.network  # Any: transformers leaves methods untyped
        tokens = torch.arange(8)[None]
        with torch.no_grad():
            torch.testing.assert_close(theirs(tokens)[0], mine(tokens)[0], atol=1e-4, rtol=1e-4)


def answer(network: Any) -> torch.Tensor:  # Any: a network of diffusers, untyped
    generator = torch.Generator().manual_seed(0)
    x, prompt, pooled = (torch.randn(*shape, generator=generator) for shape in ((1, 4, 4, 4), (1, 5, 64), (1, 48)))
    with torch.no_grad():
        result: torch.Tensor = network(x, prompt, pooled, torch.tensor([500.0])).sample
    return result


def test_cached_captions_train_as_captions_do(model: Model, clip: Clip, tmp_path: Path) -> None:
    dataset = FewTokens(length=4)
    cached = CachedCaptions(dataset, clip, TensorStore(tmp_path, 10**8))
    assert cached.fill() == 2
    assert {"embeddings", "pooled"} <= set(cached.fields)
    recipe = replace(RECIPE, caption_dropout=0.5)
    losses = []
    for data in (dataset, cached):
        results, _ = finish(train(model, data, recipe, steps=3, seed=2, clip=clip))
        losses.append([result.loss for result in results])
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)
    assert losses[0] != losses[1]  # half precision was read


def test_zeros_take_the_place_of_encoders_that_are_left_out() -> None:
    """As each of Stable Diffusion 3's three may be; told by their widths."""
    both, t5 = (1.0, 2.0), 3.0
    states = [torch.full((2, 77, width), value) for width, value in zip((768, 1280), both, strict=True)]
    further = torch.full((2, 5, 4096), t5)

    def put_together(*chosen: int) -> tuple[torch.Tensor, torch.Tensor | None]:
        clip = Clip(tuple(_encoder(number) for number in chosen), family="sd3")
        together = joined(clip, [[*states, further][number] for number in chosen])
        return together, pooled_together(clip, [states[number][:, 0] for number in chosen if number < 2], together)

    whole, pooled = put_together(0, 1, 2)
    assert pooled is not None
    assert whole.shape == (2, 82, 4096)
    for chosen in ((0, 1), (0, 2), (1, 2), (2,), (0,), (1,)):
        part, part_pooled = put_together(*chosen)
        assert part_pooled is not None
        columns = torch.cat([torch.full((width,), float(n in chosen)) for n, width in enumerate((768, 1280))])
        assert torch.equal(part[:, :77, :2048], whole[:, :77, :2048] * columns)
        assert torch.equal(part_pooled, pooled * columns)
        assert part[:, 77:].any() == (2 in chosen)
        assert part[:, 77:].shape == ((2, 5, 4096) if 2 in chosen else (2, 256, 4096))


def _encoder(number: int) -> TextEncoder:
    config: Any = T5Config(d_model=4096) if number == 2 else CLIPTextConfig(hidden_size=(768, 1280)[number])
    network = nn.Module()
    network.config = config
    return TextEncoder(network, shared_tokenizer("!"))


def test_what_cannot_be_trained_is_refused_before_the_first_step(model: Model, clip: Clip) -> None:
    other: Any = FluxTransformer2DModel(
        num_layers=1, num_single_layers=1, attention_head_dim=16, num_attention_heads=1, joint_attention_dim=8,
        pooled_projection_dim=8, axes_dims_rope=(4, 4, 8), in_channels=4,
    )  # fmt: skip
    one = Clip(clip.encoders[1:], "tiny")
    cases: list[tuple[Model, Clip, Recipe, FewTokens, str]] = [
        (replace(model, network=other), clip, RECIPE, DATA, "FluxTransformer2DModel, which can't be trained"),
        (replace(model, extra_channels=5), clip, RECIPE, DATA, "it repaints"),
        (model, one, RECIPE, DATA, "64 wide and its pooled ones 32; the model reads 64 and 48"),
        (model, clip, replace(RECIPE, attention="manual"), DATA, "attention"),
        (model, clip, RECIPE, FewTokens(size=6), "patches of 2 x 2"),
        (model, clip, RECIPE, FewTokens(size=80), "no more than 32 along a side"),
    ]
    for subject, encoders, recipe, data, match in cases:
        with pytest.raises(InputError, match=match):
            next(train(subject, data, recipe, steps=1, seed=0, clip=encoders))
    with pytest.raises(InputError, match="of CLIP's two encoders none is there"):
        check_can_learn(Clip(clip.encoders[2:]))


@pytest.mark.slow
def test_training_whole_networks_resumes_and_spares_memory(model: Model, clip: Clip, tmp_path: Path) -> None:
    recipe = replace(RECIPE, train_text_encoder=True, gradient_checkpointing=True, precision="bfloat16")

    def run(steps: int, folder: Path | None) -> list[dict[str, torch.Tensor]]:
        result = finish(train(model, DATA, recipe, steps=steps, seed=1, clip=clip, state_dir=folder))[1]
        assert result.clip
        return [weights_of(network) for network in (result.subject.network, *networks(result.clip))]

    whole = run(2, None)
    run(1, tmp_path)
    assert all(same_weights(first, second) for first, second in zip(whole, run(2, tmp_path), strict=True))
    is_changed = [
        not same_weights(weights_of(before), after) for before, after in zip(networks(clip), whole[1:], strict=True)
    ]
    assert is_changed == [True, True, False]
