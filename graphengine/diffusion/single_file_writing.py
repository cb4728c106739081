"""Write a checkpoint as a single safetensors file, in the names that other programs read.

What a header can't tell other programs is written as they expect it: ``v_pred`` and ``ztsnr`` mark predictions of the
velocity and zero terminal SNR. How the networks are built is noted besides, so that models of no known family open
again here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, SD3Transformer2DModel, UNet2DConditionModel
from torch import Tensor, nn
from transformers import T5EncoderModel

from graphengine.diffusion.families import METADATA_KEY, UNET_PREFIX, VAE_PREFIX, Config, layout_of
from graphengine.diffusion.joint_names import joint_places
from graphengine.diffusion.original_names import text_places, unet_places, vae_places, written_weights
from graphengine.diffusion.safetensors_writing import write_safetensors
from graphengine.diffusion.written_tokenizers import written_tokenizer
from graphengine.durable import whole_file
from graphengine.errors import ModelFileError
from graphengine.types import Clip, Family, Model, TextEncoder, Vae

_DENOISERS = (UNet2DConditionModel, SD3Transformer2DModel)
_OWN_PREFIXES = ("cond_stage_model.transformer.", "conditioner.embedders.1.transformer.")


def save_single_file(
    path: Path,
    *,
    model: Model,
    clip: Clip | None = None,
    vae: Vae | None = None,
    dtype: torch.dtype | None = torch.float16,
    workflow: str = "",
) -> None:
    """Write a checkpoint as one file. It appears complete or not at all; an earlier one is replaced.

    Args:
        path: Where; its folder is made. The tokenizer of a T5 encoder is written beside it, into a folder of its name.
        clip: Left out, the file is for those who load the text encoders from elsewhere.
        vae: Likewise.
        dtype: Type of the weights; None leaves each as it is.
        workflow: JSON for the metadata, under ``workflow``; an empty text for none.

    Raises:
        ModelFileError: if a part has no place in such files, or writing fails (disk full).
    """
    given: list[tuple[nn.Module, Any]] = [(model.network, _DENOISERS)]  # Any: diffusers' classes are untyped
    given += [(vae.autoencoder, AutoencoderKL)] if vae else []
    odd = [type(network).__name__ for network, kind in given if not isinstance(network, kind)]
    if odd:
        raise ModelFileError(
            f"{path}: a {' and a '.join(odd)} can't be written into a single file\n"
            "  Only UNet2DConditionModel, SD3Transformer2DModel and AutoencoderKL have a layout there."
        )
    tensors, notes = single_file_contents(model, clip, vae)
    write_weights_file(path, tensors, {METADATA_KEY: notes}, clip.encoders if clip else (), dtype, workflow)


def write_weights_file(
    path: Path,
    tensors: Mapping[str, Callable[[], Tensor]],
    notes: Mapping[str, Mapping[str, Any]],  # Any: JSON values
    encoders: Sequence[TextEncoder],
    dtype: torch.dtype | None,
    workflow: str,
) -> None:
    """Write tensors as a safetensors file, whole or not at all.

    Args:
        notes: JSON objects for the metadata, by their keys there.
        encoders: Those in it; the tokenizer of a T5 encoder, too large for a header, goes into a folder of the file's
            name.

    Raises:
        ModelFileError: if writing fails (disk full).
    """
    metadata = {"format": "pt", **{key: json.dumps(note) for key, note in notes.items()}}
    try:
        with whole_file(path) as partial:
            write_safetensors(partial, tensors, metadata | ({"workflow": workflow} if workflow else {}), dtype)
            for encoder in encoders:
                if isinstance(encoder.network, T5EncoderModel):
                    encoder.tokenizer.save_pretrained(path.with_suffix(""))
    except OSError as error:
        raise ModelFileError(
            f"{path}: the file couldn't be written: {error}\n"
            "  Nothing was left behind. Free some space or choose another place."
        ) from error


def single_file_contents(
    model: Model, clip: Clip | None = None, vae: Vae | None = None
) -> tuple[dict[str, Callable[[], Tensor]], dict[str, Any]]:  # Any: JSON values
    """Give the tensors of a checkpoint's single file, and the notes on how its networks are built."""
    unet, weights = network_config(model.network), model.network.state_dict()
    is_joint = isinstance(model.network, SD3Transformer2DModel)
    places = joint_places(weights, UNET_PREFIX) if is_joint else unet_places(weights, unet, UNET_PREFIX)
    tensors = written_weights(places, weights)
    # without one, what the denoiser is read by: how many levels halve the picture
    autoencoder: Config = {"block_out_channels": [0] * model.latent_factor.bit_length()}
    if vae is not None:
        autoencoder, weights = network_config(vae.autoencoder), vae.autoencoder.state_dict()
        tensors |= written_weights(vae_places(weights, autoencoder, VAE_PREFIX), weights)
    texts = []
    encoders = clip.encoders if clip else ()
    family = clip.family if clip and clip.family else "sd3" if is_joint else None
    for number, encoder in enumerate(encoders):
        texts.append(text_notes(family, number, encoder))
        tensors |= text_tensors(encoder, texts[-1])
    scheduler = dict(model.scheduler_config) | {"prediction_type": model.prediction}
    if model.prediction == "v_prediction":
        tensors["v_pred"] = _mark
    if scheduler.get("rescale_betas_zero_snr"):
        tensors["ztsnr"] = _mark
    notes = {
        "family": model.family,
        "unet": unet,
        "vae": autoencoder,
        "scheduler": scheduler,
        "text_encoders": texts,
        "latent_rgb": model.latent_rgb,
    }
    return tensors, notes


def _mark() -> Tensor:
    return torch.zeros(0)


def text_tensors(encoder: TextEncoder, notes: Config) -> dict[str, Callable[[], Tensor]]:
    """Give the tensors of a text encoder, in the form and behind the prefix that its notes say."""
    weights = encoder.network.state_dict()
    names = [name for name in weights if name != "encoder.embed_tokens.weight"]  # T5's other name of its first
    return written_weights(text_places(names, notes["form"], notes["prefix"]), weights)


def text_notes(family: Family | None, number: int, encoder: TextEncoder) -> dict[str, Any]:  # Any: JSON values
    """Describe a text encoder; where it lies is its family's choice."""
    if family is None:
        form, prefix = "clip", _OWN_PREFIXES[number]
    else:
        known = layout_of(family).text_encoders[number]
        form, prefix = known["form"], known["prefix"]
    network: Any = encoder.network  # Any: transformers' configuration, untyped
    return {
        "form": form,
        "architecture": type(encoder.network).__name__,
        "prefix": prefix,
        "config": network.config.to_diff_dict(),
        "hidden_layer": encoder.hidden_layer,
        "final_norm": encoder.final_norm,
        "pooled": encoder.pooled,
        "pad_token": encoder.tokenizer.pad_token,
        "tokenizer": None if form == "t5" else written_tokenizer(encoder.tokenizer),
    }


def network_config(network: Any) -> Config:  # Any: a diffusers network
    """Give the configuration of a diffusers network as JSON has it."""
    config: dict[str, Any] = json.loads(network.to_json_string())  # Any: JSON values
    return {name: value for name, value in config.items() if name == "_class_name" or not name.startswith("_")}
