"""graphengine: a node-graph engine for diffusion models.

What node authors and embedders use. Importing it loads neither torch nor aiohttp; names are loaded when they are asked
for, so that ``graphengine --help`` answers at once.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from graphengine.authoring import (
        Blocked,
        Body,
        Context,
        Expansion,
        FilesIn,
        Fragment,
        InputDefinition,
        Lazy,
        NodePack,
        OutputDefinition,
        Sockets,
        Subgraph,
        Widget,
        node,
    )
    from graphengine.engine import Engine
    from graphengine.errors import GraphEngineError, InputError
    from graphengine.library import Workflow, run, run_async

__all__ = [
    "Blocked",
    "Body",
    "Context",
    "Engine",
    "Expansion",
    "FilesIn",
    "Fragment",
    "GraphEngineError",
    "InputDefinition",
    "InputError",
    "Lazy",
    "NodePack",
    "OutputDefinition",
    "Sockets",
    "Subgraph",
    "Widget",
    "Workflow",
    "node",
    "run",
    "run_async",
]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'graphengine' has no attribute {name!r}")
    for module in ("errors", "authoring", "library", "engine"):
        home = importlib.import_module(f"graphengine.{module}")
        if name in home.__all__:
            return getattr(home, name)
    raise AssertionError(f"{name!r} is public but has no home")
