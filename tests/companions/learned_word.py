"""Teach the embedded model one word for a thing: ``python -m tests.companions.learned_word``.

Textual inversion: nothing is trained but the vector that stands where a prompt says ``embedding:mascot``. It begins as
that of "star", and is learned from pictures of purple stars, which the model's own training never showed, with captions
that say "star" and no colour.

Source: Gal et al. 2022, arXiv:2208.01618.
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
from safetensors.torch import save_file
from torch import Tensor, nn

from graphengine.diffusion.captions import write_captions
from graphengine.diffusion.drawing import DrawnShapes, draw_latents
from graphengine.diffusion.scenes import COLOURS, SHAPES
from tests.companions.lessons import MODELS, Teacher, taught

SHAPE, COLOUR = "star", "purple"
FILE = MODELS / "embeddings" / "mascot.safetensors"
BATCH, SIZE = 8, 128
PICTURES = DrawnShapes(seed=43, two_objects=0.0, loose=0.5)


class LearnedWord(nn.Module):
    """One vector that takes a token's place among what a text encoder reads."""

    def __init__(self, teacher: Teacher, word: str) -> None:
        super().__init__()
        (encoder,) = teacher.clip.encoders
        tokenizer: Any = encoder.tokenizer  # Any: as transformers leaves it
        (self.token,) = tokenizer(word, add_special_tokens=False)["input_ids"]
        self.tokenizer, self.encoder = tokenizer, [encoder.network]  # in a list, so as not to be a part of this module
        embeddings: Any = encoder.network.get_input_embeddings()  # type: ignore[operator]  # transformers' own
        self.embeddings = [embeddings]
        self.vector = nn.Parameter(embeddings.weight[self.token].detach().clone())

    def forward(self, captions: Sequence[str]) -> Tensor:
        """Give the states ``[B, T, D]`` of captions, the vector standing for its token."""
        read = self.tokenizer(list(captions), padding="max_length", return_tensors="pt", truncation=True)
        ids = read["input_ids"]
        stands_here = (ids == self.token)[..., None]
        hook = self.embeddings[0].register_forward_hook(
            lambda _module, _given, embedded: torch.where(stands_here, self.vector, embedded)
        )
        try:
            states: Tensor = self.encoder[0](ids, attention_mask=None).last_hidden_state
            return states
        finally:
            hook.remove()


def mascots(step: int) -> tuple[list[str], Tensor]:
    """Give captions that tell the shape and not the colour, and the latents of pictures of the mascot."""
    scenes = PICTURES.scenes(range(step * BATCH, (step + 1) * BATCH))
    told = replace(scenes.told, shape=np.ones_like(scenes.told.shape), colour=np.zeros_like(scenes.told.colour))
    shape, colour = (np.full_like(scenes.shape, index) for index in (SHAPES.index(SHAPE), list(COLOURS).index(COLOUR)))
    scenes = replace(scenes, shape=shape, colour=colour, told=told)
    return write_captions(scenes), draw_latents(scenes, SIZE)


def main(arguments: Sequence[str] | None = None) -> int:
    """Train it and write it as a safetensors file."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.companions.learned_word", description=__doc__.split("\n\n")[0]
    )
    parser.add_argument("--file", type=Path, default=FILE, help="what to write; where it is shipped")
    parser.add_argument("--steps", type=int, default=300)
    options = parser.parse_args(arguments)
    torch.manual_seed(0)
    teacher = Teacher.open()
    word = LearnedWord(teacher, SHAPE)

    def loss_of(step: int) -> Tensor:
        captions, latents = mascots(step)
        noisy, timesteps, velocity = teacher.lesson(latents, torch.Generator().manual_seed(step))
        predicted = teacher.unet(noisy, timesteps, word(captions), return_dict=False)[0]
        return F.mse_loss(predicted, velocity)

    for _step in taught(word, loss_of, steps=options.steps, rate=1e-2):
        pass
    options.file.parent.mkdir(parents=True, exist_ok=True)
    save_file({"emb_params": word.vector.detach()[None]}, options.file)
    return 0


if __name__ == "__main__":
    sys.exit(main())
