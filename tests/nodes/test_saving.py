from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from graphengine.authoring.testing import FakeContext
from graphengine.core.workflow import parse_workflow
from graphengine.diffusion import checkpoints
from graphengine.errors import InputError, ModelFileError
from graphengine_nodes.merging import model_merge_simple
from graphengine_nodes.saving import save_checkpoint
from tests.diffusion.test_merging import other_model, same, weights
from tests.diffusion.tiny_checkpoint import tiny_clip, tiny_model, tiny_vae
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
    for name, weight in weights(model.network).items():
        assert torch.equal(weight, weights(tiny_model().network)[name].half()), name


def test_any_parts_go_into_a_folder(tmp_path: Path) -> None:
    context = FakeContext(tmp_path)
    save_checkpoint(context, vae=tiny_vae(), name="vae")
    assert same(checkpoints.load_vae(tmp_path / "output" / "vae").autoencoder, tiny_vae().autoencoder)
    assert not (tmp_path / "output" / "vae" / "workflow.json").exists()
    with pytest.raises(InputError, match="nothing is linked") as caught:
        save_checkpoint(context, vae=tiny_vae(), name="half", layout="single file")
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
