"""What small trained files have in common: they appear whole, and their headers say what they were trained for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import save
from torch import Tensor

from graphengine.durable import whole_file

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
    with whole_file(path) as partial:
        partial.write_bytes(save(dict(tensors), dict(sorted(metadata.items()))))
