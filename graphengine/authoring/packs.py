"""Node packs: what one is, how installed ones are found, and their definitions without importing them."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import os
import sys
import traceback
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from types import ModuleType
from typing import Any

from graphengine.authoring.node import NodeFunction
from graphengine.core.registry import PackFailure
from graphengine.errors import DefinitionError

__all__ = [
    "ENTRY_POINTS",
    "NodePack",
    "PackSource",
    "find_packs",
    "installed_packs",
    "load_file",
    "load_packs",
    "source_version",
]

ENTRY_POINTS = "graphengine.nodes"
AnyNode = NodeFunction[Any, Any]  # Any: packs hold functions of every signature


@dataclass(frozen=True)
class NodePack:
    """A named set of node functions.

    Attributes:
        name: Shown to users; the distribution's name is a good choice.
        modules: Modules, or their dotted names; every node function defined at their top level belongs to the pack.
        functions: Further node functions.
        version: Of the pack; part of cache keys, so a new version runs its nodes again. By default a hash of the
            modules' source.
    """

    name: str
    modules: Sequence[ModuleType | str] = ()
    functions: Sequence[AnyNode] = ()
    version: str = ""

    @property
    def nodes(self) -> Iterator[AnyNode]:
        """The pack's node functions, each marked as this pack's.

        Raises:
            DefinitionError: for a node whose version was raised without its migration.
        """
        modules = [importlib.import_module(each) if isinstance(each, str) else each for each in self.modules]
        version = self.version or source_version([Path(each.__file__) for each in modules if each.__file__])
        found = [each for module in modules for each in _functions_of(module)]
        for function in [*found, *self.functions]:
            missing = set(range(1, function.definition.version)) - set(function.migrations)
            if missing:
                raise DefinitionError(
                    f"{function.__module__}.{function.__name__}: version {function.definition.version} has no step "
                    f"from version {min(missing)}. Add '@{function.__name__}.migrate_from({min(missing)})'."
                )
            function.definition = function.definition.in_pack(self.name, version)
            yield function


@dataclass(frozen=True)
class PackSource:
    """Where a pack comes from, before it is imported.

    Attributes:
        name: The entry point's name, or the file's stem.
        target: ``module:attribute`` of an installed pack, or the path of a pack file.
        files: Its source files.
    """

    name: str
    target: str
    files: tuple[Path, ...]

    @property
    def version(self) -> str:
        """A hash that changes when any of the pack's source files does."""
        return source_version(self.files)

    def load(self) -> NodePack:
        """Import the pack.

        Raises:
            DefinitionError: if what the entry point names is no pack.
            Exception: whatever the pack's own code raises.
        """
        if self.target.endswith(".py") or os.sep in self.target:
            return load_file(Path(self.target))
        module_name, _, attribute = self.target.partition(":")
        pack = getattr(importlib.import_module(module_name), attribute or "pack", None)
        if not isinstance(pack, NodePack):
            raise DefinitionError(f"{self.target} is no NodePack. Write 'pack = NodePack(\"{self.name}\", …)' there.")
        return pack


def installed_packs() -> list[PackSource]:
    """List the packs that installed distributions offer, sorted by name, without importing any."""
    points = importlib.metadata.entry_points(group=ENTRY_POINTS)
    return [
        PackSource(point.name, point.value, tuple(_files_of(point.module)))
        for point in sorted(points, key=lambda point: point.name)
    ]


def find_packs(given: Iterable[Path]) -> list[PackSource]:
    """List the packs to load, by precedence: those given by path, then the installed ones."""
    named = [PackSource(path.stem, str(path), (path,) if path.is_file() else ()) for path in given]
    return [*named, *installed_packs()]


def load_packs(sources: Iterable[PackSource]) -> tuple[list[NodePack], list[PackFailure]]:
    """Import packs; one that fails is reported and the rest load."""
    packs: list[NodePack] = []
    failures: list[PackFailure] = []
    for source in sources:
        try:
            pack = source.load()
            list(pack.nodes)
        except (Exception, SystemExit) as error:  # a border: a pack's own code may raise anything, and call exit()
            failures.append(PackFailure(source.name, _describe(error)))
        else:
            packs.append(pack)
    return packs, failures


def load_file(path: Path) -> NodePack:
    """Import a single Python file as a pack named after it.

    Raises:
        DefinitionError: if it defines no node.
    """
    name = f"graphengine_pack_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path) if path.is_file() else None
    if spec is None or spec.loader is None:
        raise DefinitionError(f"{path} is no Python file. Give the path of a .py file that defines nodes.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # type hints are resolved through it
    spec.loader.exec_module(module)
    pack = getattr(module, "pack", None)
    if isinstance(pack, NodePack):
        return pack
    if not list(_functions_of(module)):
        raise DefinitionError(f"{path} defines no node. Decorate a function with '@node(\"{path.stem}.Name\", …)'.")
    return NodePack(path.stem, modules=[module])


def source_version(files: Iterable[Path]) -> str:
    """Hash source files, 16 hexadecimal digits."""
    digest = blake2b(digest_size=8)
    for path in sorted(files):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def _functions_of(module: ModuleType) -> Iterator[AnyNode]:
    values = {id(value): value for value in vars(module).values()}  # one function may have two names
    for value in values.values():
        if isinstance(value, NodeFunction) and value.__module__ == module.__name__:
            yield value


def _files_of(module_name: str) -> Iterator[Path]:
    """Find a module's source files without importing it: the package's folder, or the one file."""
    try:
        spec = importlib.util.find_spec(module_name.partition(".")[0])
    except (ImportError, ValueError):
        return
    if spec is None:
        return
    for folder in spec.submodule_search_locations or ():
        yield from Path(folder).rglob("*.py")
    if not spec.submodule_search_locations and spec.origin:
        yield Path(spec.origin)


def _describe(error: BaseException) -> str:
    """Say what a pack raised, and on which line of it; our own messages name the place themselves."""
    if isinstance(error, DefinitionError):
        return str(error)
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if "importlib" not in frame.filename and frame.filename != __file__
    ]
    place = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {error}{place}"
