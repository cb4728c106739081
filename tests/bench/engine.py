"""What the engine costs per node, from the text of a file to the finished run, nothing cached."""

from __future__ import annotations

import gc
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from graphengine.config import Settings
from graphengine.core.graph import check
from graphengine.core.registry import Registry
from graphengine.core.workflow import parse_workflow
from graphengine.engine import Engine
from tests.packs import arithmetic

Nodes = dict[str, dict[str, Any]]  # Any: JSON


def chain(count: int) -> Nodes:
    """Each node reads the one before it."""
    nodes: Nodes = {"n0": {"type": "Add", "inputs": {"a": 1}}}
    for index in range(1, count):
        nodes[f"n{index}"] = {"type": "Add", "inputs": {"a": {"$link": f"n{index - 1}.sum"}, "b": index}}
    nodes["show"] = {"type": "Show", "inputs": {"value": {"$link": f"n{count - 1}.sum"}}}
    return nodes


def fan(count: int) -> Nodes:
    """One node is read by all others, each of them shown."""
    nodes: Nodes = {"n0": {"type": "Add", "inputs": {"a": 1}}}
    for index in range(1, count):
        nodes[f"n{index}"] = {"type": "Show", "inputs": {"value": {"$link": "n0.sum"}}}
    return nodes


def mesh(count: int) -> Nodes:
    """Each node reads two nodes of the layer before, layers of ten."""
    nodes: Nodes = {}
    for index in range(count):
        inputs: dict[str, object] = {"a": index}
        if index >= 10:
            first = index - 10
            second = first - 1 if first % 10 else first + 9
            inputs = {"a": {"$link": f"n{first}.sum"}, "b": {"$link": f"n{second}.sum"}}
        nodes[f"n{index}"] = {"type": "Add", "inputs": inputs}
    for index in range(count - 10, count):
        nodes[f"show{index}"] = {"type": "Show", "inputs": {"value": {"$link": f"n{index}.sum"}}}
    return nodes


SHAPES: dict[str, Callable[[int], Nodes]] = {"chain": chain, "fan": fan, "mesh": mesh}


def microseconds_per_node(shape: str, count: int, settings: Settings) -> float:
    """Take the best of several cold runs, each with an engine of its own."""
    registry = Registry([arithmetic.pack])
    nodes = SHAPES[shape](count)
    text = json.dumps({"format": "graphengine", "version": 1, "nodes": nodes})
    best = float("inf")
    for _ in range(max(7, 5_000 // count)):
        engine = Engine(registry, settings)
        gc.collect()
        started = time.perf_counter()
        engine.run(parse_workflow(text))
        best = min(best, time.perf_counter() - started)
    return best / len(nodes) * 1e6


def check_milliseconds(count: int, settings: Settings, repeats: int = 5) -> float:
    """Time ``check`` alone, on a file of this many nodes."""
    registry = Registry([arithmetic.pack])
    workflow = parse_workflow(json.dumps({"format": "graphengine", "version": 1, "nodes": mesh(count)}))
    best = float("inf")
    for _ in range(repeats):
        gc.collect()
        started = time.perf_counter()
        problems = check(workflow, registry.definitions, settings, function_of=registry.function)
        best = min(best, time.perf_counter() - started)
        assert not problems, "the benchmark's own graph must be sound"
    return best * 1e3


def settings_in(folder: Path) -> Settings:
    """Make settings that touch nothing outside a folder."""
    return Settings.for_user(data=folder / "data", output=folder / "output")
