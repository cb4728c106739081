"""Write the files of a new pack: a project that installs, with one node and its test."""

from __future__ import annotations

import importlib.util
import keyword
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from graphengine.errors import GraphEngineError

__all__ = ["write_pack"]

_PROJECT = """\
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "{name}"
version = "0.1.0"
dependencies = ["graphengine"]

[project.entry-points."graphengine.nodes"]
{name} = "{name}:pack"

[tool.hatch.build.targets.wheel]
only-include = ["{name}.py"]
"""

_NODES = '''\
"""Nodes for graphengine."""

from typing import Annotated

from pydantic import Field

from graphengine import NodePack, node
from graphengine.types import Image


@node("{name}.Brighten", category="{name}")
def brighten(image: Image, factor: Annotated[float, Field(ge=0, le=10)] = 1.2) -> Image:
    """Make a picture brighter.

    Args:
        image: What to brighten.
        factor: 1 leaves it as it is.
    """
    return Image((image * factor).clamp(0, 1))


pack = NodePack("{name}", modules=[__name__])
'''

_TEST = '''\
"""Tests of the nodes, each called without an engine."""

import torch
from {name} import brighten

from graphengine.authoring.testing import run_node


def test_light_is_multiplied_and_cut_off_at_white() -> None:
    image = torch.tensor([0.2, 0.4, 0.8]).expand(1, 2, 2, 3)
    bright = run_node(brighten, image=image, factor=2)
    assert torch.allclose(bright[0, 0, 0], torch.tensor([0.4, 0.8, 1.0]))
'''


def write_pack(name: str, folder: Path) -> tuple[Path, ...]:
    """Write a project called ``name`` into a new folder of that name; give its files.

    Raises:
        GraphEngineError: for a name that can't be a module's, or that something else has.
        OSError: if nothing can be written there.
    """
    project = folder / name
    if project.exists():
        raise GraphEngineError(f"{project} is there already. Choose another name, or another folder with --dir.")
    complaint = next(_complaints(name), None)
    if complaint is not None:
        raise GraphEngineError(f"a pack can't be called {name!r}: {complaint}")
    texts = {"pyproject.toml": _PROJECT, f"{name}.py": _NODES, f"test_{name}.py": _TEST}
    project.mkdir(parents=True)
    for file, text in texts.items():
        (project / file).write_text(text.replace("{name}", name), encoding="utf-8", newline="\n")
    return tuple(project / file for file in texts)


def _complaints(name: str) -> Iterator[str]:
    """Say what is wrong with a name: it becomes a Python module, and the prefix of nodes."""
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        near = re.sub(r"\W+", "_", name.lower(), flags=re.ASCII).strip("_0123456789")
        yield f"it is the name of a Python module as well. Use a-z, 0-9 and _{f', e.g. {near}' if near else ''}."
    elif keyword.iskeyword(name) or keyword.issoftkeyword(name):
        yield f"Python has that word for itself. Use {name}_nodes, say."
    elif name in sys.stdlib_module_names or importlib.util.find_spec(name) is not None:
        yield f"there is a Python module of that name, which it would hide. Use {name}_nodes, say."
