"""Model cards: a README.md in Hugging Face's form that says what was trained, on what, how, and how to use it.

    <folder>/README.md       metadata as YAML, then the text
    <folder>/loss.png        the loss over the steps
    <folder>/sample_1.png    pictures, if any were given

Whoever writes a trained thing calls ``write_card`` with the folder that it lies in.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from graphengine.diffusion.plots import plot_losses, smooth
from graphengine.durable import whole_file
from graphengine.training_types import ModelCard, Report

__all__ = ["CardKind", "write_card"]

CardKind = Literal["lora", "folder", "checkpoint", "autoencoder", "text encoder", "embedding", "controlnet"]
"""What was written: ``folder`` is a diffusers folder, all others are single files."""

_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")
_TAGS: Mapping[CardKind, Sequence[str]] = {
    "lora": ("lora", "template:sd-lora"),
    "embedding": ("textual_inversion",),
    "controlnet": ("controlnet",),
}
_RELATIONS: Mapping[CardKind, str] = {"lora": "adapter", "embedding": "adapter", "controlnet": "adapter"}
_COMFYUI: Mapping[CardKind, tuple[str, str]] = {
    "lora": ("loras", "LoraLoader"),
    "checkpoint": ("checkpoints", "CheckpointLoaderSimple"),
    "text encoder": ("text_encoders", "CLIPLoader"),
    "controlnet": ("controlnet", "ControlNetLoader"),
}
_OURS: Mapping[CardKind, tuple[str, str]] = {
    "lora": ("loras", "`LoadLora`"),
    "folder": ("checkpoints", "`LoadCheckpoint`"),
    "checkpoint": ("checkpoints", "`LoadCheckpoint`"),
    "autoencoder": ("vae", "`LoadVAE`"),
    "text encoder": ("text_encoders", "`LoadCLIP`"),
    "embedding": ("embeddings", "`embedding:{stem}` in a prompt"),
    "controlnet": ("controlnet", "`LoadControlNet`"),
}
_DATA = {"dataset": "digest", "examples": "examples", "held-out examples": "held-out examples"}


def write_card(
    folder: Path,
    card: ModelCard,
    *,
    kind: CardKind,
    name: str,
    pipeline: str = "",
    for_comfyui: bool = False,
    workflow: str = "",
) -> None:
    """Write a model card and its pictures into the folder of what was trained; each file whole or not at all.

    Args:
        name: Of the file in the folder, or of the folder itself.
        pipeline: The diffusers class that opens it, or that it is for; empty where none does.
        for_comfyui: Whether ComfyUI knows models of this family.
        workflow: What trains it again if it is run; an empty text if it isn't embedded.

    Raises:
        OSError: if a file can't be written (disk full).
    """
    pictures = {"loss.png": plot_losses(card.report, smoothing=_smoothing(card.report))[0]}
    samples = [] if card.samples is None else list(card.samples)
    pictures |= {f"sample_{number}.png": sample for number, sample in enumerate(samples, start=1)}
    for drawn, picture in pictures.items():
        _write(folder / drawn, _png(picture))
    title = card.title or name.removesuffix(".safetensors")
    sections = [
        f"# {_in_line(title)}",
        card.description.strip(),
        _samples(card, len(samples)),
        "## Use",
        *_uses(card, kind, name, pipeline, for_comfyui=for_comfyui),
        "## Training",
        _table({"steps": f"{card.report.steps:,}", **_recipe(card.report)}),
        "### Data",
        _table({said: card.report.training[name] for name, said in _DATA.items() if name in card.report.training}),
        "### Loss",
        _losses(card.report),
        "![Loss over the steps](loss.png)",
        "### Hashes",
        _table(_hashes(card.report)),
        _again(name) if workflow else "",
    ]
    text = f"---\n{_metadata(card, kind, len(samples))}\n---\n\n" + "\n\n".join(each for each in sections if each)
    _write(folder / "README.md", f"{text}\n".encode())


def _metadata(card: ModelCard, kind: CardKind, samples: int) -> str:
    """Give the card's metadata as YAML; what isn't known is left out, the licence above all."""
    from huggingface_hub import ModelCardData

    base = card.base_model or card.report.training.get("base model", "")
    base = base if _HUB_NAME.fullmatch(base) else ""  # the hub takes no other name
    prompts = [*card.sample_prompts, *[""] * samples][:samples]
    widget = [
        {"text": prompt or "-", "output": {"url": f"sample_{number}.png"}}
        for number, prompt in enumerate(prompts, start=1)
    ]
    reads_text = card.trigger or any("weights of text_encoder" in name for name in card.report.training)
    data: Any = ModelCardData(  # Any: huggingface_hub is partly untyped
        license=card.license or None,
        library_name="diffusers",
        base_model=base or None,
        base_model_relation=_RELATIONS.get(kind, "finetune") if base else None,
        pipeline_tag="text-to-image" if reads_text else None,
        tags=["diffusers", "graphengine", *_TAGS.get(kind, ()), *card.tags],
        instance_prompt=card.trigger or None,
        widget=widget or None,
    )
    yaml: str = data.to_yaml()
    return yaml


def _samples(card: ModelCard, count: int) -> str:
    prompts = [*card.sample_prompts, *[""] * count][:count]
    return "\n\n".join(
        f"![Sample {number}](sample_{number}.png)" + (f"\n*{_in_line(prompt)}*" if prompt else "")
        for number, prompt in enumerate(prompts, start=1)
    )


def _uses(card: ModelCard, kind: CardKind, file: str, pipeline: str, *, for_comfyui: bool) -> list[str]:
    trigger = f"Write `{_in_line(card.trigger)}` into prompts to call for what it learnt." if card.trigger else ""
    base = card.base_model or card.report.training.get("base model", "")
    code = _diffusers(kind, file, pipeline, base) if pipeline else ""
    folder, node = _OURS[kind]
    uses = [trigger, f"With diffusers:\n\n```python\n{code}\n```" if code else ""]
    if kind in _COMFYUI and for_comfyui:
        theirs, loader = _COMFYUI[kind]
        uses.append(f"With ComfyUI: put `{file}` into `models/{theirs}` and choose it in `{loader}`.")
    elif kind == "embedding" and for_comfyui:
        uses.append(f"With ComfyUI: put `{file}` into `models/embeddings` and write `embedding:{Path(file).stem}`.")
    ours = node.format(stem=Path(file).stem)
    uses.append(f"With graphengine: put `{file}` into `models/{folder}` and open it by {ours}.")
    return uses


def _diffusers(kind: CardKind, file: str, pipeline: str, base: str) -> str:
    """Give the Python lines that open it."""
    opened = f'pipeline = {pipeline}.from_pretrained("{base}")'
    match kind:
        case "folder":
            lines = [pipeline], [f'pipeline = {pipeline}.from_pretrained("path/to/this/folder")']
        case "checkpoint":
            lines = [pipeline], [f'pipeline = {pipeline}.from_single_file("{file}")']
        case "lora":
            lines = [pipeline], [opened, f'pipeline.load_lora_weights(".", weight_name="{file}")']
        case "embedding":
            lines = [pipeline], [opened, f'pipeline.load_textual_inversion("{file}", token="{Path(file).stem}")']
        case "controlnet":
            lines = ["ControlNetModel"], [f'control = ControlNetModel.from_single_file("{file}")']
        case "autoencoder" | "text encoder":
            return ""
    imported, opening = lines
    return "\n".join([f"from diffusers import {', '.join(imported)}", "", *opening])


def _again(file: str) -> str:
    return (
        "## Train it again\n\nThe workflow that made it comes along:\n\n"
        f"```sh\ngraphengine run {file}\n```\n\n"
        "Where the training's state is still kept, nothing is trained twice; a higher number of steps goes on from it."
    )


def _losses(report: Report) -> str:
    rows = {}
    finite = [loss for loss in report.losses if math.isfinite(loss)]
    if finite:
        averages = smooth(finite, _smoothing(report))
        rows["loss of the first step"] = f"{finite[0]:.5g}"
        rows["loss at the end, averaged over the last steps"] = f"{averages[-1]:.5g}"
    if report.held_out:
        last, lowest = max(report.held_out), min(report.held_out, key=lambda step: report.held_out[step])
        rows["held-out loss at the end"] = f"{report.held_out[last]:.5g}"
        rows["lowest held-out loss"] = f"{report.held_out[lowest]:.5g}, after {lowest:,} steps"
    return _table(rows)


def _smoothing(report: Report) -> float:
    """Average over about a twentieth of the steps."""
    return max(0.0, 1 - 20 / max(20, report.steps))


def _recipe(report: Report) -> dict[str, str]:
    shown = {name: value for name, value in report.training.items() if not _is_hash(name) and name not in _DATA}
    return {name: value for name, value in shown.items() if name != "steps"}


def _hashes(report: Report) -> dict[str, str]:
    return {name: value for name, value in report.training.items() if _is_hash(name)}


def _is_hash(name: str) -> bool:
    return name.startswith(("starting weights of", "weights of")) or name in ("base model weights", "noise levels")


def _table(rows: Mapping[str, str]) -> str:
    if not rows:
        return ""
    lines = [f"| {_in_line(name)} | {_in_line(value)} |" for name, value in rows.items()]
    return "\n".join(["| what | value |", "| --- | --- |", *lines])


def _in_line(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())


def _png(picture: Tensor) -> bytes:
    from PIL import Image as pillow

    content = BytesIO()
    pillow.fromarray((picture * 255).round().clamp(0, 255).byte().cpu().numpy()).save(content, "PNG")
    return content.getvalue()


def _write(path: Path, content: bytes) -> None:
    with whole_file(path) as partial:
        partial.write_bytes(content)
