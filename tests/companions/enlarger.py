"""Train the enlarger that goes with the embedded model: ``python -m tests.companions.enlarger``.

A small network of Real-ESRGAN's kind that makes drawn pictures four times as large, with sharp outlines. It learns from
windows of large pictures and what is left of them at a quarter of the size, a little blurred, as the embedded model's
pictures are.

Source: the small models (SRVGGNetCompact) of Real-ESRGAN, Wang et al. 2021, arXiv:2107.10833.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor

from graphengine.diffusion.drawing import DrawnShapes
from graphengine.diffusion.filters import gaussian
from graphengine.diffusion.upscale_networks import CompactNet
from tests.companions.lessons import MODELS, taught

FILE = MODELS / "upscale_models" / "drawings_x4.safetensors"
SCALE, BATCH = 4, 8
PICTURES = DrawnShapes(seed=42, size=384, crop=160, two_objects=0.5, three_objects=0.2, patterns=0.2)


def pair(step: int) -> tuple[Tensor, Tensor]:
    """Give windows of large pictures ``[B, 3, 160, 160]`` and the same at a quarter of the size, in 0…1."""
    examples = PICTURES.examples(range(step * BATCH, (step + 1) * BATCH), {"images"})
    assert examples.images is not None, "asked for"
    large = (examples.images + 1) / 2
    blur = 0.2 + 0.8 * torch.rand((), generator=torch.Generator().manual_seed(step)).item()
    return gaussian(F.avg_pool2d(large, SCALE), blur), large


def main(arguments: Sequence[str] | None = None) -> int:
    """Train it and write it as a safetensors file, in half precision."""
    parser = argparse.ArgumentParser(prog="python -m tests.companions.enlarger", description=__doc__.split("\n\n")[0])
    parser.add_argument("--file", type=Path, default=FILE, help="what to write; where it is shipped")
    parser.add_argument("--steps", type=int, default=2000)
    options = parser.parse_args(arguments)
    torch.manual_seed(0)
    network = CompactNet(features=24, layers=8, scale=SCALE)

    def loss_of(step: int) -> Tensor:
        small, large = pair(step)
        return F.l1_loss(network(small), large)

    for _step in taught(network, loss_of, steps=options.steps, rate=1e-3):
        pass
    options.file.parent.mkdir(parents=True, exist_ok=True)
    weights = {name: weight.to(torch.float16).contiguous() for name, weight in network.state_dict().items()}
    save_file(weights, options.file, metadata={"made_by": "python -m tests.companions.enlarger"})
    return 0


if __name__ == "__main__":
    sys.exit(main())
