"""What node packs see."""

from graphengine.authoring.annotations import FilesIn, Widget
from graphengine.authoring.context import Blocked, Context, Lazy
from graphengine.authoring.expansion import Expansion, Fragment, Subgraph
from graphengine.authoring.node import NodeFunction, node
from graphengine.authoring.packs import NodePack
from graphengine.core.definition import Body, InputDefinition, OutputDefinition, Sockets

__all__ = [
    "Blocked",
    "Body",
    "Context",
    "Expansion",
    "FilesIn",
    "Fragment",
    "InputDefinition",
    "Lazy",
    "NodeFunction",
    "NodePack",
    "OutputDefinition",
    "Sockets",
    "Subgraph",
    "Widget",
    "node",
]
