"""Notice changes to a node that would break the workflows that use it, although its version is the same."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from graphengine.core import sockets
from graphengine.core.definition import NodeDefinition

__all__ = ["find_breaking_changes"]


def find_breaking_changes(before: Iterable[NodeDefinition], after: Iterable[NodeDefinition]) -> list[str]:
    """Describe the nodes of a pack whose sockets no longer fit what was saved, and what to do about each."""
    known = {definition.id: definition for definition in before}
    found = []
    for definition in after:
        old = known.get(definition.id)
        if old is None or old.version != definition.version:
            continue
        changes = {"inputs": list(_input_changes(old, definition)), "outputs": list(_output_changes(old, definition))}
        said = " and ".join(f"its {kind} ({', '.join(each)})" for kind, each in changes.items() if each)
        if said:
            found.append(
                f"{definition.id} changed {said} but its version is still {definition.version}: saved workflows would "
                f"break. Raise version and add migrate_from({definition.version})."
            )
    return found


def _input_changes(old: NodeDefinition, new: NodeDefinition) -> Iterator[str]:
    for name, each in old.inputs_by_name.items():
        now = new.inputs_by_name.get(name)
        if now is None:
            yield f"{name} removed"
        elif not _fits(each.type, old, into=now.type, of=new):
            yield f"{name} is {now.type} instead of {each.type}"
        elif now.required and not each.required:
            yield f"{name} is required"
    for name, now in new.inputs_by_name.items():
        if now.required and name not in old.inputs_by_name:
            yield f"{name} is new and required"


def _output_changes(old: NodeDefinition, new: NodeDefinition) -> Iterator[str]:
    for name, each in old.outputs_by_name.items():
        now = new.outputs_by_name.get(name)
        if now is None:
            yield f"{name} removed"
        elif not _fits(now.type, new, into=each.type, of=old) and not _is_given(each.type, old, now.type, new):
            yield f"{name} is {now.type} instead of {each.type}"


def _is_given(before: str, old: NodeDefinition, now: str, new: NodeDefinition) -> bool:
    """Tell whether an output is still what the same inputs are given: where these take more, nothing saved changes."""
    giving = [name for name, each in old.inputs_by_name.items() if each.type == before]
    known = [new.inputs_by_name.get(name) for name in giving]
    return before in old.variables and bool(giving) and all(each is not None and each.type == now for each in known)


def _fits(given: str, giver: NodeDefinition, *, into: str, of: NodeDefinition) -> bool:
    """Tell whether all that was of one type is good for the other; type variables are what they may stand for."""
    given, wanted = sockets.resolve(given, giver.variables), sockets.resolve(into, of.variables)
    return given == wanted or (sockets.accepts(wanted, given) and given != sockets.ANY)
