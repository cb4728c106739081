"""``graphengine models``: list the models that are there, and fetch others."""

from __future__ import annotations

import argparse
import json
import sys

from graphengine.config import Settings
from graphengine.extra_model_paths import KIND_FOLDERS
from graphengine.model_fetching import Wanted, fetch
from graphengine.model_listing import ListedModel, ModelHashes, list_models

__all__ = ["get_model", "list_all"]

DONE = 0


def list_all(options: argparse.Namespace) -> int:
    """List models with their family, size and hash."""
    settings = Settings.for_user(data=options.data)
    hashes = _hashes(settings)
    kinds = [options.kind] if options.kind else list(KIND_FOLDERS)
    if options.hash:
        for model in list_models(settings, hashes, kinds):
            if model.path.is_file():
                hashes.compute(model.path)
    found = list(list_models(settings, hashes, kinds))
    if options.json:
        for model in found:
            print(json.dumps({"type": "model", **_described(model)}))
        return DONE
    widths = [max((len(text) for text in column), default=0) for column in zip(*map(_row, found), strict=True)]
    for model in found:
        kind, name, family, size, sha256 = (text.ljust(width) for text, width in zip(_row(model), widths, strict=True))
        print(f"{kind}  {name}  {family}  {size.strip():>9}  {sha256}".rstrip())
    if not found:
        sys.stderr.write(f"There are no models. Put them below {settings.data / 'models'}.\n")
    return DONE


def get_model(options: argparse.Namespace) -> int:
    """Fetch a model into the data folder."""
    settings = Settings.for_user(data=options.data)
    if options.json:
        from huggingface_hub.utils.tqdm import disable_progress_bars

        disable_progress_bars()
    wanted = Wanted(
        source=options.source, file=options.file, revision=options.revision, variant=options.variant,
        sha256=options.sha256, name=options.name,
    )  # fmt: skip
    path = fetch(wanted, settings.data / "models" / options.kind)
    sha256 = _hashes(settings).compute(path) if path.is_file() else None
    if options.json:
        print(json.dumps({"type": "model_fetched", "kind": options.kind, "path": str(path), "sha256": sha256}))
    else:
        print(f"{path}{f'  sha256 {sha256}' if sha256 else ''}")
    return DONE


def _hashes(settings: Settings) -> ModelHashes:
    return ModelHashes(settings.data / "model_hashes.json")


def _described(model: ListedModel) -> dict[str, object]:
    return {
        "kind": model.kind, "name": model.name, "path": str(model.path), "size_bytes": model.size_bytes,
        "family": model.family, "sha256": model.sha256,
    }  # fmt: skip


def _row(model: ListedModel) -> tuple[str, str, str, str, str]:
    size = f"{model.size_bytes / 1e9:.2f} GB" if model.size_bytes >= 1e8 else f"{model.size_bytes / 1e6:.1f} MB"
    return model.kind, model.name, model.family or "", size, (model.sha256 or "")[:12]
