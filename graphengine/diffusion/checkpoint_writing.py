"""Write checkpoints: Model, Clip and Vae become a diffusers folder, whole or not at all."""

from __future__ import annotations

import copy
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import diffusers
import torch
from diffusers import UNet2DConditionModel, UNet2DModel
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor, nn

from graphengine.errors import ModelFileError
from graphengine.types import Clip, Model, Vae

NETWORKS: Mapping[str, type[nn.Module]] = {"UNet2DConditionModel": UNet2DConditionModel, "UNet2DModel": UNet2DModel}
WEIGHTS_STEM = "diffusion_pytorch_model"  # diffusers' name; transformers' is "model"


def save(
    folder: Path,
    *,
    model: Model | None = None,
    clip: Clip | None = None,
    vae: Vae | None = None,
    dtype: torch.dtype = torch.float32,
) -> None:
    """Write a checkpoint as a diffusers folder that its pipelines open too.

    A lone ``UNet2DModel`` becomes a ``DDPMPipeline``, anything else a ``StableDiffusionPipeline``; parts not given are
    null there. The folder appears complete or not at all; an earlier checkpoint is replaced, anything else left alone.

    Args:
        folder: Where; its parent folders are made.
        dtype: Type of the weights in the files.

    Raises:
        ModelFileError: if nothing is given, a part is of a kind that can't be saved, or writing fails (disk full).
    """
    if model is None and clip is None and vae is None:
        raise ModelFileError(f"{folder}: nothing to save\n  Give a model, a clip or a vae.")
    if model is not None and type(model.network).__name__ not in NETWORKS:
        raise ModelFileError(
            f"{folder}: a {type(model.network).__name__} can't be saved as a checkpoint\n"
            f"  Only {' and '.join(NETWORKS)} have a diffusers layout."
        )
    if folder.exists() and not _may_replace(folder):
        raise ModelFileError(f"{folder}: something else than a checkpoint is here\n  Choose another name.")
    partial = folder.with_name(f".{folder.name}.{os.getpid()}.partial")
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        _write_parts(partial, model, clip, vae, dtype)
        _replace(folder, partial)
    except (OSError, SafetensorError) as error:
        raise ModelFileError(
            f"{folder}: the checkpoint couldn't be written: {error}\n"
            "  Nothing was left behind. Free some space or choose another place."
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _write_parts(folder: Path, model: Model | None, clip: Clip | None, vae: Vae | None, dtype: torch.dtype) -> None:
    if model is not None:
        _write_diffusers(folder / "unet", model.network, dtype)
        (folder / "scheduler").mkdir()
        _write_json(folder / "scheduler" / "scheduler_config.json", _scheduler_json(model))
    if vae is not None:
        _write_diffusers(folder / "vae", vae.autoencoder, dtype)
    if clip is not None:
        (encoder,) = clip.encoders
        _write_text_encoder(folder / "text_encoder", encoder.network, dtype)
        _write_tokenizer(folder / "tokenizer", encoder.tokenizer)
    _write_json(folder / "model_index.json", _model_index(model, clip, vae))


def _write_diffusers(folder: Path, network: nn.Module, dtype: torch.dtype) -> None:
    folder.mkdir()
    network.save_config(folder)  # type: ignore[operator]  # diffusers' ConfigMixin, which nn.Module doesn't know
    _write_weights(folder / f"{WEIGHTS_STEM}.safetensors", network.state_dict(), dtype)


def _write_text_encoder(folder: Path, text_encoder: nn.Module, dtype: torch.dtype) -> None:
    """Write a CLIP text model as transformers before 5.6 wrote it, which all versions read."""
    folder.mkdir()
    config: Any = copy.deepcopy(text_encoder.config)  # Any: transformers' configuration, untyped
    config.architectures = ["CLIPTextModel"]
    config.dtype = dtype
    config.save_pretrained(folder)
    weights = {f"text_model.{name.removeprefix('text_model.')}": t for name, t in text_encoder.state_dict().items()}
    _write_weights(folder / "model.safetensors", weights, dtype)


def _write_tokenizer(folder: Path, tokenizer: Any) -> None:  # Any: the base class doesn't declare a backend
    folder.mkdir()
    tokenizer.save_pretrained(folder)
    tokenizer.backend_tokenizer.model.save(str(folder))  # vocab.json and merges.txt, which older programs read


def _write_weights(path: Path, weights: Mapping[str, Tensor], dtype: torch.dtype) -> None:
    # clone: tensors that share memory can't be saved, and copies of one model's weights are small
    tensors = {
        name: (tensor.to("cpu", dtype) if tensor.is_floating_point() else tensor.cpu()).contiguous().clone()
        for name, tensor in weights.items()
    }
    path.touch()
    rights = path.stat().st_mode
    save_file(tensors, path, metadata={"format": "pt"})
    path.chmod(rights)  # save_file lets nobody else read; a checkpoint has the rights of any new file


def _write_json(path: Path, value: Mapping[str, object]) -> None:
    path.write_text(json.dumps(dict(value), indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _scheduler_json(model: Model) -> dict[str, object]:
    kind = "DDPMScheduler" if isinstance(model.network, UNet2DModel) else "DDIMScheduler"
    defaults = {"_class_name": kind, "_diffusers_version": diffusers.__version__}
    return defaults | dict(model.scheduler_config) | {"prediction_type": model.prediction}


def _model_index(model: Model | None, clip: Clip | None, vae: Vae | None) -> dict[str, object]:
    unconditional = model is not None and isinstance(model.network, UNet2DModel) and clip is None and vae is None
    index: dict[str, object] = {
        "_class_name": "DDPMPipeline" if unconditional else "StableDiffusionPipeline",
        "_diffusers_version": diffusers.__version__,
    }
    if model is not None:
        index["unet"] = ["diffusers", type(model.network).__name__]
        index["scheduler"] = ["diffusers", _scheduler_json(model)["_class_name"]]
    if unconditional:
        return index
    nothing = [None, None]
    return {
        "unet": nothing,
        "scheduler": nothing,
        **index,
        "vae": ["diffusers", "AutoencoderKL"] if vae else nothing,
        "text_encoder": ["transformers", "CLIPTextModel"] if clip else nothing,
        "tokenizer": ["transformers", "CLIPTokenizer"] if clip else nothing,
        "safety_checker": nothing,
        "feature_extractor": nothing,
        "image_encoder": nothing,
        "requires_safety_checker": False,
    }


def _may_replace(folder: Path) -> bool:
    return folder.is_dir() and ((folder / "model_index.json").exists() or not any(folder.iterdir()))


def _replace(folder: Path, partial: Path) -> None:
    """Put the finished folder in place of an earlier one; a rename can't replace a folder that isn't empty."""
    if not folder.exists():
        partial.rename(folder)
        return
    earlier = folder.with_name(f".{folder.name}.{os.getpid()}.earlier")
    folder.rename(earlier)
    try:
        partial.rename(folder)
    except OSError:
        earlier.rename(folder)
        raise
    shutil.rmtree(earlier, ignore_errors=True)
