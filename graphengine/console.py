"""What the command line shows: progress of a run, events as JSON Lines, node descriptions."""

from __future__ import annotations

from collections.abc import Iterable
from types import TracebackType
from typing import TextIO

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
    NodeStarted,
    NodeWarning,
)
from graphengine.core.registry import Definitions
from graphengine.core.workflow import Workflow

__all__ = ["EventLines", "ProgressDisplay", "describe_node", "list_nodes"]


class EventLines:
    """Events as JSON Lines, for programs."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __enter__(self) -> EventLines:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self.close()

    def show(self, event: Event) -> None:
        """Write one event."""
        self._stream.write(event.model_dump_json() + "\n")
        self._stream.flush()

    def close(self) -> None:
        """Nothing is left to be done."""


class ProgressDisplay:
    """Progress bars on the terminal: nodes of the run, and parts of the node that runs."""

    def __init__(self, workflow: Workflow) -> None:
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
        )
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
            case NodeFinished() | NodeCached() if self._all is not None:
                if event.node in self._running:
                    self._progress.remove_task(self._running.pop(event.node))
                self._progress.advance(self._all)


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
    return "\n".join(lines)


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
