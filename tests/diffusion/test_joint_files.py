"""Single files of Stable Diffusion 3's structure: that their names are the original ones, read here as by diffusers."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL, SD3Transformer2DModel
from diffusers.loaders.single_file_utils import create_diffusers_clip_model_from_ldm
from safetensors.torch import load_file, save_file

from graphengine.diffusion import checkpoints
from graphengine.diffusion.facts import checkpoint_facts, denoiser_facts
from graphengine.diffusion.families import UNET_PREFIX, layout_of
from graphengine.diffusion.joint_layouts import joint_layout
from graphengine.diffusion.joint_names import joint_places
from graphengine.diffusion.model_files import TensorEntry
from graphengine.diffusion.original_names import written_weights
from graphengine.diffusion.recognition import recognise
from graphengine.errors import ModelFileError
from graphengine.types import Model
from tests.diffusion.original_layouts import edited, stored_names
from tests.diffusion.test_single_files import networks, same_weights
from tests.diffusion.tiny_flow import tiny_flow_clip, tiny_flow_model, tiny_flow_vae

VARIANTS: dict[str, dict[str, Any]] = {  # Any: each option has a type of its own
    "3 medium": {},
    "3.5 large": {"qk_norm": "rms_norm"},
    "3.5 medium": {"qk_norm": "rms_norm", "dual_attention_layers": (0,)},
}


def model_of(variant: str) -> Model:
    """Make a tiny transformer of a variant, with no two halves of a weight alike."""
    torch.manual_seed(4)
    config: Any = tiny_flow_model().network.config  # Any: diffusers' configurations are untyped
    options = {name: value for name, value in config.items() if not name.startswith("_")} | VARIANTS[variant]
    network: Any = SD3Transformer2DModel(**options)  # Any: untyped
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter)
    return replace(tiny_flow_model(), network=network.eval().requires_grad_(False))


@pytest.fixture(scope="module", params=VARIANTS)
def model(request: pytest.FixtureRequest) -> Model:
    return model_of(request.param)


@pytest.fixture(scope="module")
def file(model: Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sd3") / "tiny.safetensors"
    clip = replace(tiny_flow_clip(), family="sd3")
    checkpoints.save_single_file(path, model=model, clip=clip, vae=tiny_flow_vae(), dtype=None)
    return path


def test_diffusers_reads_the_names(model: Model, file: Path, tmp_path: Path) -> None:
    weights, network, autoencoder = load_file(file), model.network, tiny_flow_vae().autoencoder
    parts: Any = {"transformer": network, "vae": autoencoder}  # Any: diffusers' networks are untyped
    for part, each in parts.items():
        each.save_config(tmp_path / part)
    for kind, part in ((SD3Transformer2DModel, "transformer"), (AutoencoderKL, "vae")):
        read = kind.from_single_file(dict(weights), config=str(tmp_path), subfolder=part, local_files_only=True)
        assert same_weights(read, parts[part])
    second: Any = tiny_flow_clip().encoders[1].network  # Any: transformers' networks are untyped
    second.config.save_pretrained(tmp_path / "text_encoder_2")
    read = create_diffusers_clip_model_from_ldm(
        type(second), dict(weights), subfolder="text_encoder_2", config=str(tmp_path), local_files_only=True
    )
    assert same_weights(read, second)


def test_ours_reads_the_names(model: Model, file: Path) -> None:
    parts = checkpoints.load(file)
    expected = (model, tiny_flow_clip(), tiny_flow_vae())
    assert all(same_weights(one, other) for one, other in zip(networks(parts), networks(expected), strict=True))
    how = [(each.hidden_layer, each.final_norm, each.pooled) for each in parts[1].encoders]
    assert how == [(-2, False, "projected"), (-2, False, "projected"), (-1, True, None)]
    assert parts[1].encoders[2].tokenizer("a red square").input_ids == [3, 4, 5, 1]
    assert (parts[0].prediction, parts[0].scheduler_config["shift"]) == ("flow", 3.0)


def test_t5s_first_weight_is_there_once_under_its_two_names(file: Path) -> None:
    prefix = "text_encoders.t5xxl.transformer."
    assert {name for name in stored_names(file) if name.startswith(prefix) and "embed" in name} == set()
    network: Any = checkpoints.load(file)[1].encoders[2].network  # Any: transformers' networks are untyped
    assert network.shared.weight is network.encoder.embed_tokens.weight


def test_a_missing_tokenizer_is_asked_for(file: Path, tmp_path: Path) -> None:
    alone = Path(shutil.copy(file, tmp_path / "alone.safetensors"))
    with pytest.raises(ModelFileError, match=r"tokenizer is missing\n  Put it into .*alone, as in 'tokenizer_3'"):
        checkpoints.load(alone)


def header_of(config: dict[str, Any], prefix: str | None = UNET_PREFIX) -> dict[str, TensorEntry]:
    """Give the header of a full-size transformer, without its gigabytes; None for diffusers' names."""
    arguments = {name: value for name, value in config.items() if not name.startswith("_")}
    with torch.device("meta"):
        weights = SD3Transformer2DModel(**arguments).state_dict()
    if prefix is None:
        return {name: TensorEntry("F16", tuple(weight.shape), 0, 0) for name, weight in weights.items()}
    tensors = written_weights(joint_places(weights, prefix), weights)
    return {name: TensorEntry("F16", tuple(make().shape), 0, 0) for name, make in tensors.items()}


FULL_SIZE: dict[str, dict[str, Any]] = {  # Any: as above
    "Stable Diffusion 3": {},
    "Stable Diffusion 3.5 medium": {
        "qk_norm": "rms_norm", "dual_attention_layers": list(range(13)), "pos_embed_max_size": 384,
    },
    "Stable Diffusion 3.5 large": {
        "qk_norm": "rms_norm", "num_layers": 38, "num_attention_heads": 38, "caption_projection_dim": 2432,
    },
}  # fmt: skip


@pytest.mark.parametrize("name", FULL_SIZE)
@pytest.mark.parametrize("prefix", [UNET_PREFIX, "", None], ids=["checkpoint", "alone", "diffusers"])
def test_a_variant_is_known_by_the_header_alone(name: str, prefix: str | None) -> None:
    config = {**layout_of("sd3").unet, "qk_norm": None, "dual_attention_layers": [], **FULL_SIZE[name]}
    layout = joint_layout(Path("x"), header_of(config, prefix), prefix or "", in_diffusers_names=prefix is None)
    assert (layout.family, layout.name, layout.unet) == ("sd3", name, config)
    assert layout.text_encoders == ()


def test_text_encoders_are_those_in_the_file() -> None:
    entry = TensorEntry("F16", (1,), 0, 0)
    prefixes = [str(text["prefix"]) for text in layout_of("sd3").text_encoders]
    header = header_of(dict(layout_of("sd3").unet)) | {f"{prefix}x": entry for prefix in prefixes[:2]}
    assert [text["prefix"] for text in recognise(Path("x"), header, {}).text_encoders] == prefixes[:2]


def test_joint_transformers_of_other_sizes_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    checkpoints.save_single_file(path, model=tiny_flow_model(), dtype=None)
    save_file(load_file(path), path)  # without what says how it is built
    with pytest.raises(ModelFileError, match="unknown family: it reads prompts 64 wide and 4 channels"):
        checkpoints.load_model(path)
    broken = edited(path, tmp_path / "broken.safetensors", lambda tensors: tensors.pop(f"{UNET_PREFIX}pos_embed"))
    with pytest.raises(ModelFileError, match=r"pos_embed' is missing"):
        checkpoints.load_model(broken)


def test_a_denoiser_without_text_encoders_is_opened_by_itself(tmp_path: Path) -> None:
    """As most published files have it, whose text encoders are large."""
    path = tmp_path / "alone.safetensors"
    checkpoints.save_single_file(path, model=tiny_flow_model(), vae=tiny_flow_vae(), dtype=None)
    with pytest.raises(ModelFileError, match="has no text encoder\n  Load its denoiser with LoadUNet"):
        checkpoints.load(path)
    model = checkpoints.load_model(path)
    assert same_weights(model.network, tiny_flow_model().network)
    assert (model.prediction, model.latent_factor) == ("flow", 2)
    assert same_weights(checkpoints.load_vae(path).autoencoder, tiny_flow_vae().autoencoder)
    assert denoiser_facts(path)["model"]["context_width"] == 64
    assert checkpoint_facts(path)["vae"] == {"latent_channels": 4, "latent_factor": 2}
