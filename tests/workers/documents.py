"""Workflows for the tests of workers, as texts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

__all__ = ["PACK", "chain", "one", "text"]

PACK = Path(__file__).parent / "nodes_pack.py"


def text(nodes: dict[str, Any], outputs: dict[str, str] | None = None) -> str:  # Any: JSON
    """Write a workflow with these nodes and declared outputs."""
    declared = {name: {"from": source} for name, source in (outputs or {}).items()}
    return json.dumps({"format": "graphengine", "version": 1, "nodes": nodes, "outputs": declared})


def one(kind: str, output: str = "", **inputs: object) -> str:
    """Write a workflow of one node, whose output of that name may be declared."""
    node = {"type": f"w.{kind}", "inputs": inputs}
    return text({"it": node}, {output: f"it.{output}"} if output else None)


def chain(count: int = 5, last: str = "w.Add") -> str:
    """Write a workflow of so many nodes in a row, which counts them."""
    nodes: dict[str, Any] = {"n1": {"type": "w.Number", "inputs": {"value": 1}}}  # Any: JSON
    source = "n1.number"
    for index in range(2, count + 1):
        nodes[f"n{index}"] = {"type": last, "inputs": {"a": {"$link": source}}}
        source = f"n{index}.sum"
    return text(nodes, {"sum": source})
