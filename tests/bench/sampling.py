"""What sampling costs over the bare calls of the network, and how long a picture takes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

import graphengine
from graphengine.config import Settings
from graphengine.diffusion import checkpoints, conditioning, sampling, vae
from graphengine.diffusion.latent_preview import latent_picture
from graphengine.engine.context import ExecutionContext, RunServices
from graphengine.types import Latent, SamplerName

EMBEDDED = Path(graphengine.__file__).parent / "models" / "checkpoints" / "embedded"
STEPS = 20


def overheads(rounds: int = 15) -> Iterator[tuple[str, float]]:
    """Give each sampler's time over that of as many bare calls, both taken in turn within one run; with previews."""
    torch.set_num_threads(1)
    model, clip, _ = checkpoints.load(EMBEDDED)
    prompt, empty = conditioning.encode(clip, "a red star"), conditioning.encode(clip, "")
    blank = Latent(torch.zeros(1, 4, 16, 16))
    x, context = torch.randn(2, 4, 16, 16), torch.cat([empty.parts[0].embedding, prompt.parts[0].embedding])

    def bare() -> None:
        with torch.no_grad():
            for step in range(STEPS):
                timestep = torch.tensor(float(step))
                model.network(x, timestep, encoder_hidden_states=context, return_dict=False)

    services = RunServices(Settings(data=Path(), output=Path()), previews=True)
    watched = ExecutionContext(services, "sampler", lambda kind, **values: None)
    names: tuple[SamplerName, ...] = ("euler", "dpmpp_2m")
    for name in names:

        def sampled(name: SamplerName = name) -> None:
            sampling.sample(
                model,
                blank,
                seed=0,
                steps=STEPS,
                cfg=3.0,
                sampler_name=name,
                scheduler="normal",
                positive=prompt,
                negative=empty,
                on_step=lambda done, total, denoised: watched.preview(lambda: latent_picture(model, denoised)),
            )

        sampled()
        bare()
        ratios = sorted(_seconds(sampled) / _seconds(bare) for _ in range(rounds))
        yield name, ratios[rounds // 2]


def picture_seconds(rounds: int = 3) -> float:
    """Time one picture of 128×128 by 20 steps on one core, the model loaded."""
    torch.set_num_threads(1)
    model, clip, autoencoder = checkpoints.load(EMBEDDED)

    def picture() -> None:
        latent = sampling.sample(
            model,
            Latent(torch.zeros(1, 4, 16, 16)),
            seed=0,
            steps=STEPS,
            cfg=3.0,
            sampler_name="euler",
            scheduler="normal",
            positive=conditioning.encode(clip, "a red star"),
            negative=conditioning.encode(clip, ""),
        )
        vae.decode(autoencoder, latent)

    return min(_seconds(picture) for _ in range(rounds))


def _seconds(call: Callable[[], None]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started
