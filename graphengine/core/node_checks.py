"""One node of a workflow by itself: are its inputs known, given, of the right type and within their limits?"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from graphengine.core import sockets
from graphengine.core.definition import InputDefinition, NodeDefinition
from graphengine.core.fingerprint import file_version
from graphengine.core.flatten import Flat
from graphengine.core.literals import check_literal, not_a_choice, shown, with_article
from graphengine.core.own_sockets import refusal
from graphengine.core.parameters import parameters_of
from graphengine.core.registry import Definitions, RunnableNode
from graphengine.core.subgraphs import SUBGRAPH, SubgraphValue
from graphengine.core.workflow import Link, Node, Workflow, link_of
from graphengine.errors import InputError, Problem

__all__ = ["FileValue", "Files", "FunctionOf", "NodeChecker", "deprecated", "other_version"]

_MOST_GUESSES = 20  # comparing one name with the ids of a large file takes tens of milliseconds

FunctionOf = Callable[[NodeDefinition], RunnableNode]


class Files(Protocol):
    """Where names of files are looked up; ``config.Settings`` is one."""

    def find_file(self, kind: str, name: str) -> Path | None: ...

    def file_names(self, kind: str) -> list[str]: ...


@dataclass(frozen=True)
class FileValue:
    """A file that a literal names: where it is now, and which version of it."""

    path: Path
    version: str


@dataclass
class NodeChecker:
    """Goes through nodes one by one and collects their problems, literals and links."""

    workflow: Workflow
    definitions: Definitions
    files: Files
    function_of: FunctionOf | None
    given: Mapping[str, str] = field(default_factory=dict)
    nodes: Mapping[str, Node] = field(init=False)
    flat: Flat | None = None
    problems: list[Problem] = field(default_factory=list)
    kinds: dict[str, NodeDefinition] = field(default_factory=dict)
    literals: dict[str, dict[str, Any]] = field(default_factory=dict)  # Any: of each input's own type
    links: dict[str, dict[str, Link]] = field(default_factory=dict)
    near: dict[str, str | None] = field(default_factory=dict)

    def unknown_node(self, id_: str, type_name: str) -> Problem:
        failed = self.definitions.failed_pack_with(type_name)
        if failed is not None:
            message = f"{type_name!r} comes with pack {failed.pack!r}, which failed to load: {failed.error}"
            return Problem("pack_failed", message, "Repair the pack, or take the node out.", id_, type_name)
        near = self._nearest_kind(type_name)
        remedy = f"Did you mean {near!r}? " if near else ""
        packs = "".join(f" Pack {each.pack!r} failed to load: {each.error}" for each in self.definitions.failures)
        return Problem(
            "unknown_node",
            f"there is no node {type_name!r}.",
            f"{remedy}'graphengine nodes' lists what is installed; --pack FILE adds a pack.{packs}",
            id_,
            type_name,
            extra={"nearest": near} if near else {},
        )

    def check_node(self, id_: str, kind: NodeDefinition, inputs: Mapping[str, object]) -> None:
        literals: dict[str, Any] = {}
        links: dict[str, Link] = {}
        for definition in kind.inputs:
            name = definition.name
            if name not in inputs:
                if definition.required and not any(other in inputs for other in definition.unless):
                    self._add_missing(id_, kind, definition)
                elif definition.files is not None:
                    literals[name] = self._find_file(id_, kind, definition, definition.default)
                else:
                    literals[name] = definition.default
                continue
            value = inputs[name]
            link = link_of(value)
            if link is None:
                literals[name] = self._check_value(id_, kind, definition, value)
            elif self._source_exists(id_, kind, name, link):
                links[name] = link
        if not inputs.keys() <= kind.inputs_by_name.keys():
            self._check_names(id_, kind, inputs)
        self.literals[id_], self.links[id_] = literals, links
        if kind.has_check and self.function_of is not None:
            self._run_own_checks(id_, kind, self.function_of(kind))

    def _add_missing(self, id_: str, kind: NodeDefinition, definition: InputDefinition) -> None:
        source = self.flat.muted.get((id_, definition.name)) if self.flat is not None else None
        if source is None:
            self.add(id_, kind, definition.name, _missing(definition))
        elif source:  # an empty one is said of the sub-graph's node
            message = f"linked to {source!r}, which is muted or lets nothing of this type pass."
            remedy = "Set that node's mode to normal, or link something else."
            self.add(id_, kind, definition.name, Problem("muted_source", message, remedy))

    def _check_value(self, id_: str, kind: NodeDefinition, definition: InputDefinition, value: object) -> Any:
        if type(value) is dict and "$link" in value:
            self.add(id_, kind, definition.name, _malformed_link(value))
            return None
        if definition.type == SUBGRAPH:
            if isinstance(value, SubgraphValue):
                return value
            if value is not None or definition.required:
                remedy = 'Write {"$subgraph": "NAME"} with the name of a sub-graph of this file.'
                self.add(id_, kind, definition.name, Problem("not_a_subgraph", "it takes a sub-graph.", remedy))
            return None
        if isinstance(value, SubgraphValue):
            message = f"it takes {with_article(definition.type)}, and no sub-graph."
            self.add(id_, kind, definition.name, Problem("wrong_type", message, "Take it out."))
            return None
        coerced, problem = check_literal(definition, value)
        if problem is not None:
            self.add(id_, kind, definition.name, problem)
        elif definition.files is not None:
            return self._find_file(id_, kind, definition, coerced)
        return coerced

    def _find_file(self, id_: str, kind: NodeDefinition, definition: InputDefinition, name: Any) -> FileValue | None:
        if name is None:
            return None
        path = self.files.find_file(str(definition.files), name)
        if path is not None:
            return FileValue(path, file_version(path))
        choices = tuple(self.files.file_names(str(definition.files)))
        problem = not_a_choice(name, choices)
        known = problem.remedy if choices else f"There is none in the folders for {definition.files} yet."
        remedy = f"{known} A path beside the workflow, or an absolute one, works on the command line too."
        self.add(id_, kind, definition.name, Problem("file_not_found", f"there is no file {name!r}.", remedy))
        return None

    def _check_names(self, id_: str, kind: NodeDefinition, inputs: Mapping[str, object]) -> None:
        for name in inputs:
            if name not in kind.inputs_by_name:
                near = difflib.get_close_matches(name, kind.inputs_by_name, n=1)
                known = ", ".join(kind.inputs_by_name) or "none"
                guess = f"Did you mean {near[0]!r}? " if near else ""
                remedy = f"{guess}Its inputs: {known}."
                self.add(id_, kind, name, Problem("unknown_input", "it has no such input.", remedy))

    def _source_exists(self, id_: str, kind: NodeDefinition, name: str, link: Link) -> bool:
        source, output = link
        source_kind = self.kinds.get(source)
        if not output:
            self.add(id_, kind, name, _malformed_link({"$link": source}))
            return False
        if source_kind is None:
            if source not in self.nodes and not self.is_sub_graph(
                source
            ):  # an unknown kind of node is reported by itself
                near = self.nearest_node(source)
                remedy = f"Did you mean {near!r}? " if near else ""
                message = f"linked to {f'{source}.{output}'!r}, but there is no node {source!r}."
                self.add(id_, kind, name, Problem("dangling_link", message, f"{remedy}Link it to a node of the file."))
            return False
        if output not in source_kind.outputs_by_name:
            outputs = ", ".join(source_kind.outputs_by_name) or "none"
            message = f"linked to {f'{source}.{output}'!r}, but a {source_kind.id} has no output {output!r}."
            self.add(id_, kind, name, Problem("dangling_link", message, f"Its outputs: {outputs}."))
            return False
        return True

    def is_sub_graph(self, id_: str) -> bool:
        """Tell whether a node stands for a sub-graph that couldn't be unfolded; that is said at the node."""
        return self.flat is not None and id_ in self.flat.places

    def _nearest_kind(self, type_name: str) -> str | None:
        key = f"type {type_name}"
        if key not in self.near and len(self.near) < _MOST_GUESSES:
            self.near[key] = self.definitions.nearest(type_name)
        return self.near.get(key)

    def nearest_node(self, name: str) -> str | None:
        """Give the node id most like this one; each name is compared with all ids once, and not without end."""
        if name not in self.near and len(self.near) < _MOST_GUESSES:
            self.near[name] = next(iter(difflib.get_close_matches(name, self.nodes, n=1)), None)
        return self.near.get(name)

    def _run_own_checks(self, id_: str, kind: NodeDefinition, function: RunnableNode) -> None:
        """Run the checks that are code, on literals that are right by themselves."""
        wrong = {problem.input for problem in self.problems if problem.node == id_}
        known = {name: value for name, value in self.plain_literals(id_).items() if name not in wrong}
        for own_check in function.checks:
            parameters = parameters_of(own_check)
            if any(required and name not in known for name, required in parameters.items()):
                continue
            try:
                own_check(**{name: known[name] for name in parameters if name in known})
            except InputError as error:
                self.add(id_, kind, error.input, refusal(error))

    def plain_literals(self, id_: str) -> dict[str, Any]:
        return {name: value.path if type(value) is FileValue else value for name, value in self.literals[id_].items()}

    def add(self, id_: str, kind: NodeDefinition, name: str, problem: Problem) -> None:
        self.problems.append(replace(problem, node=id_, node_type=kind.id, input=name))


def _malformed_link(value: Mapping[str, object]) -> Problem:
    message = f"{shown(value)} is no link."
    return Problem("malformed_link", message, 'Write {"$link": "node.output"}, and nothing else beside it.')


def _missing(definition: InputDefinition) -> Problem:
    instead = f", or give {' or '.join(map(repr, definition.unless))} instead" if definition.unless else ""
    if sockets.is_scalar(definition.type):
        return Problem("missing_input", "it has no value.", f"Give it {with_article(definition.type)}{instead}.")
    what = definition.type.replace("|", " or ")
    return Problem("missing_input", "it is not linked.", f"Link an output of type {what} to it{instead}.")


def deprecated(id_: str, kind: NodeDefinition) -> Problem:
    """Warn of a node that will be removed."""
    remedy = f"Use {with_article(kind.replaced_by)} node instead." if kind.replaced_by else "Look for another way."
    return Problem("deprecated", f"{kind.id} will be removed.", remedy, id_, kind.id, warning=True)


def other_version(id_: str, kind: NodeDefinition, saved: int) -> Problem:
    """Say that a node was saved with a version that can't be brought to the installed one."""
    if saved > kind.version:
        message = f"it was saved with version {saved} of {kind.id}; version {kind.version} is installed."
        return Problem("newer_version", message, f"Upgrade {kind.pack or 'its pack'}.", id_, kind.id)
    message = f"it was saved with version {saved} of {kind.id}, and version {kind.version} is installed."
    return Problem("older_version", message, "Bring its inputs to the new version and set type_version.", id_, kind.id)
