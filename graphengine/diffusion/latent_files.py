"""Latents as safetensors files: ``samples``, ``noise_mask`` if there is one, and the workflow in the metadata.

ComfyUI's ``.latent`` files are read as well. They hold ``latent_tensor``, in the model's units where an empty tensor
``latent_format_version_0`` stands beside it; older ones lack that, and hold what the autoencoder of Stable
Diffusion 1 gives.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from graphengine.diffusion.model_files import read_header
from graphengine.errors import InputError, ModelFileError
from graphengine.types import Latent, Mask

KIND = "graphengine-latent"
_COMFY_TENSOR, _COMFY_MARK = "latent_tensor", "latent_format_version_0"
_UNSCALED = 1 / 0.18215


def save(latent: Latent, path: Path, *, workflow: str = "") -> None:
    """Write a latent.

    Args:
        workflow: JSON for the metadata, under ``graphengine``; an empty text for none.

    Raises:
        OSError: if the file can't be written.
    """
    tensors = {"samples": latent.samples.contiguous()}
    if latent.noise_mask is not None:
        tensors["noise_mask"] = latent.noise_mask.contiguous()
    metadata = {"format": "pt", "kind": KIND} | ({"graphengine": workflow} if workflow else {})
    try:
        save_file(tensors, path, metadata=metadata)
    except SafetensorError as error:
        raise OSError(str(error)) from error


def load(path: Path) -> Latent:
    """Read a latent that ``save`` or ComfyUI wrote.

    Raises:
        InputError: naming the file, if it is damaged, or holds something else.
    """
    try:
        read_header(path)
        with safe_open(path, framework="pt") as file:
            latent = _latent(file, path.name)
    except (ModelFileError, SafetensorError, OSError) as error:
        raise InputError(
            "latent", f"{path.name} can't be read: {error}.", "Save it again, or choose another."
        ) from error
    mask = latent.noise_mask
    if latent.samples.ndim != 4 or (mask is not None and mask.ndim != 3):
        raise InputError("latent", f"{path.name} holds tensors of odd shapes.", "Save it again, or choose another.")
    return latent


def _latent(file: Any, name: str) -> Latent:  # Any: safetensors leaves its files untyped
    names = set(file.keys())
    is_ours = (file.metadata() or {}).get("kind") == KIND
    if is_ours and "samples" in names and names <= {"samples", "noise_mask"}:
        mask = Mask(file.get_tensor("noise_mask").float()) if "noise_mask" in names else None
        return Latent(file.get_tensor("samples").float(), mask)
    if not is_ours and _COMFY_TENSOR in names and names <= {_COMFY_TENSOR, _COMFY_MARK}:
        samples = file.get_tensor(_COMFY_TENSOR).float()
        return Latent(samples if _COMFY_MARK in names else samples * _UNSCALED)
    raise InputError("latent", f"{name} holds no latent, but something else.", "Choose a file that SaveLatent wrote.")
