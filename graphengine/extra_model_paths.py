"""Model folders that lie elsewhere, as ComfyUI's ``extra_model_paths.yaml`` lists them: ::

comfyui:                           any name
  base_path: ~/ComfyUI             paths are relative to it; without it, to the file
  is_default: true                 these come before the data folder's own
  checkpoints: models/checkpoints
  loras: |                         several, a line each
    models/loras
    /mnt/shared/loras
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from graphengine.errors import GraphEngineError

__all__ = ["KIND_FOLDERS", "ExtraFolder", "read_extra_model_paths"]

_SETTINGS = ("base_path", "is_default")

KIND_FOLDERS: Mapping[str, tuple[str, ...]] = {
    "checkpoints": ("checkpoints",),
    "unet": ("unet", "diffusion_models"),
    "clip": ("clip", "text_encoders"),
    "vae": ("vae",),
    "loras": ("loras",),
    "controlnet": ("controlnet",),
    "clip_vision": ("clip_vision",),
    "ipadapter": ("ipadapter",),
    "embeddings": ("embeddings",),
    "upscale_models": ("upscale_models",),
    "pipelines": ("pipelines", "diffusers"),
}
"""The kinds of model files, each with the names that its folders have."""


@dataclass(frozen=True)
class ExtraFolder:
    """A folder with files of one kind.

    Attributes:
        kind: What they are, by the name that folders of them have.
        path: Absolute.
        comes_first: Whether it is searched before the usual folders.
    """

    kind: str
    path: Path
    comes_first: bool = False


def read_extra_model_paths(file: Path) -> tuple[ExtraFolder, ...]:
    """Read a file's folders, in its order; folders needn't exist. Nothing if there is no such file.

    Raises:
        GraphEngineError: if it isn't YAML of that form.
    """
    if not file.exists():
        return ()
    import yaml

    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise _unreadable(file, str(error)) from error
    if content is None:
        return ()
    if not isinstance(content, dict):
        raise _unreadable(file, "it holds no sections")
    return tuple(folder for name, section in content.items() for folder in _of_section(file, str(name), section))


def _of_section(file: Path, name: str, section: object) -> list[ExtraFolder]:
    if section is None:
        return []
    if not isinstance(section, dict):
        raise _unreadable(file, f"section {name!r} holds no folders")
    base_path = section.get("base_path", "")
    base = file.parent / _expanded(str(base_path or ""))
    folders = []
    for kind, paths in section.items():
        if kind in _SETTINGS:
            continue
        if not isinstance(paths, str):
            raise _unreadable(file, f"{kind!r} of section {name!r} is {paths!r}, no path")
        # The file that ComfyUI ships has comments within texts, where YAML knows none.
        for line in filter(None, (line.partition(" #")[0].strip() for line in paths.splitlines())):
            path = Path(os.path.abspath(base / _expanded(line)))
            folders.append(ExtraFolder(str(kind), path, bool(section.get("is_default"))))
    return folders


def _expanded(path: str) -> Path:
    return Path(os.path.expandvars(path)).expanduser()


def _unreadable(file: Path, reason: str) -> GraphEngineError:
    return GraphEngineError(
        f"{file}: can't be read: {reason}\n"
        "  Write sections with a folder for each kind of model, such as 'checkpoints: models/checkpoints'."
    )
