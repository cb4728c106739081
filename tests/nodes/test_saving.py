from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from graphengine.authoring.testing import FakeContext
from graphengine.core.workflow import parse_workflow
from graphengine.diffusion import checkpoints
from graphengine.diffusion.facts import clip_facts, vae_facts
from graphengine.errors import InputError, ModelFileError
from graphengine_nodes.merging import model_merge_simple
from graphengine_nodes.saving import save_checkpoint
from tests.diffusion.original_layouts import random_parts, stored_names
from tests.diffusion.test_merging import other_model, same, weights
from tests.diffusion.tiny_checkpoint import tiny_clip, tiny_model, tiny_vae
from tests.diffusion.tiny_flow import tiny_flow_clip
from tests.drawn import drawn

WORKFLOW = drawn({"a": "Number"})


def test_a_merged_model_is_opened_again_from_its_folder(tmp_path: Path) -> None:
    mixed = model_merge_simple(tiny_model(), other_model(), 0.5)
    save_checkpoint(FakeContext(tmp_path, workflow=WORKFLOW), mixed, tiny_clip(), tiny_vae(), "models/mixed")
    folder = tmp_path / "output" / "models" / "mixed"
    model, _clip, _vae = checkpoints.load(folder)
    assert same(model.network, mixed.network)
    assert parse_workflow((folder / "workflow.json").read_bytes()) == WORKFLOW


def test_a_single_file_has_all_parts_and_the_workflow(tmp_path: Path) -> None:
    context = FakeContext(tmp_path, workflow=WORKFLOW)
    for name in ("mine", "mine.safetensors"):
        save_checkpoint(context, tiny_model(), tiny_clip(), tiny_vae(), name, "float16", "single file")
    (path,) = (tmp_path / "output").iterdir()
    assert path.name == "mine.safetensors"
    with safe_open(path, framework="pt") as file:
        assert parse_workflow(file.metadata()["workflow"].encode()) == WORKFLOW
    model, _clip, _vae = checkpoints.load(path, precision="file")
    expected = weights(tiny_model().network)
    for name, weight in weights(model.network).items():
        assert torch.equal(weight, expected[name].half()), name


def test_any_parts_go_into_a_folder(tmp_path: Path) -> None:
    context = FakeContext(tmp_path)
    save_checkpoint(context, vae=tiny_vae(), name="vae")
    assert same(checkpoints.load_vae(tmp_path / "output" / "vae").autoencoder, tiny_vae().autoencoder)
    assert not (tmp_path / "output" / "vae" / "workflow.json").exists()
    with pytest.raises(InputError, match="nothing is linked") as caught:
        save_checkpoint(context, clip=tiny_clip(), vae=tiny_vae(), name="half", layout="single file")
    assert caught.value.input == "model"
    assert not (tmp_path / "output" / "half.safetensors").exists()


def test_a_denoiser_alone_goes_into_a_file_of_its_own(tmp_path: Path) -> None:
    save_checkpoint(FakeContext(tmp_path), tiny_model(), name="unet", layout="single file")
    path = tmp_path / "output" / "unet.safetensors"
    model = checkpoints.load_model(path, precision="file")
    assert same(model.network, tiny_model().network)
    assert (model.latent_factor, model.prediction) == (tiny_model().latent_factor, "epsilon")
    with pytest.raises(ModelFileError, match=r"no vae\n  Load its denoiser with LoadUNet"):
        checkpoints.load(path)


def test_an_autoencoder_alone_goes_into_a_file_in_the_original_names(tmp_path: Path) -> None:
    context = FakeContext(tmp_path, workflow=WORKFLOW)
    save_checkpoint(context, vae=tiny_vae(), name="mine", layout="single file")
    path = tmp_path / "output" / "mine.safetensors"
    with safe_open(path, framework="pt") as file:
        assert "encoder.down.0.block.0.conv1.weight" in file.keys()  # noqa: SIM118 - no mapping
        assert parse_workflow(file.metadata()["workflow"].encode()) == WORKFLOW
    vae = checkpoints.load_vae(path)
    assert same(vae.autoencoder, tiny_vae().autoencoder)
    config: Any = vae.autoencoder.config  # Any: diffusers' configurations are untyped
    assert config.scaling_factor == 0.5
    assert vae_facts(path, "auto") == {"vae": {"latent_channels": 4, "latent_factor": 2}}


def test_text_encoders_alone_go_into_files_in_the_original_names(tmp_path: Path) -> None:
    """One with a vocabulary of its own, and three of a family, T5 with its tokenizer beside it."""
    context = FakeContext(tmp_path)
    for clip, names in ((tiny_clip(), ["one"]), (tiny_flow_clip(), ["three_1", "three_2", "three_3"])):
        save_checkpoint(context, clip=clip, name=names[0].partition("_")[0], layout="single file")
        paths = [tmp_path / "output" / f"{name}.safetensors" for name in names]
        read = checkpoints.load_clip(*reversed(paths))
        assert len(read.encoders) == len(clip.encoders)
        for ours, theirs in zip(read.encoders, clip.encoders, strict=True):
            assert same(ours.network, theirs.network)
            assert ours.tokenizer("red").input_ids == theirs.tokenizer("red").input_ids
            assert (ours.hidden_layer, ours.pooled) == (theirs.hidden_layer, theirs.pooled)
    assert clip_facts([tmp_path / "output" / "one.safetensors"], "auto") == {"clip": {"context_width": 16}}


def test_a_second_encoder_of_xl_alone_is_read_by_other_programs_too(tmp_path: Path) -> None:
    """In OpenCLIP's names, as those have it; without what this project notes, it is known by its names and sizes."""
    _model, clip, _vae = random_parts("sdxl")
    save_checkpoint(FakeContext(tmp_path), clip=replace(clip, family="sdxl"), name="xl", layout="single file")
    assert "transformer.resblocks.0.attn.in_proj_weight" in stored_names(tmp_path / "output" / "xl_2.safetensors")
    assert "text_model.final_layer_norm.weight" in stored_names(tmp_path / "output" / "xl_1.safetensors")


def test_damaged_notes_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "odd.safetensors"
    for noted in ("[1]", "{", '{"text_encoder": {}, "family": null, "number": 0}'):
        save_file({"a": torch.zeros(1)}, path, {"graphengine_part": noted})
        with pytest.raises(ModelFileError, match="is damaged: "):
            checkpoints.load_clip(path)
