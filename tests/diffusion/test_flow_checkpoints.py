"""Checkpoints of Stable Diffusion 3's structure, as folders."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusion3Pipeline
from torch import nn

from graphengine.diffusion import checkpoints
from graphengine.diffusion.facts import checkpoint_facts
from tests.diffusion.test_single_files import same_weights
from tests.diffusion.tiny_flow import tiny_flow_clip, tiny_flow_model, tiny_flow_vae


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("flow") / "tiny"
    checkpoints.save(path, model=tiny_flow_model(), clip=tiny_flow_clip(), vae=tiny_flow_vae())
    return path


def test_a_folder_with_a_transformer_and_three_text_encoders_opens(folder: Path) -> None:
    model, clip, vae = checkpoints.load(folder)
    assert (model.prediction, model.latent_channels, model.latent_factor) == ("flow", 4, 2)
    assert model.scheduler_config["shift"] == 3.0
    assert same_weights(model.network, tiny_flow_model().network)
    assert same_weights(vae.autoencoder, tiny_flow_vae().autoencoder)
    how = [(each.hidden_layer, each.final_norm, each.pooled) for each in clip.encoders]
    assert how == [(-2, False, "projected"), (-2, False, "projected"), (-1, True, None)]
    for read, expected in zip(clip.encoders, tiny_flow_clip().encoders, strict=True):
        assert same_weights(read.network, expected.network)
        assert read.tokenizer("a red square").input_ids == expected.tokenizer("a red square").input_ids
    assert checkpoint_facts(folder)["clip"]["context_width"] == checkpoint_facts(folder)["model"]["context_width"] == 64


def test_the_pipeline_of_its_family_opens_what_we_save(folder: Path) -> None:
    pipeline = StableDiffusion3Pipeline.from_pretrained(folder, local_files_only=True)
    pairs: list[tuple[nn.Module, nn.Module]] = [
        (pipeline.transformer, tiny_flow_model().network),
        (pipeline.vae, tiny_flow_vae().autoencoder),
        (pipeline.text_encoder_3, tiny_flow_clip().encoders[2].network),
    ]
    assert all(same_weights(theirs, ours) for theirs, ours in pairs)
    assert pipeline.scheduler.config.shift == 3.0


def test_the_largest_text_encoder_may_be_left_out(folder: Path, tmp_path: Path) -> None:
    """As many who lack the memory do: its states are zeros then."""
    small = shutil.copytree(folder, tmp_path / "small")
    for part in ("text_encoder_3", "tokenizer_3"):
        shutil.rmtree(small / part)
    _model, clip, _vae = checkpoints.load(small)
    assert len(clip.encoders) == 2
    assert checkpoint_facts(small)["clip"]["context_width"] == 64


def test_weights_become_what_is_wished(folder: Path) -> None:
    model, clip, _vae = checkpoints.load(folder, precision="bfloat16")
    assert {weight.dtype for weight in model.network.parameters()} == {torch.bfloat16}
    assert {weight.dtype for weight in clip.encoders[0].network.parameters()} == {torch.bfloat16}
