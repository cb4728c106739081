from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image as Picture

from graphengine.authoring.testing import FakeContext, run_node
from graphengine.diffusion import checkpoints
from graphengine.errors import InputError, ModelFileError
from graphengine_nodes.loaders import load_checkpoint, load_image
from tests.diffusion.tiny_checkpoint import tiny_clip, tiny_model, tiny_vae


def test_checkpoint_gives_its_three_parts_by_name(tmp_path: Path) -> None:
    checkpoints.save(tmp_path / "tiny", model=tiny_model(), clip=tiny_clip(), vae=tiny_vae())
    opened = run_node(load_checkpoint, ckpt_name=tmp_path / "tiny")
    assert opened.model.latent_channels == 4
    assert opened.clip.encoders[0].tokenizer.model_max_length == 8
    assert opened.vae.source == "tiny"
    assert [output.name for output in load_checkpoint.definition.outputs] == ["model", "clip", "vae"]


def test_weights_have_the_format_of_the_settings_unless_the_node_says_another(tmp_path: Path) -> None:
    checkpoints.save(tmp_path / "tiny", model=tiny_model(), clip=tiny_clip(), vae=tiny_vae())
    ctx = FakeContext()
    ctx.settings = replace(ctx.settings, precision="bfloat16")
    for said, expected in (("auto", torch.bfloat16), ("float16", torch.float16)):
        opened = run_node(load_checkpoint, ctx=ctx, ckpt_name=tmp_path / "tiny", precision=said)
        assert next(opened.model.network.parameters()).dtype == expected


def test_checkpoint_is_a_file_name_with_the_embedded_model_as_default() -> None:
    definition = load_checkpoint.definition.inputs[0]
    assert (definition.name, definition.files, definition.default) == ("ckpt_name", "checkpoints", "embedded")


def test_picture_gives_image_and_mask(tmp_path: Path) -> None:
    Picture.new("RGBA", (4, 2), (255, 0, 0, 0)).save(tmp_path / "a.png")
    opened = load_image(tmp_path / "a.png")
    assert opened.image.shape == (1, 2, 4, 3)
    assert torch.equal(opened.mask, torch.ones(1, 2, 4))
    assert [output.type for output in load_image.definition.outputs] == ["IMAGE", "MASK"]


def test_bad_files_name_themselves(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("no picture")
    with pytest.raises(InputError, match=r"a\.png"):
        load_image(tmp_path / "a.png")
    with pytest.raises(ModelFileError, match="elsewhere"):
        load_checkpoint(FakeContext(), tmp_path / "elsewhere")
