"""Stable hashes: of literals, of files, of source; the parts of a step's cache key."""

from __future__ import annotations

from hashlib import blake2b
from pathlib import Path

__all__ = ["file_version", "literal_bytes", "step_key"]


def literal_bytes(value: object) -> bytes:
    """Encode a JSON value so that different values differ, and so do 1, 1.0 and True."""
    if isinstance(value, dict):
        items = sorted(value.items())
        return b"{" + b",".join(literal_bytes(key) + b":" + literal_bytes(item) for key, item in items) + b"}"
    if isinstance(value, list | tuple):
        return b"[" + b",".join(map(literal_bytes, value)) + b"]"
    return repr(value).encode("utf-8", "surrogatepass")


def step_key(*parts: bytes) -> bytes:
    """Hash the parts of a step's identity into its 16-byte cache key."""
    digest = blake2b(digest_size=16)
    for part in parts:
        digest.update(len(part).to_bytes(4, "little"))
        digest.update(part)
    return digest.digest()


def file_version(path: Path) -> str:
    """Give a text that changes when a file, or any file below a folder, is written again.

    Sizes and modification times decide, not contents: a checkpoint of gigabytes is looked at before every run.
    """
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    facts = [(str(file.relative_to(path)), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    return blake2b(repr(facts).encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
