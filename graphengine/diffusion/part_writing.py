"""Write autoencoders and text encoders as files of their own, in the names that other programs read.

As in whole checkpoints, how a network is built is noted in the metadata, so that those of no known family open again.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from diffusers import AutoencoderKL
from transformers import T5EncoderModel

from graphengine.diffusion.original_names import vae_places, written_weights
from graphengine.diffusion.part_layouts import PART_KEY
from graphengine.diffusion.single_file_writing import network_config, text_notes, text_tensors, write_weights_file
from graphengine.errors import ModelFileError
from graphengine.types import Clip, Vae

__all__ = ["save_clip_files", "save_vae_file"]


def save_vae_file(path: Path, vae: Vae, *, dtype: torch.dtype | None = torch.float16, workflow: str = "") -> None:
    """Write an autoencoder as one file. It appears complete or not at all; an earlier one is replaced.

    Args:
        dtype: Type of the weights; None leaves each as it is.
        workflow: JSON for the metadata, under ``workflow``; an empty text for none.

    Raises:
        ModelFileError: if it is of a kind that has no place in such files, or writing fails (disk full).
    """
    if not isinstance(vae.autoencoder, AutoencoderKL):
        raise ModelFileError(
            f"{path}: a {type(vae.autoencoder).__name__} can't be written into a single file\n"
            "  Only AutoencoderKL has a layout there. Choose a diffusers folder."
        )
    config, weights = network_config(vae.autoencoder), vae.autoencoder.state_dict()
    tensors = written_weights(vae_places(weights, config, ""), weights)
    write_weights_file(path, tensors, {PART_KEY: {"vae": config}}, (), dtype, workflow)


def save_clip_files(
    paths: Sequence[Path], clip: Clip, *, dtype: torch.dtype | None = torch.float16, workflow: str = ""
) -> None:
    """Write text encoders, each as a file of its own.

    Args: as for ``save_vae_file``; a path for each encoder.

    Raises:
        ModelFileError: if writing fails (disk full).
    """
    reads_t5 = any(isinstance(encoder.network, T5EncoderModel) for encoder in clip.encoders)
    names_of = clip.family or ("sd3" if reads_t5 else None)  # the one family that does
    for number, (path, encoder) in enumerate(zip(paths, clip.encoders, strict=True)):
        notes = {**text_notes(names_of, number, encoder), "prefix": ""}
        content = {"family": clip.family, "number": number, "text_encoder": notes}
        write_weights_file(path, text_tensors(encoder, notes), {PART_KEY: content}, [encoder], dtype, workflow)
