"""What TrainLoop costs over the bare loop of the same model, batch and precision, and how well a trial foretells it.

The bare loop does what no training can leave out, on a batch that is there already: forward, backward and optimizer.
It draws no noise, reads no data, clips nothing and never looks at its loss. Both loops step in turn within one run, so
that what else the machine does slows both. On the CPU the process's own time is taken, that of threads that read data
included; on a GPU the clock's, each step waited for.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from graphengine.diffusion import checkpoints
from graphengine.diffusion.digits import DrawnDigits
from graphengine.diffusion.networks import new_clip, new_unet, new_unet_2d
from graphengine.diffusion.prompt_tokens import only_encoder, token_limit
from graphengine.diffusion.training import train
from graphengine.diffusion.training_adapters import Adapters
from graphengine.diffusion.training_trial import try_training
from graphengine.training_types import ExampleField, Examples, LoraRecipe, Recipe, Tokenizer
from graphengine.types import Clip, Model
from tests.bench.medians import Median
from tests.bench.sampling import EMBEDDED
from tests.diffusion.original_layouts import random_parts

Step = Callable[[], object]


@dataclass(frozen=True)
class Kept:
    """Latents and text states that are in memory."""

    latents: Tensor  # [N, 4, h, w]
    embeddings: Tensor  # [N, T, D]
    fields: Collection[ExampleField] = ("latents", "embeddings", "captions")
    digest: str = "kept"

    @property
    def length(self) -> int:
        return len(self.latents)

    def examples(self, indices: Sequence[int], fields: Collection[ExampleField]) -> Examples:
        chosen = torch.tensor(indices)
        return Examples(latents=self.latents[chosen], embeddings=self.embeddings[chosen])


@dataclass(frozen=True)
class LoraSpeed:
    """How a LoRA trains.

    Attributes:
        ratio: The loop's time over the bare loop's.
        seconds: Of a step.
        memory_share: The most memory of the training over what a trial foretold; None on the CPU, where what a process
            has freed is used again.
    """

    ratio: Median
    seconds: Median
    memory_share: float | None


def small_overhead(rounds: int = 24) -> Median:
    """Train all of a small network that draws digits, eight at a time."""
    torch.set_num_threads(1)
    batch = 8
    model, digits = new_unet_2d(seed=0), DrawnDigits()
    pictures = digits.examples(range(batch), ["images"]).images
    assert pictures is not None, "drawn digits have images"
    network: Any = copy.deepcopy(model.network).train()  # Any: diffusers is untyped
    bare = _bare(network, lambda: network(pictures, torch.arange(batch)).sample, pictures, Recipe())
    with closing(train(model, digits, Recipe(batch_size=batch), steps=10**6, seed=0)) as training:
        return Median(ours / theirs for ours, theirs in _in_turn(lambda: next(training), bare, "cpu", rounds))


def quarter_overhead(rounds: int = 12) -> Median:
    """Train a LoRA of Stable Diffusion 1's layout at a quarter of its width."""
    _model, embedded, _vae = checkpoints.load(EMBEDDED)
    clip = new_clip(Tokenizer(only_encoder(embedded).tokenizer), seed=0, width=192, layers=2, heads=4)
    model = new_unet(
        seed=0, text_width=192, block_channels=(80, 160, 320, 320), attention_levels=(True, True, True, False),
        layers_per_block=2, heads=8, norm_groups=16, pooled_text=False,
    )  # fmt: skip
    return _lora_speed(
        model, clip, "cpu", cells=16, recipe=Recipe(batch_size=2, lora=LoraRecipe()), rounds=rounds
    ).ratio


def lora_speed(
    place: str, *, tiny: bool = False, side: int = 512, batch: int = 4, rounds: int = 20, precision: Any = "bfloat16"
) -> LoraSpeed:  # Any: a literal
    """Train a LoRA of Stable Diffusion 1 with random weights, from latents and text states that are kept.

    Args:
        place: A torch device.
        tiny: With a network of a few channels, to try whether it runs.
        side: Of the pictures, in pixels.
    """
    model, clip, _vae = random_parts("sd1", tiny=tiny)
    recipe = Recipe(batch_size=batch, precision=precision, lora=LoraRecipe())
    return _lora_speed(model, clip, place, cells=side // 8, recipe=recipe, rounds=rounds)


def foretold(steps: int = 30) -> float:
    """Give by what share the time of a training is off what a trial foretold."""
    torch.set_num_threads(1)
    model, digits, recipe = new_unet_2d(seed=0), DrawnDigits(), Recipe(batch_size=8)
    trial = try_training(model, digits, recipe, steps=steps, seed=0)
    started = time.perf_counter()
    for _result in train(model, digits, recipe, steps=steps, seed=0):
        pass
    return abs((time.perf_counter() - started) / trial.seconds - 1)


def _lora_speed(model: Model, clip: Clip, place: str, *, cells: int, recipe: Recipe, rounds: int) -> LoraSpeed:
    torch.set_num_threads(1)
    device, batch = torch.device(place), recipe.batch_size
    network: Any = model.network  # Any: diffusers is untyped
    tokens, width = token_limit(only_encoder(clip)), network.config.cross_attention_dim
    data = Kept(torch.randn(4 * batch, 4, cells, cells), torch.randn(4 * batch, tokens, width))
    share = _memory_share(model, clip, data, recipe, device) if device.type == "cuda" else None

    assert recipe.lora is not None, "a LoRA is measured"
    adapted: Any = Adapters(recipe.lora, {"denoiser": model.network}, device).networks["denoiser"].train()  # as above
    latents, states = data.latents[:batch].to(device), data.embeddings[:batch].to(device)
    timesteps = torch.arange(batch, device=device)
    bare = _bare(adapted, lambda: adapted(latents, timesteps, encoder_hidden_states=states).sample, latents, recipe)
    with closing(train(model, data, recipe, steps=10**6, seed=0, clip=clip, device=device)) as training:
        times = list(_in_turn(lambda: next(training), bare, place, rounds))
    return LoraSpeed(Median(ours / theirs for ours, theirs in times), Median(ours for ours, _theirs in times), share)


def _memory_share(model: Model, clip: Clip, data: Kept, recipe: Recipe, device: torch.device) -> float:
    trial = try_training(model, data, recipe, steps=10, seed=0, clip=clip, device=device)
    torch.cuda.reset_peak_memory_stats(device)
    for _result in train(model, data, recipe, steps=10, seed=0, clip=clip, device=device):
        pass
    return torch.cuda.max_memory_allocated(device) / trial.memory_bytes


def _bare(network: nn.Module, predict: Callable[[], Any], target: Tensor, recipe: Recipe) -> Step:  # Any: as above
    parameters = [each for each in network.parameters() if each.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=1e-4, fused=True)
    is_half = recipe.precision == "bfloat16"

    def step() -> None:
        with torch.autocast(target.device.type, torch.bfloat16, enabled=is_half):
            loss: Any = functional.mse_loss(predict().float(), target)  # Any: torch leaves backward untyped
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def _in_turn(ours: Step, theirs: Step, place: str, rounds: int) -> Iterator[tuple[float, float]]:
    """Time steps of both in turn, after two of each that warm up."""
    for _ in range(2):
        ours()
        theirs()
    for _ in range(rounds):
        yield _seconds(ours, place), _seconds(theirs, place)


def _seconds(step: Step, place: str) -> float:
    if torch.device(place).type != "cuda":
        started = time.process_time()
        step()
        return time.process_time() - started
    torch.cuda.synchronize(place)
    started = time.perf_counter()
    step()
    torch.cuda.synchronize(place)
    return time.perf_counter() - started
