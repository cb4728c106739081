"""Workflow → flat nodes: sub-graphs unfolded, muted and bypassed nodes taken out.

A node ``up`` of type ``subgraph:hires`` becomes the sub-graph's nodes, named ``up/…``. Whatever read ``up.image`` reads
the node behind that declared output; whatever ``up`` was given goes to where its declared inputs lead. Problems are
collected, not raised. Nothing here recurses: sub-graphs may be hundreds deep.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from graphengine.core import sockets
from graphengine.core.definition import InputDefinition
from graphengine.core.literals import check_literal
from graphengine.core.registry import Definitions
from graphengine.core.subgraphs import SubgraphValue
from graphengine.core.workflow import DeclaredInput, Link, Node, Subgraph, Workflow, link_of, load_workflow
from graphengine.core.workflow import split_reference as split
from graphengine.errors import GraphEngineError, Problem

__all__ = ["Flat", "flatten", "is_flat"]

_MOST_NODES = 200_000
_MOST_SUBGRAPHS = 20_000
_SUBGRAPH, _FILE = "subgraph:", "file:"

FindFile = Callable[[str, str], Path | None]
Value = Any  # Any: a JSON value or a SubgraphValue


@dataclass
class Flat:
    """A workflow without sub-graphs and modes.

    Attributes:
        nodes: By id, in the order of the file; ``inputs`` hold literals, links to nodes of here, and sub-graphs.
        outputs: The declared outputs; None for one whose node is muted.
        problems: What was wrong with sub-graphs and modes.
        places: Node id -> the sub-graph and the node there that it was made from.
        muted: Linked inputs whose source isn't there: (node, input) -> the source.
        broken: Outputs of sub-graphs that come from nowhere; what reads them has nothing to be blamed for.
        passes: Outputs of nodes that aren't here, such as sub-graphs', and what their readers get instead.
        leads: Inputs of nodes that stand for sub-graphs, and those within that they lead to.
        is_complete: False if there was too much to unfold.
    """

    nodes: dict[str, Node]
    outputs: dict[str, Link | None]
    problems: list[Problem] = field(default_factory=list)
    places: dict[str, tuple[int, str]] = field(default_factory=dict)
    muted: dict[tuple[str, str], str] = field(default_factory=dict)
    broken: set[Link] = field(default_factory=set)
    passes: dict[Link, Value] = field(default_factory=dict)
    leads: dict[Link, list[Link]] = field(default_factory=dict)
    is_complete: bool = True

    def source_of(self, output: Link) -> Link | None:
        """Give the output of a node of here that readers of an output get; None if there is none."""
        for _ in range(len(self.passes) + 1):
            if output not in self.passes:
                return output if output[0] in self.nodes else None
            link = link_of(self.passes[output])
            if link is None:
                return None
            output = link
        return None

    def ends_of(self, input_: Link) -> list[Link]:
        """Give the inputs of nodes of here that an input leads to."""
        ends = [input_]
        for end in ends:  # it grows on the way
            ends += self.leads.get(end, ())
        return [end for end in dict.fromkeys(ends) if end[0] in self.nodes]


class _Scope(NamedTuple):
    """A sub-graph being unfolded: where its nodes go, and where names are looked up."""

    prefix: str
    document: Workflow | Subgraph
    label: str
    outer: _Scope | None
    lookup: _Scope | None


def is_flat(workflow: Workflow) -> bool:
    """Tell whether there is nothing to flatten, which is so for most files."""
    if workflow.subgraphs:
        return False
    return not any(
        node.mode != "normal"
        or node.type.startswith((_SUBGRAPH, _FILE))
        or any(type(value) is dict and "$subgraph" in value for value in node.inputs.values())
        for node in workflow.nodes.values()
    )


def flatten(workflow: Workflow, definitions: Definitions, find_file: FindFile) -> Flat:
    """Unfold sub-graphs and take out what is muted or bypassed.

    Args:
        find_file: Finds a file by kind ("workflows") and name, for nodes of type ``file:PATH``.
    """
    return _Flattener(workflow, definitions, find_file).run()


class _Flattener:
    def __init__(self, workflow: Workflow, definitions: Definitions, find_file: FindFile) -> None:
        self.workflow = workflow
        self.definitions = definitions
        self.find_file = find_file
        self.flat = Flat({}, {})
        self.files: dict[Path, Subgraph | Problem] = {}

    def run(self) -> Flat:
        unfolded = 0
        root = _Scope("", self.workflow, "", None, None)
        stack: list[tuple[_Scope, Mapping[str, Value]]] = [(root, {})]
        while stack:
            scope, given = stack.pop()
            for inner in reversed(list(self._unfold(scope, given))):
                stack.append(inner)
            unfolded += 1
            if len(self.flat.nodes) > _MOST_NODES or unfolded > _MOST_SUBGRAPHS:
                message = f"its sub-graphs unfold to more than {_MOST_NODES} nodes or {_MOST_SUBGRAPHS} sub-graphs."
                problem = Problem("too_large", message, "Use fewer of them in one another.")
                return Flat({}, {}, [problem], is_complete=False)
        self._relink()
        for name, declared in self.workflow.outputs.items():
            source = self._resolve({"$link": declared.source})
            self.flat.outputs[name] = link_of(source)
        return self.flat

    def _unfold(self, scope: _Scope, given: Mapping[str, Value]) -> Iterator[tuple[_Scope, Mapping[str, Value]]]:
        """Take over one graph's nodes; give the sub-graphs that stand in it as nodes."""
        led = self._lead(scope, given)
        for id_, node in scope.document.nodes.items():
            flat_id = scope.prefix + id_
            inputs = {name: self._rewrite(scope, flat_id, node, name, value) for name, value in node.inputs.items()}
            if scope.outer is not None or node.type.startswith((_SUBGRAPH, _FILE)):
                inputs.update(led.get(id_, {}))  # the workflow's own inputs are put into its own nodes by ``check``
            if node.mode == "normal" and node.type.startswith((_SUBGRAPH, _FILE)):
                inner = self._scope_of(scope, flat_id, node)
                if inner is not None:
                    self._check_sockets(flat_id, node, inner.document, inputs)
                    for name, declared in inner.document.outputs.items():
                        is_there = self._check_output(flat_id, node, inner.document, name)
                        self.flat.passes[flat_id, name] = (
                            {"$link": f"{inner.prefix}{declared.source}"} if is_there else None
                        )
                    yield inner, inputs
                    continue
                self.flat.places[flat_id] = (id(scope.document), id_)
                continue
            self.flat.places[flat_id] = (id(scope.document), id_)
            if node.mode == "normal":
                self.flat.nodes[flat_id] = node if inputs == node.inputs else node.model_copy(update={"inputs": inputs})
            else:
                self._take_out(scope, flat_id, node, inputs)

    def _lead(self, scope: _Scope, given: Mapping[str, Value]) -> dict[str, dict[str, Value]]:
        """Give what declared inputs put into nodes, by node."""
        led: dict[str, dict[str, Value]] = {}
        for name, declared in scope.document.inputs.items():
            value = given.get(name, declared.default)
            for reference in declared.to:
                node, input_name = split(reference)
                if scope.outer is not None:
                    self.flat.leads.setdefault((scope.prefix[:-1], name), []).append((scope.prefix + node, input_name))
                if node not in scope.document.nodes and scope.outer is not None:
                    self._add(
                        "dangling_link",
                        scope.prefix[:-1],
                        f"the sub-graph's input {name!r} leads to {reference!r}, which doesn't exist.",
                        "Correct its 'to'.",
                    )
                elif value is not None:
                    led.setdefault(node, {})[input_name] = value
        return led

    def _rewrite(self, scope: _Scope, flat_id: str, node: Node, name: str, value: Value) -> Value:
        """Bring an input's value into the terms of the flat graph."""
        if type(value) is not dict:
            return value
        link = link_of(value)
        if link is not None:
            return {"$link": f"{scope.prefix}{link[0]}.{link[1]}"} if scope.prefix else value
        reference = value.get("$subgraph")
        if len(value) == 1 and isinstance(reference, str):
            document = self._find(scope, flat_id, node, reference, name)
            return None if document is None else SubgraphValue(reference, self._closed(document[0], document[1]))
        return value

    # Finding sub-graphs

    def _scope_of(self, scope: _Scope, flat_id: str, node: Node) -> _Scope | None:
        reference = node.type if node.type.startswith(_FILE) else node.type.removeprefix(_SUBGRAPH)
        found = self._find(scope, flat_id, node, reference)
        if found is None:
            return None
        document, lookup = found
        circle = [node.type]
        outer: _Scope | None = scope
        while outer is not None:
            if outer.document is document:
                names = " → ".join([node.type, *reversed(circle)])
                self._add(
                    "recursion",
                    flat_id,
                    f"the sub-graph contains itself: {names}.",
                    "Take one of them out; a loop is made with ForEach or While.",
                    node.type,
                )
                return None
            circle.append(outer.label)
            outer = outer.outer
        return _Scope(f"{flat_id}/", document, node.type, scope, lookup)

    def _find(
        self, scope: _Scope, flat_id: str, node: Node, reference: str, input_name: str | None = None
    ) -> tuple[Subgraph, _Scope | None] | None:
        """Find a sub-graph by name, from the innermost graph outwards, or a file."""
        if reference.startswith(_FILE):
            return self._open(flat_id, node, reference.removeprefix(_FILE), input_name)
        names: list[str] = []
        at: _Scope | None = scope
        while at is not None:
            if reference in at.document.subgraphs:
                return at.document.subgraphs[reference], at
            names += at.document.subgraphs
            at = at.lookup
        near = difflib.get_close_matches(reference, names, n=1)
        guess = f"Did you mean {near[0]!r}? " if near else ""
        self._add(
            "unknown_subgraph",
            flat_id,
            f"there is no sub-graph {reference!r}.",
            f"{guess}The file has: {', '.join(sorted(set(names))) or 'none'}.",
            node.type,
            input_name,
        )
        return None

    def _open(
        self, flat_id: str, node: Node, name: str, input_name: str | None
    ) -> tuple[Subgraph, _Scope | None] | None:
        path = self.find_file("workflows", name)
        if path is None:
            remedy = "Give a path beside the workflow."
            self._add("file_not_found", flat_id, f"there is no file {name!r}.", remedy, node.type, input_name)
            return None
        if path not in self.files:
            self.files[path] = _read(path)
        found = self.files[path]
        if isinstance(found, Problem):
            self._add(found.code, flat_id, found.message, found.remedy, node.type, input_name)
            return None
        return found, None

    def _closed(self, document: Subgraph, lookup: _Scope | None) -> Subgraph:
        """Give a sub-graph with all that it may name inside, to be used away from its place."""
        known: dict[str, Subgraph] = {}
        at = lookup
        while at is not None:
            known = dict(at.document.subgraphs) | known
            at = at.lookup
        return document.model_copy(update={"subgraphs": known | document.subgraphs}) if known else document

    def _check_sockets(self, flat_id: str, node: Node, document: Workflow | Subgraph, inputs: dict[str, Value]) -> None:
        """Hold what a sub-graph is given to what it declares."""
        for name, value in inputs.items():
            declared = document.inputs.get(name)
            if declared is None:
                near = difflib.get_close_matches(name, document.inputs, n=1)
                guess = f"Did you mean {near[0]!r}? " if near else ""
                remedy = f"{guess}Its inputs: {', '.join(document.inputs) or 'none'}."
                self._add("unknown_input", flat_id, "it has no such input.", remedy, node.type, name)
            elif link_of(value) is None and not isinstance(value, SubgraphValue):
                _, problem = check_literal(_definition(name, declared), value)
                if problem is not None:
                    self._add(problem.code, flat_id, problem.message, problem.remedy, node.type, name)
                    self._excuse(flat_id, declared)
        for name, declared in document.inputs.items():
            if name not in inputs and declared.default is None and self._is_needed(document, declared):
                what = f"Give or link it {declared.type}." if declared.type != sockets.ANY else "Give or link a value."
                self._add("missing_input", flat_id, "it has no value.", what, node.type, name)
                self._excuse(flat_id, declared)
        for name in [name for name in inputs if name in document.inputs and self._is_excused(flat_id, document, name)]:
            del inputs[name]

    def _check_output(self, flat_id: str, node: Node, document: Workflow | Subgraph, name: str) -> bool:
        """Tell whether what a declared output names is there; sub-graphs within are looked at themselves."""
        source, output = split(document.outputs[name].source)
        inner = document.nodes.get(source)
        kind = self.definitions.get(inner.type) if inner is not None else None
        if inner is not None and (kind is None or kind.has_own_sockets or output in kind.outputs_by_name):
            return True
        message = f"the sub-graph's output {name!r} comes from {document.outputs[name].source!r}, which doesn't exist."
        self._add("dangling_link", flat_id, message, "Correct its 'from'.", node.type)
        self.flat.broken.add((flat_id, name))
        return False

    def _excuse(self, flat_id: str, declared: DeclaredInput) -> None:
        """Let nobody complain of what a declared input leads to, which was complained of here."""
        for reference in declared.to:
            to, input_name = split(reference)
            self.flat.muted[f"{flat_id}/{to}", input_name] = ""

    def _is_excused(self, flat_id: str, document: Workflow | Subgraph, name: str) -> bool:
        leads = (split(reference) for reference in document.inputs[name].to)
        return any((f"{flat_id}/{to}", input_name) in self.flat.muted for to, input_name in leads)

    def _is_needed(self, document: Workflow | Subgraph, declared: DeclaredInput) -> bool:
        """Tell whether a declared input leads to one that must have a value and has none of its own."""
        for reference in declared.to:
            id_, name = split(reference)
            node = document.nodes.get(id_)
            kind = self.definitions.get(node.type) if node is not None else None
            if node is None or name in node.inputs:
                continue
            if kind is None or (name in kind.inputs_by_name and kind.inputs_by_name[name].required):
                return True
        return False

    # Modes

    def _take_out(self, scope: _Scope, flat_id: str, node: Node, inputs: Mapping[str, Value]) -> None:
        """Leave a muted node out; let values pass by a bypassed one."""
        taken, given = self._socket_types(scope, node)
        for output, type_name in given.items():
            passed: Value = None
            if node.mode == "bypassed":
                names = [name for name, each in taken.items() if each == type_name and inputs.get(name) is not None]
                passed = inputs[names[0]] if names else None
            self.flat.passes[flat_id, output] = passed

    def _socket_types(self, scope: _Scope, node: Node) -> tuple[dict[str, str], dict[str, str]]:
        """Give the types of a node's inputs and outputs, of a sub-graph's declared ones too."""
        kind = self.definitions.get(node.type)
        if kind is not None:
            return {each.name: each.type for each in kind.inputs}, {each.name: each.type for each in kind.outputs}
        if not node.type.startswith((_SUBGRAPH, _FILE)):
            return {}, {}
        found = self._find(scope, "", node, node.type.removeprefix(_SUBGRAPH))
        if found is None:
            self.flat.problems.pop()
            return {}, {}
        document = found[0]
        return (
            {name: each.type for name, each in document.inputs.items()},
            {name: self._output_type(document, name) for name in document.outputs},
        )

    def _output_type(self, document: Subgraph, name: str) -> str:
        """Find the type of a declared output at the node behind it, through sub-graphs within."""
        for _ in range(_MOST_NODES):
            id_, output = split(document.outputs[name].source)
            node = document.nodes.get(id_)
            kind = self.definitions.get(node.type) if node is not None else None
            if kind is not None and output in kind.outputs_by_name:
                return kind.outputs_by_name[output].type
            inner = document.subgraphs.get(node.type.removeprefix(_SUBGRAPH)) if node is not None else None
            if inner is None or output not in inner.outputs:
                break
            document, name = inner, output
        return sockets.ANY

    def _relink(self) -> None:
        """Let links end at nodes that are there: behind declared outputs, before bypassed nodes."""
        if not self.flat.passes:
            return
        for id_, node in self.flat.nodes.items():
            changed: dict[str, Value] = {}
            gone = []
            for name, value in node.inputs.items():
                link = link_of(value)
                if link is None or link not in self.flat.passes:
                    continue
                resolved = self._resolve(value)
                if resolved is None:
                    gone.append(name)
                    self.flat.muted[id_, name] = "" if link in self.flat.broken else ".".join(link)
                else:
                    changed[name] = resolved
            if changed or gone:
                inputs = {name: value for name, value in (node.inputs | changed).items() if name not in gone}
                self.flat.nodes[id_] = node.model_copy(update={"inputs": inputs})

    def _resolve(self, value: Value) -> Value:
        """Follow a link to a node that is there; a literal that is passed by, or None if nothing is."""
        followed: set[Link] = set()
        while (link := link_of(value)) is not None and link in self.flat.passes and link not in followed:
            followed.add(link)
            value = self.flat.passes[link]
        if link is not None and link in followed:
            node = link[0]
            self._add("cycle", node, "bypassed nodes feed each other in a circle.", "Remove one of the links.")
            return None
        return value

    def _add(
        self, code: str, node: str, message: str, remedy: str, node_type: str | None = None, input: str | None = None
    ) -> None:
        self.flat.problems.append(Problem(code, message, remedy, node or None, node_type, input))


def _definition(name: str, declared: DeclaredInput) -> InputDefinition:
    return InputDefinition(
        name=name, type=declared.type, required=False, default=None, minimum=declared.min, maximum=declared.max
    )


def _read(path: Path) -> Subgraph | Problem:
    """Read a workflow file as a sub-graph."""
    try:
        workflow = load_workflow(path)
    except (GraphEngineError, OSError) as error:
        return Problem("bad_subgraph", f"its file can't be used: {error}", "Repair the file.")
    return Subgraph.model_construct(
        inputs=workflow.inputs, outputs=workflow.outputs, nodes=workflow.nodes, subgraphs=workflow.subgraphs
    )
