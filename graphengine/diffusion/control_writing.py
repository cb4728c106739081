"""Write ControlNets: as a diffusers folder, or as a safetensors file in the same names, which other programs read too.

How the network is built stands in the file's header as well, so that one of no known family opens again here; and what
its training was, if it was trained here.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from diffusers import ControlNetModel, ControlNetUnionModel

from graphengine.diffusion.checkpoint_writing import WEIGHTS_STEM, put_in_place
from graphengine.diffusion.control_files import CONFIG_KEY
from graphengine.diffusion.safetensors_writing import write_safetensors
from graphengine.diffusion.single_file_writing import network_config
from graphengine.durable import sync_file
from graphengine.errors import ModelFileError
from graphengine.types import ControlNet

ControlNetLayout = Literal["diffusers folder", "single file"]
TRAINING_KEY = "graphengine_training"

_CONFIG = "config.json"


def write_control_net(
    path: Path, control_net: ControlNet, *, layout: ControlNetLayout, dtype: torch.dtype, workflow: str = ""
) -> None:
    """Write a ControlNet; it appears complete or not at all, and an earlier one is replaced.

    Args:
        path: Of the file or folder; its parent folders are made.
        workflow: JSON for the header, and in a folder for ``workflow.json`` too; an empty text for none.

    Raises:
        ModelFileError: if it is no ControlNet, something else is at its place, or writing fails (disk full).
    """
    if not isinstance(control_net.network, ControlNetModel | ControlNetUnionModel):
        kind = type(control_net.network).__name__
        raise ModelFileError(f"{path}: a {kind} can't be written\n  Choose a ControlNet.")
    if path.exists() and not _may_replace(path, layout):
        raise ModelFileError(f"{path}: something else than a ControlNet is here\n  Choose another name.")
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    write = _write_file if layout == "single file" else _write_folder
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(partial, control_net, dtype, workflow)
        put_in_place(path, partial)
    except OSError as error:
        raise ModelFileError(
            f"{path}: the ControlNet couldn't be written: {error}\n"
            "  Nothing was left behind. Free some space or choose another place."
        ) from error
    finally:
        if partial.is_dir():
            shutil.rmtree(partial, ignore_errors=True)
        elif partial.is_file():
            partial.unlink()


def _write_folder(folder: Path, control_net: ControlNet, dtype: torch.dtype, workflow: str) -> None:
    network: Any = control_net.network  # Any: diffusers' networks are untyped
    folder.mkdir()
    network.save_config(folder)
    _write_weights(folder / f"{WEIGHTS_STEM}.safetensors", control_net, {}, dtype, workflow)
    if workflow:
        (folder / "workflow.json").write_text(workflow, encoding="utf-8")


def _write_file(path: Path, control_net: ControlNet, dtype: torch.dtype, workflow: str) -> None:
    _write_weights(path, control_net, {CONFIG_KEY: network_config(control_net.network)}, dtype, workflow)


def _write_weights(
    path: Path, control_net: ControlNet, notes: Mapping[str, object], dtype: torch.dtype, workflow: str
) -> None:
    notes = {**notes, TRAINING_KEY: dict(control_net.training)}
    metadata = {"format": "pt", **{name: json.dumps(note, sort_keys=True) for name, note in notes.items()}}
    tensors = {name: tensor.detach for name, tensor in control_net.network.state_dict().items()}
    write_safetensors(path, tensors, metadata | ({"workflow": workflow} if workflow else {}), dtype)
    sync_file(path)


def _may_replace(path: Path, layout: ControlNetLayout) -> bool:
    if layout == "single file" or not path.is_dir():
        return layout == "single file" and path.is_file()
    try:
        kind = json.loads((path / _CONFIG).read_text(encoding="utf-8")).get("_class_name", "")
    except (OSError, ValueError, AttributeError):
        return not any(path.iterdir())
    return str(kind).startswith("ControlNet")
