"""The nodes pass everything on; what the functions do is tested in ``tests/diffusion``."""

from __future__ import annotations

import pytest
import torch

from graphengine.errors import InputError
from graphengine.types import Latent, Mask
from graphengine_nodes import latent_operations as nodes


def drawn(seed: int = 0, count: int = 1) -> Latent:
    return Latent(torch.randn(count, 4, 4, 6, generator=torch.Generator().manual_seed(seed)))


def test_shapes_come_out_as_the_names_promise() -> None:
    latent = drawn()
    assert nodes.latent_crop(latent, 16, 8, 24, 16).samples.tolist() == latent.samples[..., 2:3, 3:5].tolist()
    assert torch.equal(nodes.latent_flip(nodes.latent_flip(latent)).samples, latent.samples)
    assert nodes.latent_rotate(latent).samples.shape == (1, 4, 6, 4)
    assert nodes.latent_upscale_by(latent, "area", 0.5).samples.shape == (1, 4, 2, 3)
    assert nodes.latent_concat(latent, latent, "y").samples.shape == (1, 4, 8, 6)
    assert nodes.latent_cut(latent, "x", -2, 2).samples.tolist() == latent.samples[..., 4:].tolist()


def test_two_latents_are_mixed_by_the_share_of_the_first() -> None:
    a, b = drawn(0), drawn(1)
    assert torch.allclose(nodes.latent_blend(a, b, 0.25).samples, a.samples * 0.25 + b.samples * 0.75)
    assert torch.allclose(nodes.latent_interpolate(a, b).samples, a.samples, atol=1e-6)
    assert torch.equal(nodes.latent_subtract(nodes.latent_add(a, a), a).samples, a.samples)
    assert torch.equal(nodes.latent_multiply(a, 2).samples, nodes.latent_add(a, a).samples)


def test_laying_on_takes_places_and_masks() -> None:
    below, above = drawn(0), Latent(drawn(1).samples[..., :2, :2])
    laid = nodes.latent_composite(below, above, 16, 8).samples
    assert torch.equal(laid[..., 1:3, 2:4], above.samples)
    assert torch.equal(laid[..., 0, :], below.samples[..., 0, :])
    nothing = nodes.latent_composite_masked(below, above, 16, 8, mask=Mask(torch.zeros(1, 4, 4)))
    assert torch.equal(nothing.samples, below.samples)
    (check,) = nodes.latent_composite.checks
    with pytest.raises(InputError, match="-8 is below 0"):
        check(-8)


def test_batches_are_joined_repeated_and_taken_apart() -> None:
    batch = nodes.latent_batch(drawn(0), drawn(1))
    assert torch.equal(nodes.latent_from_batch(batch, 1).samples, drawn(1).samples)
    assert len(nodes.repeat_latent_batch(batch, 3).samples) == 6
    assert [len(each.samples) for each in nodes.rebatch_latents([batch, drawn()], 2)] == [2, 1]


@pytest.mark.parametrize(
    ("function", "inputs"),
    [
        (nodes.latent_upscale_by, "samples upscale_method scale_by"),
        (nodes.latent_crop, "samples width height x y"),
        (nodes.latent_flip, "samples flip_method"),
        (nodes.latent_rotate, "samples rotation"),
        (nodes.latent_composite, "samples_to samples_from x y feather"),
        (nodes.latent_composite_masked, "destination source x y resize_source mask"),
        (nodes.latent_blend, "samples1 samples2 blend_factor"),
        (nodes.latent_interpolate, "samples1 samples2 ratio"),
        (nodes.latent_concat, "samples1 samples2 dim"),
        (nodes.latent_cut, "samples dim index amount"),
        (nodes.repeat_latent_batch, "samples amount"),
        (nodes.latent_from_batch, "samples batch_index length"),
        (nodes.rebatch_latents, "latents batch_size"),
    ],
    ids=lambda value: value.definition.id if hasattr(value, "definition") else "",
)
def test_inputs_have_their_public_names_and_order(function: object, inputs: str) -> None:
    definition = function.definition  # type: ignore[attr-defined]  # nodes of several signatures
    assert [each.name for each in definition.inputs] == inputs.split()
