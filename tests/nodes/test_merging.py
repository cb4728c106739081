from __future__ import annotations

import pytest
import torch

from graphengine.types import Model
from graphengine_nodes import merging as nodes
from tests.diffusion.test_merging import other_model, same, weights
from tests.diffusion.tiny_checkpoint import tiny_clip, tiny_model, tiny_vae


def first_weight(model: Model, name: str = "mid_block.resnets.0.conv1.weight") -> torch.Tensor:
    return weights(model.network)[name]


def test_ratios_are_shares_of_the_first() -> None:
    a, b = tiny_model(), other_model()
    assert same(nodes.model_merge_simple(a, b).network, a.network)
    assert same(nodes.model_merge_simple(a, b, 0).network, b.network)
    assert torch.equal(first_weight(nodes.model_merge_blocks(a, b, 1, 0, 1)), first_weight(b))
    assert nodes.clip_merge_simple(tiny_clip(), tiny_clip(), 0.5).source == "tiny and tiny"
    assert nodes.vae_merge_simple(tiny_vae(), tiny_vae(), 0.5).source == "tiny and tiny"


def test_differences_are_added_by_one_node_or_two() -> None:
    a, b, c = other_model(1), other_model(2), tiny_model()
    at_once = nodes.model_merge_add_difference(a, b, c, 0.5)
    in_two = nodes.model_merge_add(a, nodes.model_merge_subtract(b, c, 0.5))
    assert torch.allclose(first_weight(at_once), first_weight(in_two), atol=1e-6)
    assert nodes.clip_merge_add_difference(tiny_clip(), tiny_clip(), tiny_clip()).source == "tiny + (tiny - tiny)"


@pytest.mark.parametrize(
    ("function", "inputs"),
    [
        (nodes.model_merge_simple, "model1 model2 ratio"),
        (nodes.model_merge_blocks, "model1 model2 input middle out"),
        (nodes.model_merge_add, "model1 model2"),
        (nodes.model_merge_subtract, "model1 model2 multiplier"),
        (nodes.clip_merge_simple, "clip1 clip2 ratio"),
    ],
    ids=lambda value: value.definition.id if hasattr(value, "definition") else "",
)
def test_inputs_have_their_public_names_and_order(function: object, inputs: str) -> None:
    definition = function.definition  # type: ignore[attr-defined]  # nodes of several signatures
    assert [each.name for each in definition.inputs] == inputs.split()
