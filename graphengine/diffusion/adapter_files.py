"""What small trained files have in common: they appear whole, and their headers say what they were trained for."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import save
from torch import Tensor

from graphengine.durable import sync_file

__all__ = ["modelspec", "write_whole"]

_ARCHITECTURES = {
    "sd_v1": "stable-diffusion-v1",
    "sd_v2": "stable-diffusion-v2-512",
    "sdxl_base_v1-0": "stable-diffusion-xl-v1-base",
    "sd3": "stable-diffusion-3",
}


def modelspec(title: str, kind: str, training: Mapping[str, str]) -> dict[str, str]:
    """Describe a file under the names of the model specification.

    Args:
        kind: Of adapter, such as ``lora``.
        training: What decided it; ``base version`` and ``prediction`` are told.
    """
    prediction = training.get("prediction", "")
    described = {
        "modelspec.sai_model_spec": "1.0.0",
        "modelspec.title": title,
        "modelspec.implementation": "diffusers",
        "modelspec.prediction_type": {"v_prediction": "v"}.get(prediction, prediction),
    }
    architecture = _ARCHITECTURES.get(training.get("base version", ""))
    return described | ({"modelspec.architecture": f"{architecture}/{kind}"} if architecture else {})


def write_whole(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write a safetensors file; it appears there complete or not at all.

    Raises:
        OSError: if it can't be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        partial.write_bytes(save(dict(tensors), dict(sorted(metadata.items()))))
        sync_file(partial)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
