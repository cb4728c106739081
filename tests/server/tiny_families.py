"""Checkpoints of two families, as far as is known of them before they are opened: their configurations."""

from __future__ import annotations

import json
from pathlib import Path

from tests.server.running import Json, workflow

__all__ = ["two_families", "write_families"]

_WIDTHS = {"first": 768, "second": 1024}


def write_families(data: Path) -> None:
    """Put two checkpoints into a server's data folder: "first", a Stable Diffusion 1, and "second", a 2."""
    for name, width in _WIDTHS.items():
        parts = {
            "unet": {
                "_class_name": "UNet2DConditionModel",
                "block_out_channels": [320, 640, 1280, 1280],
                "cross_attention_dim": width,
                "in_channels": 4,
            },
            "vae": {"latent_channels": 4, "block_out_channels": [128, 256, 512, 512]},
            "text_encoder": {"hidden_size": width},
        }
        for part, configuration in parts.items():
            folder = data / "models" / "checkpoints" / name / part
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "config.json").write_text(json.dumps(configuration))


def two_families(**links: str) -> Json:
    """Draw a picture with "first", beside "second".

    Args:
        links: Inputs of the sampler that come from elsewhere.
    """
    sampler = {
        "model": "one.model",
        "positive": "prompt.conditioning",
        "negative": "prompt.conditioning",
        "latent_image": "empty.latent",
    }
    places = {"one": [0, 0], "two": [0, 260], "prompt": [360, 0], "empty": [360, 260], "sampler": [720, 0]}
    return workflow(
        {
            "one": ("LoadCheckpoint", {"ckpt_name": "first"}),
            "two": ("LoadCheckpoint", {"ckpt_name": "second"}),
            "prompt": ("CLIPEncode", {"clip": {"$link": "one.clip"}, "text": "a cat"}),
            "empty": ("EmptyLatent", {}),
            "sampler": ("KSampler", {name: {"$link": source} for name, source in (sampler | links).items()}),
        },
        outputs={"latent": {"from": "sampler.latent"}},
        ui={"nodes": {id_: {"pos": pos} for id_, pos in places.items()}},
    )
