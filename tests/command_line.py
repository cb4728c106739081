"""Run commands in process, as a shell would."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["PACKS", "Result", "Run", "written"]

PACKS = Path(__file__).parent / "packs"
Result = tuple[int, str, str]
Run = Callable[..., Result]
"""A command's words, paths and documents to what it gave: exit code, standard output, standard error."""


def written(folder: Path, doc: dict[str, Any], name: str = "workflow.json") -> str:  # Any: JSON
    """Write a document as a workflow file; give its path."""
    path = folder / name
    path.write_text(json.dumps(doc), encoding="utf-8")
    return str(path)
