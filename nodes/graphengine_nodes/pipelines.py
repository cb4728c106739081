"""Run any pipeline of diffusers as one node."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from graphengine import Context, FilesIn, Widget, node
from graphengine.config import Precision
from graphengine.core.fingerprint import file_version
from graphengine.diffusion.pipeline_folders import sockets_of_folder
from graphengine_nodes.inputs import Seed


@node("DiffusersPipeline", category="pipelines", device="gpu", sockets=sockets_of_folder)
def diffusers_pipeline(
    ctx: Context,
    pipeline: Annotated[Path, FilesIn("pipelines")],
    seed: Seed = 0,
    precision: Annotated[Precision, Widget("select", advanced=True)] = "auto",
    **inputs: Any,  # Any: what the pipeline asks for
) -> dict[str, Any]:  # Any: what the pipeline gives
    """Run a pipeline of diffusers from its folder: pictures, video, sound or shapes.

    Its other inputs and its outputs are those of the pipeline chosen. Nothing is fetched, and code that a folder brings
    is never run.

    Args:
        pipeline: A folder in models/pipelines with a model_index.json, as diffusers' save_pretrained writes it.
        seed: Of all random numbers; the next item of a batch is drawn from the next seed.
        precision: Number format of the weights. "auto" keeps what the file has, where the device computes it fast.
    """
    from graphengine.diffusion import pipelines

    wanted = ctx.settings.precision if precision == "auto" else precision

    def load() -> pipelines.OpenedPipeline:
        return pipelines.load(pipeline, precision=wanted, device=ctx.device)

    opened = ctx.shared(f"pipeline {pipeline} {file_version(pipeline)} {wanted} {ctx.device}", load)
    return pipelines.run(ctx, opened, seed=seed, given=inputs)
