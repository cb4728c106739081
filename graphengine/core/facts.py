"""What is known of values before they exist, such as a latent's channels, and which of them don't fit each other.

Nodes with ``refine`` state facts of their outputs. From there facts travel along the links, sources first:

    LoadCheckpoint ──model: latent_channels 4──────────────────────▶ KSampler
    EmptyLatent ─────latent: latent_channels 4──▶ LatentUpscale ───▶    they agree

Two inputs of one node for which one fact has two values don't fit. An input that takes several types, such as what is
trained, is compared as what is linked there, unless another input is linked to such a one. What isn't known fits
everything. A ``refine`` that raises ``InputError`` says that a literal, such as a file, doesn't fit what is known of
the node's inputs, or that one of them must not be left open.

Facts that the built-in nodes state:

    latent_channels    channels of a latent
    latent_factor      pixels for each of a latent's cells, along a side
    context_width      numbers in the state of a prompt's token
    family             the architecture, as users call it
    image_width        numbers in the vector of a picture, as an image encoder says it
    image_state_width  numbers in the state of each of a picture's patches
"""

from __future__ import annotations

import logging
from collections import ChainMap
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from heapq import heapify, heappop, heappush
from typing import Any, NamedTuple

from graphengine.core import sockets
from graphengine.core.definition import NodeDefinition, OutputDefinition
from graphengine.core.registry import RunnableNode
from graphengine.core.workflow import Link
from graphengine.errors import InputError, Problem

__all__ = ["FactsCheck"]

logger = logging.getLogger(__name__)

_COMPARED = (
    "MODEL",
    "GUIDER",
    "VAE",
    "CLIP",
    "LATENT",
    "CONDITIONING",
    "CONTROL_NET",
    "DATASET",
)  # of two that differ, the later one is to blame
_MADE_FROM = {"CONDITIONING": ("CLIP",), "GUIDER": ("MODEL",), "LATENT": ("VAE", "MODEL")}
_HELD = {"GUIDER": "MODEL"}  # what there is to link in its place
_OF_LATENTS = "latent_"  # begins the names of facts that a latent shares with the model or autoencoder it is made for
_IN_WORDS = {
    "MODEL": "the denoiser of",
    "GUIDER": "a guider with the denoiser of",
    "VAE": "the autoencoder of",
    "CLIP": "the text encoder of",
    "LATENT": "a latent of",
    "CONDITIONING": "made with the text encoder of",
    "CONTROL_NET": "the ControlNet",
    "DATASET": "a dataset of",
}
_CHOSEN_FOR = {"CONTROL_NET": "Choose a ControlNet for the model's family."}  # what no checkpoint holds
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
        compared: The inputs that must fit each other, those first that the others are measured by, and their types.
        open: Inputs that stand for what is linked, and for which no other input is an alternative.
        outputs: Each output, the inputs whose facts it has, and whether it is a latent made from other things: then it
            has only those facts that are a latent's.
    """

    compared: Mapping[str, str]
    open: tuple[str, ...]
    outputs: tuple[tuple[str, tuple[str, ...], bool], ...]


@dataclass
class FactsCheck:
    """One pass over a graph.

    Attributes:
        literals: Gives a node's literals, files as paths.
        types: Of the outputs, with what type variables stand for.
        found: What ``problems`` gave: node, input and message.
    """

    kinds: Mapping[str, NodeDefinition]
    links: Mapping[str, Mapping[str, Link]]
    literals: Callable[[str], Mapping[str, Any]]  # Any: of each input's own type
    function_of: Callable[[NodeDefinition], RunnableNode]
    types: Mapping[Link, str] = field(default_factory=dict)
    found: set[tuple[str, str, str]] = field(default_factory=set)
    _known: MutableMapping[Link, _Facts] = field(default_factory=dict)
    _flows: dict[int, _Flow] = field(default_factory=dict)
    _order: Sequence[str] = ()

    def problems(self, order: Iterable[str]) -> Iterator[tuple[str, str, Problem]]:
        """Find what doesn't fit: node, input and problem.

        Args:
            order: Node ids, sources first.
        """
        self._order = tuple(order)
        for id_ in self._order:
            for name, problem in self._look(id_):
                self.found.add((id_, name, problem.message))
                yield id_, name, problem

    def if_linked(self, ends: Collection[Link], source: Link) -> tuple[str, str, Problem] | None:
        """Find the first thing that wouldn't fit any more, had these inputs another source; after ``problems``.

        Only what lies behind them and would be known otherwise is looked at.

        Args:
            ends: Nothing behind them leads to ``source``.
        """
        linked: dict[str, Mapping[str, Link]] = {}
        for node, name in ends:
            linked[node] = {**linked.get(node, self.links[node]), name: source}
        trial = replace(self, links={**self.links, **linked}, _known=ChainMap({}, self._known))
        places, readers = self._behind
        waiting = [places[node] for node in linked]
        heapify(waiting)
        last = -1
        while waiting:
            place = heappop(waiting)
            if place == last:
                continue
            last, id_ = place, self._order[place]
            for name, problem in trial._look(id_):
                if (id_, name, problem.message) not in self.found:
                    return id_, name, problem
            for output in self.kinds[id_].outputs:
                link = (id_, output.name)
                if trial.known_of(link) != self.known_of(link):
                    for reader in readers.get(link, ()):
                        if places[reader] > place:  # it isn't among nodes in a circle
                            heappush(waiting, places[reader])
        return None

    @cached_property
    def _behind(self) -> tuple[Mapping[str, int], Mapping[Link, Sequence[str]]]:
        """Each node's place in the order, and who reads an output."""
        readers: dict[Link, list[str]] = {}
        for id_, links in self.links.items():
            for link in links.values():
                readers.setdefault(link, []).append(id_)
        return {id_: place for place, id_ in enumerate(self._order)}, readers

    def known_of(self, output: Link) -> Mapping[str, object]:
        """Give what is known of an output."""
        return self._known.get(output, _NOTHING)

    def _look(self, id_: str) -> Iterator[tuple[str, Problem]]:
        """Compare a node's inputs, and note what is known of its outputs."""
        known = self._known
        kind, links = self.kinds[id_], self.links[id_]
        given = {name: known[link] for name, link in links.items() if link in known}
        if not given and not kind.has_refine and all((id_, output.name) not in known for output in kind.outputs):
            return
        flow = self._flows.get(id(kind))
        if flow is None:
            flow = self._flows[id(kind)] = _flow_of(kind)
        doubtful: set[str] = set()
        if len(given) > 1:
            for name, differing, problem in self._differences(kind, self._compared(id_, kind, flow), given):
                doubtful |= differing
                yield name, problem
        try:
            stated = self._stated(id_, kind, given) if kind.has_refine else {}
        except InputError as error:
            yield error.input, Problem("refused", error.message, error.remedy)
            stated = {output.name: _NOTHING for output in kind.outputs}
        for output, sources, is_made in flow.outputs:
            facts = stated.get(output)
            if facts is None:
                facts = _agreed(sources, links, given)
                if is_made:
                    facts = {name: fact for name, fact in facts.items() if name.startswith(_OF_LATENTS)}
            if doubtful:  # said here once, and not again at each node that follows
                facts = {name: fact for name, fact in facts.items() if name not in doubtful}
            if facts or (id_, output) in known:
                known[id_, output] = facts

    def _stated(self, id_: str, kind: NodeDefinition, given: Mapping[str, _Facts]) -> Mapping[str, _Facts]:
        """Ask the node's ``refine``; outputs that it doesn't name aren't among the result.

        Raises:
            InputError: from it, where a literal doesn't fit what is known.
        """
        literals = self.literals(id_)
        facts = {
            name: {each: fact.value for each, fact in given.get(name, _NOTHING).items()} for name in self.links[id_]
        }
        try:
            files = [literals[each.name].name for each in kind.inputs if each.files and literals.get(each.name)]
            source = files[0] if files else ""
            answer = self.function_of(kind).refine(literals, facts)
            return {
                output: {
                    name: _Fact(value, id_, source)
                    for name, value in stated.items()
                    if isinstance(value, bool | int | float | str)
                }
                for output, stated in answer.items()
            }
        except InputError:
            raise
        except Exception:  # a pack's own code; what it can't tell isn't known
            logger.debug("refine of node %r (%s) failed", id_, kind.id, exc_info=True)
            return {output.name: _NOTHING for output in kind.outputs}

    def _compared(self, id_: str, kind: NodeDefinition, flow: _Flow) -> Mapping[str, str]:
        """Give the inputs that must fit each other with their types, as ``_Flow.compared``."""
        links = self.links[id_]
        linked = {name: self.types.get(links[name], "").strip("[]") for name in flow.open if name in links}
        taken = {type_ for name, type_ in flow.compared.items() if name in links}
        added = {name: type_ for name, type_ in linked.items() if type_ not in taken}
        return _in_order(kind, {**flow.compared, **added}) if added else flow.compared

    def _differences(
        self, kind: NodeDefinition, types: Mapping[str, str], given: Mapping[str, _Facts]
    ) -> Iterator[tuple[str, set[str], Problem]]:
        """Compare a node's inputs: the input to blame, the names of the facts that differ, and the problem.

        Args:
            types: The inputs that are compared, in their order, and their types.
        """
        first: dict[str, tuple[str, _Fact]] = {}
        for name in types:
            if name not in given:
                continue
            differing: dict[str, list[str]] = {}
            for fact_name, fact in given[name].items():
                other, other_fact = first.setdefault(fact_name, (name, fact))
                if other_fact is not fact and other_fact.value != fact.value:
                    differing.setdefault(other, []).append(fact_name)
            for other, fact_names in differing.items():
                yield (
                    name,
                    set(fact_names),
                    self._problem(types, (name, given[name]), (other, given[other]), fact_names),
                )

    def _problem(
        self, types: Mapping[str, str], blamed: tuple[str, _Facts], other: tuple[str, _Facts], fact_names: list[str]
    ) -> Problem:
        name, facts = blamed
        other_name, other_facts = other
        message = (
            f"{self._described(types[name], facts, fact_names)}; "
            f"{other_name!r} is {self._described(types[other_name], other_facts, fact_names)}."
        )
        fact, other_fact = facts[fact_names[0]], other_facts[fact_names[0]]
        remedy = _CHOSEN_FOR.get(types[name])
        if remedy is None:
            remedy = self._remedy(fact_names[0], fact, other_fact, types[other_name])
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
        if fact.node == other.node:
            return f"The parts of {fact.source or fact.node!r} don't fit each other. Choose another."
        for each in self.kinds[fact.node].inputs:
            if each.type == _HELD.get(other_type, other_type) and each.name not in self.links[fact.node]:
                return f"Link {each.name!r} of node {fact.node!r} too."
        for one, wanted in ((fact, other), (other, fact)):
            if name in self.kinds[one.node].inputs_by_name and name not in self.links[one.node]:
                return f"Set {name!r} of node {one.node!r} to {wanted.value}."
        if fact.source and other.source:
            return "Take both from the same checkpoint."
        return "Link parts that were made for each other."


def _flow_of(kind: NodeDefinition) -> _Flow:
    """Read from a kind's sockets what its inputs have to do with each other.

    Inputs of a type variable are alternatives, of which it passes one on. What a node with outputs of its own
    does is up to these.
    """
    if kind.sockets_from or (kind.body is not None and kind.body.outputs):
        return _Flow({}, (), ())
    types = {each.name: _type_of(kind, each.name) for each in kind.inputs}
    variables = [type_ for type_ in types.values() if sockets.is_variable(type_)]
    alone = tuple(name for name, type_ in types.items() if variables.count(type_) == 1)
    outputs = tuple(_output_flow(kind, each) for each in kind.outputs)
    return _Flow(_in_order(kind, types), alone, outputs)


def _in_order(kind: NodeDefinition, types: Mapping[str, str]) -> Mapping[str, str]:
    """Take those of a kind's inputs that are compared, by their types, then by their places."""
    places = {each.name: place for place, each in enumerate(kind.inputs)}
    names = [name for name, type_ in types.items() if type_ in _COMPARED]
    names.sort(key=lambda name: (_COMPARED.index(types[name]), places[name]))
    return {name: types[name] for name in names}


def _output_flow(kind: NodeDefinition, output: OutputDefinition) -> tuple[str, tuple[str, ...], bool]:
    wanted = output.type.strip("[]")
    if wanted == sockets.ANY:
        return output.name, (), False
    own = tuple(each.name for each in kind.inputs if _type_of(kind, each.name) == wanted)
    if own or wanted not in _MADE_FROM:
        return output.name, own, False
    made_from = tuple(each.name for each in kind.inputs if _type_of(kind, each.name) in _MADE_FROM[wanted])
    return output.name, made_from, wanted == "LATENT"


def _type_of(kind: NodeDefinition, name: str) -> str:
    return kind.inputs_by_name[name].type.strip("[]")


def _agreed(sources: Iterable[str], links: Mapping[str, Link], given: Mapping[str, _Facts]) -> _Facts:
    """Give the facts that all of these inputs have, as far as they are linked."""
    linked = [given.get(name, _NOTHING) for name in sources if name in links]
    if len(linked) == 1:
        return linked[0]
    first, *others = linked or [_NOTHING]
    return {
        name: fact
        for name, fact in first.items()
        if all(name in other and other[name].value == fact.value for other in others)
    }


def _measure(name: str, value: object) -> str:
    if name not in _MEASURES:
        return f"{name.replace('_', ' ')} {value}"
    one, many = _MEASURES[name]
    return f"{value} {one if value == 1 else many}".rstrip()
