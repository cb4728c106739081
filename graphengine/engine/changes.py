"""What changed since the last run.

A plan's keys say *that* a step changed; the record of the last run says *what* changed. A step whose key differs either
differs itself, or reads one that does: following those leads to the root causes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from graphengine.core.literals import shown
from graphengine.core.plan import Plan, Step
from graphengine.engine.record import LastRun, NodeRecord, note_of

__all__ = ["Cause", "Change", "Comparison"]

What = Literal["value", "link", "file", "node", "version", "pack", "environment", "fingerprint", "never_cached"]

_MOST_CAUSES = 20


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


class Comparison:
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
        if not step.node.definition.cacheable:
            yield Change("never_cached", step.node.id, step.node.definition.id)
            return
        yield from self._differences(step)

    def has_changed(self, step: Step, known: Mapping[int, bool]) -> bool:
        """Tell whether a step would be given or do something else; ``known`` says it of the steps before it."""
        own = next(self._differences(step), None) is not None
        return own or any(known[source] for source, _ in step.sources.values())

    def _differences(self, step: Step) -> Iterator[Change]:
        definition, before = step.node.definition, self._before(step)
        place = (step.node.id, definition.id)
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


def _linked(links: Mapping[str, str], name: str) -> str:
    return f"linked to {links[name]}" if name in links else ""


def _noted(notes: Mapping[str, Any], name: str) -> str:  # Any: see note_of
    note = notes.get(name)
    if isinstance(note, dict):
        return str(note.get("file") or note.get("subgraph") or shown(note.get("text")))
    return shown(note) if name in notes else ""


def _is_file(note: object) -> bool:
    return isinstance(note, dict) and "version" in note
