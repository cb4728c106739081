"""Workflows by the names that people give: a path, a picture, a shipped one."""

from __future__ import annotations

from pathlib import Path

from graphengine.config import shipped_folder
from graphengine.core.workflow import Workflow, parse_workflow
from graphengine.errors import FileFormatError

__all__ = ["find_workflow", "read_workflow", "shipped_workflows"]


def find_workflow(name: str) -> Path:
    """Find a workflow by path, or a shipped one by name; a checkpoint's folder has its own.

    Raises:
        FileNotFoundError: there is neither.
    """
    candidates = [Path(name), Path(name) / "workflow.json"]
    if Path(name).name == name:
        candidates += [shipped_folder() / file for file in (name, f"{name}.json")]
    found = next((path for path in candidates if path.is_file()), None)
    if found is None:
        raise FileNotFoundError(f"there is no file {name!r}. Give a path, or the name of a shipped workflow.")
    return found


def shipped_workflows() -> dict[str, Path]:
    """Give the files of the shipped workflows by name."""
    return {path.stem: path for path in sorted(shipped_folder().glob("*.json"))}


def read_workflow(name: str) -> tuple[Workflow, Path]:
    """Read a workflow from a file, or from a picture or model that was made by it; give its path as well."""
    path = find_workflow(name)
    if path.suffix == ".safetensors":
        return parse_workflow(_workflow_in_header(path), name), path
    content = path.read_bytes()
    if content.startswith((b"\x89PNG", b"\xff\xd8\xff", b"RIFF")):  # PNG, JPEG, WebP
        from graphengine.engine.picture_files import read_embedded_workflow

        content = read_embedded_workflow(path)
    return parse_workflow(content, name), path


def _workflow_in_header(path: Path) -> str:
    from graphengine.diffusion.model_files import read_header_and_metadata

    workflow = read_header_and_metadata(path)[1].get("workflow")
    if workflow is None:
        raise FileFormatError(
            f"{path}: the file carries no workflow. "
            "Give one that SaveLora, SaveEmbedding, SaveControlNet or SaveCheckpoint wrote."
        )
    return workflow
