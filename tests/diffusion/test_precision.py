from __future__ import annotations

from typing import Any

import pytest
import torch

from graphengine.diffusion.precision import cpu_multiplies_bfloat16, weights_dtype

HALF, BRAIN, FULL = torch.float16, torch.bfloat16, torch.float32
ON_THE_CPU = BRAIN if cpu_multiplies_bfloat16() else FULL


@pytest.mark.parametrize(
    ("precision", "device", "family", "stored", "vae", "expected"),
    [
        ("auto", "cpu", "sd1", HALF, False, ON_THE_CPU),
        ("auto", "cpu", "sd1", FULL, False, ON_THE_CPU),
        ("auto", "cpu", None, HALF, False, FULL),
        ("auto", "cuda:0", None, HALF, False, FULL),
        ("auto", "cuda:0", "sd1", FULL, False, HALF),
        ("auto", "cuda:1", "sdxl", BRAIN, False, BRAIN),
        ("auto", "cuda:0", "sdxl", HALF, False, HALF),
        ("auto", "cuda:0", "sdxl", HALF, True, BRAIN),
        ("auto", "cuda:0", "sd1", HALF, True, HALF),
        ("file", "cpu", "sd1", HALF, False, HALF),
        ("file", "cpu", None, BRAIN, True, BRAIN),
        ("file", "cpu", "sdxl", HALF, True, FULL),
        ("file", "cpu", "sd1", torch.float8_e4m3fn, False, FULL),
        ("file", "cpu", "sd1", torch.float64, False, FULL),
        ("float16", "cpu", None, FULL, False, HALF),
        ("float16", "cuda:0", "sdxl_refiner", FULL, True, FULL),
        ("bfloat16", "cpu", "sdxl", HALF, True, BRAIN),
    ],
)
def test_the_format_suits_device_file_and_network(
    precision: Any,  # Any: Literals' values
    device: str,
    family: Any,
    stored: torch.dtype,
    vae: bool,
    expected: torch.dtype,
) -> None:
    assert weights_dtype(precision, device, family, stored, vae=vae) == expected
