"""Bring files to the disk, so that what was promised outlives a power cut."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["sync_file", "sync_folder"]


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
