"""ControlNets on disk, for us and for diffusers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import ControlNetModel
from safetensors import safe_open
from safetensors.torch import save_file

from graphengine.diffusion import control_files
from graphengine.diffusion.control_writing import ControlNetLayout, write_control_net
from graphengine.diffusion.facts import control_net_facts
from graphengine.errors import ModelFileError
from graphengine.types import ControlNet
from tests.diffusion import tiny_control
from tests.diffusion.tiny_training import same_weights, weights_of

# Neither its heads nor its normalisations' groups can be told from its tensors.
ODD = tiny_control.LIKE_SD | {"norm_num_groups": 8, "attention_head_dim": (4, 2)}
NET = ControlNet(tiny_control.controlnet(ODD), "odd", training={"steps": "7"})


@pytest.mark.parametrize("layout", ["diffusers folder", "single file"])
def test_what_is_written_opens_again_and_in_diffusers(layout: ControlNetLayout, tmp_path: Path) -> None:
    folder, file = tmp_path / "net", tmp_path / "net.safetensors"
    path = folder if layout == "diffusers folder" else file
    for _twice in range(2):  # an earlier one is replaced
        write_control_net(path, NET, layout=layout, dtype=torch.float32, workflow="{}")
    assert [each.name for each in tmp_path.iterdir()] == [path.name]

    ours: Any = control_files.read(path).network  # Any: diffusers is untyped
    if layout == "diffusers folder":
        theirs: Any = ControlNetModel.from_pretrained(folder)  # Any: as above
        assert (folder / "workflow.json").read_text() == "{}"
        weights = folder / "diffusion_pytorch_model.safetensors"
    else:
        write_control_net(folder, NET, layout="diffusers folder", dtype=torch.float32)
        theirs = ControlNetModel.from_single_file(str(file), config=str(folder), local_files_only=True)
        weights = file
    assert same_weights(weights_of(NET.network), weights_of(ours))
    assert same_weights(weights_of(NET.network), weights_of(theirs))
    assert (ours.config.norm_num_groups, tuple(ours.config.attention_head_dim)) == (8, (4, 2))
    with safe_open(weights, "pt") as opened:
        assert opened.metadata()["workflow"] == "{}"
        assert json.loads(opened.metadata()["graphengine_training"]) == {"steps": "7"}
    assert control_net_facts(path) == {"control_net": {"context_width": 16}}


def test_half_precision_and_unions_are_written_too(tmp_path: Path) -> None:
    union = ControlNet(tiny_control.union())
    write_control_net(tmp_path / "u.safetensors", union, layout="single file", dtype=torch.float16)
    opened = control_files.read(tmp_path / "u.safetensors", precision="file")
    assert type(opened.network).__name__ == "ControlNetUnionModel"
    assert {weight.dtype for weight in opened.network.parameters()} == {torch.float16}


def test_nothing_else_is_written_over_or_written(tmp_path: Path) -> None:
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "config.json").write_text('{"_class_name": "UNet2DConditionModel"}')
    with pytest.raises(ModelFileError, match="something else than a ControlNet is here"):
        write_control_net(tmp_path / "net", NET, layout="diffusers folder", dtype=torch.float32)
    adapter = ControlNet(tiny_control.t2i_adapter())
    with pytest.raises(ModelFileError, match="a T2IAdapter can't be written"):
        write_control_net(tmp_path / "a.safetensors", adapter, layout="single file", dtype=torch.float32)
    (tmp_path / "taken").write_text("")
    with pytest.raises(ModelFileError, match="couldn't be written"):
        write_control_net(tmp_path / "taken" / "a.safetensors", NET, layout="single file", dtype=torch.float32)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["net", "taken"]


@pytest.mark.parametrize(
    ("noted", "match"), [("{", "can't be read"), ('{"_class_name": "UNet2DModel"}', "'UNet2DModel' can't be used")]
)
def test_a_damaged_note_is_named(noted: str, match: str, tmp_path: Path) -> None:
    save_file(
        NET.network.state_dict(), tmp_path / "a.safetensors", metadata={control_files.CONFIG_KEY: noted, "format": "pt"}
    )
    with pytest.raises(ModelFileError, match=match):
        control_files.read(tmp_path / "a.safetensors")
