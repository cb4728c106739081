"""Image encoders and IP-Adapters open from their files, and bad files are refused by name."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as Picture
from safetensors.torch import load_file
from torch import Tensor
from transformers import CLIPImageProcessorPil

from graphengine.diffusion import clip_vision, ip_adapter_files
from graphengine.diffusion.facts import clip_vision_facts, ip_adapter_facts
from graphengine.diffusion.original_names import vision_places, written_weights
from graphengine.errors import ModelFileError
from graphengine.types import Image
from tests.diffusion.bad_files import DAMAGES, edited, only, refused, without
from tests.diffusion.tiny_control import steered_model
from tests.diffusion.tiny_image_prompt import PROJECTED, WIDTH, Kind, image_encoder, ip_adapter, written

ENCODER = image_encoder()
NETWORK = steered_model().network


def in_open_clip_names() -> dict[str, Tensor]:
    weights = ENCODER.state_dict()
    makers = written_weights(vision_places(weights, "open_clip", "visual."), weights)
    return {name: make().contiguous() for name, make in makers.items()}


def test_an_image_encoder_opens_from_all_its_forms_alike(tmp_path: Path) -> None:
    ENCODER.save_pretrained(tmp_path / "folder")
    written(tmp_path / "alone.safetensors", load_file(tmp_path / "folder" / "model.safetensors"))
    written(tmp_path / "open_clip.safetensors", in_open_clip_names())
    for name in ("folder", "alone.safetensors", "open_clip.safetensors"):
        opened = clip_vision.read(tmp_path / name)
        image = Image(torch.rand(2, 48, 32, 3, generator=torch.Generator().manual_seed(0)))
        told = clip_vision.encode(opened, image)
        with torch.no_grad():
            expected = ENCODER(clip_vision.prepared(image, 32), output_hidden_states=True)
        assert torch.allclose(told.pooled, expected.image_embeds, atol=1e-5)
        assert torch.allclose(told.states, expected.hidden_states[-2], atol=1e-5)
        assert opened.source == told.source == name
        assert clip_vision_facts(tmp_path / name) == {
            "clip_vision": {"image_width": PROJECTED, "image_state_width": WIDTH}
        }


@pytest.mark.parametrize("size", [(32, 32), (96, 64), (41, 100), (20, 31)], ids=str)
def test_pictures_are_prepared_as_for_clip(size: tuple[int, int]) -> None:
    values = torch.rand(1, 3, 7, 9, generator=torch.Generator().manual_seed(0))
    smooth = torch.nn.functional.interpolate(values, size, mode="bicubic").clamp(0, 1)[0].permute(1, 2, 0)
    picture = Picture.fromarray(np.uint8(smooth * 255))
    image = Image(torch.from_numpy(np.asarray(picture, np.float32) / 255)[None])
    theirs = CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    expected = theirs(picture, return_tensors="pt").pixel_values
    assert torch.allclose(clip_vision.prepared(image, 32), expected, atol=0.03)  # Pillow rounds to 256 levels, twice


def test_a_picture_may_be_squeezed_instead_of_cut() -> None:
    image = torch.zeros(1, 32, 96, 3)
    image[:, :, :32] = 1
    cut, squeezed = (clip_vision.prepared(Image(image), 32, crop)[0, 0] for crop in ("center", "disabled"))
    assert cut.max() < 0
    assert squeezed[:, 0].min() > 1
    assert squeezed[:, -1].max() < 0


@pytest.mark.parametrize("kind", ["plain", "plus", "full"])
def test_what_an_adapter_reads_is_told_by_its_header(tmp_path: Path, kind: Kind) -> None:
    path = written(tmp_path / "adapter.safetensors", ip_adapter(NETWORK, kind))
    read = {"image_width": PROJECTED} if kind == "plain" else {"image_state_width": WIDTH}
    assert ip_adapter_facts(path) == {"ip_adapter": {"context_width": 16, **read}}
    assert ip_adapter_files.read(path).reads == ("pooled" if kind == "plain" else "states")


def test_opening_an_adapter_draws_no_random_numbers(tmp_path: Path) -> None:
    path = written(tmp_path / "adapter.safetensors", ip_adapter(NETWORK))
    before = torch.random.get_rng_state()
    ip_adapter_files.read(path, precision="bfloat16")
    assert torch.equal(torch.random.get_rng_state(), before)


ADAPTERS = DAMAGES | {
    "an attention missing": (without("ip_adapter.3.to_v_ip.weight"), "lacks 'ip_adapter.3.to_v"),
    "a layer missing": (without("image_proj.norm.weight"), "lacks 'image_proj.norm.weight'"),
    "a bias missing": (without("image_proj.norm.bias"), "wrong architecture.*norm.bias"),
    "for faces": (only("image_proj.norm.weight", "image_proj.proj.0.weight", "ip_adapter.1.to_k_ip.weight"), "FaceID"),
    "for faces, plus": (only("image_proj.perceiver_resampler.proj_in.weight", "ip_adapter.1.x"), "FaceID"),
    "a LoRA": (only("lora_unet_x.lora_up.weight"), "not an IP-Adapter: it is a LoRA"),
    "an image encoder": (only("vision_model.embeddings.class_embedding"), "it is an image encoder"),
    "something else": (only("odd"), "not an IP-Adapter: .* it holds 'odd'"),
}
ENCODERS = DAMAGES | {
    "a layer missing": (without("visual_projection.weight"), "lacks 'visual_projection.weight'"),
    "a bias missing": (without("vision_model.pre_layrnorm.bias"), "lacks 'vision_model.pre_layr"),
    "of another size": (
        edited(lambda each: each.update({"vision_model.pre_layrnorm.bias": torch.ones(3)})), "wrong architecture"),
    "an IP-Adapter": (only("image_proj.x", "ip_adapter.1.x"), "not an image encoder: it is an IP-Adapter"),
}  # fmt: skip


@pytest.mark.parametrize("damage", ADAPTERS)
def test_bad_adapters_are_refused_by_name_with_a_remedy(tmp_path: Path, damage: str) -> None:
    path = written(tmp_path / "adapter.safetensors", ip_adapter(NETWORK))
    spoil, message = ADAPTERS[damage]
    spoil(path)
    refused(ip_adapter_files.read, path, message)
    assert ip_adapter_facts(path) == {} or damage == "a bias missing"


@pytest.mark.parametrize("damage", ENCODERS)
def test_bad_image_encoders_are_refused_by_name_with_a_remedy(tmp_path: Path, damage: str) -> None:
    path = written(tmp_path / "encoder.safetensors", ENCODER.state_dict())
    spoil, message = ENCODERS[damage]
    spoil(path)
    refused(clip_vision.read, path, message)


def test_a_folder_of_another_kind_is_refused(tmp_path: Path) -> None:
    ENCODER.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"model_type": "siglip"}))
    with pytest.raises(ModelFileError, match="of the kind 'siglip' can't be used"):
        clip_vision.read(tmp_path)
