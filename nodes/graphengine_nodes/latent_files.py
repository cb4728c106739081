"""Save latents and open them again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from graphengine import Context, FilesIn, node
from graphengine.types import Latent
from graphengine_nodes.inputs import FileNamePrefix, check_prefix
from graphengine_nodes.saving import workflow_text


@node("SaveLatent", category="latent", output_node=True)
def save_latent(ctx: Context, samples: Latent, filename_prefix: FileNamePrefix = "latents/latent") -> Latent:
    """Save a latent as a safetensors file with its workflow inside, and pass it on.

    Put the file into an input folder to open it with LoadLatent.

    Args:
        samples: What to save, with its mask.
        filename_prefix: The file's first word; a number follows. "latents/anna" saves in a folder of its own.
    """
    from graphengine.diffusion import latent_files

    workflow = workflow_text(ctx)
    ctx.outputs.write_file(
        lambda path: latent_files.save(samples, path, workflow=workflow), filename_prefix, ".safetensors"
    )
    return samples


save_latent.check(check_prefix)


@node("LoadLatent", category="latent")
def load_latent(latent: Annotated[Path, FilesIn("input")]) -> Latent:
    """Open a latent that SaveLatent saved, or one of ComfyUI's .latent files.

    Args:
        latent: The file, in the input folder.
    """
    from graphengine.diffusion import latent_files

    return latent_files.load(latent)
