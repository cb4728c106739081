"""What the last runs were made of and how long their nodes took: a small database beside the users' files.

``plan`` estimates from it and ``why`` compares with it; no result depends on it. A record that can't be read or written
costs one warning, never a run. Several processes may use it at once.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from hashlib import blake2b
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple, TypeVar

from pydantic_core import from_json, to_json

from graphengine.core.events import Event, NodeFinished
from graphengine.core.graph import FileValue
from graphengine.core.plan import Plan, Step
from graphengine.core.subgraphs import SubgraphValue
from graphengine.core.workflow import Workflow
from graphengine.engine.cache import Cache, Result
from graphengine.engine.sizes import sizes_of

__all__ = [
    "DeferredRecord",
    "LastRun",
    "MeasuredCache",
    "NodeRecord",
    "Record",
    "Stopwatch",
    "Timing",
    "note_of",
    "workflow_id",
]

logger = logging.getLogger(__name__)

T = TypeVar("T")

_VERSION = 1
_MOST_WORKFLOWS = 200
_KEPT_TIMES = 5
_LONGEST_TEXT = 200
_MOST_WAITING = 100
_WAIT_S = 2.0  # for another process that writes

_TABLES = """
CREATE TABLE IF NOT EXISTS workflows (id TEXT PRIMARY KEY, used REAL, environment TEXT, nodes BLOB, timings BLOB);
CREATE TABLE IF NOT EXISTS kinds (type TEXT PRIMARY KEY, seconds BLOB, size INTEGER);
PRAGMA journal_mode = WAL;
"""


class Timing(NamedTuple):
    """How long a node took the last few times, and how many bytes its outputs had; None if that isn't known."""

    seconds: tuple[float, ...]
    size_bytes: int | None = None

    @property
    def typical_seconds(self) -> float:
        """The median: a first run that loads libraries is no measure for the next."""
        return median(self.seconds)


@dataclass(frozen=True)
class NodeRecord:
    """What a node's key was made of.

    Attributes:
        literals: Notes of them, see ``note_of``.
        sources: Linked input -> node and output.
        key: As hexadecimal digits; None if it was made during the run, or never.
    """

    type: str
    version: int
    pack: str
    pack_version: str
    literals: Mapping[str, Any]  # Any: JSON values
    sources: Mapping[str, tuple[str, str]]
    key: str | None


@dataclass(frozen=True)
class LastRun:
    """What is known of a workflow's last runs."""

    environment: str
    nodes: Mapping[str, NodeRecord]
    timings: Mapping[str, Timing]


@dataclass
class Stopwatch:
    """Adds up how long each node of a plan took, from the events of its run."""

    nodes: frozenset[str]
    seconds: dict[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, plan: Plan) -> Stopwatch:
        """Make one for a run of this plan."""
        return cls(frozenset(step.node.id for step in plan.steps))

    def watching(self, emit: Callable[[Event], None] | None) -> Callable[[Event], None]:
        """Look at events on their way to ``emit``."""

        def show(event: Event) -> None:
            if type(event) is NodeFinished:
                self._add(event.node, event.seconds)
            if emit is not None:
                emit(event)

        return show

    def _add(self, node: str, seconds: float) -> None:
        while node not in self.nodes and "/" in node:  # made by a node of the plan, whose time this is
            node = node.rpartition("/")[0]
        if node in self.nodes:
            self.seconds[node] = self.seconds.get(node, 0.0) + seconds


class MeasuredCache:
    """A cache that notes how many bytes each result has that is put into it."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache
        self.sizes: dict[bytes, int] = {}

    def __contains__(self, key: bytes) -> bool:
        return key in self._cache

    def get(self, key: bytes) -> Result | None:
        """Give the result kept under this key."""
        return self._cache.get(key)

    def put(self, key: bytes, result: Result) -> None:
        """Measure a result, and keep it."""
        sizes = sizes_of(result.values)
        self.sizes[key] = sizes.total
        self._cache.put(key, result._replace(sizes=sizes))

    def drop(self, key: bytes) -> None:
        """Forget a result."""
        self._cache.drop(key)


class Record:
    """The record in a file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._has_warned = False

    def last_run(self, workflow: str) -> LastRun | None:
        """Give what is known of a workflow; None if it never ran, or was forgotten."""

        def read(database: sqlite3.Connection) -> LastRun | None:
            query = "SELECT environment, nodes, timings FROM workflows WHERE id = ?"
            row = database.execute(query, (workflow,)).fetchone()
            if row is None:
                return None
            nodes = {id_: _node(parts) for id_, parts in from_json(row[1]).items()}
            timings = {id_: Timing(tuple(seconds), size) for id_, (seconds, size) in from_json(row[2]).items()}
            return LastRun(row[0], nodes, timings)

        return self._use(read)

    def kinds(self) -> Mapping[str, Timing]:
        """Give how long nodes took by kind, for nodes that never ran themselves."""

        def read(database: sqlite3.Connection) -> dict[str, Timing]:
            rows = database.execute("SELECT type, seconds, size FROM kinds")
            return {kind: Timing(tuple(from_json(seconds)), size) for kind, seconds, size in rows}

        return self._use(read) or {}

    def keep(
        self,
        workflow: str,
        plan: Plan,
        *,
        environment: str,
        seconds: Mapping[str, float],
        sizes: Mapping[bytes, int],
        is_partial: bool = False,
    ) -> None:
        """Note a run.

        Args:
            seconds: How long the nodes that ran took.
            sizes: Bytes of their outputs by step key, where known.
            is_partial: It was for some targets only; what is known of the other nodes stays.
        """
        nodes = {step.node.id: _parts(step, plan) for step in plan.steps}
        measured = {
            step.node.id: (step.node.definition.id, seconds[step.node.id], sizes.get(step.key or b""))
            for step in plan.steps
            if step.node.id in seconds
        }

        def write(database: sqlite3.Connection) -> None:
            database.execute("BEGIN IMMEDIATE")
            query = "SELECT nodes, timings FROM workflows WHERE id = ?"
            before = database.execute(query, (workflow,)).fetchone() or ("{}", "{}")
            all_nodes = from_json(before[0]) | nodes if is_partial else nodes
            timings = {id_: each for id_, each in from_json(before[1]).items() if id_ in all_nodes}
            for id_, (_, took, size) in measured.items():
                timings[id_] = [[*timings.get(id_, ((),))[0], round(took, 6)][-_KEPT_TIMES:], size]
            row = (workflow, time.time(), environment, to_json(all_nodes), to_json(timings))
            database.execute("INSERT OR REPLACE INTO workflows VALUES (?, ?, ?, ?, ?)", row)
            _keep_kinds(database, measured.values())
            forget = "DELETE FROM workflows WHERE id NOT IN (SELECT id FROM workflows ORDER BY used DESC LIMIT ?)"
            database.execute(forget, (_MOST_WORKFLOWS,))
            database.execute("COMMIT")

        self._use(write)

    def _use(self, work: Callable[[sqlite3.Connection], T]) -> T | None:
        """Open the database for a few statements; None, and a warning the first time, if that can't be done."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(self._path, timeout=_WAIT_S, isolation_level=None)) as database:
                version = database.execute("PRAGMA user_version").fetchone()[0]
                if version > _VERSION:
                    raise sqlite3.DatabaseError("a newer version of graphengine wrote it")
                if version < _VERSION:
                    database.executescript(f"{_TABLES} PRAGMA user_version = {_VERSION};")
                database.execute("PRAGMA synchronous = OFF")  # a power cut may cost the record, which nothing needs
                return work(database)
        except (sqlite3.Error, OSError, ValueError, TypeError, LookupError) as error:  # damaged, locked, read-only …
            if not self._has_warned:
                self._has_warned = True
                logger.warning(
                    "the record of runs can't be used: %s: %s. 'plan' and 'why' know less until it can; if this "
                    "message stays, remove the file.",
                    self._path,
                    error,
                )
            return None


class DeferredRecord(Record):
    """A record that notes runs when its owner has time for it; of runs of one workflow that wait, the last."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._waiting: dict[str, Callable[[], None]] = {}
        self._turn = threading.Lock()

    def keep(
        self,
        workflow: str,
        plan: Plan,
        *,
        environment: str,
        seconds: Mapping[str, float],
        sizes: Mapping[bytes, int],
        is_partial: bool = False,
    ) -> None:
        """Note a run, at the next ``flush``."""
        write = partial(
            super().keep, workflow, plan, environment=environment, seconds=seconds, sizes=sizes, is_partial=is_partial
        )
        with self._turn:
            self._waiting[workflow] = write
            is_much = len(self._waiting) > _MOST_WAITING
        if is_much:
            self.flush()

    def flush(self) -> None:
        """Write what waits."""
        with self._turn:
            waiting, self._waiting = self._waiting, {}
        for write in waiting.values():
            write()

    def last_run(self, workflow: str) -> LastRun | None:
        """Give what is known of a workflow, runs included that were just noted."""
        self.flush()
        return super().last_run(workflow)


def workflow_id(workflow: Workflow, path: Path | None = None) -> str:
    """Give the name under which the record knows a workflow: its file, or a hash of its nodes and links."""
    if path is not None:
        return str(path.resolve())
    shape = sorted((id_, node.type, sorted(node.links)) for id_, node in workflow.nodes.items())
    return blake2b(repr(shape).encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def note_of(value: object) -> object:
    """Note a literal so that it can be shown and compared; long ones by their beginning and a hash."""
    if value is None or type(value) in (int, float, bool):
        return value
    if isinstance(value, FileValue):
        return {"file": str(value.path), "version": value.version}
    if isinstance(value, SubgraphValue):
        return {"subgraph": value.name, "version": value.digest}
    if isinstance(value, str) and len(value) <= _LONGEST_TEXT:
        return value
    text = value if isinstance(value, str) else repr(value)
    digest = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
    return {"text": text[:_LONGEST_TEXT], "version": digest}


def _parts(step: Step, plan: Plan) -> list[Any]:  # Any: JSON values, in the order of NodeRecord's fields
    node, definition = step.node, step.node.definition
    first = plan.steps[0].ordinal
    sources = {}
    for name, (source, position) in step.sources.items():
        feeding = plan.steps[source - first].node
        sources[name] = (feeding.id, feeding.definition.outputs[position].name)
    literals = {name: note_of(value) for name, value in node.literals.items()}
    key = step.key.hex() if step.key is not None else None
    return [definition.id, definition.version, definition.pack, definition.pack_version, literals, sources, key]


def _node(parts: list[Any]) -> NodeRecord:  # Any: as _parts gives them
    type_name, version, pack, pack_version, literals, sources, key = parts
    links = {name: (node, output) for name, (node, output) in sources.items()}
    return NodeRecord(type_name, version, pack, pack_version, literals, links, key)


def _keep_kinds(database: sqlite3.Connection, measured: Iterable[tuple[str, float, int | None]]) -> None:
    by_kind: dict[str, list[tuple[float, int | None]]] = {}
    for kind, seconds, size in measured:
        by_kind.setdefault(kind, []).append((seconds, size))
    known = dict(database.execute("SELECT type, seconds FROM kinds")) if by_kind else {}
    rows = []
    for kind, times in by_kind.items():
        last = [*from_json(known.get(kind, "[]")), *(round(seconds, 6) for seconds, _ in times)][-_KEPT_TIMES:]
        rows.append((kind, to_json(last), max((size for _, size in times if size is not None), default=None)))
    database.executemany("INSERT OR REPLACE INTO kinds VALUES (?, ?, ?)", rows)
