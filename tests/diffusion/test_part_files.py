"""Denoisers, text encoders and autoencoders in files and folders of their own."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import AutoencoderTiny, UNet2DConditionModel
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, T5Config, T5EncoderModel

from graphengine.diffusion import checkpoints, vae
from graphengine.diffusion.facts import clip_facts, denoiser_facts, vae_facts
from graphengine.diffusion.families import layout_of
from graphengine.diffusion.original_names import text_places, unet_places, vae_places, written_weights
from graphengine.diffusion.part_layouts import denoiser_layout
from graphengine.diffusion.single_files import read_denoiser
from graphengine.diffusion.weights_files import WeightsFile
from graphengine.errors import InputError, ModelFileError
from graphengine.types import Image, Latent, Vae
from tests.diffusion.original_layouts import random_parts, write_original
from tests.diffusion.test_single_files import full_size_header, same_weights
from tests.diffusion.tiny_flow import t5_tokenizer


def written(path: Path, places: Any, weights: Mapping[str, Tensor]) -> Path:  # Any: a table of places
    save_file({name: make().contiguous().clone() for name, make in written_weights(places, weights).items()}, path)
    return path


# Denoisers


def test_a_denoiser_alone_is_read_in_original_and_in_diffusers_names(tmp_path: Path) -> None:
    model, _clip, _vae = random_parts("sdxl")
    network: Any = model.network  # Any: diffusers' configuration, untyped
    layout = replace(layout_of("sdxl"), family=None, unet=dict(network.config), vae={"block_out_channels": [8, 8]})
    weights = network.state_dict()
    original = written(tmp_path / "a.safetensors", unet_places(weights, layout.unet, ""), weights)
    save_file({name: weight.clone() for name, weight in weights.items()}, tmp_path / "b.safetensors")
    for path, prefix in ((original, ""), (tmp_path / "b.safetensors", None)):
        read = read_denoiser(WeightsFile(path), layout, prefix)
        assert same_weights(read.network, network)
        assert (read.prediction, read.latent_channels, read.source) == ("epsilon", 4, path.name)


def test_a_denoisers_family_is_known_in_any_names() -> None:
    header = full_size_header("sdxl")
    bare = {name.removeprefix("model.diffusion_model."): entry for name, entry in header.items()}
    arguments = {name: value for name, value in layout_of("sdxl").unet.items() if not name.startswith("_")}
    with torch.device("meta"):
        weights = UNet2DConditionModel(**arguments).state_dict()
    entry = next(iter(header.values()))
    theirs = {name: replace(entry, shape=tuple(weight.shape)) for name, weight in weights.items()}
    for names, expected in ((header, "original"), (bare, "original"), (theirs, "diffusers")):
        layout, naming, _prefix = denoiser_layout(Path("x"), names, {})
        assert (layout.family, naming) == ("sdxl", expected)


def test_a_denoiser_comes_out_of_a_checkpoint(tmp_path: Path) -> None:
    parts = random_parts("sd1")
    path = write_original(tmp_path / "a.safetensors", parts, "sd1", notes=True)
    assert same_weights(checkpoints.load_model(path).network, parts[0].network)
    assert denoiser_facts(path)["model"]["context_width"] == 16
    checkpoints.save(tmp_path / "folder", model=parts[0], clip=parts[1], vae=parts[2])
    assert same_weights(checkpoints.load_model(tmp_path / "folder").network, parts[0].network)
    assert denoiser_facts(tmp_path / "folder")["model"]["latent_channels"] == 4
    with pytest.raises(ModelFileError, match="whose noise levels aren't known"):
        checkpoints.load_model(tmp_path / "folder" / "unet")


# Text encoders


def clip_network(width: int, *, layers: int = 3, projects: bool = False) -> nn.Module:
    torch.manual_seed(width)
    kind: Any = CLIPTextModelWithProjection if projects else CLIPTextModel  # Any: untyped
    config = CLIPTextConfig(
        vocab_size=49408, hidden_size=width, intermediate_size=32, num_hidden_layers=layers,
        num_attention_heads=max(1, width // 64), projection_dim=width, hidden_act="gelu", eos_token_id=49407,
    )  # fmt: skip
    network: nn.Module = kind(config).eval()
    return network


def text_file(path: Path, network: nn.Module, *, form: Any = "clip") -> Path:  # Any: a Literal's value
    weights = network.state_dict()
    return written(path, text_places(weights, form, ""), weights)


@pytest.mark.parametrize("form", ["clip", "open_clip"])
def test_a_text_encoder_alone_computes_as_it_did(tmp_path: Path, form: str) -> None:
    network: Any = clip_network(128)  # Any: transformers' output, untyped
    clip = checkpoints.load_clip(text_file(tmp_path / "a.safetensors", network, form=form), kind="sd1")
    read: Any = clip.encoders[0].network
    ids = torch.tensor([[49406, 320, 8853, 49407, 49407]])
    assert torch.equal(read(ids).last_hidden_state, network(ids).last_hidden_state)
    assert torch.equal(read(ids).pooler_output, network(ids).pooler_output)
    assert clip_facts([tmp_path / "a.safetensors"], "auto") == {"clip": {"context_width": 128}}


def test_two_text_encoders_are_put_in_order_and_read_as_their_family_reads_them(tmp_path: Path) -> None:
    large = text_file(tmp_path / "g.safetensors", clip_network(128, projects=True), form="open_clip")
    small = text_file(tmp_path / "l.safetensors", clip_network(64))
    clip = checkpoints.load_clip(large, small, kind="sdxl")
    config: list[Any] = [encoder.network.config for encoder in clip.encoders]  # Any: transformers' configurations
    assert [each.hidden_size for each in config] == [64, 128]
    how = [(each.hidden_layer, each.final_norm, each.pooled) for each in clip.encoders]
    assert how == [(-2, False, None), (-2, False, "projected")]
    assert clip_facts([large, small], "sdxl") == {"clip": {"context_width": 192}}


def test_stable_diffusion_3_reads_a_projection_from_all_encoders_and_t5_after_them(tmp_path: Path) -> None:
    """The smaller encoder's file has no projection; it is the identity then."""
    small = text_file(tmp_path / "l.safetensors", clip_network(64))
    large = text_file(tmp_path / "g.safetensors", clip_network(128, projects=True))
    clip = checkpoints.load_clip(small, large, kind="sd3")
    ids = torch.tensor([[49406, 320, 49407]])
    read: Any = clip.encoders[0].network  # Any: transformers' output, untyped
    plain: Any = clip_network(64)
    assert torch.equal(read(ids).text_embeds, plain(ids).pooler_output)
    assert [each.pooled for each in clip.encoders] == ["projected", "projected"]
    t5 = tmp_path / "t5.safetensors"
    config = T5Config(
        d_model=32, d_ff=16, d_kv=8, num_layers=2, num_heads=2, vocab_size=50, feed_forward_proj="gated-gelu"
    )
    weights = T5EncoderModel(config).state_dict()
    save_file({name: value.clone() for name, value in weights.items() if "embed_tokens" not in name}, t5)
    with pytest.raises(ModelFileError, match="whose tokenizer is missing"):
        checkpoints.load_clip(t5, small, large)
    t5_tokenizer().save_pretrained(tmp_path / "t5")
    clip = checkpoints.load_clip(t5, small, large)
    assert [type(each.network).__name__ for each in clip.encoders] == ["CLIPTextModelWithProjection"] * 2 + [
        "T5EncoderModel"
    ]
    assert clip.family == "sd3"
    state = clip.encoders[2].network.state_dict()
    assert all(torch.equal(state[name], weights[name]) for name in weights)
    assert clip_facts([small, large, t5], "auto") == {"clip": {"context_width": 32}}
    assert clip_facts([small, large], "sd3") == {"clip": {"context_width": 4096}}


@pytest.mark.parametrize(("layers", "read"), [(23, -1), (24, -2)])
def test_the_last_layer_of_second_encoders_is_not_read_where_it_is_there(
    tmp_path: Path, layers: int, read: int
) -> None:
    path = text_file(tmp_path / "h.safetensors", clip_network(64, layers=layers), form="open_clip")
    (encoder,) = checkpoints.load_clip(path, kind="sd2").encoders
    assert (encoder.hidden_layer, encoder.final_norm, encoder.tokenizer.pad_token) == (read, True, "!")


def test_text_encoders_that_do_not_make_a_family_are_refused(tmp_path: Path) -> None:
    path = text_file(tmp_path / "a.safetensors", clip_network(64))
    with pytest.raises(InputError, match="sdxl has 2 text encoders, not 1"):
        checkpoints.load_clip(path, kind="sdxl")
    with pytest.raises(InputError, match="64 wide isn't known"):
        checkpoints.load_clip(path)
    save_file({"text_model.embeddings.token_embedding.weight": torch.zeros(100, 8)}, tmp_path / "b.safetensors")
    with pytest.raises(ModelFileError, match="its vocabulary has 100 words"):
        checkpoints.load_clip(tmp_path / "b.safetensors")


def test_text_encoders_come_out_of_a_checkpoint(tmp_path: Path) -> None:
    parts = random_parts("sdxl")
    path = write_original(tmp_path / "a.safetensors", parts, "sdxl", notes=True)
    read = checkpoints.load_clip(path)
    for one, other in zip(read.encoders, parts[1].encoders, strict=True):
        assert same_weights(one.network, other.network)
    assert clip_facts([path], "auto")["clip"]["context_width"] == 48


# Autoencoders


def test_an_autoencoder_alone_is_read_in_any_names(tmp_path: Path) -> None:
    autoencoder: Any = wide_autoencoder()  # Any: diffusers' configuration, untyped
    weights = autoencoder.state_dict()
    original = written(tmp_path / "a.safetensors", vae_places(weights, dict(autoencoder.config), ""), weights)
    save_file({name: weight.clone() for name, weight in weights.items()}, tmp_path / "b.safetensors")
    names = {".to_q.": ".query.", ".to_k.": ".key.", ".to_v.": ".value.", ".to_out.0.": ".proj_attn."}
    older = {}
    for name, weight in weights.items():
        for new, old in names.items():
            name = name.replace(new, old)
        older[name] = weight.clone()
    save_file(older, tmp_path / "c.safetensors")
    autoencoder.save_pretrained(tmp_path / "d")
    for path in (original, tmp_path / "b.safetensors", tmp_path / "c.safetensors", tmp_path / "d"):
        read = checkpoints.load_vae(path)
        assert same_weights(read.autoencoder, autoencoder)
        assert vae_facts(path, "auto") == {"vae": {"latent_channels": 4, "latent_factor": 2}}


def wide_autoencoder() -> nn.Module:
    """Make one of 32 channels, as many as there are groups in all autoencoders that files don't say it of."""
    from diffusers import AutoencoderKL

    torch.manual_seed(0)
    network: nn.Module = AutoencoderKL(
        block_out_channels=(32, 32), down_block_types=("DownEncoderBlock2D",) * 2, layers_per_block=1,
        up_block_types=("UpDecoderBlock2D",) * 2, norm_num_groups=32, scaling_factor=0.18215,
    )  # fmt: skip
    return network.eval()


@pytest.mark.parametrize(
    ("name", "latents", "scale"),
    [
        ("vae-ft-mse.safetensors", "auto", 0.18215),
        ("sdxl_vae.safetensors", "auto", 0.13025),
        ("any.safetensors", "sdxl", 0.13025),
        ("sdxl.safetensors", "sd", 0.18215),
    ],
)
def test_latents_are_scaled_as_their_family_has_them(tmp_path: Path, name: str, latents: str, scale: float) -> None:
    weights = wide_autoencoder().state_dict()
    save_file({key: weight.clone() for key, weight in weights.items()}, tmp_path / name)
    read: Any = checkpoints.load_vae(tmp_path / name, latents=latents).autoencoder  # type: ignore[arg-type]  # a Literal
    assert read.config.scaling_factor == scale


def tiny_autoencoder() -> Any:  # Any: diffusers is untyped
    torch.manual_seed(0)
    return AutoencoderTiny(
        encoder_block_out_channels=(64,) * 4, decoder_block_out_channels=(64,) * 4,
        num_encoder_blocks=(1, 3, 3, 3), num_decoder_blocks=(3, 3, 3, 1),
    ).eval()  # fmt: skip


def test_tiny_autoencoders_encode_and_decode(tmp_path: Path) -> None:
    network = tiny_autoencoder()
    weights = network.state_dict()
    save_file({name: weight.clone() for name, weight in weights.items()}, tmp_path / "taesd.safetensors")
    read = checkpoints.load_vae(tmp_path / "taesd.safetensors")
    assert vae_facts(tmp_path / "taesd.safetensors", "auto") == {"vae": {"latent_channels": 4, "latent_factor": 8}}
    picture = Image(torch.rand(1, 16, 24, 3, generator=torch.Generator().manual_seed(0)))
    with torch.no_grad():
        latents = network.encode(picture.permute(0, 3, 1, 2) * 2 - 1).latents
        expected = (network.decode(latents).sample / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1)
    mine = vae.encode(read, picture)
    torch.testing.assert_close(mine.samples, latents)
    torch.testing.assert_close(vae.decode(Vae(network), Latent(latents)), expected)


def test_what_is_no_part_is_refused_for_what_it_is(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_file({"lora_unet_x.lora_up.weight": torch.zeros(1)}, path)
    for load, what in (
        (checkpoints.load_model, "not a denoiser"),
        (checkpoints.load_clip, "not a text encoder"),
        (checkpoints.load_vae, "not an autoencoder"),
    ):
        with pytest.raises(ModelFileError, match=f"{what}: it is a LoRA"):
            load(path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "config.json").write_text(json.dumps({"_class_name": "VQModel"}))
    with pytest.raises(ModelFileError, match="autoencoder of the kind 'VQModel'"):
        checkpoints.load_vae(tmp_path / "folder")
