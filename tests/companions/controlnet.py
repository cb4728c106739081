"""Train the ControlNet that goes with the embedded model: ``python -m tests.companions.controlnet``.

It reads edges, as the Canny node draws them, and says where outlines run; the prompt says what is drawn in which
colours. So captions leave to the edges where everything lies and how large it is. As published, it begins as a copy of
the UNet's way down, with layers after it that begin as zeros; the UNet itself isn't changed. Places are settled where
there is much noise, so such moments are learned from more often.

Source: Zhang et al. 2023, arXiv:2302.05543.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import ControlNetModel
from torch import Tensor

from graphengine.diffusion import edges
from graphengine.diffusion.captions import write_captions
from graphengine.diffusion.drawing import DrawnShapes, draw_latents, scene_distances
from graphengine.types import Image
from tests.companions.lessons import MODELS, UNTOLD, Teacher, taught

FOLDER = MODELS / "controlnet" / "embedded_edges"
BATCH, SIZE = 8, 128
PICTURES = DrawnShapes(seed=41, two_objects=0.4, loose=0.5)


def new_controlnet(unet: Any) -> Any:  # Any: diffusers' networks are untyped
    """Make a ControlNet that says nothing yet, as wide as the UNet."""
    copied: Any = ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=(8, 16, 32, 64))
    heads = {"addition_embed_type_num_heads": unet.config.addition_embed_type_num_heads}  # from_unet leaves them out
    network: Any = ControlNetModel.from_config({**copied.config, **heads})
    network.load_state_dict(copied.state_dict())
    network.controlnet_cond_embedding.conv_out.reset_parameters()  # zeros there and in what follows would learn late
    return network.train()


def lines_and_pictures(step: int) -> tuple[Tensor, list[str], Tensor]:
    """Give edges ``[B, 3, H, W]``, captions that leave out places and sizes, and the pictures' latents.

    Edges are those of the shapes in white on black, so that none is lost between colours that are equally bright.
    """
    scenes = PICTURES.scenes(range(step * BATCH, (step + 1) * BATCH))
    nowhere = {name: np.zeros_like(getattr(scenes.told, name)) for name in ("place", "size", "relation")}
    captions = write_captions(replace(scenes, told=replace(scenes.told, **nowhere)))
    shapes = (0.5 - scene_distances(scenes, SIZE).amin(1) * SIZE).clamp(0, 1)
    lines = edges.canny(Image(shapes[..., None].repeat(1, 1, 1, 3)), low=0.4, high=0.8)
    return lines.permute(0, 3, 1, 2), captions, draw_latents(scenes, SIZE)


def loss_of(network: Any, teacher: Teacher, step: int) -> Tensor:
    """Give the mean squared error of the steered UNet's predictions, on this step's pictures."""
    generator = torch.Generator().manual_seed(step)
    lines, captions, latents = lines_and_pictures(step)
    silent = torch.rand(BATCH, generator=generator) < UNTOLD
    told = ["" if untold else caption for caption, untold in zip(captions, silent, strict=True)]
    noisy, timesteps, velocity = teacher.lesson(latents, generator, late=0.5)
    prompts = teacher.read(told)
    downs, middle = network(noisy, timesteps, prompts, lines, return_dict=False)
    predicted = teacher.unet(
        noisy,
        timesteps,
        prompts,
        down_block_additional_residuals=downs,
        mid_block_additional_residual=middle,
        return_dict=False,
    )[0]
    return F.mse_loss(predicted, velocity)


def main(arguments: Sequence[str] | None = None) -> int:
    """Train it and write it as a diffusers folder."""
    parser = argparse.ArgumentParser(prog="python -m tests.companions.controlnet", description=__doc__.split("\n\n")[0])
    parser.add_argument("--folder", type=Path, default=FOLDER, help="what to write; where it is shipped")
    parser.add_argument("--steps", type=int, default=1400)
    options = parser.parse_args(arguments)
    torch.manual_seed(0)
    teacher = Teacher.open()
    network = new_controlnet(teacher.unet)
    for step in taught(network, lambda step: loss_of(network, teacher, step), steps=options.steps, rate=1e-3):
        if step % 500 == 499:
            network.to(torch.float16).save_pretrained(options.folder)
            network.to(torch.float32)
    network.to(torch.float16).save_pretrained(options.folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
