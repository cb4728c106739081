"""Write workflows as briefly as one draws them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from graphengine.core.events import Event
from graphengine.core.workflow import Workflow, parse_workflow

Document = dict[str, Any]  # Any: JSON
Drawing = Mapping[str, Any]  # Any: a node's kind, or its kind with its inputs


def drawn(nodes: Drawing, **parts: Any) -> Workflow:  # Any: JSON
    """Make a workflow of ``{"sum": ("Add", {"a": 1, "b": "@one.number"})}``; "@" marks a link."""
    return parse_workflow(json.dumps(document(nodes, **parts)))


def document(nodes: Drawing, **parts: Any) -> Document:  # Any: JSON
    """Make the JSON document that ``drawn`` parses."""
    return {"format": "graphengine", "version": 1, "nodes": {id_: _node(each) for id_, each in nodes.items()}, **parts}


def _node(drawing: str | tuple[str, Mapping[str, object]]) -> Document:
    kind, inputs = (drawing, {}) if isinstance(drawing, str) else drawing
    return {"type": kind, "inputs": {name: _value(value) for name, value in inputs.items()}}


def _value(value: object) -> object:
    return {"$link": value[1:]} if isinstance(value, str) and value.startswith("@") else value


def chain(length: int) -> Workflow:
    """Make ``n0 ──▶ n1 ──▶ … ──▶ out``: each node adds 1 to the one before."""
    nodes: dict[str, tuple[str, dict[str, object]]] = {"n0": ("Add", {"a": 0, "b": 1})}
    nodes |= {f"n{i}": ("Add", {"a": f"@n{i - 1}.sum", "b": 1}) for i in range(1, length)}
    return drawn(nodes, outputs={"out": {"from": f"n{length - 1}.sum"}})


class Seen(list[Event]):
    """Collect the events of a run: ``engine.run(workflow, emit=seen.append)``."""

    def of(self, kind: str) -> list[str]:
        """Give the node ids of the events of one kind, in order."""
        return [getattr(event, "node", "") for event in self if getattr(event, "type", "") == kind]

    @property
    def kinds(self) -> list[str]:
        """Give each event's kind."""
        return [str(getattr(event, "type", "")) for event in self]
