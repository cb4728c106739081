"""Which uploads a request may name: its owner's own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from graphengine.core.definition import NodeDefinition
from graphengine.core.workflow import Node, Subgraph, Workflow
from graphengine.errors import Problem
from graphengine.server.services import Services

__all__ = ["every_node", "foreign_files", "is_any_foreign", "is_foreign", "own_file_names"]


def every_node(graph: Workflow | Subgraph) -> Iterator[tuple[str, Node]]:
    """Walk over a workflow's nodes, those in sub-graphs too, with their ids."""
    yield from graph.nodes.items()
    for inner in graph.subgraphs.values():
        yield from every_node(inner)


def own_file_names(services: Services, kind: str, owner: str | None) -> list[str]:
    """List the names that a kind of file has for an owner: of uploads only their own.

    Args:
        owner: None where owners are not told apart.
    """
    names, uploads = services.settings.file_names(kind), services.uploads.folder
    if uploads.parent.name != kind or uploads.name not in names:
        return names
    names.remove(uploads.name)
    for folder in uploads.iterdir():
        if not folder.name.startswith(".") and owner in (None, folder.name):
            names += [path.relative_to(uploads.parent).as_posix() for path in folder.iterdir()]
    return sorted(names)


def foreign_files(services: Services, workflow: Workflow, owner: str | None) -> list[Problem]:
    """Find the inputs that name others' uploads; they are told what they'd be told of a file that isn't there.

    Args:
        owner: None where owners are not told apart.
    """
    if owner is None:
        return []
    nodes = services.definitions.current.by_id.values()
    kinds = {place.files for kind in nodes for place in kind.inputs if place.files is not None}
    problems = []
    for node, node_type, name, value in _texts(workflow):
        if any(is_foreign(services, kind, value, owner) for kind in kinds):
            message = f"there is no file {value!r}."
            remedy = "Upload it first, and name it as the answer says."
            problems.append(Problem("file_not_found", message, remedy, node, node_type, name))
    return problems


def is_any_foreign(services: Services, kind: NodeDefinition, inputs: Mapping[str, Any], owner: str | None) -> bool:
    """Tell whether a value given to a node's inputs names another's upload."""
    if owner is None:
        return False
    return any(
        is_foreign(services, place.files, value, owner)
        for name, value in inputs.items()
        if (place := kind.inputs_by_name[name]).files is not None and isinstance(value, str)
    )


def _texts(workflow: Workflow) -> Iterator[tuple[str | None, str | None, str, str]]:
    """Walk over the texts that could name a file: node, its type, input, text."""
    for id_, node in every_node(workflow):
        for name, value in node.inputs.items():
            if isinstance(value, str):
                yield id_, node.type, name, value
    for graph in _graphs(workflow):
        for name, declared in graph.inputs.items():
            if isinstance(declared.default, str):
                yield None, None, name, declared.default


def _graphs(graph: Workflow | Subgraph) -> Iterator[Workflow | Subgraph]:
    yield graph
    for inner in graph.subgraphs.values():
        yield from _graphs(inner)


def is_foreign(services: Services, kind: str, name: str, owner: str) -> bool:
    """Tell whether a name is that of another owner's upload, or of a folder with such."""
    uploads = services.uploads.folder
    if uploads.name not in name.casefold():  # a look at the disk for each text would take long
        return False
    path = services.settings.find_file(kind, name)
    uploads = uploads.resolve()
    return path is not None and _overlap(path, uploads) and not path.is_relative_to(uploads / owner)


def _overlap(path: Path, folder: Path) -> bool:
    return path.is_relative_to(folder) or folder.is_relative_to(path)
