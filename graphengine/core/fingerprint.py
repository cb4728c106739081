"""Stable hashes: of literals, of files, of source; the parts of a step's cache key."""

from __future__ import annotations

from hashlib import blake2b
from pathlib import Path

__all__ = ["canonical", "file_version", "step_key"]


def step_key(*parts: object) -> bytes:
    """Hash the parts of a step's identity into its 16-byte cache key.

    Parts are texts, bytes, numbers, and tuples of them; different parts give different keys, and so do 1, 1.0 and True.
    """
    return blake2b(repr(parts).encode("utf-8", "surrogatepass"), digest_size=16).digest()


def canonical(value: object) -> object:
    """Bring a JSON value to a form whose ``repr`` doesn't depend on the order of keys."""
    if isinstance(value, dict):
        return ("object", *sorted((key, canonical(item)) for key, item in value.items()))
    if isinstance(value, list | tuple):
        return ("list", *map(canonical, value))
    return value


def file_version(path: Path) -> str:
    """Give a text that changes when a file, or any file below a folder, is written again.

    Sizes and modification times decide, not contents: a checkpoint of gigabytes is looked at before every run.
    """
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    facts = [(str(file.relative_to(path)), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    return blake2b(repr(facts).encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
