"""Packs' definitions that tests share: reading them starts a process for each pack, which takes a second or more."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from functools import lru_cache
from pathlib import Path

__all__ = ["share_definitions"]


def share_definitions(data: Path) -> Path:
    """Let a data folder use what this process's tests have read so far; for tests of something else than reading."""
    data.mkdir(parents=True, exist_ok=True)
    link = data / "definitions"
    if not link.exists():
        link.symlink_to(_shared_folder(), target_is_directory=True)
    return data


@lru_cache
def _shared_folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="graphengine-definitions-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
