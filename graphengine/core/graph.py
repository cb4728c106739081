"""Workflow × definitions → Graph: a sound, typed DAG with every input literal, linked or at its default.

``check`` reports all problems at once; ``build_graph`` is the same with an exception. The rules exist here only.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from graphengine.core import sockets
from graphengine.core.definition import InputDefinition, NodeDefinition
from graphengine.core.fingerprint import file_version
from graphengine.core.literals import check_literal, not_a_choice, shown, with_article
from graphengine.core.registry import Definitions, RunnableNode
from graphengine.core.workflow import Link, Workflow, link_of, split_reference
from graphengine.errors import InputError, InvalidWorkflow, Problem

__all__ = ["FileValue", "Files", "Graph", "GraphNode", "build_graph", "check"]


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


class GraphNode(NamedTuple):
    """A node that has been checked.

    Attributes:
        literals: Input name -> value, coerced to the input's type, defaults filled in.
        links: Input name -> the node and output that feed it.
    """

    id: str
    definition: NodeDefinition
    literals: Mapping[str, Any]  # Any: of each input's own type
    links: Mapping[str, Link]


@dataclass(frozen=True)
class Graph:
    """A sound graph.

    Attributes:
        nodes: By id, in the order of the file.
        outputs: The workflow's declared outputs: name -> node and output.
    """

    nodes: Mapping[str, GraphNode]
    outputs: Mapping[str, Link]

    def default_targets(self) -> list[str]:
        """Give the nodes that a run without targets is for: every output node and each declared output's node."""
        shown = [id_ for id_, node in self.nodes.items() if node.definition.output_node]
        return list(dict.fromkeys([*shown, *(node for node, _ in self.outputs.values())]))


def check(
    workflow: Workflow,
    definitions: Definitions,
    files: Files,
    *,
    targets: Collection[str] | None = None,
    function_of: FunctionOf | None = None,
) -> list[Problem]:
    """Find everything that is wrong with a workflow, whether or not it lies before the targets.

    Args:
        function_of: Gives a node's function, for the kinds whose own checks are code; without it those are left out.
    """
    return _Checker(workflow, definitions, files, function_of).run(targets)[1]


def build_graph(
    workflow: Workflow,
    definitions: Definitions,
    files: Files,
    *,
    targets: Collection[str] | None = None,
    function_of: FunctionOf | None = None,
    source: str = "workflow",
) -> Graph:
    """Make the graph.

    Raises:
        InvalidWorkflow: with all problems that ``check`` finds.
    """
    graph, problems = _Checker(workflow, definitions, files, function_of).run(targets)
    if problems:
        raise InvalidWorkflow(problems, source)
    return graph


@dataclass
class _Checker:
    """One pass over a workflow; it collects problems and the graph's nodes side by side."""

    workflow: Workflow
    definitions: Definitions
    files: Files
    function_of: FunctionOf | None
    problems: list[Problem] = field(default_factory=list)
    kinds: dict[str, NodeDefinition] = field(default_factory=dict)
    literals: dict[str, dict[str, Any]] = field(default_factory=dict)
    links: dict[str, dict[str, Link]] = field(default_factory=dict)
    output_types: dict[Link, str] = field(default_factory=dict)
    near: dict[str, str | None] = field(default_factory=dict)

    def run(self, targets: Collection[str] | None) -> tuple[Graph, list[Problem]]:
        for id_, node in self.workflow.nodes.items():
            kind = self.definitions.get(node.type)
            if kind is not None:
                self.kinds[id_] = kind
        given = self._given_by_declared_inputs()
        for id_, kind in self.kinds.items():
            node = self.workflow.nodes[id_]
            self._check_node(id_, kind, node.inputs | given[id_] if id_ in given else node.inputs)
        self._check_unusual_nodes()
        for id_ in self._order():
            self._check_links(id_, self.kinds[id_])
        nodes = {id_: GraphNode(id_, kind, self.literals[id_], self.links[id_]) for id_, kind in self.kinds.items()}
        graph = Graph(nodes, self._check_declared_outputs())
        self._check_targets(graph, targets)
        return graph, self.problems

    # One node by itself

    def _check_unusual_nodes(self) -> None:
        for id_, node in self.workflow.nodes.items():
            kind = self.kinds.get(id_)
            if kind is None:
                self.problems.append(self._unknown_node(id_, node.type))
            elif node.type_version != kind.version:
                self.problems.append(_other_version(id_, kind, node.type_version))
            if node.mode != "normal":
                message = f"it is {node.mode}, which this version can't run yet."
                self.problems.append(Problem("unsupported", message, "Set its mode to normal.", id_, node.type))

    def _unknown_node(self, id_: str, type_name: str) -> Problem:
        failed = self.definitions.failed_pack_with(type_name)
        if failed is not None:
            message = f"{type_name!r} comes with pack {failed.pack!r}, which failed to load: {failed.error}"
            return Problem("pack_failed", message, "Repair the pack, or take the node out.", id_, type_name)
        if type_name.startswith(("subgraph:", "file:")):
            message, remedy = "sub-graphs can't be run by this version yet.", "Put its nodes into the workflow itself."
            return Problem("unsupported", message, remedy, id_, type_name)
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

    def _check_node(self, id_: str, kind: NodeDefinition, inputs: Mapping[str, object]) -> None:
        literals: dict[str, Any] = {}
        links: dict[str, Link] = {}
        for definition in kind.inputs:
            name = definition.name
            if name not in inputs:
                if definition.required:
                    self._add(id_, kind, name, _missing(definition))
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

    def _check_value(self, id_: str, kind: NodeDefinition, definition: InputDefinition, value: object) -> Any:
        if type(value) is dict and "$link" in value:
            self._add(id_, kind, definition.name, _malformed_link(value))
            return None
        coerced, problem = check_literal(definition, value)
        if problem is not None:
            self._add(id_, kind, definition.name, problem)
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
        self._add(id_, kind, definition.name, Problem("file_not_found", f"there is no file {name!r}.", remedy))
        return None

    def _check_names(self, id_: str, kind: NodeDefinition, inputs: Mapping[str, object]) -> None:
        for name in inputs:
            if name not in kind.inputs_by_name:
                near = difflib.get_close_matches(name, kind.inputs_by_name, n=1)
                known = ", ".join(kind.inputs_by_name) or "none"
                guess = f"Did you mean {near[0]!r}? " if near else ""
                remedy = f"{guess}Its inputs: {known}."
                self._add(id_, kind, name, Problem("unknown_input", "it has no such input.", remedy))

    def _source_exists(self, id_: str, kind: NodeDefinition, name: str, link: Link) -> bool:
        source, output = link
        source_kind = self.kinds.get(source)
        if not output:
            self._add(id_, kind, name, _malformed_link({"$link": source}))
            return False
        if source_kind is None:
            if source not in self.workflow.nodes:  # an unknown kind of node is reported by itself
                near = self._nearest_node(source)
                remedy = f"Did you mean {near!r}? " if near else ""
                message = f"linked to {f'{source}.{output}'!r}, but there is no node {source!r}."
                self._add(id_, kind, name, Problem("dangling_link", message, f"{remedy}Link it to a node of the file."))
            return False
        if output not in source_kind.outputs_by_name:
            outputs = ", ".join(source_kind.outputs_by_name) or "none"
            message = f"linked to {f'{source}.{output}'!r}, but a {source_kind.id} has no output {output!r}."
            self._add(id_, kind, name, Problem("dangling_link", message, f"Its outputs: {outputs}."))
            return False
        return True

    def _nearest_kind(self, type_name: str) -> str | None:
        key = f"type {type_name}"
        if key not in self.near and len(self.near) < _MOST_GUESSES:
            self.near[key] = self.definitions.nearest(type_name)
        return self.near.get(key)

    def _nearest_node(self, name: str) -> str | None:
        """Give the node id most like this one; each name is compared with all ids once, and not without end."""
        if name not in self.near and len(self.near) < _MOST_GUESSES:
            self.near[name] = next(iter(difflib.get_close_matches(name, self.workflow.nodes, n=1)), None)
        return self.near.get(name)

    def _run_own_checks(self, id_: str, kind: NodeDefinition, function: RunnableNode) -> None:
        """Run the checks that are code, on literals that are right by themselves."""
        wrong = {problem.input for problem in self.problems if problem.node == id_}
        known = {
            name: value.path if type(value) is FileValue else value
            for name, value in self.literals[id_].items()
            if name not in wrong
        }
        for own_check in function.checks:
            parameters = inspect.signature(own_check).parameters
            missing = [name for name, each in parameters.items() if name not in known and each.default is each.empty]
            if missing:
                continue
            try:
                own_check(**{name: known[name] for name in parameters if name in known})
            except InputError as error:
                self._add(id_, kind, error.input, Problem("refused", error.message, error.remedy))

    # Nodes together

    def _order(self) -> Sequence[str]:
        """Order nodes so that sources come first; report cycles, each with its nodes in order."""
        waits_for: dict[str, int] = {}
        readers: dict[str, list[str]] = {}
        for id_, links in self.links.items():
            waits_for[id_] = len(links)
            for source, _ in links.values():
                readers.setdefault(source, []).append(id_)
        order = [id_ for id_, count in waits_for.items() if count == 0]
        for id_ in order:  # it grows on the way (Kahn 1962)
            for reader in readers.get(id_, ()):
                waits_for[reader] -= 1
                if waits_for[reader] == 0:
                    order.append(reader)
        return order if len(order) == len(self.links) else self._order_with_cycles()

    def _order_with_cycles(self) -> Sequence[str]:
        import networkx as nx  # takes 0.17 s to load, which sound workflows need not wait for

        edges = nx.DiGraph((source, id_) for id_, links in self.links.items() for source, _ in links.values())
        edges.add_nodes_from(self.links)
        components = [sorted(each) for each in nx.strongly_connected_components(edges)]
        components.reverse()  # they come with the last readers first
        for component in components:
            if len(component) > 1 or edges.has_edge(component[0], component[0]):
                self._report_cycle([source for source, _ in nx.find_cycle(edges.subgraph(component))])
        return [id_ for component in components for id_ in component]

    def _report_cycle(self, cycle: list[str]) -> None:
        first = cycle.index(min(cycle))
        ids = [*cycle[first:], *cycle[:first]]
        circle = " → ".join([*ids, ids[0]] if len(ids) <= 12 else [*ids[:6], "…", *ids[-5:], ids[0]])
        message = f"the nodes feed each other in a circle: {circle}."
        remedy = "Remove one of these links."
        self.problems.append(Problem("cycle", message, remedy, ids[0], self.kinds[ids[0]].id, extra={"cycle": ids}))

    def _check_links(self, id_: str, kind: NodeDefinition) -> None:
        bound: dict[str, str] = {}
        for name, link in self.links[id_].items():
            given = self.output_types.get(link, sockets.ANY)
            wanted = kind.inputs_by_name[name].type
            if sockets.is_variable(wanted):
                if bound.get(wanted, sockets.ANY) == sockets.ANY:
                    if sockets.accepts(kind.variables.get(wanted, sockets.ANY), given):
                        bound[wanted] = given
                    else:
                        self._add(id_, kind, name, self._wrong_link(link, given, kind.variables[wanted]))
                    continue
                wanted = bound[wanted]
            if not sockets.accepts(wanted, given):
                self._add(id_, kind, name, self._wrong_link(link, given, wanted))
        for output in kind.outputs:
            self.output_types[id_, output.name] = sockets.resolve(output.type, bound)

    def _wrong_link(self, link: Link, given: str, wanted: str) -> Problem:
        converters = self._converters(given, wanted)
        names = " or ".join(map(with_article, converters))
        remedy = f"Put {names} node between them." if converters else f"Link it to {with_article(wanted)}."
        message = f"linked to {'.'.join(link)!r}, {with_article(given)}; it takes {with_article(wanted)}."
        return Problem("wrong_link_type", message, remedy, extra={"converters": converters})

    def _converters(self, given: str, wanted: str) -> list[str]:
        """Name up to two nodes that turn one type into the other, those that need the least besides first."""
        found: list[tuple[int, str]] = []
        for kind in self.definitions.by_id.values():
            takes = any(each.type == given for each in kind.inputs)
            if takes and any(each.type == wanted for each in kind.outputs) and kind.status != "deprecated":
                others = sum(each.required and not sockets.is_scalar(each.type) for each in kind.inputs)
                found.append((others * 100 + len(kind.inputs), kind.id))
        return [name for _, name in sorted(found)[:2]]

    # The workflow as a function

    def _given_by_declared_inputs(self) -> dict[str, dict[str, object]]:
        """Give the values that declared inputs put into nodes, by node; check where they lead."""
        given: dict[str, dict[str, object]] = {}
        led_to: dict[str, str] = {}
        for name, declared in self.workflow.inputs.items():
            for reference in declared.to:
                node, input_name = split_reference(reference)
                kind = self.kinds.get(node)
                if kind is None or input_name not in kind.inputs_by_name:
                    if node not in self.workflow.nodes or kind is not None:
                        message = f"it leads to {reference!r}, which doesn't exist."
                        self.problems.append(Problem("dangling_link", message, "Correct its 'to'.", input=name))
                elif link_of(self.workflow.nodes[node].inputs.get(input_name)) is not None:
                    message = f"it leads to {reference!r}, which is linked already."
                    self.problems.append(Problem("linked_twice", message, "Take the link or this out.", input=name))
                elif led_to.setdefault(reference, name) != name:
                    message = f"it leads to {reference!r}, and so does {led_to[reference]!r}."
                    self.problems.append(Problem("linked_twice", message, "Take one of them out.", input=name))
                elif declared.default is not None:
                    given.setdefault(node, {})[input_name] = declared.default
            self._check_declared_range(name)
        return given

    def _check_declared_range(self, name: str) -> None:
        declared = self.workflow.inputs[name]
        if declared.default is None:
            return
        definition = InputDefinition(name=name, type=declared.type, minimum=declared.min, maximum=declared.max)
        _, problem = check_literal(definition, declared.default)
        if problem is not None:
            self.problems.append(replace(problem, input=name))

    def _check_declared_outputs(self) -> dict[str, Link]:
        outputs = {}
        for name, declared in self.workflow.outputs.items():
            link = split_reference(declared.source)
            kind = self.kinds.get(link[0])
            if kind is not None and link[1] in kind.outputs_by_name:
                outputs[name] = link
            elif link[0] not in self.workflow.nodes or kind is not None:
                message = f"the declared output {name!r} comes from {declared.source!r}, which doesn't exist."
                self.problems.append(Problem("dangling_link", message, "Correct its 'from'."))
        return outputs

    def _check_targets(self, graph: Graph, targets: Collection[str] | None) -> None:
        if targets is None:
            if not graph.default_targets() and not self.problems:
                message = "nothing in this workflow shows or saves anything, so there is nothing to run."
                remedy = "Add a node such as SaveImage, or declare an output."
                self.problems.append(Problem("no_outputs", message, remedy))
            return
        for target in targets:
            if target not in self.workflow.nodes:
                near = self._nearest_node(target)
                remedy = f"Did you mean {near!r}?" if near else "Give ids of nodes in the file."
                self.problems.append(Problem("unknown_target", f"there is no node {target!r} to run.", remedy))

    def _add(self, id_: str, kind: NodeDefinition, name: str, problem: Problem) -> None:
        self.problems.append(replace(problem, node=id_, node_type=kind.id, input=name))


def _malformed_link(value: Mapping[str, object]) -> Problem:
    message = f"{shown(value)} is no link."
    return Problem("malformed_link", message, 'Write {"$link": "node.output"}, and nothing else beside it.')


def _missing(definition: InputDefinition) -> Problem:
    if sockets.is_scalar(definition.type):
        return Problem("missing_input", "it has no value.", f"Give it {with_article(definition.type)}.")
    what = definition.type.replace("|", " or ")
    return Problem("missing_input", "it is not linked.", f"Link an output of type {what} to it.")


def _other_version(id_: str, kind: NodeDefinition, saved: int) -> Problem:
    if saved > kind.version:
        message = f"it was saved with version {saved} of {kind.id}; version {kind.version} is installed."
        return Problem("newer_version", message, f"Upgrade {kind.pack or 'its pack'}.", id_, kind.id)
    message = f"it was saved with version {saved} of {kind.id}, and version {kind.version} is installed."
    return Problem("older_version", message, "Bring its inputs to the new version and set type_version.", id_, kind.id)
