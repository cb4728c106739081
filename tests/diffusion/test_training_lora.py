"""Adapters in training: what they change, what is saved, and who can read it."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from torch import nn

from graphengine.diffusion import checkpoints, lora_files
from graphengine.diffusion.adapters import with_lora, with_model_lora
from graphengine.diffusion.lora_names import Part
from graphengine.diffusion.lora_targets import layer_ranks
from graphengine.diffusion.lora_writing import LoraLayout, write_lora
from graphengine.diffusion.training import Trained, train
from graphengine.diffusion.training_adapters import Adapters, as_file
from graphengine.diffusion.training_identity import recipe_choices
from graphengine.errors import InputError
from graphengine.training_types import AdapterMethod, LoraRecipe, Recipe
from graphengine.types import Model
from tests.diffusion.tiny_checkpoint import tiny_clip, tiny_model, tiny_vae
from tests.diffusion.tiny_training import Blocks, finish, same_weights, weights_of

METHODS: tuple[AdapterMethod, ...] = ("lora", "dora", "loha", "lokr")
DATA = Blocks(channels=3, fields=("captions", "latents"))
LORA = LoraRecipe(rank=2, alpha=3)
RECIPE = Recipe(batch_size=4, learning_rate=1e-2, lora=LORA)
EVERYWHERE = ("attention", "feed_forward", "projections", "resnets", "resampling")


def trained(recipe: Recipe = RECIPE, *, steps: int = 2, seed: int = 1, folder: Path | None = None) -> Trained[Model]:
    return finish(train(tiny_model(), DATA, recipe, steps=steps, seed=seed, clip=tiny_clip(), state_dir=folder))[1]


def answer(network: Any) -> torch.Tensor:  # Any: a network of diffusers, untyped
    generator = torch.Generator().manual_seed(0)
    x, prompt = torch.randn(2, 4, 4, 4, generator=generator), torch.randn(2, 8, 16, generator=generator)
    with torch.no_grad():
        result: torch.Tensor = network(x, torch.tensor(7), prompt).sample
    return result


def stirred(network: nn.Module) -> None:
    """Give adapters random values: they begin as no change."""
    generator = torch.Generator().manual_seed(3)
    for parameter in network.parameters():
        if parameter.requires_grad:
            parameter.data += torch.randn(parameter.shape, generator=generator) * 0.2


@pytest.mark.parametrize("method", METHODS)
def test_what_is_trained_is_what_is_merged(method: AdapterMethod) -> None:
    model = tiny_model()
    recipe = LoraRecipe(method=method, rank=2, alpha=3, targets=EVERYWHERE)
    adapters = Adapters(recipe, {"denoiser": model.network}, torch.device("cpu"))
    training = adapters.networks["denoiser"].eval()
    torch.testing.assert_close(answer(training), answer(model.network), atol=1e-5, rtol=1e-4)

    stirred(training)
    merged, notices = with_model_lora(model, as_file(adapters.result()), strength=1, source="")

    assert notices == []
    torch.testing.assert_close(answer(training), answer(merged.network), atol=1e-4, rtol=1e-4)
    assert not torch.allclose(answer(training), answer(model.network), atol=1e-2)


def test_only_adapters_are_trained_and_weights_are_shared() -> None:
    model = tiny_model()
    before = weights_of(model.network)
    adapters = Adapters(LORA, {"denoiser": model.network}, torch.device("cpu"))
    network = adapters.networks["denoiser"]
    learning = [name for name, parameter in network.named_parameters() if parameter.requires_grad]

    assert learning
    assert all(name.endswith((".change.down", ".change.up")) for name in learning)
    assert (
        network.get_parameter("conv_in.weight").data_ptr() == model.network.get_parameter("conv_in.weight").data_ptr()
    )

    _, result = finish(train(model, DATA, RECIPE, steps=2, seed=1, clip=tiny_clip()))
    after, adapted = weights_of(model.network), weights_of(result.subject.network)
    assert same_weights(before, after)
    changed = {name for name in before if not torch.equal(before[name], adapted[name])}
    assert changed == {
        name for name in before if name.endswith(("to_q.weight", "to_k.weight", "to_v.weight", "to_out.0.weight"))
    }


def test_the_loss_falls_with_adapters_alone() -> None:
    recipe = replace(RECIPE, learning_rate=3e-2, lora=LoraRecipe(rank=8, alpha=8, targets=EVERYWHERE))
    training = train(tiny_model(prediction="sample"), DATA, recipe, steps=20, seed=1, clip=tiny_clip())
    losses = [result.loss for result in finish(training)[0]]
    assert sum(losses[-5:]) < 0.8 * sum(losses[:5])


def test_dropout_repeats_with_the_seed_and_changes_the_result() -> None:
    for method in METHODS[:2]:
        recipe = replace(RECIPE, lora=LoraRecipe(method=method, rank=2, dropout=0.5))
        first, second = (weights_of(trained(recipe).subject.network) for _ in range(2))
        assert same_weights(first, second)
        plain = replace(recipe, lora=LoraRecipe(method=method, rank=2))
        assert not same_weights(first, weights_of(trained(plain).subject.network))


def test_gradient_checkpointing_reaches_the_adapters_of_every_network() -> None:
    """What goes into a frozen network needs no gradient, which some ways of checkpointing take for none at all."""
    recipe = replace(RECIPE, train_text_encoder=True, optimizer="sgd", learning_rate=0.1)
    plain, sparing = trained(recipe), trained(replace(recipe, gradient_checkpointing=True))
    assert plain.lora
    assert sparing.lora
    for part, layers in plain.lora.layers.items():
        for name, roles in layers.items():
            mine = sparing.lora.layers[part][name]
            torch.testing.assert_close(mine["up"], roles["up"], atol=1e-6, rtol=1e-4)
        assert any(roles["up"].abs().max() > 0 for roles in layers.values())


@pytest.mark.parametrize("method", METHODS)
def test_half_precision_trains_every_kind(method: AdapterMethod) -> None:
    lora_recipe = LoraRecipe(method=method, rank=2, targets=("attention", "resnets"))
    result = trained(replace(RECIPE, lora=lora_recipe, precision="bfloat16"), steps=1)
    assert result.lora
    tensors = [tensor for roles in result.lora.layers["denoiser"].values() for tensor in roles.values()]
    assert {tensor.dtype for tensor in tensors} == {torch.float32}
    assert result.report.grad_norms[0] > 0


@pytest.mark.parametrize("method", METHODS[:2])
def test_frozen_layers_stay_in_the_half_precision_they_were_loaded_in(method: AdapterMethod, tmp_path: Path) -> None:
    """With the results, bit for bit, and the saved states of the same weights in float32."""
    half, clip = replace(tiny_model(), network=tiny_model().network.bfloat16()), tiny_clip()
    full = replace(half, network=copy.deepcopy(half.network).float())
    lora_recipe = LoraRecipe(method=method, rank=2, targets=("attention", "resnets"))
    recipe = replace(RECIPE, lora=lora_recipe, precision="bfloat16")
    losses, keys = [], []
    for model in (half, full):

        def folder(key: str) -> Path:
            keys.append(key)
            return tmp_path / str(len(keys))

        results, result = finish(train(model, DATA, recipe, steps=2, seed=1, clip=clip, state_dir=folder))
        losses.append([each.loss for each in results])
        assert result.subject.network.get_parameter("conv_in.weight").dtype == next(model.network.parameters()).dtype
    assert losses[0] == losses[1]
    assert keys[0] == keys[1]

    network = Adapters(lora_recipe, {"denoiser": half.network}, torch.device("cpu"), "bfloat16").networks["denoiser"]
    mine, theirs = network.get_parameter("conv_in.weight"), half.network.get_parameter("conv_in.weight")
    assert mine.data_ptr() == theirs.data_ptr()
    assert {name.split(".")[-2] for name, each in network.named_parameters() if each.requires_grad} == {"change"}
    assert all(each.dtype == torch.float32 for each in network.parameters() if each.requires_grad or each.ndim == 1)
    in_float32 = Adapters(lora_recipe, {"denoiser": half.network}, torch.device("cpu"))
    assert {each.dtype for each in in_float32.networks["denoiser"].parameters()} == {torch.float32}


def test_more_steps_continue_a_lora(tmp_path: Path) -> None:
    whole = trained(steps=5)
    trained(steps=3, folder=tmp_path)
    results, continued = finish(
        train(tiny_model(), DATA, RECIPE, steps=5, seed=1, clip=tiny_clip(), state_dir=tmp_path)
    )

    assert [result.step for result in results] == [4, 5]
    assert same_weights(weights_of(whole.subject.network), weights_of(continued.subject.network))
    with safe_open(tmp_path / "step-00000005.safetensors", "pt") as file:
        saved = [name for name in file.keys() if name.startswith("weights/")]  # noqa: SIM118 - it is no mapping
    assert saved
    assert all(".change." in name for name in saved)  # the base model isn't saved again and again


@pytest.mark.parametrize("method", METHODS)
def test_a_saved_lora_gives_the_trained_model_again(method: AdapterMethod, tmp_path: Path) -> None:
    lora_recipe = LoraRecipe(
        method=method, rank=2, alpha=3, targets=EVERYWHERE, block_ranks=(("mid_block", 4), ("text_encoder", 1))
    )
    result = trained(replace(RECIPE, lora=lora_recipe, train_text_encoder=True))
    assert result.lora
    if method in ("loha", "lokr"):
        with pytest.raises(InputError, match="diffusers has no names"):
            write_lora(tmp_path / "diffusers" / "a.safetensors", result.lora, layout="diffusers", dtype=torch.float32)
        assert not (tmp_path / "diffusers").exists()
    else:
        _check_read_again(result, tmp_path / "diffusers" / "a.safetensors", "diffusers")
    _check_read_again(result, tmp_path / "kohya" / "a.safetensors", "kohya")


def _check_read_again(result: Trained[Model], path: Path, layout: LoraLayout) -> None:
    assert result.lora
    assert result.clip
    write_lora(path, result.lora, layout=layout, dtype=torch.float32)
    loaded, loaded_clip, notices = with_lora(
        tiny_model(), tiny_clip(), lora_files.read(path), strength_model=1, strength_clip=1, source="a"
    )

    assert notices == []
    assert [each.name for each in path.parent.iterdir()] == ["a.safetensors"]
    assert not torch.allclose(answer(loaded.network), answer(tiny_model().network), atol=1e-3)
    for mine, theirs in (
        (loaded.network, result.subject.network),
        (loaded_clip.encoders[0].network, result.clip.encoders[0].network),
    ):
        weights = weights_of(theirs)
        assert all(torch.allclose(weight, weights[name], atol=1e-6) for name, weight in weights_of(mine).items())


# A text encoder's DoRA is lost in transformers 5.23, which looks for its lengths under another name than PEFT's; and
# diffusers 0.42 leaves the lengths of a DoRA with kohya's names out, which it says.
@pytest.mark.parametrize(("method", "layout"), [("lora", "kohya"), ("lora", "diffusers"), ("dora", "diffusers")])
def test_a_saved_lora_answers_alike_in_diffusers_pipeline(
    method: AdapterMethod, layout: LoraLayout, tmp_path: Path
) -> None:
    pytest.importorskip("peft", reason="diffusers' load_lora_weights needs PEFT; it comes with the extra 'dev'")
    from diffusers import StableDiffusionPipeline

    targets = EVERYWHERE if method == "lora" else ("attention",)
    recipe = LoraRecipe(method=method, rank=2, alpha=3, targets=targets, block_ranks=(("mid_block", 4),))
    result = trained(replace(RECIPE, lora=recipe, train_text_encoder=method == "lora"))
    assert result.lora
    checkpoints.save(tmp_path / "tiny", model=tiny_model(), clip=tiny_clip(), vae=tiny_vae())
    write_lora(tmp_path / "a.safetensors", result.lora, layout=layout, dtype=torch.float32, workflow="{}")

    pipeline: Any = StableDiffusionPipeline.from_pretrained(
        tmp_path / "tiny", local_files_only=True, requires_safety_checker=False
    )
    before = answer(pipeline.unet)
    pipeline.load_lora_weights(str(tmp_path), weight_name="a.safetensors", local_files_only=True)

    torch.testing.assert_close(answer(pipeline.unet), answer(result.subject.network), atol=1e-4, rtol=1e-4)
    assert not torch.allclose(answer(pipeline.unet), before, atol=1e-3)
    if result.clip is None:
        return
    encoder: Any = result.clip.encoders[0].network  # Any: transformers leaves methods untyped
    tokens = torch.arange(8)[None]
    with torch.no_grad():
        torch.testing.assert_close(pipeline.text_encoder(tokens)[0], encoder(tokens)[0], atol=1e-4, rtol=1e-4)


def test_the_header_says_what_the_training_was(tmp_path: Path) -> None:
    result = trained(replace(RECIPE, loss_weighting="min_snr", precision="bfloat16"))
    assert result.lora
    write_lora(tmp_path / "blocks.safetensors", result.lora, layout="kohya", dtype=torch.float16, workflow='{"a": 1}')
    with safe_open(tmp_path / "blocks.safetensors", "pt") as file:
        header = file.metadata()
        names = list(file.keys())

    assert header["workflow"] == '{"a": 1}'
    expected = {
        "ss_network_module": "networks.lora", "ss_network_dim": "2", "ss_network_alpha": "3", "ss_steps": "2",
        "ss_learning_rate": "0.01", "ss_optimizer": "adamw", "ss_seed": "1", "ss_total_batch_size": "4",
        "ss_min_snr_gamma": "5.0", "ss_mixed_precision": "bf16", "ss_sd_model_name": "tiny",
        "modelspec.title": "blocks", "modelspec.prediction_type": "epsilon",
    }  # fmt: skip
    assert {name: header[name] for name in expected} == expected
    told = json.loads(header["graphengine_training"])
    assert told["dataset"] == "blocks"
    assert len(told["base model weights"]) == 32
    assert len(header["sshs_model_hash"]) == 64
    place = "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn2_to_out_0"
    assert {f"{place}.lora_down.weight", f"{place}.lora_up.weight", f"{place}.alpha"} <= set(names)


def test_ranks_go_by_the_longest_block() -> None:
    networks: dict[Part, nn.Module] = {
        "denoiser": tiny_model().network,
        "text_encoder": tiny_clip().encoders[0].network,
    }
    blocks = (("mid_block", 0), ("up_blocks", 8), ("up_blocks.0.attentions.1", 3), ("text_encoder", 1))
    ranks = layer_ranks(networks, LoraRecipe(rank=2, targets=("to_q", "q_proj"), block_ranks=blocks))

    of = {name.split(".transformer")[0]: rank for name, rank in ranks["denoiser"].items()}
    assert of == {"down_blocks.1.attentions.0": 2, "up_blocks.0.attentions.0": 8, "up_blocks.0.attentions.1": 3}
    assert set(ranks["text_encoder"].values()) == {1}


def test_targets_and_blocks_that_match_nothing_are_named_together() -> None:
    recipe = LoraRecipe(targets=("attention", "to_x", "fc1"), block_ranks=(("top_block", 4),))
    with pytest.raises(InputError, match=r"'to_x', 'fc1', 'top_block'(?s:.*)to_q"):
        layer_ranks({"denoiser": tiny_model().network}, recipe)
    with pytest.raises(InputError, match="no layer to train"):
        layer_ranks({"denoiser": tiny_model().network}, LoraRecipe(targets=("conv_in",), block_ranks=(("conv_in", 0),)))


def test_what_is_no_denoiser_gets_no_lora() -> None:
    with pytest.raises(InputError, match=r"recipe.*LoRA"):
        next(train(tiny_vae(), Blocks(channels=3), RECIPE, steps=1, seed=0))


def test_states_saved_before_later_choices_are_still_found() -> None:
    """A recipe with later choices left as they are is named as it was before there were any."""
    assert recipe_choices(Recipe()) == {
        "batch_size": 32, "optimizer": "adamw", "learning_rate": 1e-4, "lr_schedule": "constant", "warmup_steps": 0,
        "weight_decay": 0.01, "max_grad_norm": 1.0, "ema_decay": 0.0, "loss": "mse", "loss_weighting": "none",
        "min_snr_gamma": 5.0, "caption_dropout": 0.1, "train_text_encoder": False, "kl_weight": 1e-6,
        "latent_weight": 1.0, "latent_noise": 0.0, "analytic_share": 0.5, "precision": "float32",
        "attention": "default",
    }  # fmt: skip
    named = recipe_choices(Recipe(lora=LORA))
    assert named["lora rank"] == 2
    assert named["lora targets"] == '["attention"]'
