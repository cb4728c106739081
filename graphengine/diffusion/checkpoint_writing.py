"""Write checkpoints: Model, Clip and Vae become a diffusers folder, whole or not at all."""

from __future__ import annotations

import copy
import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import diffusers
import torch
from diffusers import SD3Transformer2DModel, UNet2DConditionModel, UNet2DModel
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import CLIPTextModel, CLIPTokenizer

from graphengine.errors import ModelFileError
from graphengine.types import Clip, Model, TextEncoder, Vae

NETWORKS: Mapping[str, type[nn.Module]] = {
    "UNet2DConditionModel": UNet2DConditionModel,
    "UNet2DModel": UNet2DModel,
    "SD3Transformer2DModel": SD3Transformer2DModel,
}
WEIGHTS_STEM = "diffusion_pytorch_model"  # diffusers' name; transformers' is "model"


def save(
    folder: Path,
    *,
    model: Model | None = None,
    clip: Clip | None = None,
    vae: Vae | None = None,
    dtype: torch.dtype = torch.float32,
    workflow: str = "",
    beside: Callable[[Path], object] | None = None,
) -> None:
    """Write a checkpoint as a diffusers folder that its pipelines open too.

    A lone ``UNet2DModel`` becomes a ``DDPMPipeline``, anything else a folder for the pipeline of its family; parts not
    given are null there. The folder appears complete or not at all; an earlier checkpoint is replaced, anything else
    left alone.

    Args:
        folder: Where; its parent folders are made.
        dtype: Type of the weights in the files.
        workflow: JSON that becomes ``workflow.json`` beside the parts; an empty text for none.
        beside: Writes further files into the folder before it appears.

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
        if workflow:
            (partial / "workflow.json").write_text(workflow, encoding="utf-8")
        if beside:
            beside(partial)
        put_in_place(folder, partial)
    except (OSError, SafetensorError) as error:
        raise ModelFileError(
            f"{folder}: the checkpoint couldn't be written: {error}\n"
            "  Nothing was left behind. Free some space or choose another place."
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _write_parts(folder: Path, model: Model | None, clip: Clip | None, vae: Vae | None, dtype: torch.dtype) -> None:
    if model is not None:
        _write_diffusers(folder / _denoiser_part(model), model.network, dtype)
        (folder / "scheduler").mkdir()
        _write_json(folder / "scheduler" / "scheduler_config.json", _scheduler_json(model))
    if vae is not None:
        _write_diffusers(folder / "vae", vae.autoencoder, dtype)
    if clip is not None:
        for suffix, encoder in _suffixed(clip).items():
            _write_text_encoder(folder / f"text_encoder{suffix}", encoder.network, dtype)
            _write_tokenizer(folder / f"tokenizer{suffix}", encoder.tokenizer)
    _write_json(folder / "model_index.json", _model_index(model, clip, vae))


def _write_diffusers(folder: Path, network: nn.Module, dtype: torch.dtype) -> None:
    folder.mkdir()
    network.save_config(folder)  # type: ignore[operator]  # diffusers' ConfigMixin, which nn.Module doesn't know
    _write_weights(folder / f"{WEIGHTS_STEM}.safetensors", network.state_dict(), dtype)


def _write_text_encoder(folder: Path, text_encoder: nn.Module, dtype: torch.dtype) -> None:
    """Write a text encoder; CLIP's as transformers before 5.6 wrote it, which all versions read."""
    folder.mkdir()
    config: Any = copy.deepcopy(text_encoder.config)  # Any: transformers' configuration, untyped
    config.architectures = [type(text_encoder).__name__]
    config.dtype = dtype
    config.save_pretrained(folder)
    weights = text_encoder.state_dict()
    if isinstance(text_encoder, CLIPTextModel):
        weights = {f"text_model.{name.removeprefix('text_model.')}": weight for name, weight in weights.items()}
    _write_weights(folder / "model.safetensors", weights, dtype)


def _write_tokenizer(folder: Path, tokenizer: Any) -> None:  # Any: the base class doesn't declare a backend
    folder.mkdir()
    tokenizer.save_pretrained(folder)
    if isinstance(tokenizer, CLIPTokenizer):
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
    written = defaults | dict(model.scheduler_config)
    return written if model.prediction == "flow" else written | {"prediction_type": model.prediction}


def _denoiser_part(model: Model) -> str:
    return "transformer" if isinstance(model.network, SD3Transformer2DModel) else "unet"


def _suffixed(clip: Clip | None) -> dict[str, TextEncoder]:
    """Number text encoders as pipelines do: the only one that reads all but the last layer is the second of XL's."""
    encoders = clip.encoders if clip else ()
    suffixes = ("_2",) if len(encoders) == 1 and encoders[0].hidden_layer == -2 else ("", "_2", "_3")
    return dict(zip(suffixes, encoders, strict=False))


def _model_index(model: Model | None, clip: Clip | None, vae: Vae | None) -> dict[str, object]:
    index: dict[str, object] = {
        "_class_name": pipeline_of(model, clip, vae),
        "_diffusers_version": diffusers.__version__,
    }
    if model is not None:
        index[_denoiser_part(model)] = ["diffusers", type(model.network).__name__]
        index["scheduler"] = ["diffusers", _scheduler_json(model)["_class_name"]]
    if index["_class_name"] == "DDPMPipeline":
        return index
    nothing = [None, None]
    texts = {
        part: ["transformers", type(value).__name__]
        for suffix, encoder in _suffixed(clip).items()
        for part, value in ((f"text_encoder{suffix}", encoder.network), (f"tokenizer{suffix}", encoder.tokenizer))
    }
    absent = dict.fromkeys(_NULLS[str(index["_class_name"])], nothing)
    index |= {"vae": ["diffusers", type(vae.autoencoder).__name__] if vae else nothing, **texts}
    if index["_class_name"] == "StableDiffusionPipeline":
        index["requires_safety_checker"] = False
    return absent | index


_NULLS: Mapping[str, tuple[str, ...]] = {
    "StableDiffusionPipeline": (
        "unet", "scheduler", "text_encoder", "tokenizer", "safety_checker", "feature_extractor", "image_encoder",
    ),
    "StableDiffusionXLPipeline": (
        "unet", "scheduler", "text_encoder", "tokenizer", "text_encoder_2", "tokenizer_2", "feature_extractor",
        "image_encoder",
    ),
    "StableDiffusion3Pipeline": (
        "transformer", "scheduler", "text_encoder", "tokenizer", "text_encoder_2", "tokenizer_2", "text_encoder_3",
        "tokenizer_3", "feature_extractor", "image_encoder",
    ),
}  # fmt: skip
"""What each pipeline has besides; all of it null where a checkpoint lacks it."""


def pipeline_of(model: Model | None, clip: Clip | None, vae: Vae | None) -> str:
    """Name the class of diffusers that opens these parts."""
    if model is not None and isinstance(model.network, UNet2DModel) and clip is None and vae is None:
        return "DDPMPipeline"
    if model is not None and isinstance(model.network, SD3Transformer2DModel):
        return "StableDiffusion3Pipeline"
    return "StableDiffusionXLPipeline" if "_2" in _suffixed(clip) else "StableDiffusionPipeline"


def _may_replace(folder: Path) -> bool:
    return folder.is_dir() and ((folder / "model_index.json").exists() or not any(folder.iterdir()))


def put_in_place(folder: Path, partial: Path) -> None:
    """Put a finished folder or file in place of an earlier one; a rename can't replace a folder that isn't empty."""
    if partial.is_file():
        partial.replace(folder)
        return
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
