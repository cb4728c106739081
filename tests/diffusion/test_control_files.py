from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from graphengine.diffusion import control_files
from graphengine.errors import ModelFileError
from tests.diffusion.bad_files import DAMAGES, edited, only, refused, without
from tests.diffusion.tiny_control import LIKE_SD, LIKE_SDXL, controlnet, in_original_names, t2i_adapter, union

Network = Any  # Any: diffusers' networks are untyped


def same(one: Network, other: Network) -> bool:
    ours, theirs = one.state_dict(), other.state_dict()
    is_same_kind = type(one) is type(other) and not one.training
    return is_same_kind and ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


NETWORKS: dict[str, Callable[[], Network]] = {
    "sd": lambda: controlnet(LIKE_SD),
    "sdxl": lambda: controlnet(LIKE_SDXL),
    "union": union,
    "union of 8": lambda: union(8),
    "t2i": t2i_adapter,
}


@pytest.mark.parametrize("name", NETWORKS)
def test_diffusers_folders_and_their_files_alone_open_alike(tmp_path: Path, name: str) -> None:
    network = NETWORKS[name]()
    network.save_pretrained(tmp_path / "folder")
    alone = tmp_path / "alone.safetensors"
    (tmp_path / "folder" / "diffusion_pytorch_model.safetensors").rename(alone)
    save_file(load_file(alone), tmp_path / "folder" / "diffusion_pytorch_model.fp16.safetensors")

    of_folder, of_file = control_files.read(tmp_path / "folder"), control_files.read(alone)

    assert same(of_folder.network, network)
    assert same(of_file.network, network)
    assert (of_folder.source, of_file.source) == ("folder", "alone.safetensors")
    compared = {key for key in network.config if not key.startswith("_")}
    inferred: Any = of_file.network.config  # Any: as above
    differing = {key for key in compared if _plain(inferred[key]) != _plain(network.config[key])}
    assert differing == set()


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


@pytest.mark.parametrize("config", [LIKE_SD, LIKE_SDXL], ids=["sd", "sdxl"])
@pytest.mark.parametrize("prefix", ["", "control_model."], ids=["bare", "prefixed"])
def test_the_first_programs_files_open_too(tmp_path: Path, config: dict[str, Any], prefix: str) -> None:
    network = controlnet(config)
    path = tmp_path / "control.safetensors"
    save_file({prefix + name: tensor for name, tensor in in_original_names(network).items()}, path)
    assert same(control_files.read(path).network, network)


def test_t2i_adapters_of_the_first_program_open_too(tmp_path: Path) -> None:
    network = t2i_adapter((32, 64, 64, 64))
    named = {}
    for name, tensor in network.state_dict().items():
        parts = name.removeprefix("adapter.").split(".")
        if parts[0] == "body":
            within = 0 if parts[2] == "in_conv" else int(parts[3])
            rest = parts[2:] if parts[2] == "in_conv" else parts[4:]
            parts = ["body", str(2 * int(parts[1]) + within), *rest]
        named[".".join(parts)] = tensor
    assert "body.2.in_conv.weight" in named
    save_file(named, tmp_path / "t2i.safetensors")
    assert same(control_files.read(tmp_path / "t2i.safetensors").network, network)


REFUSED = DAMAGES | {
    "a tensor missing": (without("controlnet_mid_block.bias"), "it lacks 'controlnet_mid_block"),
    "a level missing": (without("conv_in.weight"), "it lacks 'conv_in.weight'"),
    "one too many": (edited(lambda each: each.update(odd=torch.ones(2))), r"'odd' is \[2\], there should be nothing"),
    "of another size": (
        edited(lambda each: each.update({"conv_in.bias": torch.ones(3)})), r"'conv_in.bias' is \[3\].*\[32\]"),
    "a LoRA": (only("lora_unet_x.lora_up.weight"), "this is a LoRA"),
    "a ControlNet-LLLite": (only("lllite_unet_x.down.0.weight"), "this is a ControlNet-LLLite"),
    "a checkpoint": (only("model.diffusion_model.out.0.weight"), "this is a checkpoint"),
    "something else": (only("odd"), "no ControlNet: it holds 'odd'"),
}  # fmt: skip


@pytest.mark.parametrize("damage", REFUSED)
def test_bad_files_are_refused_by_name_with_a_remedy(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "control.safetensors"
    save_file(controlnet().state_dict(), path)
    spoil, message = REFUSED[damage]
    spoil(path)
    refused(control_files.read, path, message)


def test_folders_of_other_networks_are_refused(tmp_path: Path) -> None:
    controlnet().save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"_class_name": "FluxControlNetModel"}))
    with pytest.raises(ModelFileError, match="of the kind 'FluxControlNetModel' can't be used"):
        control_files.read(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(config | {"down_block_types": ["Odd", "Odd"]}))
    with pytest.raises(ModelFileError, match="can't be opened"):
        control_files.read(tmp_path)
