"""The command line. It composes everything else, and nothing else composes.

Nothing is imported here that ``--help`` doesn't need; each command imports what it uses.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from graphengine.authoring.packs import PackSource
    from graphengine.config import Settings
    from graphengine.core.definition import NodeDefinition
    from graphengine.core.registry import Definitions, Registry
    from graphengine.core.workflow import Workflow
    from graphengine.errors import NodeFailed, Problem

__all__ = ["main"]

DONE, FAILED, INVALID, INTERRUPTED = 0, 1, 2, 130

_EXIT_CODES = """exit codes: 0 done, 1 a node failed, 2 the workflow or a file is invalid, 130 interrupted (Ctrl-C)"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; the exit code says how it went."""
    options = _parser().parse_args(arguments)
    from graphengine.errors import Cancelled, GraphEngineError, InvalidWorkflow

    command: Callable[[argparse.Namespace], int] = options.command
    try:
        code = command(options)
        sys.stdout.flush()  # a reader that has gone is noticed here, not when the interpreter ends
        return code
    except InvalidWorkflow as error:
        _report_problems(error.problems, str(error), as_json=options.json)
        return INVALID
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader has gone, e.g. 'head'
        return FAILED
    except (GraphEngineError, OSError) as error:
        _report_error(error, as_json=options.json)
        return INVALID
    except (Cancelled, KeyboardInterrupt):
        sys.stderr.write("Stopped.\n")
        return INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="graphengine", description="Run node graphs for diffusion models.")
    parser.add_argument("--version", action="version", version=f"graphengine {_version()}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--pack", action="append", default=[], type=Path, metavar="FILE", help="load nodes from a file")
    shared.add_argument("--data", type=Path, metavar="DIR", help="folder for models, inputs and saved state")
    shared.add_argument("--json", action="store_true", help="print JSON for programs")

    run = commands.add_parser("run", parents=[shared], help="run a workflow", epilog=_EXIT_CODES)
    run.add_argument("file", help="a workflow, a PNG made by one, the name of a shipped one, or - for standard input")
    run.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        dest="settings",
        help="set a declared input (prompt=…) or a node's input (sampler.steps=30)",
    )
    run.add_argument("--out", type=Path, metavar="DIR", help="where to save (default: ./output)")
    run.add_argument("--targets", metavar="A,B", help="run only what these nodes need")
    run.add_argument("--device", help="cpu (default), cuda, cuda:1, mps")
    run.add_argument("--no-metadata", action="store_true", help="save pictures without their workflow")
    run.set_defaults(command=_run)

    check = commands.add_parser("check", parents=[shared], help="find all problems of a workflow", epilog=_EXIT_CODES)
    check.add_argument("file", help="as for run")
    check.set_defaults(command=_check)

    nodes = commands.add_parser("nodes", parents=[shared], help="list nodes, or describe one")
    nodes.add_argument("name", nargs="?", help="the node to describe")
    nodes.set_defaults(command=_nodes)

    schema = commands.add_parser("schema", help="print the JSON Schema of workflow files")
    schema.set_defaults(command=_schema, json=True)
    return parser


# Commands


def _run(options: argparse.Namespace) -> int:
    settings = _settings(options)
    workflow, source = _read_workflow(options.file)
    registry = _load_registry(options.pack, settings)
    workflow = workflow.with_settings(_parse_settings(options.settings, workflow, registry.definitions))

    from graphengine.console import EventLines, ProgressDisplay
    from graphengine.engine import Engine
    from graphengine.engine.context import RunServices
    from graphengine.errors import NodeFailed

    targets = [each.strip() for each in options.targets.split(",")] if options.targets else None
    services = RunServices(settings, None if options.no_metadata else workflow)
    display = EventLines(sys.stdout) if options.json else ProgressDisplay(workflow)
    with _cancel_on_interrupt(services.cancel), display:
        try:
            result = Engine(registry, settings).run(
                workflow, targets=targets, emit=display.show, services=services, source=source
            )
        except NodeFailed as error:
            display.close()
            if not options.json:
                _report_failure(error)
            return FAILED
    if not options.json:
        for shown in result.shown:
            print(shown.path)
        for name, value in result.outputs.items():
            if isinstance(value, bool | int | float | str):
                print(f"{name}: {value}")
    return DONE


def _check(options: argparse.Namespace) -> int:
    from graphengine.core.graph import check

    settings = _settings(options)
    workflow, source = _read_workflow(options.file)
    definitions = _read_definitions(options.pack, settings)
    registry: list[Registry] = []

    def function_of(definition: NodeDefinition) -> object:
        if not registry:  # packs are imported only for kinds whose checks are code
            registry.append(_load_registry(options.pack, settings))
        return registry[0].function(definition)

    problems = check(workflow, definitions, settings, function_of=function_of)  # type: ignore[arg-type]  # see above
    from graphengine.errors import describe_problems

    _report_problems(problems, describe_problems(problems, source), as_json=options.json)
    return INVALID if problems else DONE


def _nodes(options: argparse.Namespace) -> int:
    from graphengine.console import describe_node, list_nodes

    definitions = _read_definitions(options.pack, _settings(options))
    if options.name is None:
        shown = [each.model_dump(mode="json", exclude_defaults=True) for each in definitions.by_id.values()]
        print(json.dumps(shown, indent=2) if options.json else list_nodes(definitions))
        return DONE
    definition = definitions.get(options.name)
    if definition is None:
        near = definitions.nearest(options.name)
        guess = f" Did you mean {near!r}?" if near else " 'graphengine nodes' lists all."
        sys.stderr.write(f"there is no node {options.name!r}.{guess}\n")
        return INVALID
    print(
        json.dumps(definition.model_dump(mode="json", exclude_defaults=True), indent=2)
        if options.json
        else describe_node(definition)
    )
    return DONE


def _schema(options: argparse.Namespace) -> int:
    from graphengine.core.schema import workflow_schema

    print(workflow_schema(), end="")
    return DONE


# What commands share


def _settings(options: argparse.Namespace) -> Settings:
    from graphengine.config import Settings

    file = Path(getattr(options, "file", "-"))
    beside = [Path.cwd()] if str(file) == "-" else [_find_workflow(str(file)).parent, Path.cwd()]
    return Settings.for_user(
        data=options.data,
        output=getattr(options, "out", None),
        device=getattr(options, "device", None),
        beside=beside,
    )


def _read_workflow(name: str) -> tuple[Workflow, str]:
    from graphengine.core.workflow import parse_workflow

    if name == "-":
        return parse_workflow(sys.stdin.buffer.read(), "standard input"), "standard input"
    path = _find_workflow(name)
    content = path.read_bytes()
    if content.startswith(b"\x89PNG"):
        from graphengine.engine.outputs import read_embedded_workflow

        content = read_embedded_workflow(path)
    return parse_workflow(content, name), name


def _find_workflow(name: str) -> Path:
    """Find a workflow by path, or a shipped one by name."""
    here = Path(__file__).parent
    candidates = [Path(name)]
    if Path(name).name == name:
        folders = (here / "_workflows", here.parent / "workflows")
        candidates += [folder / file for folder in folders for file in (name, f"{name}.json")]
    found = next((path for path in candidates if path.is_file()), None)
    if found is None:
        raise FileNotFoundError(f"there is no file {name!r}. Give a path, or the name of a shipped workflow.")
    return found


def _sources(packs: Sequence[Path]) -> list[PackSource]:
    from graphengine.authoring.packs import PackSource, installed_packs

    given = [PackSource(path.stem, str(path), (path,) if path.is_file() else ()) for path in packs]
    return [*given, *installed_packs()]


def _read_definitions(packs: Sequence[Path], settings: Settings) -> Definitions:
    from graphengine.authoring.definition_cache import read_definitions

    definitions = read_definitions(_sources(packs), settings.data / "definitions")
    _report_packs(definitions)
    return definitions


def _load_registry(packs: Sequence[Path], settings: Settings) -> Registry:
    from graphengine.authoring.packs import load_packs
    from graphengine.core.registry import Registry

    loaded, failures = load_packs(_sources(packs))
    registry = Registry(loaded, failures)
    _report_packs(registry.definitions)
    return registry


def _report_packs(definitions: Definitions) -> None:
    for failure in definitions.failures:
        sys.stderr.write(f"pack {failure.pack!r} failed to load: {failure.error}\n")
    for conflict in definitions.conflicts:
        sys.stderr.write(f"{conflict}\n")


def _parse_settings(given: Sequence[str], workflow: Workflow, definitions: Definitions) -> Mapping[str, object]:
    from graphengine.errors import InvalidWorkflow, Problem

    settings: dict[str, object] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals:
            message = f"--set {text!r} has no '='."
            raise InvalidWorkflow([Problem("bad_setting", message, "Write --set NAME=VALUE.")], "command line")
        settings[name] = value if _is_text(name, workflow, definitions) else _json_or_text(value)
    return settings


def _is_text(name: str, workflow: Workflow, definitions: Definitions) -> bool:
    """Tell whether a setting is a text, so that ``prompt=7`` stays one."""
    if name in workflow.inputs:
        return workflow.inputs[name].type == "STRING"
    node, _, input_name = name.partition(".")
    kind = definitions.get(workflow.nodes[node].type) if node in workflow.nodes else None
    definition = kind.inputs_by_name.get(input_name) if kind else None
    return definition is not None and definition.type == "STRING"


def _json_or_text(value: str) -> object:
    """Read a setting as JSON where it is JSON; names such as NaN, which Python would read too, stay texts."""
    try:
        return json.loads(value, parse_constant=str)
    except (ValueError, RecursionError):
        return value


@contextmanager
def _cancel_on_interrupt(cancel: threading.Event) -> Iterator[None]:
    """Let the first Ctrl-C end the run in order, and the second at once."""

    def stop(number: int, frame: object) -> None:
        cancel.set()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        sys.stderr.write("Stopping after this step (Ctrl-C again stops at once).\n")

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _report_problems(problems: Sequence[Problem], text: str, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"type": "problems", "problems": [problem.as_json() for problem in problems]}))
    else:
        sys.stderr.write(f"{text}\n")


def _report_failure(error: NodeFailed) -> None:
    """Show where in its code a node broke, unless it refused its input in words of its own."""
    import traceback

    from graphengine.errors import GraphEngineError

    cause = error.__cause__
    if cause is not None and not isinstance(cause, GraphEngineError):
        sys.stderr.write("".join(traceback.format_exception(cause)) + "\n")
    sys.stderr.write(f"{error}\n")


def _report_error(error: Exception, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"type": "error", "message": str(error)}))
    else:
        sys.stderr.write(f"graphengine: {error}\n")


def _version() -> str:
    from importlib.metadata import version

    return version("graphengine")
