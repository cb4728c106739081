"""ControlNets in training: what changes, what stays, and the published loop."""

from __future__ import annotations

import copy
from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import DDPMScheduler
from torch import nn
from torch.nn import functional

from graphengine.diffusion.dataset_edges import edged
from graphengine.diffusion.edge_hints import EdgeHints
from graphengine.diffusion.memory import training_memory
from graphengine.diffusion.new_controls import new_control_net
from graphengine.diffusion.step_random import StepRandom
from graphengine.diffusion.training import StepResult, Trained, train
from graphengine.diffusion.training_captions import read_captions
from graphengine.diffusion.training_controls import ControlNetTask, SteeredDenoiser
from graphengine.diffusion.training_precision import gradient_checkpointing
from graphengine.diffusion.training_trial import try_training
from graphengine.errors import GraphEngineError, InputError
from graphengine.training_types import Dataset, LoraRecipe, Recipe
from graphengine.types import Clip, ControlNet, Model
from tests.diffusion import tiny_control
from tests.diffusion.test_conditioning import tiny_sdxl_clip
from tests.diffusion.test_model_prompts import sdxl_model
from tests.diffusion.test_training_captions import Uncut
from tests.diffusion.tiny_training import (
    Blocks,
    finish,
    same_weights,
    tiny_clip,
    tiny_model,
    tiny_text_model,
    tiny_vae,
    weights_of,
)

RECIPE = Recipe(batch_size=2, learning_rate=1e-3, caption_dropout=0, data_workers=0)
UNEDGED = Blocks(length=None, channels=3, fields=("images", "captions", "latents"))
EDGED = edged(UNEDGED, EdgeHints())
CPU = torch.device("cpu")
Training = Generator[StepResult, None, Trained[ControlNet]]


@dataclass(frozen=True)
class World:
    """A denoiser that stays, its text encoder, and a new ControlNet."""

    model: Model
    clip: Clip
    control_net: ControlNet

    def train(self, recipe: Recipe = RECIPE, steps: int = 2, dataset: Dataset = EDGED, **further: Any) -> Training:
        return train(self.control_net, dataset, recipe, steps=steps, seed=3, clip=self.clip, base=self.model, **further)


@pytest.fixture(scope="module")
def world() -> World:
    model = tiny_text_model()
    return World(model, tiny_clip(), new_control_net(model, seed=0, hint_widths=(4, 8), hint_start="random"))


def predict(
    model: Model, control_net: ControlNet | None, inputs: tuple[Any, ...], hints: Any
) -> Any:  # Any: diffusers'
    noised, timesteps, states = inputs
    residuals: dict[str, Any] = {}  # Any: as above
    network: Any = model.network  # Any: as above
    if control_net is not None:
        downs, middle = control_net.network(noised, timesteps, states, controlnet_cond=hints, return_dict=False)
        residuals = {"down_block_additional_residuals": downs, "mid_block_additional_residual": middle}
    return network(noised, timesteps, encoder_hidden_states=states, **residuals).sample


def test_a_new_control_net_says_nothing_and_is_as_its_model(world: World) -> None:
    hints = EDGED.examples([0, 1], ["hints"]).hints
    inputs = torch.randn(2, 4, 4, 4), torch.tensor([10, 900]), torch.randn(2, 8, 16)
    with torch.no_grad():
        alone, steered = (predict(world.model, net, inputs, hints) for net in (None, world.control_net))
    assert torch.equal(alone, steered)
    config: Any = world.control_net.network.config  # Any: diffusers is untyped
    assert config.addition_embed_type_num_heads == 2  # which from_unet leaves out
    copied, own = (weights_of(each.network) for each in (world.control_net, world.model))
    assert torch.equal(copied["mid_block.resnets.0.conv1.weight"], own["mid_block.resnets.0.conv1.weight"])

    again = new_control_net(world.model, seed=0, hint_widths=(4, 8), hint_start="random")
    other = new_control_net(world.model, seed=1, hint_widths=(4, 8), hint_start="random")
    zero = new_control_net(world.model, seed=0, hint_widths=(4, 8))
    assert same_weights(copied, weights_of(again.network))
    assert not same_weights(copied, weights_of(other.network))
    assert not weights_of(zero.network)["controlnet_cond_embedding.conv_out.weight"].any()
    read: Any = world.control_net.network.controlnet_cond_embedding  # Any: as above
    assert read(given(hints)).std() > 0.01
    with pytest.raises(InputError, match=r"4 numbers make 8 x 8 pixels one cell; .* 2 x 2.\n  Write 2 numbers"):
        new_control_net(world.model, seed=0)
    with pytest.raises(InputError, match="UNet2DModel, which can't be steered"):
        new_control_net(tiny_model(), seed=0)


def test_five_steps_equal_the_published_loop(world: World) -> None:
    """As in diffusers' train_controlnet: what the ControlNet says goes into the UNet, whose mse trains it alone."""
    net: Any = copy.deepcopy(world.control_net.network).train().requires_grad_(True)  # Any: diffusers is untyped
    unet: Any = copy.deepcopy(world.model.network).requires_grad_(False)  # Any: as above
    scheduler: Any = DDPMScheduler.from_config(dict(world.model.scheduler_config))  # Any: as above
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3, weight_decay=0.01)
    losses = []
    for step in range(5):
        given = EDGED.examples([2 * step, 2 * step + 1], ["latents", "captions", "hints"])
        random = StepRandom(3, step)
        timesteps = random.integers(1000, 2)
        noise = random.normal(2, 4, 4, 4)
        noised = scheduler.add_noise(given.latents, noise, timesteps)
        states, _ = read_captions(world.clip, [world.clip.encoders[0].network], given.captions or (), CPU)
        downs, middle = net(noised, timesteps, states.detach(), controlnet_cond=given.hints, return_dict=False)
        predicted = unet(
            noised, timesteps, states.detach(),
            down_block_additional_residuals=downs, mid_block_additional_residual=middle,
        ).sample  # fmt: skip
        target = scheduler.get_velocity(given.latents, noise, timesteps)
        loss: Any = functional.mse_loss(predicted, target)  # Any: torch leaves backward untyped
        loss.backward()
        losses.append(loss.item())
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()

    results, trained = finish(world.train(steps=5))

    assert [result.loss for result in results] == pytest.approx(losses, rel=1e-5)
    inputs = noised, timesteps, states.detach()
    with torch.no_grad():
        ours = predict(world.model, trained.subject, inputs, given.hints)
        theirs = predict(world.model, replace(world.control_net, network=net.eval()), inputs, given.hints)
        unsteered = predict(world.model, None, inputs, given.hints)
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-3)
    assert not torch.allclose(ours, unsteered, atol=1e-3)


def test_only_the_control_net_changes(world: World) -> None:
    frozen = [world.model.network, world.clip.encoders[0].network]
    before = [weights_of(each) for each in (*frozen, world.control_net.network)]
    _, trained = finish(world.train())

    assert all(
        same_weights(was, weights_of(each))
        for was, each in zip(before, (*frozen, world.control_net.network), strict=True)
    )
    assert all(parameter.grad is None for each in frozen for parameter in each.parameters())
    result = weights_of(trained.subject.network)
    assert not same_weights(before[2], result)
    assert before[2].keys() == result.keys()
    assert not any(parameter.requires_grad for parameter in trained.subject.network.parameters())
    assert not trained.subject.network.training
    assert trained.subject.training["base model weights"]
    assert trained.subject.training["steps"] == "2"


def test_it_resumes_with_the_same_bits(world: World, tmp_path: Path) -> None:
    recipe = replace(RECIPE, ema_decay=0.5)
    _, whole = finish(world.train(recipe, steps=3))
    stopped = world.train(recipe, steps=3, state_dir=tmp_path)
    next(stopped)
    stopped.close()
    assert all(not name.startswith("weights/network/denoiser") for name in state_names(tmp_path))
    rest, resumed = finish(world.train(recipe, steps=3, state_dir=tmp_path))

    assert [result.step for result in rest] == [2, 3]
    assert same_weights(weights_of(whole.subject.network), weights_of(resumed.subject.network))


@pytest.mark.slow
def test_sparing_memory_changes_nothing(world: World) -> None:
    """Blocks of both networks are computed again, also in parts of a batch; afterwards the denoiser is as it was."""
    recipe = replace(RECIPE, accumulate=2)
    _, plain = finish(world.train(recipe))
    training = world.train(replace(recipe, gradient_checkpointing=True))
    next(training)
    _, sparing = finish(training)
    for name, weight in weights_of(plain.subject.network).items():
        torch.testing.assert_close(weights_of(sparing.subject.network)[name], weight, atol=1e-6, rtol=1e-4)
    assert not any(getattr(each, "gradient_checkpointing", False) for each in world.model.network.modules())
    pair = SteeredDenoiser(*(copy.deepcopy(each.network) for each in (world.control_net, world.model)))
    with gradient_checkpointing([pair]):
        assert pair.control_net.is_gradient_checkpointing
        assert pair.denoiser.is_gradient_checkpointing


def test_it_is_tried_before_it_is_trained(world: World) -> None:
    trial = try_training(
        world.control_net, EDGED, RECIPE, steps=10, seed=0, clip=world.clip, base=world.model, trial_steps=1
    )
    assert trial.seconds > 0


def state_names(folder: Path) -> list[str]:
    from safetensors import safe_open

    with safe_open(next(folder.glob("*.safetensors")), "pt") as file:
        return list(file.keys())


def test_what_denoisers_objectives_count_counts_here(world: World) -> None:
    def first_loss(recipe: Recipe, dataset: Dataset = EDGED) -> float:
        training = world.train(recipe, steps=1, dataset=dataset)
        return next(training).loss

    plain = first_loss(RECIPE)
    assert first_loss(replace(RECIPE, loss_weighting="min_snr", min_snr_gamma=0.1)) < plain
    assert first_loss(replace(RECIPE, caption_dropout=1)) != plain
    pictures = edged(replace(UNEDGED, fields=("images", "captions")), EdgeHints())
    training = world.train(steps=1, dataset=pictures, vae=tiny_vae())
    assert next(training).loss > 0


@pytest.mark.slow
def test_pictures_of_stable_diffusion_xl_are_steered() -> None:
    """Against the published step written out, with the pooled caption and sizes."""
    model, clip = sdxl_model(), tiny_sdxl_clip()
    widths = (4,) * model.latent_factor.bit_length()
    control_net = ControlNet(tiny_control.stirred(new_control_net(model, seed=0, hint_widths=widths).network))
    side = 4 * model.latent_factor
    data = edged(Uncut(size=side, fields=("images", "captions", "latents")), EdgeHints())
    data = LatentsOfCells(data, model.latent_factor)
    task = ControlNetTask(control_net, model, data, RECIPE, CPU, clip=clip, vae=None)
    examples = data.examples([0, 1], task.fields)
    loss = task.losses(examples, StepRandom(0, 0))["denoising"]

    random = StepRandom(0, 0)
    assert examples.latents is not None
    timesteps = random.integers(1000, 2)
    noise = random.normal(*examples.latents.shape)
    scheduler: Any = DDPMScheduler.from_config(dict(model.scheduler_config))  # Any: diffusers is untyped
    noised = scheduler.add_noise(examples.latents, noise, timesteps)
    networks = [encoder.network for encoder in clip.encoders]
    states, pooled = read_captions(clip, networks, examples.captions or (), CPU)
    added = {"text_embeds": pooled, "time_ids": torch.tensor([[side, side, 0, 0, side, side]] * 2).float()}
    net: Any = control_net.network  # Any: as above
    unet: Any = model.network  # Any: as above
    downs, middle = net(
        noised, timesteps, states, controlnet_cond=examples.hints, added_cond_kwargs=added, return_dict=False
    )
    predicted = unet(
        noised, timesteps, states, added_cond_kwargs=added,
        down_block_additional_residuals=downs, mid_block_additional_residual=middle,
    ).sample  # fmt: skip
    expected = functional.mse_loss(predicted, noise)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-4)


class LatentsOfCells:
    """A dataset whose latents come to a model's cells."""

    def __init__(self, dataset: Dataset, factor: int) -> None:
        self.dataset, self.factor = dataset, factor
        self.length, self.fields, self.digest = dataset.length, dataset.fields, dataset.digest

    def examples(self, indices: Any, fields: Any) -> Any:  # Any: as in Dataset
        examples = self.dataset.examples(indices, {*fields, "images"})
        pooled = functional.avg_pool2d(given(examples.images), self.factor)
        return replace(examples, latents=torch.cat([pooled, pooled[:, :1]], dim=1))


def given(tensor: torch.Tensor | None) -> torch.Tensor:
    assert tensor is not None
    return tensor


def test_all_that_does_not_fit_is_told_at_once(world: World) -> None:
    other = new_control_net(tiny_control.steered_model(), seed=0)
    recipe = replace(RECIPE, train_text_encoder=True)
    with pytest.raises(GraphEngineError) as refused:
        next(train(other, UNEDGED, recipe, steps=1, seed=0, base=world.model))
    told = str(refused.value)
    for part in (
        "4 problems",
        "input 'base': the ControlNet 'NewControlNet' is for another family",
        "channels of the levels: [32, 64] instead of [8, 16]",
        "pixels of a cell: 8 instead of 2",
        "input 'dataset': it gives no hints to steer by",
        "input 'recipe': it trains the text encoder",
        "input 'clip': it is missing",
    ):
        assert part in told
    with pytest.raises(InputError, match="input 'base': it is missing"):
        next(train(world.control_net, EDGED, RECIPE, steps=1, seed=0, clip=world.clip))


def changed_hints(change: Callable[[torch.Tensor], torch.Tensor]) -> Dataset:
    class Changed(Blocks):
        def examples(self, indices: Any, fields: Any) -> Any:  # Any: as in Blocks
            examples = EDGED.examples(indices, fields)
            return examples if examples.hints is None else replace(examples, hints=change(examples.hints))

    return Changed(length=None, channels=3, fields=EDGED.fields)


@pytest.mark.parametrize(
    ("subject", "match"),
    [
        (lambda world: world.train(dataset=changed_hints(lambda hints: hints[..., :4])), "hints are 4 x 8, its pict"),
        (lambda world: world.train(dataset=changed_hints(lambda hints: hints[:, :1])), "have 1 channels; .* reads 3"),
        (lambda world: world.train(replace(RECIPE, lora=LoraRecipe())), "it trains a LoRA"),
        (
            lambda world: replace(world, control_net=ControlNet(tiny_control.t2i_adapter())).train(),
            "it is a T2IAdapter; only a ControlNetModel is trained",
        ),
        (lambda world: replace(world, model=tiny_model()).train(), "input 'base': its network is a UNet2DModel"),
        (
            lambda world: train(world.model, EDGED, RECIPE, steps=1, seed=0, clip=world.clip, base=world.model),
            "'base': it is for training a ControlNet only",
        ),
    ],
    ids=["size", "channels", "lora", "adapter", "base", "no control net"],
)
def test_what_can_not_be_steered_by_is_refused(world: World, subject: Callable[[World], Training], match: str) -> None:
    with pytest.raises(InputError, match=match):
        next(subject(world))


def test_its_memory_counts_the_frozen_model_once() -> None:
    layer = nn.Linear(10, 10, bias=False)
    base = Model(layer, "epsilon", {})
    assert training_memory(ControlNet(layer), Recipe(), base) == 4 * 100 * (4 + 1)
