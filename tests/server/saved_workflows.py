"""What tests of saved workflows share."""

from __future__ import annotations

from pathlib import Path

from graphengine.core.workflow import Workflow
from graphengine.server.library import WorkflowLibrary


def workflow(description: str = "") -> Workflow:
    return Workflow.model_validate({"meta": {"name": "A title", "description": description}, "inputs": {}})


def said(document: Workflow) -> object:
    return document.meta["description"]


def save_all(library: WorkflowLibrary, name: str, *texts: str) -> list[str]:
    """Save these texts one after another; give their versions."""
    versions: list[str] = []
    for text in texts:
        expected = versions[-1] if versions else None
        versions.append(library.save(name, workflow(text), expected_version=expected).version)
    return versions


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir())


def everything(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in files(folder)}
