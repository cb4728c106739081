"""Workflow × definitions → Graph: a sound, typed DAG with every input literal, linked or at its default.

``check`` reports all problems at once; ``build_graph`` is the same with an exception. The rules exist here only.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from types import MappingProxyType
from typing import Any, NamedTuple

from graphengine.core import sockets
from graphengine.core.definition import InputDefinition, NodeDefinition, OutputDefinition
from graphengine.core.facts import FactsCheck
from graphengine.core.flatten import Flat, flatten, is_flat
from graphengine.core.link_types import LinkTypes, NodeTypes
from graphengine.core.literals import check_literal, with_article
from graphengine.core.migration import migrated_inputs
from graphengine.core.misfits import Misfit, Socket, find_misfits
from graphengine.core.node_checks import Files, FileValue, FunctionOf, NodeChecker, deprecated, other_version
from graphengine.core.own_sockets import find_sockets, open_sockets, refusal
from graphengine.core.registry import Definitions
from graphengine.core.subgraphs import SubgraphValue, with_body
from graphengine.core.workflow import DeclaredOutput, Link, Node, Workflow, link_of, split_reference
from graphengine.errors import GraphEngineError, InputError, InvalidWorkflow, Problem

__all__ = ["FileValue", "Files", "Graph", "GraphNode", "build_graph", "check", "misfits", "recheck_literals"]


_DEEPEST_BODIES = 50


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
        warnings: What is wrong with the workflow and stops nothing.
    """

    nodes: Mapping[str, GraphNode]
    outputs: Mapping[str, Link]
    is_flat: bool = True
    warnings: tuple[Problem, ...] = ()

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
    return replace(graph, warnings=tuple(problems)) if problems else graph


def misfits(
    workflow: Workflow, definitions: Definitions, files: Files, function_of: FunctionOf, socket: Socket
) -> list[Misfit]:
    """Find the sockets that a wire from one could lead to, and that it wouldn't fit; see ``core/misfits.py``."""
    checker = _Checker(workflow, definitions, files, function_of)
    checker.run(None)
    if checker.facts is None:
        return []
    return find_misfits(checker.facts, checker.flat or Flat(dict(workflow.nodes), {}), socket)


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
        if old is None or old.definition.has_own_sockets:
            return None
        node = workflow.nodes[id_]
        inputs: Mapping[str, object] = {**node.inputs, **given.get(id_, {})}
        if node.type_version != old.definition.version:
            return None
        checker.check_node(id_, old.definition, inputs)
        if checker.problems or checker.links[id_] != old.links:
            return None
        if checker.literals[id_] != old.literals or not _same_types(checker.literals[id_], old.literals):
            if old.definition.has_refine:  # then nodes far from it may not fit it any more
                return None
            nodes[id_] = old._replace(literals=checker.literals[id_])
    return replace(graph, nodes=nodes) if not checker.problems else None


def _same_types(now: Mapping[str, object], before: Mapping[str, object]) -> bool:
    """Tell 1 from 1.0 and True, which are equal in Python but not on an input that takes anything."""
    return repr(now) == repr(before)


@dataclass
class _Checker(NodeChecker):
    """One pass over a workflow; it collects problems and the graph's nodes side by side."""

    depth: int = 0
    inputs: dict[str, Mapping[str, object]] = field(default_factory=dict)
    types: LinkTypes = field(init=False)
    lists: dict[str, NodeTypes] = field(default_factory=dict)
    facts: FactsCheck | None = None

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
                self.check_node(id_, kind, self.inputs[id_])
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
            if not problem.warning and self._is_needed(problem.node, ancestry):
                stopping.append(problem)
            else:
                warnings.append(replace(problem, warning=True))
        return stopping + warnings

    def _is_needed(self, node: str | None, ancestry: Collection[str]) -> bool:
        """Tell whether a node is in the ancestry; those in the body of a loop are if the loop is."""
        if node is None or node in ancestry:
            return True
        parts = node.split("/")
        outer = ("/".join(parts[:depth]) for depth in range(1, len(parts)))
        return any(each in self.kinds and each in ancestry for each in outer)

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
            if kind.status == "deprecated":
                self.problems.append(deprecated(id_, kind))
            node = self.nodes[id_]
            inputs: Mapping[str, object] = {**node.inputs, **given[id_]} if id_ in given else node.inputs
            if node.type_version != kind.version:
                inputs = self._of_this_version(id_, kind, node.type_version, inputs)
            self.inputs[id_] = inputs
            if kind.body is not None:
                self.kinds[id_] = self._with_body(id_, kind, inputs)
            elif kind.sockets_from:
                self.kinds[id_] = self._with_sockets(id_, kind, inputs)

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
            self.problems.append(other_version(id_, kind, version))
        return inputs

    def _with_sockets(self, id_: str, kind: NodeDefinition, inputs: Mapping[str, object]) -> NodeDefinition:
        """Give a node the sockets that its own code tells from its literals."""
        found = None
        if self.function_of is not None:
            try:
                found = find_sockets(kind, inputs, self.files, self.function_of(kind))
            except InputError as error:
                self.add(id_, kind, error.input, refusal(error))
        declared = [*map(split_reference, (each.source for each in self.workflow.outputs.values()))]
        declared += [link for link in (self.flat.outputs.values() if self.flat is not None else ()) if link]
        found = found or open_sockets(id_, inputs, self.nodes, declared)
        return kind.with_sockets(found.inputs, found.outputs)

    def _with_body(self, id_: str, kind: NodeDefinition, inputs: Mapping[str, object]) -> NodeDefinition:
        """Check a node's body by itself, and give the node its sockets."""
        body = inputs.get(kind.body.input) if kind.body is not None else None
        if kind.body is None or not isinstance(body, SubgraphValue):
            return kind
        absent = [name for name in kind.body.consumes if name not in body.document.outputs]
        if absent:
            message = f"the sub-graph {body.name!r} has no output {absent[0]!r}, which {with_article(kind.id)} reads."
            self.add(id_, kind, kind.body.input, Problem("missing_output", message, "Declare it among its outputs."))
        body, problems = _check_body(self, body)
        self.inputs[id_] = {**inputs, kind.body.input: body}
        for problem in problems:
            inner = f"{id_}/{(problem.node or '').removeprefix('body').removeprefix('/')}".rstrip("/")
            self.problems.append(replace(problem, node=inner, warning=False))
        return with_body(kind, body)

    def _check_unknown_nodes(self) -> None:
        for id_, node in self.nodes.items():
            if id_ not in self.kinds:
                self.problems.append(self.unknown_node(id_, node.type))

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
            self.add(id_, kind, name, problem)
        if types.mapped or types.wrapped:
            self.lists[id_] = types

    def _check_facts(self, order: Sequence[str], function_of: FunctionOf) -> None:
        self.facts = FactsCheck(self.kinds, self.links, self.plain_literals, function_of, self.types.outputs)
        for id_, name, problem in self.facts.problems(order):
            self.add(id_, self.kinds[id_], name, problem)

    # The workflow as a function

    def _given_by_declared_inputs(self) -> dict[str, dict[str, object]]:
        """Give the values that declared inputs put into nodes, by node; check where they lead."""
        given: dict[str, dict[str, object]] = {}
        led_to: dict[str, str] = {}
        for name, declared in self.workflow.inputs.items():
            for reference in declared.to:
                node, input_name = split_reference(reference)
                kind = self.kinds.get(node)
                if kind is None or (not kind.has_own_sockets and input_name not in kind.inputs_by_name):
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
            elif self.flat is not None and link in self.flat.broken:
                continue
            elif self.is_sub_graph(link[0]) and link[0] not in self.nodes:
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
                near = self.nearest_node(target)
                remedy = f"Did you mean {near!r}?" if near else "Give ids of nodes in the file."
                self.problems.append(Problem("unknown_target", f"there is no node {target!r} to run.", remedy))


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
def _given_kind(type_name: str) -> NodeDefinition:
    return NodeDefinition(id="graphengine.Given", outputs=(OutputDefinition(name="value", type=type_name),))
