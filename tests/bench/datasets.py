"""What reading data costs a training, and what keeping latents and text states saves it.

The pictures are photographs' stand-ins: JPEGs of a megapixel and a half, blurred noise, so that they compress as such.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import closing
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch
from PIL import Image as Picture

from graphengine.diffusion import checkpoints
from graphengine.diffusion.batch_feed import BatchFeed
from graphengine.diffusion.cached_captions import CachedCaptions
from graphengine.diffusion.cached_latents import CachedLatents
from graphengine.diffusion.image_folder import image_folder, of_one_size
from graphengine.diffusion.networks import new_autoencoder, new_clip, new_unet
from graphengine.diffusion.picture_dataset import PictureDataset, Settings
from graphengine.diffusion.prompt_tokens import only_encoder
from graphengine.diffusion.tensor_store import TensorStore
from graphengine.diffusion.training import train
from graphengine.training_types import Dataset, LoraRecipe, Recipe, Tokenizer
from tests.bench.medians import Median
from tests.bench.sampling import EMBEDDED

BATCH, STEPS, PICTURES = 4, 6, 16
_FEW = np.arange(PICTURES)[:, None] < 2  # encoding more would take minutes


def photographs(folder: Path) -> Path:
    """Write JPEGs with captions."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    for number in range(PICTURES):
        coarse = Picture.fromarray(random.integers(0, 255, (64, 96, 3), dtype=np.uint8))
        coarse.resize((1536, 1024), Picture.Resampling.BICUBIC).save(folder / f"{number:03}.jpg", quality=90)
        (folder / f"{number:03}.txt").write_text(f"a red square number {number}")
    return folder


def opened(folder: Path, size: int) -> PictureDataset:
    """Open the pictures anew, none of them decoded yet."""
    return of_one_size(image_folder(folder)[0], size)


def waiting_share(folder: Path, size: int = 128, workers: int = 2) -> float:
    """Give the share of a training's time that it waits for pictures, each read for the first time."""
    model, clip, vae = checkpoints.load(EMBEDDED)
    take, waited = BatchFeed.take, 0.0

    def timed(feed: BatchFeed, step: int) -> object:
        nonlocal waited
        started = time.perf_counter()
        examples = take(feed, step)
        waited += time.perf_counter() - started if step else 0.0  # nothing could be read before the first
        return examples

    with patch.object(BatchFeed, "take", timed):
        recipe = Recipe(batch_size=BATCH, data_workers=workers)
        training = train(model, opened(folder, size), recipe, steps=STEPS, seed=0, clip=clip, vae=vae)
        next(training)
        started = time.perf_counter()
        for _result in training:
            pass
        return waited / (time.perf_counter() - started)


def share_with_caches(folder: Path, store: Path, size: int = 256, rounds: int = 3) -> Median:
    """Give the time of training a LoRA from kept latents and text states over that from pictures, after one epoch.

    Steps of both are taken in turn, by the processor's time on one core, so that other work on the machine counts
    little.

    The networks are Stable Diffusion 1's, with random weights; small ones would not have its shares of time.
    """
    torch.set_num_threads(1)
    _model, embedded, _vae = checkpoints.load(EMBEDDED)
    clip = new_clip(Tokenizer(only_encoder(embedded).tokenizer), seed=0, width=768, layers=12, heads=12)
    model = new_unet(
        seed=0, text_width=768, block_channels=(320, 640, 1280, 1280), attention_levels=(True, True, True, False),
        layers_per_block=2, heads=8, norm_groups=32, pooled_text=False,
    )  # fmt: skip
    vae = new_autoencoder(
        seed=0, block_channels=(128, 256, 512, 512), layers_per_block=2, mid_attention=True, norm_groups=32, size=size
    )
    source, _notices = image_folder(folder)
    plain = PictureDataset(source, np.full((PICTURES, 2), size, dtype=np.int32) * _FEW, Settings())
    cached = CachedLatents(plain, vae, TensorStore(store / "latents", 10**9))
    cached.fill()
    kept = CachedCaptions(cached, clip, TensorStore(store / "captions", 10**9))
    kept.fill()
    plain.examples(range(len(plain.pictures)), ["images"])  # as after an epoch: scaled pictures are in memory

    def seconds(dataset: Dataset) -> Generator[float, None, None]:
        recipe = Recipe(batch_size=1, lora=LoraRecipe())
        training = train(model, dataset, recipe, steps=10**6, seed=0, clip=clip, vae=vae)
        next(training)
        with closing(training):
            while True:
                started = time.process_time()
                next(training)
                yield time.process_time() - started

    with closing(seconds(plain)) as without, closing(seconds(kept)) as with_caches:
        return Median(next(with_caches) / next(without) for _ in range(rounds))
