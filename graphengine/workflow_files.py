"""Workflows by the names that people give: a path, a picture, a shipped one."""

from __future__ import annotations

from pathlib import Path

from graphengine.core.workflow import Workflow, parse_workflow

__all__ = ["find_workflow", "read_workflow"]


def find_workflow(name: str) -> Path:
    """Find a workflow by path, or a shipped one by name.

    Raises:
        FileNotFoundError: there is neither.
    """
    here = Path(__file__).parent
    candidates = [Path(name)]
    if Path(name).name == name:
        folders = (here / "_workflows", here.parent / "workflows")
        candidates += [folder / file for folder in folders for file in (name, f"{name}.json")]
    found = next((path for path in candidates if path.is_file()), None)
    if found is None:
        raise FileNotFoundError(f"there is no file {name!r}. Give a path, or the name of a shipped workflow.")
    return found


def read_workflow(name: str) -> tuple[Workflow, Path]:
    """Read a workflow from a file, or from a picture that was made by it; give its path as well."""
    path = find_workflow(name)
    content = path.read_bytes()
    if content.startswith(b"\x89PNG"):
        from graphengine.engine.outputs import read_embedded_workflow

        content = read_embedded_workflow(path)
    return parse_workflow(content, name), path
