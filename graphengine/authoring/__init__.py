"""What node packs see."""

from graphengine.authoring.annotations import FilesIn, Widget
from graphengine.authoring.context import Context, Lazy
from graphengine.authoring.node import NodeFunction, node
from graphengine.authoring.packs import NodePack

__all__ = ["Context", "FilesIn", "Lazy", "NodeFunction", "NodePack", "Widget", "node"]
