"""While a wire is drawn: which sockets of its type would take what doesn't fit there, such as another model's prompt.

What follows from a link may show far behind it:

    b.clip ╌╌▶ prompt.clip ──▶ sampler.positive     the prompt would be read by b, and the sampler's model is of a
               a.model ─────────▶ sampler.model

so each link that could be made is tried on the facts that are known. Such a link is no mistake by itself: whoever
changes over to another model makes one after the other, and the first of them can't fit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Literal, NamedTuple

from graphengine.core import sockets
from graphengine.core.facts import FactsCheck
from graphengine.core.flatten import Flat
from graphengine.core.workflow import Link
from graphengine.errors import Problem

__all__ = ["Misfit", "Socket", "find_misfits"]


class Socket(NamedTuple):
    """Where a wire begins.

    Attributes:
        node: Below the nodes of the sub-graphs that it is in, as ``upscale/decode``.
    """

    node: str
    name: str
    side: Literal["input", "output"]


class Misfit(NamedTuple):
    """A socket in the same graph as the one that a wire comes from, and what wouldn't fit if they were linked.

    Attributes:
        problem: Of the node at which it would show, which may lie behind.
    """

    node: str
    name: str
    problem: Problem


def find_misfits(facts: FactsCheck, flat: Flat, socket: Socket) -> list[Misfit]:
    """Try a link from a socket to each of its graph that may have such a type.

    Args:
        facts: After its pass over the graph.
    """
    found = []
    before: dict[str, set[str]] = {}
    for node, name in _others(facts, flat, socket):
        output, input_ = ((socket.node, socket.name), (node, name))
        if socket.side == "input":
            output, input_ = input_, output
        source, ends = flat.source_of(output), flat.ends_of(input_)
        if source is None or source[0] not in facts.kinds or not any(_may_take(facts, end, source) for end in ends):
            continue
        if source[0] not in before:
            before[source[0]] = _before(facts.links, source[0])
        ends = [end for end in ends if end[0] in facts.kinds and end[0] not in before[source[0]]]
        differing = facts.if_linked(ends, source) if ends else None
        if differing is not None:
            at, input_name, problem = differing
            placed = replace(problem, node=at, node_type=facts.kinds[at].id, input=input_name)
            found.append(Misfit(node, name, placed))
    return found


def _others(facts: FactsCheck, flat: Flat, socket: Socket) -> Iterator[Link]:
    """Give the sockets of the other side that are in the same graph, nodes that stand for sub-graphs included."""
    scope = socket.node.rpartition("/")[0]
    is_output = socket.side == "output"
    inside: dict[Link, None] = {}
    for id_, kind in facts.kinds.items():
        names = kind.inputs_by_name if is_output else kind.outputs_by_name
        inside.update(dict.fromkeys((id_, name) for name in names))
    inside.update(dict.fromkeys(flat.leads if is_output else flat.passes))
    for node, name in inside:
        if node != socket.node and node.rpartition("/")[0] == scope:
            yield node, name


def _may_take(facts: FactsCheck, end: Link, source: Link) -> bool:
    """Tell roughly whether an input takes an output's type; the editor knows it exactly."""
    kind, source_kind = facts.kinds.get(end[0]), facts.kinds[source[0]]
    if kind is None or end[1] not in kind.inputs_by_name or source[1] not in source_kind.outputs_by_name:
        return False
    given, wanted = source_kind.outputs_by_name[source[1]].type, kind.inputs_by_name[end[1]].type
    either = {*sockets.members(given.strip("[]")), *sockets.members(wanted.strip("[]"))}
    if sockets.ANY in either or any(sockets.is_variable(each) for each in either):
        return True
    return not set(sockets.members(given.strip("[]"))).isdisjoint(sockets.members(wanted.strip("[]")))


def _before(links: Mapping[str, Mapping[str, Link]], node: str) -> set[str]:
    """Give a node with all that it is made from: a link to one of these would close a circle."""
    found = {node}
    stack = [node]
    while stack:
        new = {source for source, _ in links.get(stack.pop(), {}).values()} - found
        found |= new
        stack += new
    return found
