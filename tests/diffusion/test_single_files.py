"""Single-file checkpoints: that their names are the original ones, as diffusers reads them, and as ours does."""

from __future__ import annotations

import hashlib
import re
import struct
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.loaders.single_file_utils import create_diffusers_clip_model_from_ldm
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from graphengine.diffusion import checkpoints
from graphengine.diffusion.clip_vocabulary import clip_tokenizer
from graphengine.diffusion.facts import checkpoint_facts
from graphengine.diffusion.families import UNET_PREFIX, family_of_folder, layout_of
from graphengine.diffusion.model_files import TensorEntry
from graphengine.diffusion.original_names import unet_places, written_weights
from graphengine.diffusion.recognition import recognise
from graphengine.diffusion.single_files import found_scheduler
from graphengine.diffusion.weights_files import WeightsFile
from graphengine.errors import ModelFileError
from graphengine.types import Family
from tests.diffusion.bad_files import refused
from tests.diffusion.original_layouts import (
    SINGLE_FILE_FAMILIES,
    Parts,
    edited,
    random_parts,
    stored_names,
    write_configs,
    write_original,
)

EMBEDDED = Path(checkpoints.__file__).parents[1] / "models" / "checkpoints" / "embedded"


def same_weights(one: nn.Module, other: nn.Module) -> bool:
    first, second = one.state_dict(), other.state_dict()
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def networks(parts: Parts) -> list[nn.Module]:
    model, clip, vae = parts
    return [model.network, vae.autoencoder, *(encoder.network for encoder in clip.encoders)]


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a tiny Stable Diffusion 1 in float16."""
    path = tmp_path_factory.mktemp("sd1") / "tiny.safetensors"
    return write_original(path, random_parts("sd1", dtype=torch.float16), "sd1", notes=True)


@pytest.fixture(scope="module", params=SINGLE_FILE_FAMILIES)
def family(request: pytest.FixtureRequest) -> Family:
    chosen: Family = request.param
    return chosen


@pytest.fixture(scope="module")
def parts(family: Family) -> Parts:
    return random_parts(family)


@pytest.fixture(scope="module")
def file(family: Family, parts: Parts, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_original(tmp_path_factory.mktemp(family) / "tiny.safetensors", parts, family, notes=True)


def test_diffusers_reads_the_names(family: Family, parts: Parts, file: Path, tmp_path: Path) -> None:
    configs = write_configs(tmp_path, parts)
    weights = load_file(file)
    model, clip, vae = parts
    kinds: dict[str, tuple[Any, nn.Module]] = {  # Any: diffusers' classes are untyped
        "unet": (UNet2DConditionModel, model.network),
        "vae": (AutoencoderKL, vae.autoencoder),
    }
    for part, (kind, expected) in kinds.items():
        read = kind.from_single_file(dict(weights), config=str(configs), subfolder=part, local_files_only=True)
        assert same_weights(read, expected)
    for number, encoder in enumerate(clip.encoders):
        part = "text_encoder" if number == 0 else f"text_encoder_{number + 1}"
        read = create_diffusers_clip_model_from_ldm(
            type(encoder.network), dict(weights), subfolder=part, config=str(configs), local_files_only=True
        )
        assert same_weights(read, encoder.network)


@pytest.fixture(scope="module")
def opened(file: Path) -> Parts:
    return checkpoints.load(file)


def test_ours_reads_the_names_and_what_is_read_of_each_text_encoder(parts: Parts, opened: Parts) -> None:
    model, clip, vae = opened

    assert all(
        same_weights(one, other) for one, other in zip(networks((model, clip, vae)), networks(parts), strict=True)
    )
    wanted = [(each.hidden_layer, each.final_norm, each.pooled) for each in parts[1].encoders]
    assert [(each.hidden_layer, each.final_norm, each.pooled) for each in clip.encoders] == wanted
    assert not any(network.training for network in networks((model, clip, vae)))
    assert (model.latent_channels, model.latent_factor, model.source) == (4, 2, "tiny.safetensors")


def test_networks_read_from_a_file_compute_the_same(parts: Parts, opened: Parts) -> None:
    """Buffers aren't in any file: with wrong ones the weights would be right and the numbers wrong."""
    _model, clip, _vae = opened
    ids = torch.tensor([[49406, 320, 8853, 49407]])
    for read, original in zip(clip.encoders, parts[1].encoders, strict=True):
        ours, theirs = (encoder.network(ids).last_hidden_state for encoder in (read, original))
        assert torch.equal(ours, theirs)


def test_facts_are_told_without_weights(parts: Parts, file: Path) -> None:
    model, clip, vae = parts
    network: Any = model.network.config  # Any: diffusers' configuration, untyped
    assert checkpoint_facts(file) == {
        "model": {
            "family": None, "context_width": network.cross_attention_dim, "latent_channels": 4, "latent_factor": 2,
        },
        "clip": {"family": None, "context_width": network.cross_attention_dim},
        "vae": {"latent_channels": 4, "latent_factor": 2},
    }  # fmt: skip
    del clip, vae


@lru_cache
def full_size_header(family: Family, *, channels: int = 4) -> dict[str, TensorEntry]:
    """Give the header of a full-size denoiser, without its gigabytes."""
    layout = layout_of(family)
    arguments = {name: value for name, value in layout.unet.items() if not name.startswith("_")}
    with torch.device("meta"):
        weights = UNet2DConditionModel(**{**arguments, "in_channels": channels}).state_dict()
    tensors = written_weights(unet_places(weights, layout.unet, UNET_PREFIX), weights)
    return {name: TensorEntry("F16", tuple(make().shape), 0, 0) for name, make in tensors.items()}


def test_a_family_is_known_by_the_header_alone(family: Family) -> None:
    layout = recognise(Path("x"), full_size_header(family), {})
    assert (layout.family, layout.extra_channels) == (family, 0)
    assert family_of_folder(layout.unet) == family


def test_an_inpainting_model_is_known_by_its_channels() -> None:
    layout = recognise(Path("x"), full_size_header("sd1", channels=9), {})
    assert (layout.family, layout.name, layout.extra_channels) == ("sd1", "Stable Diffusion 1 inpainting", 5)
    with pytest.raises(ModelFileError, match="8 input channels, instruct-pix2pix"):
        recognise(Path("x"), full_size_header("sd1", channels=8), {})


def test_an_inpainting_models_extra_channels_are_no_latents(tmp_path: Path) -> None:
    path = write_original(tmp_path / "a.safetensors", random_parts("sd1", inpainting=True), "sd1", notes=True)
    model, _clip, _vae = checkpoints.load(path)
    assert (model.latent_channels, model.extra_channels) == (4, 5)
    assert checkpoint_facts(path)["model"]["latent_channels"] == 4


def test_clips_vocabulary_gives_the_published_numbers() -> None:
    text = "a photograph of an astronaut riding a horse"
    words = [49406, 320, 8853, 539, 550, 18376, 6765, 320, 4558, 49407]
    first, second = clip_tokenizer(), clip_tokenizer("!")
    assert len(first) == 49408
    assert first(text, padding="max_length").input_ids == words + [49407] * 67
    assert second(text, padding="max_length").input_ids == words + [0] * 67


# The embedded model, and other networks of their own


def test_the_embedded_model_goes_through_a_single_file(tmp_path: Path) -> None:
    model, clip, vae = checkpoints.load(EMBEDDED)
    path = tmp_path / "embedded.safetensors"
    checkpoints.save_single_file(path, model=model, clip=clip, vae=vae)

    read = checkpoints.load(path)

    assert all(
        same_weights(one, other) for one, other in zip(networks(read), networks((model, clip, vae)), strict=True)
    )
    assert (
        read[1].encoders[0].tokenizer("a red square").input_ids == clip.encoders[0].tokenizer("a red square").input_ids
    )
    assert (read[0].prediction, dict(read[0].scheduler_config)) == (model.prediction, dict(model.scheduler_config))
    assert read[0].latent_rgb == model.latent_rgb
    assert "model.diffusion_model.input_blocks.1.0.in_layers.2.weight" in stored_names(path)
    assert str(tmp_path) not in path.read_bytes()[:200_000].decode("latin-1")


def test_weights_stay_as_they_are_in_the_file_or_become_what_is_wished(first: Path) -> None:
    for precision, dtype in (("file", torch.float16), ("bfloat16", torch.bfloat16), ("auto", torch.float32)):
        loaded = checkpoints.load(first, precision=precision)  # type: ignore[arg-type]  # a Literal's value
        assert {each.dtype for network in networks(loaded) for each in network.parameters()} == {dtype}


def test_a_network_of_mixed_formats_becomes_what_most_of_it_is(first: Path, tmp_path: Path) -> None:
    name = "model.diffusion_model.out.0.weight"
    mixed = edited(first, tmp_path / "b.safetensors", lambda weights: weights.update({name: weights[name].float()}))
    model, _clip, _vae = checkpoints.load(mixed, precision="file")
    assert {each.dtype for each in model.network.parameters()} == {torch.float16}


def test_what_is_loaded_can_be_changed_without_the_file(first: Path) -> None:
    before = hashlib.sha256(first.read_bytes()).hexdigest()
    model, _clip, _vae = checkpoints.load(first, precision="file")
    with torch.no_grad():
        for parameter in model.network.parameters():
            parameter.add_(1)
    assert hashlib.sha256(first.read_bytes()).hexdigest() == before


# What the original programs left to be found out


def renamed(old: str, new: str) -> Callable[[dict[str, Tensor]], None]:
    def edit(weights: dict[str, Tensor]) -> None:
        for name in list(weights):
            if old in name:
                weights[name.replace(old, new)] = weights.pop(name)

    return edit


def test_some_files_leave_text_model_out_of_the_names(first: Path, tmp_path: Path) -> None:
    short = edited(first, tmp_path / "b.safetensors", renamed("transformer.text_model.", "transformer."))
    assert same_weights(checkpoints.load(short)[1].encoders[0].network, checkpoints.load(first)[1].encoders[0].network)


def test_autoencoders_attention_may_be_written_as_a_matrix(first: Path, tmp_path: Path) -> None:
    def flatten(weights: dict[str, Tensor]) -> None:
        for name in weights:
            if "attn_1" in name:
                weights[name] = weights[name].squeeze()

    flat = edited(first, tmp_path / "b.safetensors", flatten)
    assert same_weights(checkpoints.load(flat)[2].autoencoder, checkpoints.load(first)[2].autoencoder)


def detected(path: Path, header: dict[str, TensorEntry], tensors: dict[str, Tensor]) -> Any:  # Any: a configuration
    """Give the noise levels that are found in a file of so many tensors with the header of a full-size denoiser."""
    save_file(tensors, path)
    file = WeightsFile(path)
    file.header |= header
    return found_scheduler(file, recognise(path, file.header, {}), MARK)


MARK = "model.diffusion_model.output_blocks.11.1.transformer_blocks.0.norm1.bias"


def test_predictions_of_v_are_found_out(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    second, large = full_size_header("sd2"), full_size_header("sdxl")
    spread = torch.randn(320, generator=torch.Generator().manual_seed(0))
    assert detected(path, second, {MARK: 0.2 * spread})["prediction_type"] == "v_prediction"
    assert detected(path, second, {MARK: 0.02 * spread})["prediction_type"] == "epsilon"
    assert detected(path, large, {"x": torch.zeros(1)})["prediction_type"] == "epsilon"
    both = detected(path, large, {"v_pred": torch.zeros(0), "ztsnr": torch.zeros(0)})
    assert (both["prediction_type"], both["rescale_betas_zero_snr"]) == ("v_prediction", True)
    with pytest.raises(ModelFileError, match="noise levels of EDM"):
        detected(path, large, {"edm_mean": torch.zeros(4)})


# Refusals


def million_tensors(_whole: Path, path: Path) -> None:
    entries = b'"x":{"dtype":"F16","shape":[0],"data_offsets":[0,0]},' * 1_000_000
    path.write_bytes(struct.pack("<Q", len(entries) + 1) + b"{" + entries[:-1] + b"}")


Make = Callable[[Path, Path], object]
"""Writes a bad file, given a good one and where."""


def only(*names: str) -> Make:
    return lambda _whole, path: save_file({name: torch.zeros(2, 2) for name in names}, path)


def changed(edit: Callable[[dict[str, Tensor]], object]) -> Make:
    return lambda whole, path: edited(whole, path, edit)


def without(part: str) -> Make:
    return changed(lambda weights: [weights.pop(name) for name in list(weights) if part in name])


def to_bytes(weights: dict[str, Tensor]) -> None:
    weights.update({name: weights[name].byte() for name in weights})


LAST = "model.diffusion_model.out.2.bias"
REFUSED: dict[str, tuple[Make, str]] = {
    "LoRA": (only("lora_unet_down_blocks_0.lora_up.weight"), "it is a LoRA\n  Load it with LoadLora"),
    "peft LoRA": (only("unet.down_blocks.0.attn.to_q.lora_A.weight"), "it is a LoRA"),
    "ControlNet": (only("control_model.input_blocks.0.0.weight"), "it is a ControlNet"),
    "denoiser alone": (only("input_blocks.0.0.weight"), "a denoiser alone\n  Load it with LoadUNet"),
    "autoencoder alone": (only("decoder.up.0.block.0.conv1.weight"), "an autoencoder alone\n  Load it with LoadVAE"),
    "textual inversion": (only("emb_params"), "a textual inversion"),
    "Flux": (only("model.diffusion_model.double_blocks.0.img_attn.qkv.weight"), "a Flux checkpoint"),
    "something else": (only("weights"), "it has no denoiser; it holds 'weights'"),
    "denoiser of odd shape": (only("model.diffusion_model.input_blocks.0.0.weight"), r"has the shape \[2, 2\]"),
    "no text encoder": (without("cond_stage_model"), "has no text encoder\n  Load its denoiser with LoadUNet"),
    "no autoencoder": (without("first_stage_model"), "has no vae"),
    "weights missing": (without("middle_block.1"), "lacks 'model.diffusion_model.middle_block.1.*and 2[0-9] more"),
    "8 bits": (changed(to_bytes), "weights of the type U8 can't be used"),
    "wrong shape": (changed(lambda weights: weights.update({LAST: torch.zeros(7)})), rf"'{LAST}' is \[7\]"),
    "damaged notes": (
        lambda _whole, path: save_file({"a": torch.zeros(1)}, path, {"graphengine": '{"family": "sd1"'}),
        "its metadata 'graphengine' can't be read"),
    "pickle renamed": (lambda _whole, path: torch.save({"state_dict": {}}, path), "this is a pickle"),
    "git-lfs pointer": (
        lambda _whole, path: path.write_text("version https://git-lfs.github.com/spec/v1\n"), "git lfs pull"),
    "empty": (lambda _whole, path: path.write_bytes(b""), "cut off"),
    "a million tensors": (million_tensors, "are allowed"),
}  # fmt: skip


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_no_checkpoint_is_refused_for_what_it_is(kind: str, first: Path, tmp_path: Path) -> None:
    make, message = REFUSED[kind]
    path = tmp_path / "bad.safetensors"
    make(first, path)
    refused(checkpoints.load, path, message)


def test_unknown_families_are_named_by_their_sizes(tmp_path: Path) -> None:
    parts = random_parts("sd1")
    path = write_original(tmp_path / "a.safetensors", parts, "sd1")
    with pytest.raises(ModelFileError, match=re.escape("unknown family: 8 channels at first, prompts 16 wide")):
        checkpoints.load(path)


def test_pickles_are_refused_by_their_names(tmp_path: Path) -> None:
    torch.save({"state_dict": {}}, tmp_path / "old.ckpt")
    with pytest.raises(ModelFileError, match="is a pickle"):
        checkpoints.load(tmp_path / "old.ckpt")


@pytest.mark.slow
def test_a_full_size_checkpoint_is_read_as_diffusers_reads_it(tmp_path: Path) -> None:
    parts = random_parts("sd1", tiny=False, dtype=torch.float16)
    path = write_original(tmp_path / "sd1.safetensors", parts, "sd1")
    configs = write_configs(tmp_path / "configs", parts)
    del parts

    model, clip, vae = checkpoints.load(path, precision="file")

    weights = load_file(path)
    unet: Any = UNet2DConditionModel  # Any: diffusers' classes are untyped
    read = unet.from_single_file(weights, config=str(configs), subfolder="unet", torch_dtype=torch.float16)
    assert same_weights(model.network, read)
    autoencoder: Any = AutoencoderKL
    read = autoencoder.from_single_file(weights, config=str(configs), subfolder="vae", torch_dtype=torch.float16)
    assert same_weights(vae.autoencoder, read)
    assert (model.family, clip.family, model.prediction) == ("sd1", "sd1", "epsilon")
