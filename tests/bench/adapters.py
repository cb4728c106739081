"""What it takes to swap one LoRA for another, over opening the checkpoint again; both of Stable Diffusion 1's size."""

from __future__ import annotations

import time
from pathlib import Path

import torch

from graphengine.diffusion import checkpoints, lora_files
from graphengine.diffusion.adapters import with_lora
from graphengine.types import Clip, Model
from tests.diffusion.original_layouts import random_parts, write_original
from tests.diffusion.tiny_lora import in_tensors, kohya, lora, written

RANK = 16


def swap_share(folder: Path, rounds: int = 3) -> float:
    """Give the time to swap a LoRA of all attention layers, as a share of the time to open the checkpoint again."""
    torch.set_num_threads(1)
    checkpoint = folder / "sd1.safetensors"
    folder.mkdir(parents=True, exist_ok=True)
    write_original(checkpoint, random_parts("sd1", tiny=False, dtype=torch.float16), "sd1")
    reload_seconds = float("inf")
    for _ in range(rounds):
        started = time.perf_counter()
        model, clip, _vae = checkpoints.load(checkpoint)
        reload_seconds = min(reload_seconds, time.perf_counter() - started)
    files = [_written(folder / f"{number}.safetensors", model, clip, seed=number) for number in range(2)]
    swap_seconds = float("inf")
    for number in range(2 * rounds):
        started = time.perf_counter()
        adapted, adapted_clip, _ = with_lora(
            model, clip, lora_files.read(files[number % 2]), strength_model=1, strength_clip=1, source="bench"
        )
        assert adapted.network is not adapted_clip.encoders[0].network, "reading them makes them"
        swap_seconds = min(swap_seconds, time.perf_counter() - started)
    checkpoint.unlink()
    return swap_seconds / reload_seconds


def _written(path: Path, model: Model, clip: Clip, seed: int) -> Path:
    def roles_of(weight: torch.Tensor) -> dict[str, torch.Tensor]:
        return {role: tensor.half() for role, tensor in lora(weight.float(), RANK).items()}

    tensors = in_tensors(model.network, kohya("lora_unet"), roles_of, seed)
    return written(path, tensors | in_tensors(clip.encoders[0].network, kohya("lora_te"), roles_of, seed))
