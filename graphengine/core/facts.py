"""What is known of values before they exist, such as a latent's channels, and which of them don't fit each other.

Nodes with ``refine`` state facts of their outputs. From there facts travel along the links, sources first:

    LoadCheckpoint ──model: latent_channels 4──────────────────────▶ KSampler
    EmptyLatent ─────latent: latent_channels 4──▶ LatentUpscale ───▶    they agree

Two inputs of one node for which one fact has two values don't fit. What isn't known fits everything.

Facts that the built-in nodes state:

    latent_channels    channels of a latent
    latent_factor      pixels for each of a latent's cells, along a side
    context_width      numbers in the state of a prompt's token
    family             the architecture, as users call it
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from graphengine.core import sockets
from graphengine.core.definition import NodeDefinition, OutputDefinition
from graphengine.core.registry import RunnableNode
from graphengine.core.workflow import Link
from graphengine.errors import Problem

__all__ = ["FactsCheck"]

logger = logging.getLogger(__name__)

_COMPARED = ("MODEL", "VAE", "CLIP", "LATENT", "CONDITIONING")  # of two that differ, the later one is to blame
_MADE_FROM = {"CONDITIONING": ("CLIP",), "LATENT": ("VAE", "MODEL")}
_OF_LATENTS = "latent_"  # how facts are called that a latent shares with the model and the autoencoder it is for
_IN_WORDS = {
    "MODEL": "the denoiser of",
    "VAE": "the autoencoder of",
    "CLIP": "the text encoder of",
    "LATENT": "a latent of",
    "CONDITIONING": "made with the text encoder of",
}
_MEASURES = {
    "family": ("", ""),
    "context_width": ("wide", "wide"),
    "latent_channels": ("latent channel", "latent channels"),
    "latent_factor": ("pixel to a latent cell", "pixels to a latent cell"),
}


class _Fact(NamedTuple):
    """A fact and where it was stated.

    Attributes:
        node: The node that stated it.
        source: The file that this node reads, or nothing.
    """

    value: bool | int | float | str
    node: str
    source: str


_Facts = Mapping[str, _Fact]
_NOTHING: _Facts = {}


class _Flow(NamedTuple):
    """How facts pass through nodes of one kind.

    Attributes:
        compared: The inputs that must fit each other, those first that the others are measured by.
        outputs: Each output with the inputs whose facts it has.
    """

    compared: tuple[str, ...]
    outputs: tuple[tuple[OutputDefinition, tuple[str, ...]], ...]


@dataclass
class FactsCheck:
    """One pass over a graph.

    Attributes:
        literals: Gives a node's literals, files as paths.
    """

    kinds: Mapping[str, NodeDefinition]
    links: Mapping[str, Mapping[str, Link]]
    literals: Callable[[str], Mapping[str, Any]]  # Any: of each input's own type
    function_of: Callable[[NodeDefinition], RunnableNode]
    _known: dict[Link, _Facts] = field(default_factory=dict)
    _flows: dict[int, _Flow] = field(default_factory=dict)

    def problems(self, order: Iterable[str]) -> Iterator[tuple[str, str, Problem]]:
        """Find what doesn't fit: node, input and problem.

        Args:
            order: Node ids, sources first.
        """
        known = self._known
        for id_ in order:
            kind, links = self.kinds[id_], self.links[id_]
            given = {name: known[link] for name, link in links.items() if link in known}
            if not given and not kind.has_refine:
                continue
            flow = self._flows.get(id(kind))
            if flow is None:
                flow = self._flows[id(kind)] = _flow_of(kind)
            doubtful: set[str] = set()
            if len(given) > 1:
                for name, differing, problem in self._differences(kind, flow, given):
                    doubtful |= differing
                    yield id_, name, problem
            stated = self._stated(id_, kind, links, given) if kind.has_refine else {}
            for output, sources in flow.outputs:
                facts = stated[output.name] if output.name in stated else _agreed(output, sources, links, given)
                if doubtful:  # said here once, and not again at each node that follows
                    facts = {name: fact for name, fact in facts.items() if name not in doubtful}
                if facts:
                    known[id_, output.name] = facts

    def _stated(
        self, id_: str, kind: NodeDefinition, links: Mapping[str, Link], given: Mapping[str, _Facts]
    ) -> dict[str, _Facts]:
        """Ask the node's ``refine``; outputs that it doesn't name aren't among the result."""
        literals = self.literals(id_)
        facts = {
            name: {each: fact.value for each, fact in given[name].items()} if name in given else {} for name in links
        }
        source = next((literals[each.name].name for each in kind.inputs if each.files and literals.get(each.name)), "")
        try:
            answer = self.function_of(kind).refine(literals, facts)
            return {
                output: {
                    name: _Fact(value, id_, source)
                    for name, value in stated.items()
                    if isinstance(value, bool | int | float | str)
                }
                for output, stated in answer.items()
            }
        except Exception:  # a pack's own code; what it can't tell isn't known
            logger.debug("refine of node %r (%s) failed", id_, kind.id, exc_info=True)
            return {output.name: _NOTHING for output in kind.outputs}

    def _differences(
        self, kind: NodeDefinition, flow: _Flow, given: Mapping[str, _Facts]
    ) -> Iterator[tuple[str, set[str], Problem]]:
        """Compare a node's inputs: the input to blame, the names of the facts that differ, and the problem."""
        first: dict[str, str] = {}
        for name in flow.compared:
            differing: dict[str, list[str]] = {}
            for fact_name, fact in given.get(name, _NOTHING).items():
                other = first.setdefault(fact_name, name)
                if given[other][fact_name].value != fact.value:
                    differing.setdefault(other, []).append(fact_name)
            for other, fact_names in differing.items():
                yield name, set(fact_names), self._problem(kind, (name, given[name]), (other, given[other]), fact_names)

    def _problem(
        self, kind: NodeDefinition, blamed: tuple[str, _Facts], other: tuple[str, _Facts], fact_names: list[str]
    ) -> Problem:
        name, facts = blamed
        other_name, other_facts = other
        message = (
            f"{self._described(_type_of(kind, name), facts, fact_names)}; "
            f"{other_name!r} is {self._described(_type_of(kind, other_name), other_facts, fact_names)}."
        )
        fact, other_fact = facts[fact_names[0]], other_facts[fact_names[0]]
        remedy = self._remedy(fact_names[0], fact, other_fact, _type_of(kind, other_name))
        differing = {each: [facts[each].value, other_facts[each].value] for each in fact_names}
        return Problem("facts_differ", message, remedy, extra={"with": other_name, "facts": differing})

    def _described(self, type_name: str, facts: _Facts, fact_names: list[str]) -> str:
        fact = facts[fact_names[0]]
        place = f"node {fact.node!r}"
        origin = f"{fact.source!r} ({place})" if fact.source else f"{place} ({self.kinds[fact.node].id})"
        return ", ".join(
            [f"{_IN_WORDS[type_name]} {origin}", *(_measure(each, facts[each].value) for each in fact_names)]
        )

    def _remedy(self, name: str, fact: _Fact, other: _Fact, other_type: str) -> str:
        origin = self.kinds[fact.node]
        for each in origin.inputs:
            if each.type == other_type and each.name not in self.links[fact.node]:
                return f"Link {each.name!r} of node {fact.node!r} too."
        for one, wanted in ((fact, other), (other, fact)):
            if name in self.kinds[one.node].inputs_by_name and name not in self.links[one.node]:
                return f"Set {name!r} of node {one.node!r} to {wanted.value}."
        if fact.source and other.source:
            return "Take both from the same checkpoint."
        return f"Take both from node {fact.node!r}, or both from what belongs to node {other.node!r}."


def _flow_of(kind: NodeDefinition) -> _Flow:
    """Read from a kind's sockets what its inputs have to do with each other.

    Inputs of a type variable are alternatives, of which it passes one on. What a node with a body does is up to that.
    """
    if kind.body is not None:
        return _Flow((), ())
    compared = sorted(
        (_COMPARED.index(_type_of(kind, each.name)), position, each.name)
        for position, each in enumerate(kind.inputs)
        if _type_of(kind, each.name) in _COMPARED
    )
    return _Flow(tuple(name for *_, name in compared), tuple((each, _sources(kind, each)) for each in kind.outputs))


def _sources(kind: NodeDefinition, output: OutputDefinition) -> tuple[str, ...]:
    wanted = output.type.strip("[]")
    if wanted == sockets.ANY:
        return ()
    own = tuple(each.name for each in kind.inputs if _type_of(kind, each.name) == wanted)
    makers = _MADE_FROM.get(wanted, ())
    return own or tuple(each.name for each in kind.inputs if _type_of(kind, each.name) in makers)


def _type_of(kind: NodeDefinition, name: str) -> str:
    return kind.inputs_by_name[name].type.strip("[]")


def _agreed(
    output: OutputDefinition, sources: Iterable[str], links: Mapping[str, Link], given: Mapping[str, _Facts]
) -> _Facts:
    """Give the facts that all of these inputs have, as far as they are linked."""
    linked = [given.get(name, _NOTHING) for name in sources if name in links]
    if not linked:
        return _NOTHING
    first, *others = linked
    agreed = {
        name: fact
        for name, fact in first.items()
        if all(name in other and other[name].value == fact.value for other in others)
    }
    if output.type.strip("[]") == "LATENT":
        return {name: fact for name, fact in agreed.items() if name.startswith(_OF_LATENTS)}
    return agreed


def _measure(name: str, value: object) -> str:
    if name not in _MEASURES:
        return f"{name.replace('_', ' ')} {value}"
    one, many = _MEASURES[name]
    return f"{value} {one if value == 1 else many}".rstrip()
