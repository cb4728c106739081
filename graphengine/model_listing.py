"""List the models that are there, with what is known of them without opening them, and remember their hashes."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import file_digest
from pathlib import Path

from graphengine.config import Settings
from graphengine.diffusion.facts import (
    checkpoint_facts,
    clip_vision_facts,
    control_net_facts,
    denoiser_facts,
    ip_adapter_facts,
)
from graphengine.diffusion.families import FAMILY_BY_CONTEXT_WIDTH, NAMES
from graphengine.diffusion.lora_names import width_of_file
from graphengine.extra_model_paths import KIND_FOLDERS

__all__ = ["ListedModel", "ModelHashes", "list_models"]

_VISION_NAMES: Mapping[object, str] = {1024: "CLIP ViT-L", 1280: "CLIP ViT-H", 1664: "CLIP ViT-bigG"}
"""Image encoders by the width of their states."""


@dataclass(frozen=True)
class ListedModel:
    """A model file or folder.

    Attributes:
        kind: What it is: ``checkpoints``, ``loras``, …
        name: By which nodes take it.
        path: Where it is.
        size_bytes: Of all its files.
        family: What it is one of, where that can be told.
        sha256: Of a file, if it was computed since it last changed.
    """

    kind: str
    name: str
    path: Path
    size_bytes: int
    family: str | None = None
    sha256: str | None = None


class ModelHashes:
    """Hashes of model files, kept in a file: a large one takes seconds to compute.

    Args:
        file: Where they are kept; one that can't be read counts as empty.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        try:
            known = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            known = {}
        self._known: dict[str, list[object]] = known if isinstance(known, dict) else {}

    def known(self, path: Path) -> str | None:
        """Give a file's hash if it was computed and the file is as it was."""
        entry = self._known.get(str(path))
        if isinstance(entry, list) and entry[:2] == self._mark(path) and len(entry) == 3:
            return str(entry[2])
        return None

    def compute(self, path: Path) -> str:
        """Give a file's hash, and remember it."""
        found = self.known(path)
        if found is None:
            with path.open("rb") as opened:
                found = file_digest(opened, "sha256").hexdigest()
            self._known[str(path)] = [*self._mark(path), found]
            self._save()
        return found

    @staticmethod
    def _mark(path: Path) -> list[object]:
        status = path.stat()
        return [status.st_size, status.st_mtime_ns]

    def _save(self) -> None:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        partial = self._file.with_name(f".{self._file.name}.{os.getpid()}")
        partial.write_text(json.dumps(self._known, indent=1, sort_keys=True), encoding="utf-8")
        partial.replace(self._file)


def list_models(settings: Settings, hashes: ModelHashes, kinds: Iterable[str] = KIND_FOLDERS) -> Iterator[ListedModel]:
    """List models by kind and name."""
    for kind in kinds:
        for name in settings.names_in_folders(kind):
            path = settings.find_file(kind, name)
            if path is not None:
                sha256 = hashes.known(path) if path.is_file() else None
                yield ListedModel(kind, name, path, _size_bytes(path), _family(kind, path), sha256)


def _size_bytes(path: Path) -> int:
    if path.is_file():
        return path.stat().st_size
    return sum(each.stat().st_size for each in path.rglob("*") if each.is_file())


def _family(kind: str, path: Path) -> str | None:
    """Tell what a model is one of, or is made for."""
    facts: Mapping[str, object] = {}
    match kind:
        case "checkpoints":
            facts = checkpoint_facts(path).get("model", {})
        case "unet":
            facts = denoiser_facts(path).get("model", {})
        case "loras":
            facts = {"context_width": width_of_file(path)}
        case "controlnet":
            facts = control_net_facts(path).get("control_net", {})
        case "ipadapter":
            facts = ip_adapter_facts(path).get("ip_adapter", {})
        case "clip_vision":
            return _VISION_NAMES.get(clip_vision_facts(path).get("clip_vision", {}).get("image_state_width"))
    family, width = facts.get("family"), facts.get("context_width")
    if isinstance(family, str):
        return family
    known = FAMILY_BY_CONTEXT_WIDTH.get(width)
    return NAMES[known] if known else None
