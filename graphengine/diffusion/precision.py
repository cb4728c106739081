"""In which number format weights are kept and computed with.

    auto, on a CPU     bfloat16 where the CPU multiplies it (3 times as fast as float32), else float32; float16 is slow
    auto, on a GPU     as in the file, but float16 instead of float32: half the memory and twice the speed
    file               as in the file, which then needn't be copied: networks read its pages as they need them

Networks of no known family are small and were made here: ``auto`` keeps them in float32. The autoencoders of XL models
overflow in float16, so there ``auto`` takes bfloat16, and what would be float16 otherwise becomes float32, as in
diffusers' pipelines.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from graphengine.config import Precision
from graphengine.types import Family

STORED: Mapping[str, torch.dtype] = {
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F32": torch.float32,
    "F64": torch.float64,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
}
"""Formats that weights may have in a file, by the names there."""

_OVERFLOWS_IN_HALF: tuple[Family, ...] = ("sdxl", "sdxl_refiner")


def weights_dtype(
    precision: Precision, device: torch.device | str, family: Family | None, stored: torch.dtype, *, vae: bool = False
) -> torch.dtype:
    """Choose the format of a network's weights.

    Args:
        precision: The user's wish.
        device: Where the network will run.
        family: What it is one of.
        stored: What most of its weights are in the file.
        vae: Whether it is the autoencoder.
    """
    overflows = vae and family in _OVERFLOWS_IN_HALF
    if precision == "file":
        kept = stored if stored in (torch.float32, torch.float16, torch.bfloat16) else torch.float32
        return torch.float32 if overflows and kept == torch.float16 else kept
    if precision != "auto":
        chosen: torch.dtype = getattr(torch, precision)
        return torch.float32 if overflows and chosen == torch.float16 else chosen
    if family is None:
        return torch.float32
    if torch.device(device).type == "cpu":
        return torch.bfloat16 if cpu_multiplies_bfloat16() else torch.float32
    return torch.bfloat16 if overflows or stored == torch.bfloat16 else torch.float16


def pipeline_dtype(precision: Precision, device: torch.device | str, stored: torch.dtype) -> torch.dtype:
    """Choose the format of a network of any kind: as in the file, but what a CPU computes fast instead of halves."""
    kept = stored if stored in (torch.float32, torch.float16, torch.bfloat16) else torch.float32
    if precision == "file":
        return kept
    if precision != "auto":
        chosen: torch.dtype = getattr(torch, precision)
        return chosen
    if torch.device(device).type == "cpu" and kept != torch.float32:
        return torch.bfloat16 if cpu_multiplies_bfloat16() else torch.float32
    return kept


def cpu_multiplies_bfloat16() -> bool:
    """Tell whether the CPU has instructions for it; without them bfloat16 is slower than float32."""
    cpu: Any = torch.cpu  # Any: these aren't declared, and missing on some platforms
    tests = (getattr(cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
    return any(test is not None and test() for test in tests)
