"""Latents as safetensors files: ``samples``, ``noise_mask`` if there is one, and the workflow in the metadata."""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from graphengine.diffusion.model_files import read_header
from graphengine.errors import InputError, ModelFileError
from graphengine.types import Latent, Mask

KIND = "graphengine-latent"


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
    """Read a latent that ``save`` wrote.

    Raises:
        InputError: naming the file, if it is damaged, or holds something else.
    """
    try:
        read_header(path)
        with safe_open(path, framework="pt") as file:
            kind = (file.metadata() or {}).get("kind")
            names = set(file.keys())
            if kind != KIND or "samples" not in names or names - {"samples", "noise_mask"}:
                what = "one of ComfyUI's" if "latent_tensor" in names else "something else"
                raise InputError(
                    "latent", f"{path.name} holds no latent of SaveLatent's, but {what}.", "Choose another file."
                )
            samples = file.get_tensor("samples").float()
            mask = Mask(file.get_tensor("noise_mask").float()) if "noise_mask" in names else None
    except (ModelFileError, SafetensorError, OSError) as error:
        raise InputError(
            "latent", f"{path.name} can't be read: {error}.", "Save it again, or choose another."
        ) from error
    if samples.ndim != 4 or (mask is not None and mask.ndim != 3):
        raise InputError("latent", f"{path.name} holds tensors of odd shapes.", "Save it again, or choose another.")
    return Latent(samples, mask)
