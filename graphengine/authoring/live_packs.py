"""Packs that are loaded again when their files change, while the program goes on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from importlib.util import cache_from_source
from pathlib import Path
from typing import Literal, NamedTuple

from graphengine.authoring.breaking_changes import find_breaking_changes
from graphengine.authoring.pack_files import forget, fresh_modules
from graphengine.authoring.packs import NodePack, PackSource, describe_failure
from graphengine.core.definition import NodeDefinition
from graphengine.core.registry import PackFailure, Registry

__all__ = ["LivePacks", "PackChange"]


class PackChange(NamedTuple):
    """What happened to a pack.

    Attributes:
        message: For a pack that failed: why. For one that changed: what would break saved workflows, if anything.
    """

    pack: str
    kind: Literal["added", "changed", "removed", "failed"]
    message: str = ""


@dataclass(frozen=True)
class _Loaded:
    """A pack as it was read last.

    Attributes:
        version: The hash of the source that was read last, whether or not it could be imported.
        pack: What could be imported last; None if nothing ever could.
        error: Why the source that was read last can't be imported.
    """

    source: PackSource
    version: str
    pack: NodePack | None
    error: str = ""

    @property
    def definitions(self) -> list[NodeDefinition]:
        return [each.definition for each in self.pack.nodes] if self.pack is not None else []


class LivePacks:
    """Keeps a registry current with the files of its packs. ::

        packs = LivePacks(lambda: find_packs(settings))
        engine = Engine(packs.registry, settings)
        ...
        if packs.refresh():
            engine.use(packs.registry)

    A pack that can't be imported any more stays as it was when it last could. Runs that have begun keep the functions
    that they began with.

    Args:
        find: Lists the packs, by precedence; asked again at each refresh.
    """

    def __init__(self, find: Callable[[], Iterable[PackSource]]) -> None:
        self._find = find
        self._turn = threading.Lock()
        self._loaded: dict[str, _Loaded] = {}
        self.registry = Registry([])
        self.refresh()

    def refresh(self) -> list[PackChange]:
        """Import the packs whose files changed and make a new registry, if there is anything new; say what is."""
        with self._turn:
            before, self._loaded = self._loaded, {}
            for source in self._find():
                self._loaded[source.target] = _read(source, before.get(source.target))
            for target in before.keys() - self._loaded.keys():
                if not _is_our_own(before[target].source):
                    forget(before[target].source.root)
            changes = _compare(before, self._loaded)
            if changes or list(before) != list(self._loaded):
                self.registry = _registry(self._loaded.values())
            return changes


def _read(source: PackSource, before: _Loaded | None) -> _Loaded:
    """Import a pack if its source changed, or failed before: what it lacked may be installed now."""
    version = source.version
    is_same = before is not None and before.version == version and not before.error
    if before is not None and (is_same or _is_our_own(source)):
        return before
    try:
        if before is None:
            pack = source.load()
        else:
            with fresh_modules(source.root):
                pack = _load_again(source)
        _ = pack.nodes  # imports modules that are given by name
    except (Exception, SystemExit) as error:  # a border: a pack's own code may raise anything, and call exit()
        return _Loaded(source, version, before.pack if before is not None else None, describe_failure(error))
    return _Loaded(source, version, pack)


def _is_our_own(source: PackSource) -> bool:
    """Tell whether a pack is a part of this package, which can't be imported anew under a running program."""
    return source.root == __name__.partition(".")[0]


def _load_again(source: PackSource) -> NodePack:
    for path in source.files if not source.is_path else ():
        try:  # the compiled files of installed packs, which Python would trust after an edit within the same second
            Path(cache_from_source(str(path))).unlink(missing_ok=True)
        except OSError:  # a folder that can't be written; nobody edits there
            break
    pack = source.load()
    _ = pack.nodes
    return pack


def _compare(before: dict[str, _Loaded], after: dict[str, _Loaded]) -> list[PackChange]:
    changes = []
    for target, now in after.items():
        old = before.get(target)
        if now is old or (old is not None and now.error and now == old):
            continue
        if now.error:
            stays = " The version that loaded last stays in use." if now.pack is not None else ""
            changes.append(PackChange(now.source.name, "failed", now.error + stays))
        elif old is None or old.pack is None:
            changes.append(PackChange(now.source.name, "added"))
        else:
            breaking = "\n".join(find_breaking_changes(old.definitions, now.definitions))
            changes.append(PackChange(now.source.name, "changed", breaking))
    gone = [each for target, each in before.items() if target not in after]
    return changes + [PackChange(each.source.name, "removed") for each in gone]


def _registry(loaded: Collection[_Loaded]) -> Registry:
    failures = [PackFailure(each.source.name, each.error) for each in loaded if each.error]
    return Registry([each.pack for each in loaded if each.pack is not None], failures)
