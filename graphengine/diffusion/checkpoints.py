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
from graphengine.diffusion.options import ClipKind, LatentKind
from graphengine.diffusion.part_files import PartFiles
from graphengine.diffusion.part_writing import save_clip_files, save_vae_file
from graphengine.diffusion.sharing import Share, unshared
from graphengine.diffusion.single_file_writing import save_single_file
from graphengine.diffusion.single_files import SingleFile
from graphengine.diffusion.weights_files import WeightsFile
from graphengine.types import Clip, Model, Vae

__all__ = [
    "load",
    "load_clip",
    "load_model",
    "load_vae",
    "save",
    "save_clip_files",
    "save_single_file",
    "save_vae_file",
]


def load(
    path: Path, *, precision: Precision = "auto", device: torch.device | str = "cpu", share: Share = unshared
) -> tuple[Model, Clip, Vae]:
    """Open a complete checkpoint: denoiser, text encoders and autoencoder, frozen and in eval mode, on the CPU.

    Args:
        path: A diffusers folder, as a pipeline's ``save_pretrained`` writes it, or a safetensors file in the original
            names.
        precision: What the weights become.
        device: Where they will be used, which ``auto`` goes by; they aren't moved there.
        share: Whether and how networks that are opened again are the same ones.

    Raises:
        ModelFileError: if a part is missing, damaged, of an unknown kind, or doesn't fit the others.
    """
    return _opened(path, precision, device, share).load()


def load_model(
    path: Path, *, precision: Precision = "auto", device: torch.device | str = "cpu", share: Share = unshared
) -> Model:
    """Open only a denoiser: of a checkpoint, of an unconditional DDPM's folder, or in a file or folder of its own.

    Raises:
        ModelFileError: if it is missing, damaged or of an unknown kind.
    """
    return PartFiles(precision=precision, device=device, share=share).denoiser(path)


def load_clip(
    *paths: Path,
    kind: ClipKind = "auto",
    precision: Precision = "auto",
    device: torch.device | str = "cpu",
    share: Share = unshared,
) -> Clip:
    """Open only text encoders and tokenizers: of a checkpoint, or from a file for each encoder.

    Args:
        kind: Whose they are, which decides what is read of them; a checkpoint tells that itself.

    Raises:
        ModelFileError: if they are missing, damaged or of an unknown kind.
        InputError: if they are too few or too many for their kind.
    """
    return PartFiles(precision=precision, device=device, share=share).clip(paths, kind)


def load_vae(
    path: Path,
    *,
    latents: LatentKind = "auto",
    precision: Precision = "auto",
    device: torch.device | str = "cpu",
    share: Share = unshared,
) -> Vae:
    """Open only an autoencoder: of a checkpoint, or in a file or folder of its own.

    Args:
        latents: Whose latents a file's autoencoder makes.

    Raises:
        ModelFileError: if it is missing, damaged or of an unknown kind.
    """
    return PartFiles(precision=precision, device=device, share=share).vae(path, latents)


def _opened(path: Path, precision: Precision, device: torch.device | str, share: Share) -> SingleFile | DiffusersFolder:
    if path.is_file():
        return SingleFile(WeightsFile(path, precision=precision, device=device, share=share))
    return DiffusersFolder(path, precision=precision, device=device, share=share)
