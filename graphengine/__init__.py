"""graphengine: a node-graph engine for diffusion models.

What node authors and embedders use. Importing it loads neither torch nor aiohttp; names are loaded when they are asked
for, so that ``graphengine --help`` answers at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from graphengine.authoring import (
        Blocked,
        Body,
        Context,
        Expansion,
        FilesIn,
        Fragment,
        Lazy,
        NodePack,
        Subgraph,
        Widget,
        node,
    )
    from graphengine.errors import GraphEngineError, InputError

__all__ = [
    "Blocked",
    "Body",
    "Context",
    "Expansion",
    "FilesIn",
    "Fragment",
    "GraphEngineError",
    "InputError",
    "Lazy",
    "NodePack",
    "Subgraph",
    "Widget",
    "node",
]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'graphengine' has no attribute {name!r}")
    import graphengine.authoring
    import graphengine.errors

    home = graphengine.errors if hasattr(graphengine.errors, name) else graphengine.authoring
    return getattr(home, name)
