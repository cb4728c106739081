"""What a run would do and why, as data: nothing is run, and values in the cache are not read.

A plan's keys say *that* a step changed since the last run; the record of that run says *what* changed. A step whose key
differs either differs itself, or reads one that does: following those leads to the root causes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from graphengine.config import Settings
from graphengine.core.literals import shown
from graphengine.core.plan import Plan, Step
from graphengine.core.workflow import Workflow
from graphengine.engine import Engine
from graphengine.engine.record import LastRun, NodeRecord, Timing, note_of, workflow_id
from graphengine.errors import GraphEngineError, InvalidWorkflow, Problem

__all__ = ["Cause", "Change", "PlanReport", "PlannedStep", "WhyReport", "explain_node", "explain_plan"]

State = Literal["run", "maybe", "cached", "unneeded"]
What = Literal["value", "link", "file", "node", "version", "pack", "environment", "fingerprint", "never_cached"]

_MOST_CAUSES = 20
_MISSING = ("file_not_found",)
_UNKNOWN = ("unknown_node", "pack_failed")


@dataclass(frozen=True)
class Change:
    """One thing that is not as it was when the workflow last ran.

    Attributes:
        input: The node's input, where one is to blame.
        before: As text, shortened; empty if there was nothing.
        after: What it is now.
    """

    what: What
    node: str
    node_type: str
    input: str | None = None
    before: str = ""
    after: str = ""

    def __str__(self) -> str:
        place = f"node {self.node!r} ({self.node_type})"
        place = f"{place}, input {self.input!r}" if self.input is not None else place
        return f"{place}: {_IN_WORDS[self.what].format(before=self.before or 'nothing', after=self.after or 'nothing')}"


_IN_WORDS: Mapping[What, str] = {
    "value": "{before} → {after}",
    "link": "{before} → {after}",
    "file": "{after} was written again",
    "node": "it was {before} in the last run",
    "version": "version {before} → {after}",
    "pack": "the code of its pack changed: {before} → {after}",
    "environment": "it computes elsewhere: {before} → {after}",
    "fingerprint": "what it reads outside of the workflow changed",
    "never_cached": "it runs each time, as its results are never kept",
}


@dataclass(frozen=True)
class Cause:
    """A change, and how a node depends on it.

    Attributes:
        path: Node and input, from the node that is explained to the one that changed; empty for its own change.
    """

    change: Change
    path: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class PlannedStep:
    """A node as a run would meet it.

    Attributes:
        state: "maybe": only if a node that runs asks for it. "unneeded": all that read it are cached.
        reason: Why it isn't cached, as a sentence.
        seconds: About how long it takes, or None if nothing like it ran before.
        size_bytes: About how large its outputs are, or None.
    """

    node: str
    node_type: str
    state: State
    reason: str = ""
    seconds: float | None = None
    size_bytes: int | None = None


@dataclass(frozen=True)
class PlanReport:
    """What a run would do.

    Attributes:
        steps: In the order they run; none if there are problems.
        missing_files: Problems of files that were not found.
        missing_nodes: Problems of nodes that no pack brings.
        problems: What else is wrong.
        warnings: What is wrong outside of what would run.
    """

    source: str
    steps: tuple[PlannedStep, ...] = ()
    missing_files: tuple[Problem, ...] = ()
    missing_nodes: tuple[Problem, ...] = ()
    problems: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()

    @property
    def to_run(self) -> tuple[PlannedStep, ...]:
        """The steps that run for sure."""
        return tuple(step for step in self.steps if step.state == "run")

    @property
    def seconds(self) -> float:
        """How long the steps take that ran before."""
        return sum(step.seconds or 0.0 for step in self.to_run)

    @property
    def size_bytes(self) -> int:
        """How large the outputs are of those that ran before."""
        return sum(step.size_bytes or 0 for step in self.to_run)

    @property
    def unknown(self) -> int:
        """How many steps will run of which nothing is known."""
        return sum(step.seconds is None for step in self.to_run)

    @property
    def is_sound(self) -> bool:
        """Whether it can run."""
        return not (self.missing_files or self.missing_nodes or self.problems)

    def as_json(self) -> dict[str, object]:
        """Give it as plain data."""
        return {
            "type": "plan",
            "source": self.source,
            "steps": [asdict(step) for step in self.steps],
            "seconds": self.seconds,
            "size_bytes": self.size_bytes,
            "unknown": self.unknown,
            "missing_files": [problem.as_json() for problem in self.missing_files],
            "missing_nodes": [problem.as_json() for problem in self.missing_nodes],
            "problems": [problem.as_json() for problem in self.problems],
            "warnings": [problem.as_json() for problem in self.warnings],
        }


@dataclass(frozen=True)
class WhyReport:
    """Why a node would run, or wouldn't.

    Attributes:
        state: "new": the workflow never ran. "changed": see ``causes``. "not_stored": nothing changed, but its result
            isn't kept on disk. "late": nothing changed that is known before the run; it depends on a value that is
            computed then.
    """

    node: str
    node_type: str
    state: Literal["cached", "new", "changed", "not_stored", "late"]
    causes: tuple[Cause, ...] = ()

    def as_json(self) -> dict[str, object]:
        """Give it as plain data."""
        return {"type": "why", **asdict(self)}


def explain_plan(
    engine: Engine,
    workflow: Workflow,
    *,
    targets: Collection[str] | None = None,
    settings: Settings | None = None,
    source: str = "workflow",
    path: Path | None = None,
) -> PlanReport:
    """Say what a run would do; what stops it from running is listed in the report."""
    try:
        plan = engine.plan(workflow, targets=targets, source=source, settings=settings)
    except InvalidWorkflow as error:
        return _with_problems(source, error.problems)
    record = engine.record
    last = record.last_run(workflow_id(workflow, path)) if record is not None else None
    kinds = record.kinds() if record is not None else {}
    comparison = _Comparison(plan, last, engine.environment)
    states = _states(plan, engine)
    causes: dict[int, Change | None] = {}
    steps = []
    for step in plan.steps:
        causes[step.ordinal] = comparison.first_change(step, causes)
        state = states.get(step.ordinal, "unneeded")
        planned = PlannedStep(step.node.id, step.node.definition.id, state)
        if state in ("run", "maybe"):
            timing = _timing(step, last, kinds)
            planned = PlannedStep(
                planned.node,
                planned.node_type,
                state,
                _reason(step, last, causes[step.ordinal]),
                timing.typical_seconds if timing is not None else None,
                timing.size_bytes if timing is not None else None,
            )
        steps.append(planned)
    return PlanReport(source, tuple(steps))


def explain_node(
    engine: Engine,
    workflow: Workflow,
    node: str,
    *,
    settings: Settings | None = None,
    source: str = "workflow",
    path: Path | None = None,
) -> WhyReport:
    """Say what changed since the last run that makes a node run again.

    Raises:
        InvalidWorkflow: as a run would.
        GraphEngineError: it is a sub-graph.
    """
    named = workflow.nodes.get(node)
    if named is not None and named.type.startswith(("subgraph:", "file:")):
        raise GraphEngineError(
            f"node {node!r} is a sub-graph. Ask for a node in it, as {node}/NAME; 'graphengine plan' lists them."
        )
    plan = engine.plan(workflow, targets=[node], source=source, settings=settings)
    step = plan.steps[-1]
    last = engine.record.last_run(workflow_id(workflow, path)) if engine.record is not None else None
    if step.key is not None and step.key in engine.cache:
        return WhyReport(node, step.node.definition.id, "cached")
    if last is None:
        return WhyReport(node, step.node.definition.id, "new")
    causes = tuple(_Comparison(plan, last, engine.environment).causes(step))
    state: Literal["changed", "late", "not_stored"] = "changed" if causes else "late" if step.late else "not_stored"
    return WhyReport(node, step.node.definition.id, state, causes)


class _Comparison:
    """A plan beside the last run."""

    def __init__(self, plan: Plan, last: LastRun | None, environment: str) -> None:
        self._plan = plan
        self._last = last
        self._environment = environment

    def causes(self, step: Step) -> Iterator[Cause]:
        """Follow what changed to the nodes where it began, nearest first."""
        readers: dict[int, tuple[Step, str] | None] = {step.ordinal: None}
        queue = [step]
        found = 0
        for each in queue:  # it grows on the way
            for change in self.own_changes(each):
                found += 1
                yield Cause(change, _path(readers, each))
            if found >= _MOST_CAUSES:
                return
            for name, (source, _) in each.sources.items():
                if source not in readers and self._may_differ(self._plan.steps[source]):
                    readers[source] = (each, name)
                    queue.append(self._plan.steps[source])

    def first_change(self, step: Step, known: Mapping[int, Change | None]) -> Change | None:
        """Give a change that makes a step differ; ``known`` has those of the steps before it."""
        if self._last is None or not self._may_differ(step):
            return None
        own = next(self.own_changes(step), None)
        if own is not None:
            return own
        return next((change for source, _ in step.sources.values() if (change := known[source]) is not None), None)

    def own_changes(self, step: Step) -> Iterator[Change]:
        """Give what changed in a step itself."""
        definition, before = step.node.definition, self._before(step)
        place = (step.node.id, definition.id)
        if not definition.cacheable:
            yield Change("never_cached", *place)
            return
        if before is None:
            yield Change("node", *place, before="not there")
            return
        if before.type != definition.id:
            yield Change("node", *place, before=f"of the kind {before.type}")
            return
        changes = [*self._changed_code(step, before), *self._changed_inputs(step, before)]
        yield from changes
        if not changes and definition.has_fingerprint and self._only_its_key_differs(step, before):
            yield Change("fingerprint", *place)

    def _changed_code(self, step: Step, before: NodeRecord) -> Iterator[Change]:
        definition = step.node.definition
        place = (step.node.id, definition.id)
        if before.version != definition.version:
            yield Change("version", *place, before=str(before.version), after=str(definition.version))
        old, new = (before.pack, before.pack_version), (definition.pack, definition.pack_version)
        if old != new:
            yield Change("pack", *place, before=" ".join(old), after=" ".join(new))
        environment = self._last.environment if self._last is not None else self._environment
        if definition.device == "gpu" and environment != self._environment:
            yield Change("environment", *place, before=environment, after=self._environment)

    def _changed_inputs(self, step: Step, before: NodeRecord) -> Iterator[Change]:
        now = {name: note_of(value) for name, value in step.node.literals.items()}
        links = {name: self._link(source) for name, source in step.sources.items()}
        old_links = {name: f"{node}.{output}" for name, (node, output) in before.sources.items()}
        for name in dict.fromkeys([*now, *links, *before.literals, *old_links]):
            place = (step.node.id, step.node.definition.id, name)
            if name in links or name in old_links:
                if links.get(name) != old_links.get(name):
                    old = _linked(old_links, name) or _noted(before.literals, name)
                    yield Change("link", *place, old, _linked(links, name) or _noted(now, name))
            elif repr(now.get(name)) != repr(before.literals.get(name)):
                same_file = _is_file(now.get(name)) and _noted(now, name) == _noted(before.literals, name)
                what: What = "file" if same_file else "value"
                yield Change(what, *place, _noted(before.literals, name), _noted(now, name))

    def _link(self, source: tuple[int, int]) -> str:
        node = self._plan.steps[source[0]].node
        return f"{node.id}.{node.definition.outputs[source[1]].name}"

    def _before(self, step: Step) -> NodeRecord | None:
        return self._last.nodes.get(step.node.id) if self._last is not None else None

    def _may_differ(self, step: Step) -> bool:
        before = self._before(step)
        return before is None or step.key is None or before.key != step.key.hex()

    def _only_its_key_differs(self, step: Step, before: NodeRecord) -> bool:
        if step.key is None or before.key is None:
            return False
        return not any(self._may_differ(self._plan.steps[source]) for source, _ in step.sources.values())


def _path(readers: Mapping[int, tuple[Step, str] | None], step: Step) -> tuple[tuple[str, str], ...]:
    path = []
    reader = readers[step.ordinal]
    while reader is not None:
        path.append((reader[0].node.id, reader[1]))
        reader = readers[reader[0].ordinal]
    return tuple(reversed(path))


def _with_problems(source: str, problems: Collection[Problem]) -> PlanReport:
    stopping = [problem for problem in problems if not problem.warning]
    return PlanReport(
        source,
        missing_files=tuple(each for each in stopping if each.code in _MISSING),
        missing_nodes=tuple(each for each in stopping if each.code in _UNKNOWN),
        problems=tuple(each for each in stopping if each.code not in _MISSING + _UNKNOWN),
        warnings=tuple(each for each in problems if each.warning),
    )


def _states(plan: Plan, engine: Engine) -> dict[int, State]:
    """Walk backwards from the targets as a run does, and stop at what is cached; lazy inputs come after the rest."""
    states: dict[int, State] = {}
    asked: list[int] = []
    for state, stack in (("run", list(plan.targets)), ("maybe", asked)):
        while stack:
            index = stack.pop()
            if index in states:
                continue
            step = plan.steps[index]
            if step.key is not None and step.key in engine.cache:
                states[index] = "cached"
                continue
            states[index] = "run" if state == "run" else "maybe"
            for name, (source, _) in step.sources.items():
                (asked if name in step.lazy else stack).append(source)
    return states


def _timing(step: Step, last: LastRun | None, kinds: Mapping[str, Timing]) -> Timing | None:
    own = last.timings.get(step.node.id) if last is not None else None
    return own if own is not None else kinds.get(step.node.definition.id)


def _reason(step: Step, last: LastRun | None, change: Change | None) -> str:
    if not step.node.definition.cacheable:
        return "its results are never kept"
    if last is None:
        return "this workflow has not run yet"
    if change is not None:
        return f"changed since the last run: {change}"
    if step.late:
        return "whether it is cached depends on a value that is computed during the run"
    if step.key is None:
        return "it reads what is never kept"
    return "unchanged, but its result is not stored"


def _linked(links: Mapping[str, str], name: str) -> str:
    return f"linked to {links[name]}" if name in links else ""


def _noted(notes: Mapping[str, Any], name: str) -> str:  # Any: see note_of
    note = notes.get(name)
    if isinstance(note, dict):
        return str(note.get("file") or note.get("subgraph") or shown(note.get("text")))
    return shown(note) if name in notes else ""


def _is_file(note: object) -> bool:
    return isinstance(note, dict) and "version" in note
