"""The look of film: grain, matched colours, and several exposures in one picture."""

from graphengine import NodePack

from . import nodes

pack = NodePack("film-look", modules=[nodes])
