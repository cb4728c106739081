"""The node kinds of one engine: definitions to check against, functions to run."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from graphengine.core.definition import NodeDefinition

__all__ = ["Definitions", "PackFailure", "Registry", "RunnableNode", "RunnablePack"]


class RunnableNode(Protocol):
    """A node's function, as the engine needs it; ``authoring.NodeFunction`` is one."""

    definition: NodeDefinition
    context_parameter: str | None
    fingerprint: Any  # Any: a callable over whichever literals it names, or None
    wants: Any  # Any: a callable over whichever plain inputs it names, or None
    refine: Any  # Any: a callable over literals and facts, or None
    memory: Any  # Any: a callable over whichever inputs it names, or None
    sockets: Any  # Any: a callable over whichever literals it names, or None
    checks: list[Any]  # Any: callables over whichever literals they name
    migrations: dict[int, Any]  # Any: callables over a saved node's inputs

    def __call__(self, *args: Any, **kwargs: Any) -> Any: ...  # Any: socket values are each node's own


class RunnablePack(Protocol):
    """A pack that was imported; ``authoring.NodePack`` is one."""

    @property
    def name(self) -> str: ...

    @property
    def nodes(self) -> Iterable[RunnableNode]: ...


@dataclass(frozen=True)
class PackFailure:
    """A pack that could not be imported.

    Attributes:
        node_ids: The nodes it brought when it last loaded, if that is known.
    """

    pack: str
    error: str
    node_ids: tuple[str, ...] = ()


@dataclass(frozen=True)
class Definitions:
    """Node definitions by id, with what went wrong while collecting them.

    Attributes:
        conflicts: Which pack hides nodes of which.
        breaking_changes: What changed in packs since they were last read, and would break saved workflows.
    """

    by_id: Mapping[str, NodeDefinition]
    failures: tuple[PackFailure, ...] = ()
    conflicts: tuple[str, ...] = ()
    aliases: Mapping[str, str] = field(default_factory=dict)
    breaking_changes: tuple[str, ...] = ()

    @classmethod
    def collect(
        cls,
        definitions: Iterable[NodeDefinition],
        failures: Iterable[PackFailure] = (),
        breaking_changes: Iterable[str] = (),
    ) -> Definitions:
        """Gather definitions; of two with one id the first wins, and the conflict is reported."""
        by_id: dict[str, NodeDefinition] = {}
        aliases: dict[str, str] = {}
        hidden: dict[tuple[str, str], list[str]] = {}
        for definition in definitions:
            first = by_id.setdefault(definition.id, definition)
            if first is not definition:
                hidden.setdefault((first.pack, definition.pack), []).append(definition.id)
                continue
            aliases.update(dict.fromkeys(definition.aliases, definition.id))
        conflicts = (_describe_conflict(*packs, ids) for packs, ids in hidden.items())
        return cls(by_id, tuple(failures), tuple(conflicts), aliases, tuple(breaking_changes))

    def get(self, type_name: str) -> NodeDefinition | None:
        """Find a node kind by its id or a former id."""
        definition = self.by_id.get(type_name)
        return definition if definition is not None else self.by_id.get(self.aliases.get(type_name, ""))

    def nearest(self, type_name: str) -> str | None:
        """Give the id most like this one, for messages."""
        lower = {name.lower(): name for name in self.by_id}
        matches = difflib.get_close_matches(type_name.lower(), lower, n=1, cutoff=0.6)
        return lower[matches[0]] if matches else None

    def failed_pack_with(self, type_name: str) -> PackFailure | None:
        """Find the pack that would bring this node, had it loaded."""
        return next((failure for failure in self.failures if type_name in failure.node_ids), None)


def _describe_conflict(first: str, second: str, ids: list[str]) -> str:
    """Say which pack hides whose nodes, and how to choose."""
    listed = ", ".join(map(repr, ids[:5])) + (f" and {len(ids) - 5} more" if len(ids) > 5 else "")
    nodes = f"node {listed} of pack {second!r} is" if len(ids) == 1 else f"nodes {listed} of pack {second!r} are"
    if first == second:
        return f"{nodes} hidden by another pack of that name, which comes first. Remove or rename one of the packs."
    return (
        f"{nodes} hidden by pack {first!r}, which comes first. Choose with --pack, which puts a pack (a file, a folder "
        "or the name of an installed one) before the others; or rename nodes."
    )


class Registry:
    """Node functions by id, from packs given by whoever constructs it."""

    def __init__(self, packs: Iterable[RunnablePack], failures: Iterable[PackFailure] = ()) -> None:
        nodes = [function for pack in packs for function in pack.nodes]
        self.definitions = Definitions.collect((each.definition for each in nodes), failures)
        self._functions: dict[str, RunnableNode] = {}
        for each in nodes:
            self._functions.setdefault(each.definition.id, each)

    def function(self, definition: NodeDefinition) -> RunnableNode:
        """Give the function behind a definition of this registry."""
        return self._functions[definition.id]
