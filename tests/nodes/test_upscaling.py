from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import save_file

from graphengine.authoring.testing import FakeContext
from graphengine_nodes import upscaling as nodes
from tests.diffusion.test_upscale_models import basicsr, drawn, network


def test_a_picture_is_enlarged_as_often_as_the_model_does(tmp_path: Path) -> None:
    save_file(basicsr(dict(network(2).state_dict())), tmp_path / "4x.safetensors")
    model, context = nodes.upscale_model_loader(tmp_path / "4x.safetensors"), FakeContext(tmp_path)
    whole = nodes.image_upscale_with_model(context, model, drawn(2))
    assert whole.shape == (2, 40, 56, 3)
    assert context.loaded_values == [model]
    context.settings = replace(context.settings, sparing=True)
    assert torch.equal(nodes.image_upscale_with_model(context, model, drawn(2)), whole)  # smaller than a small tile
