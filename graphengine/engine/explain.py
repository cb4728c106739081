"""What a run would do and why, as data: nothing is run, and values in the cache are not read."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

from graphengine.config import Settings
from graphengine.core.plan import Plan, Step
from graphengine.core.workflow import Workflow
from graphengine.engine import Engine
from graphengine.engine.changes import Cause, Change, Comparison
from graphengine.engine.record import LastRun, Timing, workflow_id
from graphengine.errors import GraphEngineError, InvalidWorkflow, Problem

__all__ = ["PlanReport", "PlannedStep", "WhyReport", "explain_node", "explain_plan"]

State = Literal["run", "maybe", "cached", "unneeded"]

_MISSING = ("file_not_found",)
_UNKNOWN = ("unknown_node", "pack_failed")


@dataclass(frozen=True)
class PlannedStep:
    """A node as a run would meet it.

    Attributes:
        state: "maybe": only if a node that runs asks for it. "unneeded": all that read it are cached.
        reason: Why it isn't cached, as a sentence.
        changed: Something that it depends on is not as it was in the last run, or it wasn't in that.
        seconds: About how long it takes, or None if nothing like it ran before.
        size_bytes: About how large its outputs are, or None.
    """

    node: str
    node_type: str
    state: State
    reason: str = ""
    changed: bool = False
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
    comparison = Comparison(plan, last, engine.environment)
    states = _states(plan, engine)
    causes: dict[int, Change | None] = {}
    changed: dict[int, bool] = {}
    steps = []
    for step in plan.steps:
        causes[step.ordinal] = comparison.first_change(step, causes)
        changed[step.ordinal] = comparison.has_changed(step, changed)
        state = states.get(step.ordinal, "unneeded")
        timing = _timing(step, last, kinds)
        size_bytes = timing.size_bytes if timing is not None else None
        planned = PlannedStep(step.node.id, step.node.definition.id, state, size_bytes=size_bytes)
        if state in ("run", "maybe"):
            reason = _reason(step, last, causes[step.ordinal])
            seconds = timing.typical_seconds if timing is not None else None
            planned = replace(planned, reason=reason, changed=changed[step.ordinal], seconds=seconds)
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
    causes = tuple(Comparison(plan, last, engine.environment).causes(step))
    state: Literal["changed", "late", "not_stored"] = "changed" if causes else "late" if step.late else "not_stored"
    return WhyReport(node, step.node.definition.id, state, causes)


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
