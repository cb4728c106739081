"""Estimates of device memory, against a count of all tensors that are alive at once."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL, ControlNetModel, DDPMScheduler, SD3Transformer2DModel, UNet2DConditionModel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from graphengine.diffusion import vae as autoencoding
from graphengine.diffusion.controls import steered
from graphengine.diffusion.denoisers import Denoiser
from graphengine.diffusion.memory import (
    decoding_memory,
    encoding_memory,
    guided_memory,
    sampling_memory,
    tiled_decoding_memory,
    tiled_encoding_memory,
    training_memory,
    upscaling_memory,
)
from graphengine.diffusion.samplers import Ask
from graphengine.diffusion.upscale_networks import RRDBNet
from graphengine.diffusion.walkthrough import BasicUNet
from graphengine.training_types import Recipe
from graphengine.types import Conditioning, Control, ControlNet, Guider, Image, Latent, Model, UpscaleModel, Vae
from tests.diffusion.tiny_checkpoint import tiny_model, tiny_vae


class Peak(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch has no types there
    """Counts the bytes of all tensors that are made within the block and alive at once."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # as above
        self.peak_bytes = 0
        self._bytes = 0
        self._live: dict[int, list[int]] = {}  # address -> how many tensors share the storage, its size

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],  # Any: an operator of torch
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        given = {each.untyped_storage().data_ptr() for each in _tensors((args, kwargs))}
        result = func(*args, **(kwargs or {}))
        for tensor in _tensors(result):
            storage = tensor.untyped_storage()
            address = storage.data_ptr()
            if address in given and address not in self._live:
                continue  # a view of a weight or of an input
            self._live.setdefault(address, [0, storage.nbytes()])[0] += 1
            if self._live[address][0] == 1:
                self._bytes += storage.nbytes()
                self.peak_bytes = max(self.peak_bytes, self._bytes)
            weakref.finalize(tensor, self._drop, address)
        return result

    def _drop(self, address: int) -> None:
        self._live[address][0] -= 1
        if self._live[address][0] == 0:
            self._bytes -= self._live.pop(address)[1]


def _tensors(values: object) -> list[torch.Tensor]:
    return [each for each in tree_leaves(values) if isinstance(each, torch.Tensor)]


SHAPES = {
    "as Stable Diffusion": ((32, 64, 128, 128), 2),
    "as the embedded": ((16, 16, 32, 64), 1),
    "two": ((32, 32), 1),
}


@pytest.mark.parametrize(("channels", "layers"), SHAPES.values(), ids=SHAPES)
def test_sampling_takes_about_what_is_estimated(channels: tuple[int, ...], layers: int) -> None:
    levels = len(channels) - 1
    network = UNet2DConditionModel(
        in_channels=4, out_channels=4, layers_per_block=layers, block_out_channels=channels, norm_num_groups=8,
        down_block_types=("CrossAttnDownBlock2D",) * levels + ("DownBlock2D",),
        up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * levels, cross_attention_dim=16, attention_head_dim=4,
    )  # fmt: skip
    model = Model(network.eval(), "epsilon", {})
    latent = Latent(torch.zeros(1, 4, 16, 24))
    with torch.no_grad(), Peak() as peak:
        network(torch.cat([latent.samples] * 2), torch.tensor(1.0), torch.zeros(2, 8, 16))
    prompt = Conditioning.of(torch.zeros(1, 8, 16))
    estimate = sampling_memory(model, latent, 7.0, prompt, prompt)
    assert peak.peak_bytes <= estimate <= 1.3 * peak.peak_bytes
    assert sampling_memory(model, latent, 1.0, prompt, prompt) * 2 == estimate
    regional = Conditioning(prompt.parts * 3)
    assert sampling_memory(model, latent, 7.0, regional, prompt) == 2 * estimate
    scheduled = Conditioning(tuple(replace(part, steps=((0, 0.5),)) for part in regional.parts))
    assert sampling_memory(model, latent, 7.0, scheduled, prompt) == estimate


@pytest.mark.parametrize(("words", "dual_layers"), [(8, ()), (77, (0,))], ids=["short", "long, two attentions"])
def test_a_joint_transformer_takes_about_what_is_estimated(words: int, dual_layers: tuple[int, ...]) -> None:
    network = SD3Transformer2DModel(
        sample_size=24, patch_size=2, in_channels=16, num_layers=2, attention_head_dim=16, num_attention_heads=4,
        joint_attention_dim=32, caption_projection_dim=64, pooled_projection_dim=24, out_channels=16,
        pos_embed_max_size=16, dual_attention_layers=dual_layers,
    )  # fmt: skip
    model, latent = Model(network.eval(), "flow", {}, 16), Latent(torch.zeros(1, 16, 16, 24))
    with torch.no_grad(), Peak() as peak:
        network(latent.samples, torch.zeros(1, words, 32), torch.zeros(1, 24), torch.ones(1))
    prompt = Conditioning.of(torch.zeros(1, words, 32))
    estimate = sampling_memory(model, latent, 1.0, prompt, prompt)
    assert peak.peak_bytes <= estimate <= 1.3 * peak.peak_bytes
    assert sampling_memory(model, latent, 7.0, prompt, prompt) == 2 * estimate


@pytest.mark.parametrize(("channels", "layers"), SHAPES.values(), ids=SHAPES)
def test_a_control_takes_about_what_is_estimated(channels: tuple[int, ...], layers: int) -> None:
    levels = len(channels) - 1
    shared: dict[str, Any] = {
        "layers_per_block": layers, "block_out_channels": channels, "norm_num_groups": 8, "cross_attention_dim": 16,
        "down_block_types": ("CrossAttnDownBlock2D",) * levels + ("DownBlock2D",), "attention_head_dim": 4,
    }  # fmt: skip
    up = ("UpBlock2D",) + ("CrossAttnUpBlock2D",) * levels
    model = Model(UNet2DConditionModel(up_block_types=up, **shared).eval(), "epsilon", dict(DDPMScheduler().config))
    network = ControlNetModel(conditioning_embedding_out_channels=(4, 4, 8, 8), **shared).eval()
    prompt = steered(
        Conditioning.of(torch.zeros(1, 8, 16)), Control(ControlNet(network), Image(torch.zeros(1, 128, 192, 3)))
    )
    latent = Latent(torch.zeros(1, 4, 16, 24))
    denoiser = Denoiser(model, prompt, prompt, cfg=7, batch=1)
    with torch.no_grad(), Peak() as peak:
        denoiser(Ask(latent.samples, 1.0))
    assert peak.peak_bytes <= sampling_memory(model, latent, 7.0, prompt, prompt) <= 1.3 * peak.peak_bytes


@pytest.mark.parametrize(("channels", "layers"), SHAPES.values(), ids=SHAPES)
def test_decoding_and_encoding_take_about_what_is_estimated(channels: tuple[int, ...], layers: int) -> None:
    levels = len(channels)
    network = AutoencoderKL(
        block_out_channels=channels, layers_per_block=layers, latent_channels=4, norm_num_groups=8,
        down_block_types=("DownEncoderBlock2D",) * levels, up_block_types=("UpDecoderBlock2D",) * levels,
    )  # fmt: skip
    vae = Vae(network.eval())
    pixels = Image(torch.zeros(1, 64, 64, 3))
    with Peak() as encoding:
        latent = autoencoding.encode(vae, pixels)
    with Peak() as decoding:
        autoencoding.decode(vae, latent)
    assert encoding.peak_bytes <= encoding_memory(pixels, vae) <= 1.4 * encoding.peak_bytes
    assert decoding.peak_bytes <= decoding_memory(latent, vae) <= 1.2 * decoding.peak_bytes


def test_in_tiles_no_more_is_claimed_than_for_a_picture_of_a_tiles_size() -> None:
    vae, large, small = tiny_vae(), Image(torch.zeros(1, 256, 128, 3)), Image(torch.zeros(1, 64, 64, 3))
    latents = [Latent(torch.zeros(1, 4, each.shape[1] // 2, each.shape[2] // 2)) for each in (large, small)]
    assert tiled_encoding_memory(large, vae, 64) == encoding_memory(small, vae)
    assert tiled_decoding_memory(latents[0], vae, 64) == pytest.approx(decoding_memory(latents[1], vae), rel=1e-4)
    assert tiled_encoding_memory(large, vae, 512) == encoding_memory(large, vae)


def test_guiding_by_three_prompts_calls_for_one_at_a_time() -> None:
    prompt, latent, model = Conditioning.of(torch.zeros(1, 8, 16)), Latent(torch.zeros(1, 4, 8, 8)), tiny_model()
    one = guided_memory(Guider(model, prompt), latent)
    assert one > 0
    assert guided_memory(Guider(model, prompt, prompt, 7.0), latent) == 2 * one
    assert guided_memory(Guider(model, prompt, prompt, 7.0, prompt, 3.0), latent) == one


@pytest.mark.parametrize("doublings", [1, 2])
def test_enlarging_takes_about_what_is_estimated(doublings: int) -> None:
    network = RRDBNet(features=16, growth=8, blocks=2, doublings=doublings).eval()
    model, image = UpscaleModel(network, 2**doublings), Image(torch.zeros(1, 32, 48, 3))
    planes = image.permute(0, 3, 1, 2).contiguous()
    with torch.no_grad(), Peak() as peak:
        network(planes)
    assert peak.peak_bytes <= upscaling_memory(model, image, 512) <= 1.4 * peak.peak_bytes
    assert upscaling_memory(model, Image(torch.zeros(1, 64, 96, 3)), 32) < upscaling_memory(model, image, 512)


def test_nothing_is_claimed_of_a_network_of_unknown_structure() -> None:
    prompt = Conditioning.of(torch.zeros(1, 8, 16))
    assert (
        sampling_memory(Model(BasicUNet(), "mixing", {}, 1, 1), Latent(torch.zeros(1, 1, 8, 8)), 1.0, prompt, prompt)
        == 0
    )


def test_training_takes_the_weights_several_times() -> None:
    layer = torch.nn.Linear(10, 10)
    weights = 110 * 4
    assert training_memory(Vae(layer), Recipe()) == 4 * weights
    assert training_memory(Vae(layer), Recipe(ema_decay=0.9)) == 5 * weights
