"""What the engine costs per node, from the text of a file to the finished run, nothing cached."""

from __future__ import annotations

import gc
import json
import time
import weakref
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from graphengine import NodePack, node
from graphengine.config import Settings
from graphengine.core.graph import check
from graphengine.core.registry import Registry
from graphengine.core.workflow import parse_workflow
from graphengine.engine import Engine
from graphengine.engine.record import Record
from graphengine.types import Image
from tests.packs import arithmetic, waiting

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


def lists(count: int) -> Nodes:
    """A chain along which a list of two goes: each node is called twice."""
    nodes: Nodes = {"n0": {"type": "Several", "inputs": {"count": 2}}}
    for index in range(1, count):
        source = f"n{index - 1}.{'sum' if index > 1 else 'numbers'}"
        nodes[f"n{index}"] = {"type": "Add", "inputs": {"a": {"$link": source}, "b": index}}
    nodes["show"] = {"type": "Show", "inputs": {"value": {"$link": f"n{count - 1}.sum"}}}
    return nodes


def lazies(count: int) -> Nodes:
    """A chain of choices: each node names the one before as what it needs, and leaves another uncomputed."""
    nodes: Nodes = {"n0": {"type": "Number"}, "never": {"type": "Fail"}}
    for index in range(1, count):
        source = f"n{index - 1}.{'value' if index > 1 else 'number'}"
        inputs = {"condition": True, "yes": {"$link": source}, "no": {"$link": "never.value"}}
        nodes[f"n{index}"] = {"type": "Either", "inputs": inputs}
    nodes["show"] = {"type": "Show", "inputs": {"value": {"$link": f"n{count - 1}.value"}}}
    return nodes


SHAPES: dict[str, Callable[[int], Nodes]] = {
    "chain": chain,
    "fan": fan,
    "mesh": mesh,
    "lists": lists,
    "lazies": lazies,
}
GOALS = {"lists": 60, "lazies": 60}


def microseconds_per_node(shape: str, count: int, settings: Settings) -> float:
    """Take the best of several cold runs, each with an engine and a data folder of its own.

    In a common folder, a node that another process held up would be found on disk by the runs after it.
    """
    registry = Registry([arithmetic.pack, waiting.pack])
    nodes = SHAPES[shape](count)
    text = json.dumps({"format": "graphengine", "version": 1, "nodes": nodes})
    best = float("inf")
    for number in range(max(7, 5_000 // count)):
        engine = Engine(registry, replace(settings, data=settings.data / f"{shape}_{count}_{number}"))
        gc.collect()
        started = time.perf_counter()
        engine.run(parse_workflow(text))
        best = min(best, time.perf_counter() - started)
    return best / len(nodes) * 1e6


def again_milliseconds(count: int, settings: Settings, change: str = "") -> float:
    """Time a run of a chain that was run before, from the parsed workflow to its outputs.

    Args:
        change: A literal that differs from the run before, ``node.input``; what depends on it is computed again.
    """
    registry = Registry([arithmetic.pack])
    workflow = parse_workflow(json.dumps({"format": "graphengine", "version": 1, "nodes": chain(count)}))
    engine = Engine(registry, settings)
    engine.run(workflow)
    best = float("inf")
    for number in range(20):
        given = workflow.with_settings({change: -1 - number}) if change else workflow
        gc.collect()
        started = time.perf_counter()
        engine.run(given)
        best = min(best, time.perf_counter() - started)
    return best * 1e3


def side_by_side_seconds(settings: Settings) -> float:
    """Time three async nodes of 0.5 s beside one of 0.4 s that works."""
    nodes: Nodes = {f"wait{index}": {"type": "Wait", "inputs": {"seconds": 0.5, "value": index}} for index in range(3)}
    nodes["work"] = {"type": "Work", "inputs": {"seconds": 0.4}}
    outputs = {id_: {"from": f"{id_}.value"} for id_ in nodes}
    document = {"format": "graphengine", "version": 1, "nodes": nodes, "outputs": outputs}
    engine = Engine(Registry([waiting.pack]), replace(settings, cache_bytes=0, disk_cache_bytes=0))
    started = time.perf_counter()
    engine.run(parse_workflow(json.dumps(document)))
    return time.perf_counter() - started


def most_pictures_alive(count: int, settings: Settings) -> float:
    """Count how many pictures of a chain live at once when nothing is cached."""
    alive: weakref.WeakSet[torch.Tensor] = weakref.WeakSet()
    most = 0

    @node("Brighten", category="bench", outputs="image")
    def brighten(image: Image) -> Image:
        """Make a new picture."""
        nonlocal most
        made = image + 0.001
        alive.add(made)
        most = max(most, len(alive))
        return Image(made)

    @node("Paper", category="bench", outputs="image")
    def paper() -> Image:
        """Start with an empty picture."""
        return Image(torch.zeros(1, 64, 64, 3))

    nodes: Nodes = {"n0": {"type": "Paper"}}
    for index in range(1, count):
        nodes[f"n{index}"] = {"type": "Brighten", "inputs": {"image": {"$link": f"n{index - 1}.image"}}}
    outputs = {"out": {"from": f"n{count - 1}.image"}}
    document = {"format": "graphengine", "version": 1, "nodes": nodes, "outputs": outputs}
    engine = Engine(
        Registry([NodePack("bench", functions=[paper, brighten])]),
        replace(settings, cache_bytes=0, disk_cache_bytes=0),
    )
    engine.run(parse_workflow(json.dumps(document)))
    return float(most)


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


def record_milliseconds(count: int, settings: Settings) -> float:
    """Time noting a run of a chain in the record."""
    plan = Engine(Registry([arithmetic.pack]), settings).plan(
        parse_workflow(json.dumps({"format": "graphengine", "version": 1, "nodes": chain(count)}))
    )
    record = Record(settings.record_file)
    seconds = {step.node.id: 0.001 for step in plan.steps}
    best = float("inf")
    for _ in range(5):
        started = time.perf_counter()
        record.keep("chain", plan, environment="cpu", seconds=seconds, sizes={})
        best = min(best, time.perf_counter() - started)
    return best * 1e3


def settings_in(folder: Path) -> Settings:
    """Make settings that touch nothing outside a folder."""
    return Settings.for_user(data=folder / "data", output=folder / "output")
