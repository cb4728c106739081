"""Score a text-to-image checkpoint of drawn shapes: ``python -m tests.quality.score --checkpoint FOLDER``.

Pictures are made for prompts and seeds that training did not use, in 20 steps, and judged by image analysis
(``judge``). A set of prompts for each skill: one object with everything told; loose prompts that leave attributes out,
in any order of words; pairs of colour and shape held out of training; two objects with a relation; three objects; one
inside another; stripes and dots; digits. Further: what the autoencoder loses, and how much pictures of one prompt vary
over seeds, against how much the data varies.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import graphengine
from graphengine.diffusion import checkpoints, conditioning, sampling, vae
from graphengine.diffusion.captions import write_captions
from graphengine.diffusion.drawing import DrawnShapes, draw_pictures
from graphengine.diffusion.scenes import BACKGROUNDS, COLOURS, KINDS, SHAPES
from graphengine.types import Clip, Conditioning, Image, Latent, Model, Vae
from tests.quality.claims import claims_of, verdict
from tests.quality.judge import look_at

STEPS, GUIDANCE, SIZE, BATCH = 20, 3.0, 128, 25
PROMPT_SEED = 20_000_001
"""Seed of the prompts' scenes; training workflows use small seeds."""

EMBEDDED = Path(graphengine.__file__).parent / "models" / "checkpoints" / "embedded"
SETS: dict[str, DrawnShapes] = {
    "one object": DrawnShapes(PROMPT_SEED, two_objects=0.0, loose=0.0),
    "loose prompts": DrawnShapes(PROMPT_SEED, two_objects=0.0, loose=1.0),
    "held-out pairs": DrawnShapes(PROMPT_SEED, two_objects=0.0, loose=0.0, split="held_out"),
    "two objects": DrawnShapes(PROMPT_SEED, two_objects=1.0, loose=0.3),
    "three objects": DrawnShapes(PROMPT_SEED, three_objects=1.0, loose=0.3),
    "one inside another": DrawnShapes(PROMPT_SEED, inside=1.0, loose=0.3),
    "stripes and dots": DrawnShapes(PROMPT_SEED, two_objects=0.3, patterns=1.0, loose=0.3),
    "digits": DrawnShapes(PROMPT_SEED, two_objects=0.0, digits=1.0, loose=0.3),
}
GOALS = {"one object": 0.98, "loose prompts": 0.95, "held-out pairs": 0.95, "two objects": 0.85}
"""Shares of pictures right in all; skills without a goal are new, and the card tells how well they go."""

COLUMNS = ("colour", "background", "position", "size", "shape", "pattern", "relation", "all")
PSNR_GOAL_DB = 35.0


Pictures = NDArray[np.float32]
MakePictures = Callable[[Sequence[str], int], Pictures]
"""Makes a picture for each prompt from a seed: ``[B, H, W, 3]`` in 0…1."""


@dataclass(frozen=True)
class Checkpoint:
    """The three parts that make a picture from a prompt."""

    model: Model
    clip: Clip
    vae: Vae
    guidance: float = GUIDANCE

    def pictures(self, prompts: Sequence[str], seed: int) -> Pictures:
        """Make one picture for each prompt; its number is added to the seed."""
        made = []
        for start in range(0, len(prompts), BATCH):
            batch = prompts[start : start + BATCH]
            blank = Latent(torch.zeros(len(batch), self.model.latent_channels, SIZE // 8, SIZE // 8))
            latent = sampling.sample(
                self.model,
                blank,
                seed=seed + start,
                steps=STEPS,
                cfg=self.guidance,
                sampler_name="euler",
                scheduler="normal",
                positive=self._encode(batch),
                negative=self._encode([""] * len(batch)),
            )
            made.append(vae.decode(self.vae, latent))
        return torch.cat(list(made)).numpy()

    def _encode(self, prompts: Sequence[str]) -> Conditioning:
        return Conditioning.of(
            torch.cat([conditioning.encode(self.clip, prompt).parts[0].embedding for prompt in prompts])
        )


def score_prompts(make: MakePictures, dataset: DrawnShapes, prompts: int, seed: int) -> dict[str, float]:
    """Give the share of right pictures for each attribute, of those prompts that tell it; "all" is all told at once."""
    scenes = dataset.scenes(range(prompts))
    pictures = make(write_captions(scenes), seed)
    verdicts = [verdict(claims, look_at(made)) for claims, made in zip(claims_of(scenes), pictures, strict=True)]
    told = {name: [one[name] for one in verdicts if name in one] for name in COLUMNS[:-1]}
    told["all"] = [all(one.values()) for one in verdicts]
    return {name: float(np.mean(values)) for name, values in told.items() if values}


def score_autoencoder(checkpoint: Checkpoint, pictures: int) -> dict[str, float]:
    """Give the round trip's mean signal-to-noise ratio in dB, and the share of pictures whose shapes survive it."""
    wide = DrawnShapes(PROMPT_SEED, two_objects=0.4, three_objects=0.15, inside=0.15, patterns=0.3, digits=0.3)
    scenes = wide.scenes(range(pictures))
    drawn = draw_pictures(scenes, SIZE).permute(0, 2, 3, 1).contiguous()
    back = vae.decode(checkpoint.vae, vae.encode(checkpoint.vae, Image(drawn)))
    noise = (torch.as_tensor(back) - drawn).square().mean(dim=(1, 2, 3))
    survived = [
        sorted(seen.shape for seen in look_at(after.numpy()).objects)
        == sorted(KINDS[shape] for shape in scenes.shape[row, : scenes.count[row]])
        for row, after in enumerate(torch.as_tensor(back))
    ]
    return {"psnr_db": float((-10 * noise.log10()).mean()), "shapes_survive": float(np.mean(survived))}


def score_variety(make: MakePictures, seeds: int, seed: int) -> dict[str, float]:
    """Compare how far pictures of one prompt lie apart with how far the data's do, for prompts such as "a red star".

    1 is as varied as the data, 0 is one picture for all seeds; distances are pixels' root mean square differences.
    """
    made, drawn = [], []
    for colour in range(len(COLOURS)):
        shape = colour % len(SHAPES)
        prompt = f"a {list(COLOURS)[colour]} {SHAPES[shape]}"
        made.append(_mean_distance(torch.from_numpy(make([prompt] * seeds, seed))))
        drawn.append(_mean_distance(_data_for(colour, shape, seeds)))
    return {"distance_to_data": float(np.mean(made) / np.mean(drawn))}


def _data_for(colour: int, shape: int, count: int) -> Tensor:
    """Draw pictures whose caption would tell this colour and shape only."""
    dataset = DrawnShapes(PROMPT_SEED, two_objects=0.0, loose=1.0)
    scenes = dataset.scenes(range(20 * count))
    told = scenes.told
    fits = ~told.place & ~told.size[:, 0] & ~told.background
    fits &= np.array([list(BACKGROUNDS)[background] != list(COLOURS)[colour] for background in scenes.background])
    chosen = dataset.scenes(np.nonzero(fits)[0][:count].tolist())
    renamed = replace(chosen, shape=np.full_like(chosen.shape, shape), colour=np.full_like(chosen.colour, colour))
    return draw_pictures(renamed, SIZE).permute(0, 2, 3, 1)


def _mean_distance(pictures: Tensor) -> float:
    distances = torch.pdist(pictures.flatten(1)) / pictures[0].numel() ** 0.5
    return float(distances.mean())


def score(checkpoint: Checkpoint, *, prompts: int, seed: int) -> dict[str, dict[str, float]]:
    """Give all figures, by set and name."""
    figures = {}
    for name, dataset in SETS.items():
        figures[name] = score_prompts(checkpoint.pictures, dataset, prompts, seed)
        print(f"{name}: {figures[name]['all']:.1%} right in all", file=sys.stderr)  # a set takes minutes
    figures["autoencoder"] = score_autoencoder(checkpoint, min(prompts, 100))
    figures["variety"] = score_variety(checkpoint.pictures, seeds=8, seed=seed)
    return figures


def table(figures: dict[str, dict[str, float]]) -> str:
    """Lay the figures out for a terminal, with the goals."""
    lines = [f"{'':18}" + "".join(f"{name:>11}" for name in COLUMNS) + "       goal"]
    for name in SETS:
        cells = (f"{figures[name][column]:>11.1%}" if column in figures[name] else f"{'-':>11}" for column in COLUMNS)
        goal = f"{GOALS[name]:>11.0%}" if name in GOALS else f"{'-':>11}"
        lines.append(f"{name:18}" + "".join(cells) + goal)
    autoencoder = figures["autoencoder"]
    lines.append(
        f"autoencoder: {autoencoder['psnr_db']:.1f} dB (goal {PSNR_GOAL_DB:.0f}); shapes survive a round trip "
        f"in {autoencoder['shapes_survive']:.1%} of pictures"
    )
    lines.append(f"variety over seeds of one prompt: {figures['variety']['distance_to_data']:.2f} of the data's")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Score a checkpoint, write the table and, on request, a JSON file."""
    parser = argparse.ArgumentParser(prog="python -m tests.quality.score", description=__doc__.split("\n\n")[0])
    parser.add_argument("--checkpoint", type=Path, default=EMBEDDED, help="a diffusers folder; the embedded model")
    parser.add_argument("--prompts", type=int, default=300, help="prompts in each set")
    parser.add_argument("--seed", type=int, default=0, help="of the noise; the item's number is added")
    parser.add_argument("--cfg", type=float, default=GUIDANCE, help="guidance; the shipped workflows use 1.5")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    options = parser.parse_args(arguments)
    started = time.monotonic()
    figures = score(
        Checkpoint(*checkpoints.load(options.checkpoint), guidance=options.cfg),
        prompts=options.prompts,
        seed=options.seed,
    )
    took_s = time.monotonic() - started
    print(f"{options.checkpoint}: {options.prompts} prompts a set, {took_s:.0f} s\n{table(figures)}")
    if options.json:
        settings = {"prompts": options.prompts, "seed": options.seed, "steps": STEPS, "guidance": options.cfg}
        options.json.write_text(json.dumps({"settings": settings, "figures": figures}, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
