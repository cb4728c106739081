"""What the command line shows: progress of a run, events as JSON Lines, node descriptions."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from graphengine.core.definition import InputDefinition, NodeDefinition
from graphengine.core.events import (
    Event,
    JobStarted,
    NodeCached,
    NodeFinished,
    NodeMetrics,
    NodeProgress,
    NodeSkipped,
    NodeStarted,
    NodeWarning,
)
from graphengine.core.registry import Definitions
from graphengine.core.workflow import Workflow

if TYPE_CHECKING:
    from graphengine.engine.explain import PlannedStep, PlanReport, WhyReport
    from graphengine.many import Case

__all__ = ["EventLines", "ProgressDisplay", "describe_node", "describe_plan", "describe_why", "list_nodes"]


class EventLines:
    """Events as JSON Lines, for programs.

    Args:
        number_as: With several runs, the field that says which one an event belongs to.
    """

    def __init__(self, stream: TextIO, number_as: str = "") -> None:
        self._stream = stream
        self._number_as = number_as
        self._start = "{"

    def begin(self, case: Case) -> None:
        """Mark what follows as of one of several runs."""
        self._start = f'{{"{self._number_as}":{case.number},'

    def show(self, event: Event) -> None:
        """Write one event."""
        self._write(event.model_dump_json())

    def write(self, line: Mapping[str, object]) -> None:
        """Write a line that is no event."""
        self._write(json.dumps(line))

    def _write(self, line: str) -> None:
        self._stream.write(f"{self._start}{line[1:]}\n")
        self._stream.flush()


class ProgressDisplay:
    """Progress bars on the terminal: runs if there are several, nodes of the run, and parts of the node that runs."""

    def __init__(self, workflow: Workflow, runs: int = 1) -> None:
        self._titles = {id_: node.title or f"{id_} ({node.type})" for id_, node in workflow.nodes.items()}
        self._console = Console(stderr=True)
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),  # titles are the user's: "[/]" is no markup
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}", markup=False),
            TimeRemainingColumn(compact=True, elapsed_when_finished=True),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,  # a log gets warnings, but no bars and no blank line after them
            redirect_stdout=sys.stdout.isatty(),  # results of a batch are printed above the bars, or into their file
        )
        self._runs = self._progress.add_task("runs", total=runs, note="") if runs > 1 else None
        self._begun = 0
        self._all: TaskID | None = None
        self._running: dict[str, TaskID] = {}  # a node that waits for a lazy input runs as well

    def __enter__(self) -> ProgressDisplay:
        self._progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Take the bars away."""
        self._progress.stop()

    def begin(self, case: Case) -> None:
        """Start over for another of several runs."""
        for task in [*self._running.values(), *([self._all] if self._all is not None else ())]:
            self._progress.remove_task(task)
        self._running, self._all = {}, None
        if self._runs is not None:
            self._progress.update(self._runs, completed=self._begun, note=case.label)
        self._begun += 1

    def write(self, line: Mapping[str, object]) -> None:
        """Show a message that is no event."""
        self._console.print(line.get("message", ""), markup=False)

    def show(self, event: Event) -> None:
        """Bring the bars up to date."""
        match event:
            case JobStarted():
                self._all = self._progress.add_task("nodes", total=event.steps, note="")
            case NodeStarted():
                title = self._titles.get(event.node, event.node)
                self._running[event.node] = self._progress.add_task(title, total=None, note="")
            case NodeProgress() if event.node in self._running:
                self._progress.update(self._running[event.node], completed=event.done, total=event.total)
            case NodeMetrics() if event.node in self._running:
                note = "  ".join(f"{name} {value:.4g}" for name, value in event.values.items())
                self._progress.update(self._running[event.node], note=note)
            case NodeWarning():
                self._console.print(f"{self._titles.get(event.node, event.node)}: {event.message}", markup=False)
            case NodeFinished() | NodeCached() | NodeSkipped() if self._all is not None:
                if event.node in self._running:
                    self._progress.remove_task(self._running.pop(event.node))
                if not self._was_made(event.node):
                    self._progress.advance(self._all)

    def _was_made(self, node: str) -> bool:
        """Tell whether a node that runs made this one, which then isn't among those that were counted."""
        parts = node.split("/")
        return any("/".join(parts[:length]) in self._running for length in range(1, len(parts)))


def list_nodes(definitions: Definitions) -> str:
    """List nodes by category, with the first line of their docs."""
    categories: dict[str, list[NodeDefinition]] = {}
    for definition in sorted(definitions.by_id.values(), key=lambda each: (each.category, each.id)):
        categories.setdefault(definition.category, []).append(definition)
    width = max((len(id_) for id_ in definitions.by_id), default=0)
    blocks = [
        "\n".join([category, *(f"  {each.id:{width}}  {_first_line(each.doc)}" for each in group)])
        for category, group in categories.items()
    ]
    return "\n\n".join(blocks)


def describe_node(definition: NodeDefinition) -> str:
    """Describe a node with its inputs and outputs."""
    lines = [f"{definition.id}  (version {definition.version}, pack {definition.pack})", "", definition.doc]
    lines += ["", "inputs:", *_table((each.name, _kind(each), each.doc) for each in definition.inputs)]
    lines += ["", "outputs:", *_table((each.name, each.type, each.doc) for each in definition.outputs)]
    if definition.sockets_from:
        lines.append(f"  further inputs and outputs follow from {', '.join(definition.sockets_from)}")
    return "\n".join(lines)


def describe_plan(report: PlanReport) -> str:
    """Describe what a run would do, a line for each node in order."""
    if not report.is_sound:
        missing = [("missing files", report.missing_files), ("missing nodes", report.missing_nodes)]
        blocks = [(title, found) for title, found in [*missing, ("problems", report.problems)] if found]
        return "\n\n".join(
            [
                f"{report.source}: it can't run yet",
                *("\n".join([f"{title}:", *map(_indented, found)]) for title, found in blocks),
            ]
        )
    counts = {state: sum(step.state == state for step in report.steps) for state in _STATES}
    said = ", ".join(f"{counts[state]} {words}" for state, words in _STATES.items() if counts[state])
    width = max((len(f"{step.node} ({step.node_type})") for step in report.steps), default=0)
    lines = [f"{report.source}: {said}", "", *(_planned(step, width) for step in report.steps)]
    if report.to_run:
        known = len(report.to_run) > report.unknown
        total = f"about {_duration(report.seconds)}, {_size(report.size_bytes)} of results" if known else "time unknown"
        beside = (
            f" and {report.unknown} of {len(report.to_run)} nodes that never ran" if report.unknown and known else ""
        )
        lines += ["", f"{total}{beside}"]
    return "\n".join(lines)


_STATES = {"run": "to run", "maybe": "to run if asked for", "cached": "cached", "unneeded": "not needed"}


def _planned(step: PlannedStep, width: int) -> str:
    what = f"{step.node} ({step.node_type})"
    if step.state not in ("run", "maybe"):
        return f"  {_SHORT[step.state]:8}  {what}"
    time = _duration(step.seconds) if step.seconds is not None else "?"
    return f"  {_SHORT[step.state]:8}  {what:{width}}  {time:>8}  {step.reason}"


_SHORT = {"run": "run", "maybe": "maybe", "cached": "cached", "unneeded": "–"}


def describe_why(report: WhyReport) -> str:
    """Describe why a node runs again, from the node down to what changed."""
    name = f"{report.node!r} ({report.node_type})"
    match report.state:
        case "cached":
            return f"{name} will not run: its result is cached."
        case "new":
            return f"{name} will run: this workflow has not run yet."
        case "late":
            return (
                f"{name} may run: nothing that is known before the run has changed, and whether its result is cached "
                "depends on a value that is computed then."
            )
        case "not_stored":
            return (
                f"{name} will run although nothing changed since the last run: its result is not stored. It was "
                "quicker to compute than to store, can't be stored, or made room for others."
            )
    lines = []
    for cause in report.causes:
        because = f"{cause.path[0][1]!r} changed: " if cause.path else ""
        lines.append(f"{name} will run again because {because}{cause.change}")
        if len(cause.path) > 1:
            way = [f"{node}.{input_name}" for node, input_name in cause.path]
            shown = way if len(way) <= 12 else [*way[:6], "…", *way[-5:]]
            lines.append(f"  by way of {' ← '.join(shown)}")
    return "\n".join(lines)


def _indented(problem: object) -> str:
    return "\n".join(f"  {line}" for line in str(problem).splitlines())


def _duration(seconds: float) -> str:
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 90:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _size(count: int) -> str:
    size = float(count)
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} GB"


def _table(rows: Iterable[tuple[str, str, str]]) -> list[str]:
    table = list(rows)
    names, kinds = (max((len(row[column]) for row in table), default=0) for column in (0, 1))
    return [f"  {name:{names}}  {kind:{kinds}}  {doc}".rstrip() for name, kind, doc in table]


def _kind(definition: InputDefinition) -> str:
    parts = [definition.type]
    if definition.minimum is not None or definition.maximum is not None:
        parts.append(f"{_bound(definition.minimum)}…{_bound(definition.maximum)}")
    if not definition.required:
        parts.append("optional" if definition.default is None else f"= {definition.default!r}")
    return " ".join(parts)


def _bound(value: float | int | None) -> str:
    return "" if value is None else str(value)


def _first_line(doc: str) -> str:
    return doc.split("\n", 1)[0]
