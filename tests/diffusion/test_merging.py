from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from graphengine.diffusion import merging
from graphengine.errors import InputError
from graphengine.types import Clip, Model, Vae
from tests.diffusion.tiny_checkpoint import tiny_clip, tiny_model, tiny_vae


def changed(network: nn.Module, seed: int) -> nn.Module:
    """Copy a network with other weights."""
    other = copy.deepcopy(network)
    generator = torch.Generator().manual_seed(seed)
    for weight in other.parameters():
        weight.add_(torch.randn(weight.shape, generator=generator) * 0.1)
    return other


def other_model(seed: int = 5, **facts: int) -> Model:
    model = tiny_model(**facts)  # type: ignore[arg-type]  # numbers of channels and width
    return replace(model, network=changed(model.network, seed), source=f"other {seed}")


def weights(network: nn.Module) -> dict[str, Tensor]:
    return {name: weight.detach().clone() for name, weight in network.named_parameters()}


def same(first: nn.Module, second: nn.Module) -> bool:
    a, b = weights(first), weights(second)
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_a_blend_is_the_weighted_mean_and_leaves_both_as_they_are() -> None:
    first, second = tiny_model(), other_model()
    before = weights(first.network), weights(second.network)
    mixed = merging.blend_models(first, second, 0.25)
    for name, weight in weights(mixed.network).items():
        assert torch.allclose(weight, before[0][name] * 0.25 + before[1][name] * 0.75)
    for name, weight in weights(mixed.network).items():
        assert weight.data_ptr() not in (before[0][name].data_ptr(), before[1][name].data_ptr())
    nn.init.zeros_(next(mixed.network.parameters()))
    assert all(torch.equal(value, before[0][name]) for name, value in weights(first.network).items())
    assert all(torch.equal(value, before[1][name]) for name, value in weights(second.network).items())
    assert mixed.source == "tiny and other 5"
    assert mixed.scheduler_config == first.scheduler_config


def test_the_ends_of_a_blend_are_the_models_themselves_bit_for_bit() -> None:
    first, second = tiny_model(), other_model()
    assert same(merging.blend_models(first, second, 1).network, first.network)
    assert same(merging.blend_models(first, second, 0).network, second.network)


def test_each_part_of_a_unet_has_its_own_share() -> None:
    first, second = tiny_model(), other_model()
    mixed = weights(merging.blend_blocks(first, second, input=1, middle=0, out=0.5).network)
    a, b = weights(first.network), weights(second.network)
    for name, weight in mixed.items():
        part = name.partition(".")[0]
        if part in ("conv_in", "down_blocks", "time_embedding"):
            assert torch.equal(weight, a[name]), name
        elif part == "mid_block":
            assert torch.equal(weight, b[name]), name
        else:
            assert part in ("up_blocks", "conv_norm_out", "conv_out")
            assert torch.allclose(weight, (a[name] + b[name]) / 2), name
    with pytest.raises(InputError, match="a Linear, which has no input, middle and output blocks"):
        merging.blend_blocks(replace(first, network=nn.Linear(2, 2)), second, input=1, middle=1, out=1)


def test_what_a_model_learned_is_given_to_another() -> None:
    base, original, tuned = other_model(1), tiny_model(), other_model(2)
    gained = merging.add_model_difference(base, tuned, original, 0.5)
    a, new, old = weights(base.network), weights(tuned.network), weights(original.network)
    for name, weight in weights(gained.network).items():
        assert torch.allclose(weight, a[name] + 0.5 * (new[name] - old[name]), atol=1e-6)
    assert same(merging.add_model_difference(base, tuned, tuned, 1).network, base.network)
    in_two_steps = merging.add_models(base, merging.subtract_models(tuned, original, 0.5))
    expected = weights(gained.network)
    for name, weight in weights(in_two_steps.network).items():
        assert torch.allclose(weight, expected[name], atol=1e-6)


def test_an_inpainting_model_learns_what_a_plain_one_did() -> None:
    """What its first convolution reads beside the latents, the mask and the picture, stays as it is."""
    original, tuned, base = tiny_model(), other_model(2), tiny_model()
    wide = nn.Conv2d(9, 8, 3, padding=1).requires_grad_(False)
    network = copy.deepcopy(base.network)
    network.conv_in = wide
    gained = merging.add_model_difference(replace(base, network=network, extra_channels=5), tuned, original, 1)
    convolution = weights(gained.network)["conv_in.weight"]
    assert torch.equal(convolution[:, 4:], wide.weight[:, 4:])
    difference = weights(tuned.network)["conv_in.weight"] - weights(original.network)["conv_in.weight"]
    assert torch.allclose(convolution[:, :4], wide.weight[:, :4] + difference, atol=1e-6)


def test_half_precision_is_rounded_once_and_kept() -> None:
    first, second = tiny_model(), other_model()
    first.network.half()
    mixed = merging.blend_models(first, second, 0.3)
    a, b = weights(first.network), weights(second.network)
    for name, weight in weights(mixed.network).items():
        assert weight.dtype == torch.float16
        exact = torch.lerp(b[name], a[name].float(), 0.3)
        assert torch.equal(weight, exact.half()), name


REFUSED: dict[str, tuple[Callable[[], object], str, str]] = {
    "width": (lambda: merging.blend_models(tiny_model(), other_model(width=32), 0.5), "model2", r"16, 32.*16, 16"),
    "kind": (
        lambda: merging.blend_models(tiny_model(), replace(tiny_model(), network=nn.Linear(2, 2)), 0.5),
        "model2",
        "only one of the two",
    ),
    "prediction": (
        lambda: merging.blend_models(tiny_model(), tiny_model(prediction="v_prediction"), 1),
        "model2",
        "predicts 'v_prediction'",
    ),
    "original": (
        lambda: merging.add_model_difference(tiny_model(), tiny_model(), other_model(width=32), 1),
        "model3",
        "another kind",
    ),
    "more channels": (
        lambda: merging.add_model_difference(tiny_model(), other_model(channels=8), tiny_model(), 1),
        "model2",
        "conv_in",
    ),
    "count": (lambda: merging.blend_clips(tiny_clip(), Clip(tiny_clip().encoders * 2), 0.5), "clip2", "2 text enc"),
    "clip": (lambda: merging.blend_clips(tiny_clip(), tiny_clip(width=32), 0.5), "clip2", "another kind"),
    "vae": (lambda: merging.blend_vaes(tiny_vae(), tiny_vae(channels=16), 0.5), "vae2", "another kind"),
}


@pytest.mark.parametrize(("merge", "name", "message"), REFUSED.values(), ids=REFUSED)
def test_what_does_not_fit_is_refused_by_its_name(merge: Callable[[], object], name: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        merge()
    assert caught.value.input == name


def test_text_encoders_and_autoencoders_are_merged_alike() -> None:
    clip, vae = tiny_clip(), tiny_vae()
    encoder = clip.encoders[0]
    other_clip = replace(clip, encoders=(replace(encoder, network=changed(encoder.network, 3)),))
    mixed = merging.blend_clips(clip, other_clip, 0)
    assert same(mixed.encoders[0].network, other_clip.encoders[0].network)
    assert mixed.encoders[0].tokenizer is encoder.tokenizer
    gained = merging.add_clip_difference(clip, other_clip, clip, 1)
    a, b = weights(gained.encoders[0].network), weights(other_clip.encoders[0].network)
    assert all(torch.allclose(a[name], b[name], atol=1e-6) for name in a)
    other_vae = Vae(changed(vae.autoencoder, 4))
    assert same(merging.blend_vaes(vae, other_vae, 0).autoencoder, other_vae.autoencoder)
