"""Workflow × definitions → Graph: a sound, typed DAG with every input literal, linked or at its default.

``check`` reports all problems at once; ``build_graph`` is the same with an exception. The rules exist here only.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

from graphengine.core import sockets
from graphengine.core.definition import InputDefinition, NodeDefinition, OutputDefinition
from graphengine.core.facts import FactsCheck
from graphengine.core.fingerprint import file_version
from graphengine.core.flatten import Flat, flatten, is_flat
from graphengine.core.link_types import LinkTypes, NodeTypes
from graphengine.core.literals import check_literal, not_a_choice, shown, with_article
from graphengine.core.migration import migrated_inputs
from graphengine.core.registry import Definitions, RunnableNode
from graphengine.core.subgraphs import SUBGRAPH, SubgraphValue, with_body
from graphengine.core.workflow import DeclaredOutput, Link, Node, Workflow, link_of, split_reference
from graphengine.errors import GraphEngineError, InputError, InvalidWorkflow, Problem

__all__ = ["FileValue", "Files", "Graph", "GraphNode", "build_graph", "check", "recheck_literals"]


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
        mapped: Linked inputs that get a list and take one item: the node is called once per item.
        wrapped: Linked inputs that take a list and get one value: they receive a list of one.
    """

    id: str
    definition: NodeDefinition
    literals: Mapping[str, Any]  # Any: of each input's own type
    links: Mapping[str, Link]
    mapped: frozenset[str] = frozenset()
    wrapped: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Graph:
    """A sound graph.

    Attributes:
        nodes: By id, in the order of the file.
        outputs: The workflow's declared outputs: name -> node and output.
        is_flat: The workflow had neither sub-graphs nor muted or bypassed nodes: nodes are as in the file.
    """

    nodes: Mapping[str, GraphNode]
    outputs: Mapping[str, Link]
    is_flat: bool = True

    def nodes_of(self, targets: Iterable[str]) -> list[str]:
        """Give the nodes that targets name; the name of a sub-graph's node stands for those inside that end in it."""
        found: dict[str, None] = {}
        for target in targets:
            inside = [target] if target in self.nodes else [id_ for id_ in self.nodes if id_.startswith(f"{target}/")]
            read = {source for id_ in inside for source, _ in self.nodes[id_].links.values()} if inside[1:] else ()
            found.update(dict.fromkeys(id_ for id_ in inside if id_ not in read))
        return list(found)

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
    """Find everything that is wrong with a workflow; what lies outside the targets' ancestry as warnings.

    Args:
        targets: Node ids; by default every output node and the nodes of declared outputs.
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
    given: Mapping[str, str] = MappingProxyType({}),
) -> Graph:
    """Make the graph.

    Args:
        given: Nodes that stand for values from outside, with the type of their only output, ``value``.

    Raises:
        InvalidWorkflow: with all problems that ``check`` finds, if any is more than a warning.
    """
    graph, problems = _Checker(workflow, definitions, files, function_of, given).run(targets)
    if not all(problem.warning for problem in problems):
        raise InvalidWorkflow(problems, source)
    return graph


def recheck_literals(
    graph: Graph,
    workflow: Workflow,
    ids: Collection[str],
    definitions: Definitions,
    files: Files,
    function_of: FunctionOf,
) -> Graph | None:
    """Make the graph of a workflow that differs from an earlier, flat one in these nodes' literals alone.

    Returns:
        The graph; None if anything is wrong, or if links differ too: then ``build_graph`` has to look at it all.
    """
    checker = _Checker(workflow, definitions, files, function_of)
    checker.kinds = {id_: node.definition for id_, node in graph.nodes.items()}
    given = checker._given_by_declared_inputs() if workflow.inputs else {}
    nodes = dict(graph.nodes)
    for id_ in ids:
        old = graph.nodes.get(id_)
        if old is None or old.definition.body is not None:
            return None
        node = workflow.nodes[id_]
        inputs: Mapping[str, object] = {**node.inputs, **given.get(id_, {})}
        if node.type_version != old.definition.version:
            return None
        checker._check_node(id_, old.definition, inputs)
        if checker.problems or checker.links[id_] != old.links:
            return None
        if checker.literals[id_] != old.literals or not _same_types(checker.literals[id_], old.literals):
            if old.definition.has_refine:  # then nodes far from it may not fit it any more
                return None
            nodes[id_] = old._replace(literals=checker.literals[id_])
    return Graph(nodes, graph.outputs) if not checker.problems else None


def _same_types(now: Mapping[str, object], before: Mapping[str, object]) -> bool:
    """Tell 1 from 1.0 and True, which are equal in Python but not on an input that takes anything."""
    return repr(now) == repr(before)


@dataclass
class _Checker:
    """One pass over a workflow; it collects problems and the graph's nodes side by side."""

    workflow: Workflow
    definitions: Definitions
    files: Files
    function_of: FunctionOf | None
    given: Mapping[str, str] = field(default_factory=dict)
    depth: int = 0
    nodes: Mapping[str, Node] = field(init=False)
    flat: Flat | None = None
    problems: list[Problem] = field(default_factory=list)
    kinds: dict[str, NodeDefinition] = field(default_factory=dict)
    literals: dict[str, dict[str, Any]] = field(default_factory=dict)
    links: dict[str, dict[str, Link]] = field(default_factory=dict)
    inputs: dict[str, Mapping[str, object]] = field(default_factory=dict)
    types: LinkTypes = field(init=False)
    lists: dict[str, NodeTypes] = field(default_factory=dict)
    near: dict[str, str | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.nodes = self.workflow.nodes
        self.types = LinkTypes(self.definitions.by_id.values())

    def run(self, targets: Collection[str] | None) -> tuple[Graph, list[Problem]]:
        if not is_flat(self.workflow):
            self.flat = flatten(self.workflow, self.definitions, self.files.find_file)
            self.nodes = self.flat.nodes
            self.problems += self.flat.problems
            if not self.flat.is_complete:
                return Graph({}, {}, is_flat=False), self.problems
        for id_, type_name in self.given.items():
            self.kinds[id_], self.literals[id_], self.links[id_] = _given_kind(type_name), {}, {}
        for id_, node in self.nodes.items():
            kind = self.definitions.get(node.type)
            if kind is not None:
                self.kinds[id_] = kind
        given = self._given_by_declared_inputs()
        self._prepare_nodes(given)
        for id_, kind in self.kinds.items():
            if id_ not in self.given:
                self._check_node(id_, kind, self.inputs[id_])
        self._check_unknown_nodes()
        order = self._order()
        for id_ in order:
            self._check_links(id_, self.kinds[id_])
        if self.function_of is not None and any(kind.has_refine for kind in self.kinds.values()):
            self._check_facts(order, self.function_of)
        nodes = {id_: self._node(id_, kind) for id_, kind in self.kinds.items()}
        graph = Graph(nodes, self._check_declared_outputs(), is_flat=self.flat is None)
        self._check_targets(graph, targets)
        if self.problems:
            self.problems = self._sorted_problems(graph, targets)
        return graph, self.problems

    def _node(self, id_: str, kind: NodeDefinition) -> GraphNode:
        types = self.lists.get(id_)
        if types is None:
            return GraphNode(id_, kind, self.literals[id_], self.links[id_])
        return GraphNode(id_, kind, self.literals[id_], self.links[id_], types.mapped, types.wrapped)

    def _sorted_problems(self, graph: Graph, targets: Collection[str] | None) -> list[Problem]:
        """Put what stops the run first; problems outside the targets' ancestry are warnings. Each is said once.

        A sub-graph that is used several times has its problems once, where it is used first.
        """
        targets = graph.default_targets() if targets is None else targets
        ancestry = self._ancestry(targets) if targets else {*self.nodes, *self.workflow.nodes}
        stopping: list[Problem] = []
        warnings: list[Problem] = []
        said: set[object] = set()
        for problem in self.problems:
            place = self.flat.places.get(problem.node or "") if self.flat is not None else None
            same = (place or problem.node, problem.input, problem.code, problem.message if place is None else "")
            if problem.node is not None and "/" in problem.node and same in said:
                continue
            said.add(same)
            if problem.node is None or problem.node in ancestry:
                stopping.append(problem)
            else:
                warnings.append(replace(problem, warning=True))
        return stopping + warnings

    def _ancestry(self, targets: Iterable[str]) -> set[str]:
        """Give the targets, what they read by any link however broken, and the sub-graph nodes these lie in."""
        found: set[str] = set()
        stack = [id_ for target in targets for id_ in self._ids_of(target)]
        if self.flat is not None:
            for declared in self.workflow.outputs.values():
                stack += self._ids_of(split_reference(declared.source)[0])
        while stack:
            id_ = stack.pop()
            if id_ in found:
                continue
            found.add(id_)
            if "/" in id_:
                stack.append(id_.rpartition("/")[0])
            node = self.nodes.get(id_) or self.workflow.nodes.get(id_)
            if node is not None:
                stack.extend(source for _, (source, _) in node.links)
        return found

    def _ids_of(self, target: str) -> list[str]:
        if target in self.nodes or target in self.given:
            return [target]
        known = self.flat.places if self.flat is not None else {}
        return [target, *(id_ for id_ in known if id_.startswith(f"{target}/"))]

    # One node by itself

    def _prepare_nodes(self, given: Mapping[str, Mapping[str, object]]) -> None:
        """Bring each node's inputs to the installed version, and its kind to the body that it is given."""
        for id_, kind in self.kinds.items():
            if id_ in self.given:
                continue
            node = self.nodes[id_]
            inputs: Mapping[str, object] = {**node.inputs, **given[id_]} if id_ in given else node.inputs
            if node.type_version != kind.version:
                inputs = self._of_this_version(id_, kind, node.type_version, inputs)
            self.inputs[id_] = inputs
            if kind.body is not None:
                self.kinds[id_] = self._with_body(id_, kind, inputs)

    def _of_this_version(
        self, id_: str, kind: NodeDefinition, version: int, inputs: Mapping[str, object]
    ) -> Mapping[str, object]:
        if version < kind.version and self.function_of is not None:
            try:
                return migrated_inputs(inputs, version, kind, self.function_of(kind))
            except GraphEngineError as error:
                remedy = f"Report it to the author of {kind.pack or 'its pack'}."
                self.problems.append(Problem("migration_failed", str(error), remedy, id_, kind.id))
        else:
            self.problems.append(_other_version(id_, kind, version))
        return inputs

    def _with_body(self, id_: str, kind: NodeDefinition, inputs: Mapping[str, object]) -> NodeDefinition:
        """Check a node's body by itself, and give the node its sockets."""
        body = inputs.get(kind.body.input) if kind.body is not None else None
        if kind.body is None or not isinstance(body, SubgraphValue):
            return kind
        absent = [name for name in kind.body.consumes if name not in body.document.outputs]
        if absent:
            message = f"the sub-graph {body.name!r} has no output {absent[0]!r}, which {with_article(kind.id)} reads."
            self._add(id_, kind, kind.body.input, Problem("missing_output", message, "Declare it among its outputs."))
        body, problems = _check_body(self, body)
        self.inputs[id_] = {**inputs, kind.body.input: body}
        for problem in problems:
            inner = f"{id_}/{(problem.node or '').removeprefix('body').removeprefix('/')}".rstrip("/")
            self.problems.append(replace(problem, node=inner, warning=False))
        return with_body(kind, body)

    def _check_unknown_nodes(self) -> None:
        for id_, node in self.nodes.items():
            if id_ not in self.kinds:
                self.problems.append(self._unknown_node(id_, node.type))

    def _unknown_node(self, id_: str, type_name: str) -> Problem:
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

    def _check_node(self, id_: str, kind: NodeDefinition, inputs: Mapping[str, object]) -> None:
        literals: dict[str, Any] = {}
        links: dict[str, Link] = {}
        for definition in kind.inputs:
            name = definition.name
            if name not in inputs:
                if definition.required:
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
            self._add(id_, kind, definition.name, _missing(definition))
        elif source:  # an empty one is said of the sub-graph's node
            message = f"linked to {source!r}, which is muted or lets nothing of this type pass."
            remedy = "Set that node's mode to normal, or link something else."
            self._add(id_, kind, definition.name, Problem("muted_source", message, remedy))

    def _check_value(self, id_: str, kind: NodeDefinition, definition: InputDefinition, value: object) -> Any:
        if type(value) is dict and "$link" in value:
            self._add(id_, kind, definition.name, _malformed_link(value))
            return None
        if definition.type == SUBGRAPH:
            if isinstance(value, SubgraphValue):
                return value
            if value is not None or definition.required:
                remedy = 'Write {"$subgraph": "NAME"} with the name of a sub-graph of this file.'
                self._add(id_, kind, definition.name, Problem("not_a_subgraph", "it takes a sub-graph.", remedy))
            return None
        if isinstance(value, SubgraphValue):
            message = f"it takes {with_article(definition.type)}, and no sub-graph."
            self._add(id_, kind, definition.name, Problem("wrong_type", message, "Take it out."))
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
            if source not in self.nodes and not self._is_sub_graph(
                source
            ):  # an unknown kind of node is reported by itself
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

    def _is_sub_graph(self, id_: str) -> bool:
        """Tell whether a node stands for a sub-graph that couldn't be unfolded; that is said at the node."""
        return self.flat is not None and id_ in self.flat.places

    def _nearest_kind(self, type_name: str) -> str | None:
        key = f"type {type_name}"
        if key not in self.near and len(self.near) < _MOST_GUESSES:
            self.near[key] = self.definitions.nearest(type_name)
        return self.near.get(key)

    def _nearest_node(self, name: str) -> str | None:
        """Give the node id most like this one; each name is compared with all ids once, and not without end."""
        if name not in self.near and len(self.near) < _MOST_GUESSES:
            self.near[name] = next(iter(difflib.get_close_matches(name, self.nodes, n=1)), None)
        return self.near.get(name)

    def _run_own_checks(self, id_: str, kind: NodeDefinition, function: RunnableNode) -> None:
        """Run the checks that are code, on literals that are right by themselves."""
        wrong = {problem.input for problem in self.problems if problem.node == id_}
        known = {name: value for name, value in self._plain_literals(id_).items() if name not in wrong}
        for own_check in function.checks:
            parameters = _parameters(own_check)
            if any(required and name not in known for name, required in parameters.items()):
                continue
            try:
                own_check(**{name: known[name] for name in parameters if name in known})
            except InputError as error:
                self._add(id_, kind, error.input, Problem("refused", error.message, error.remedy))

    def _plain_literals(self, id_: str) -> dict[str, Any]:
        return {name: value.path if type(value) is FileValue else value for name, value in self.literals[id_].items()}

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
        types = self.types.add(id_, kind, self.links[id_])
        for name, problem in types.problems:
            self._add(id_, kind, name, problem)
        if types.mapped or types.wrapped:
            self.lists[id_] = types

    def _check_facts(self, order: Iterable[str], function_of: FunctionOf) -> None:
        facts = FactsCheck(self.kinds, self.links, self._plain_literals, function_of)
        for id_, name, problem in facts.problems(order):
            self._add(id_, self.kinds[id_], name, problem)

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
            if self.flat is not None and self.flat.outputs.get(name) is not None:
                link = self.flat.outputs[name] or ("", "")
            else:
                link = split_reference(declared.source)
            kind = self.kinds.get(link[0])
            if kind is not None and link[1] in kind.outputs_by_name:
                outputs[name] = link
            elif self._is_sub_graph(link[0]) and link[0] not in self.nodes:
                continue  # it couldn't be unfolded, which is said there
            elif link[0] not in self.workflow.nodes or kind is not None or self._is_unfolded(link):
                message = f"the declared output {name!r} comes from {declared.source!r}, which doesn't exist."
                self.problems.append(Problem("dangling_link", message, "Correct its 'from'."))
        return outputs

    def _is_unfolded(self, link: Link) -> bool:
        """Tell whether a link leads to an output that a sub-graph, whose node is there no more, doesn't have."""
        node = self.workflow.nodes[link[0]]
        return (
            node.mode == "normal" and self.flat is not None and any(id_.startswith(f"{link[0]}/") for id_ in self.nodes)
        )

    def _check_targets(self, graph: Graph, targets: Collection[str] | None) -> None:
        if targets is None:
            if not graph.default_targets() and not self.problems:
                message = "nothing in this workflow shows or saves anything, so there is nothing to run."
                remedy = "Add a node such as SaveImage, or declare an output."
                self.problems.append(Problem("no_outputs", message, remedy))
            return
        for target in targets:
            if target not in self.nodes and not self.workflow.nodes.get(target) and target not in self.given:
                near = self._nearest_node(target)
                remedy = f"Did you mean {near!r}?" if near else "Give ids of nodes in the file."
                self.problems.append(Problem("unknown_target", f"there is no node {target!r} to run.", remedy))

    def _add(self, id_: str, kind: NodeDefinition, name: str, problem: Problem) -> None:
        self.problems.append(replace(problem, node=id_, node_type=kind.id, input=name))


_DEEPEST_BODIES = 50


def _check_body(checker: _Checker, body: SubgraphValue) -> tuple[SubgraphValue, list[Problem]]:
    """Check a loop's body with its declared inputs given; find the types of its outputs."""
    if checker.depth >= _DEEPEST_BODIES:
        message = f"loops lie in one another more than {_DEEPEST_BODIES} deep: {body.name!r} may contain itself."
        return body, [Problem("recursion", message, "Take one of them out.")]
    given = {f"given:{name}": declared.type for name, declared in body.document.inputs.items()}
    links = {name: {"$link": f"given:{name}.value"} for name in body.document.inputs}
    workflow = Workflow.model_construct(
        nodes={"body": Node.model_construct(type="subgraph:body", type_version=1, inputs=links)},
        outputs={name: DeclaredOutput.model_construct(source=f"body.{name}") for name in body.document.outputs},
        subgraphs={"body": body.document},
    )
    inner = _Checker(workflow, checker.definitions, checker.files, checker.function_of, given, depth=checker.depth + 1)
    graph, problems = inner.run([])
    types = {name: inner.types.outputs.get(link, sockets.ANY) for name, link in graph.outputs.items()}
    return body.typed(types), problems


@lru_cache
def _parameters(own_check: Callable[..., object]) -> Mapping[str, bool]:
    """Give a check's parameters, and whether each must be given; reading a signature takes as long as many checks."""
    parameters = inspect.signature(own_check).parameters
    return {name: each.default is each.empty for name, each in parameters.items()}


@lru_cache
def _given_kind(type_name: str) -> NodeDefinition:
    return NodeDefinition(id="graphengine.Given", outputs=(OutputDefinition(name="value", type=type_name),))


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
