"""Bring files to the disk, so that what was promised outlives a power cut."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["sync_file", "sync_folder", "whole_file"]


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give a place to write a file at, which gets its name after the block: it appears there complete or not at all.

    Its folder is made; an earlier file of that name is replaced.

    Raises:
        OSError: it can't be written; nothing is left behind.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        sync_file(partial)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def sync_file(path: Path) -> None:
    """Bring a file's bytes to the disk.

    Raises:
        OSError: the disk is full or fails; nothing that was written can be relied on.
    """
    opened = os.open(path, os.O_RDWR)  # Windows syncs only what is open for writing
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def sync_folder(folder: Path) -> None:
    """Bring the names in a folder to the disk: after a file got its name, or lost it."""
    if os.name == "nt":  # which opens no folders
        return
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
