"""Open checkpoints: single files and diffusers folders become Model, Clip and Vae; ``save`` is the way back.

Everything is read offline, from safetensors only, and never runs code that came with the files. Headers are checked
before weights are opened (``model_files``), so a damaged file is refused in milliseconds, whatever its size.
"""

from __future__ import annotations

from pathlib import Path

import torch

from graphengine.config import Precision
from graphengine.diffusion.checkpoint_writing import save
from graphengine.diffusion.diffusers_folders import DiffusersFolder
from graphengine.diffusion.single_file_writing import save_single_file
from graphengine.diffusion.single_files import SingleFile
from graphengine.types import Clip, Model, Vae

__all__ = ["load", "load_clip", "load_model", "load_vae", "save", "save_single_file"]


def load(path: Path, *, precision: Precision = "auto", device: torch.device | str = "cpu") -> tuple[Model, Clip, Vae]:
    """Open a complete checkpoint: denoiser, text encoders and autoencoder, frozen and in eval mode, on the CPU.

    Args:
        path: A diffusers folder, as a pipeline's ``save_pretrained`` writes it, or a safetensors file in the original
            names.
        precision: What the weights become.
        device: Where they will be used, which ``auto`` goes by; they aren't moved there.

    Raises:
        ModelFileError: if a part is missing, damaged, of an unknown kind, or doesn't fit the others.
    """
    return _opened(path, precision, device).load()


def load_model(path: Path, *, precision: Precision = "auto", device: torch.device | str = "cpu") -> Model:
    """Open only the denoiser of a checkpoint, such as the folder of an unconditional DDPM.

    Raises:
        ModelFileError: if it is missing, damaged or of an unknown kind.
    """
    return _opened(path, precision, device).model()


def load_clip(path: Path, *, precision: Precision = "auto", device: torch.device | str = "cpu") -> Clip:
    """Open only the text encoders and tokenizers of a checkpoint.

    Raises:
        ModelFileError: if they are missing, damaged or of an unknown kind.
    """
    return _opened(path, precision, device).clip()


def load_vae(path: Path, *, precision: Precision = "auto", device: torch.device | str = "cpu") -> Vae:
    """Open only the autoencoder of a checkpoint.

    Raises:
        ModelFileError: if it is missing, damaged or of an unknown kind.
    """
    return _opened(path, precision, device).vae()


def _opened(path: Path, precision: Precision, device: torch.device | str) -> SingleFile | DiffusersFolder:
    if path.is_file():
        return SingleFile(path, precision=precision, device=device)
    return DiffusersFolder(path, precision=precision, device=device)
