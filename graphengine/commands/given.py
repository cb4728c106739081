"""Read what the user gave a command: folders, a workflow, packs, values of inputs."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from graphengine.config import Settings
    from graphengine.core.definition import NodeDefinition
    from graphengine.core.registry import Definitions, RunnableNode
    from graphengine.core.workflow import Workflow
    from graphengine.engine import Engine

__all__ = [
    "GivenWorkflow",
    "function_of",
    "is_text",
    "json_or_text",
    "make_engine",
    "parse_settings",
    "parse_targets",
    "read_definitions",
    "read_given",
    "read_settings",
    "report_packs",
]


class GivenWorkflow(NamedTuple):
    """A workflow with what messages call it, and its file unless it came from standard input."""

    document: Workflow
    source: str
    path: Path | None


def read_given(options: argparse.Namespace) -> GivenWorkflow:
    """Read the workflow that a command is for."""
    from graphengine.core.workflow import parse_workflow
    from graphengine.workflow_files import read_workflow

    name: str = options.file
    if name == "-":
        return GivenWorkflow(parse_workflow(sys.stdin.buffer.read(), "standard input"), "standard input", None)
    workflow, path = read_workflow(name)
    return GivenWorkflow(workflow, name, path)


def read_settings(options: argparse.Namespace, path: Path | None = None) -> Settings:
    """Make the settings from a command's options; files are looked up beside the workflow as well."""
    from graphengine.config import Settings

    return Settings.for_user(
        data=options.data,
        output=getattr(options, "out", None),
        device=getattr(options, "device", None),
        precision=getattr(options, "precision", None),
        device_bytes=getattr(options, "device_memory", None),
        disk_cache_bytes=0 if getattr(options, "no_cache", False) else None,
        beside=[Path.cwd()] if path is None else [path.parent, Path.cwd()],
    )


def make_engine(options: argparse.Namespace, settings: Settings) -> Engine:
    """Load the packs and make an engine that records its runs; say what didn't load."""
    from graphengine.authoring.packs import find_packs, load_packs
    from graphengine.core.registry import Registry
    from graphengine.engine import Engine
    from graphengine.engine.record import Record

    with redirect_stdout(sys.stderr):  # what packs print; standard output is for what was asked
        loaded, failures = load_packs(find_packs(settings, options.pack))
    registry = Registry(loaded, failures)
    report_packs(registry.definitions)
    return Engine(registry, settings, Record(settings.record_file))


def read_definitions(options: argparse.Namespace, settings: Settings) -> Definitions:
    """Give the packs' definitions, which needs no pack imported; say what didn't load."""
    from graphengine.authoring.definition_cache import read_definitions
    from graphengine.authoring.packs import find_packs

    definitions = read_definitions(find_packs(settings, options.pack), settings.data / "definitions")
    report_packs(definitions)
    return definitions


def function_of(options: argparse.Namespace, settings: Settings) -> Callable[[NodeDefinition], RunnableNode]:
    """Give nodes' functions; packs are imported with the first one that is asked for."""
    from graphengine.core.registry import Registry

    registry: list[Registry] = []

    def function(definition: NodeDefinition) -> RunnableNode:
        from graphengine.authoring.packs import find_packs, load_packs

        if not registry:
            registry.append(Registry(*load_packs(find_packs(settings, options.pack))))
        return registry[0].function(definition)

    return function


def report_packs(definitions: Definitions) -> None:
    """Say which packs failed, which nodes two packs bring, and what would break saved workflows."""
    for failure in definitions.failures:
        sys.stderr.write(f"pack {failure.pack!r} failed to load: {failure.error}\n")
    for warning in (*definitions.conflicts, *definitions.breaking_changes):
        sys.stderr.write(f"{warning}\n")


def parse_targets(options: argparse.Namespace) -> Sequence[str] | None:
    """Read ``--targets A,B``; None if it isn't given."""
    return [each.strip() for each in options.targets.split(",")] if options.targets else None


def parse_settings(given: Iterable[str], workflow: Workflow, definitions: Definitions) -> Mapping[str, object]:
    """Read ``--set NAME=VALUE``, each value as its input's type.

    Raises:
        InvalidWorkflow: one has no "=".
    """
    from graphengine.errors import InvalidWorkflow, Problem

    settings: dict[str, object] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals:
            message = f"--set {text!r} has no '='."
            raise InvalidWorkflow([Problem("bad_setting", message, "Write --set NAME=VALUE.")], "command line")
        settings[name] = value if is_text(name, workflow, definitions) else json_or_text(value)
    return settings


def is_text(name: str, workflow: Workflow, definitions: Definitions) -> bool:
    """Tell whether a setting is a text, so that ``prompt=7`` stays one."""
    if name in workflow.inputs:
        return workflow.inputs[name].type == "STRING"
    node, _, input_name = name.partition(".")
    kind = definitions.get(workflow.nodes[node].type) if node in workflow.nodes else None
    definition = kind.inputs_by_name.get(input_name) if kind else None
    return definition is not None and definition.type == "STRING"


def json_or_text(value: str) -> object:
    """Read a setting as JSON where it is JSON; names such as NaN, which Python would read too, stay texts."""
    try:
        return json.loads(value, parse_constant=str)
    except (ValueError, RecursionError):
        return value
