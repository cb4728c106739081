"""Node packs: what one is, how they are found, and how they are imported."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import os
import traceback
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path
from types import ModuleType
from typing import Any

from graphengine.authoring.node import NodeFunction, place_of
from graphengine.authoring.pack_files import import_path, is_skipped, private_name, python_files
from graphengine.config import Settings
from graphengine.core.registry import PackFailure
from graphengine.errors import DefinitionError

__all__ = [
    "ENTRY_POINTS",
    "NodePack",
    "PackSource",
    "describe_failure",
    "find_packs",
    "folder_packs",
    "installed_packs",
    "load_packs",
    "load_path",
    "path_pack",
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
            pack's source, which is what one wants while it is being written.
    """

    name: str
    modules: Sequence[ModuleType | str] = ()
    functions: Sequence[AnyNode] = ()
    version: str = ""

    @property
    def nodes(self) -> tuple[AnyNode, ...]:
        """The pack's node functions, each marked as this pack's.

        Raises:
            DefinitionError: for a node whose version was raised without its migration, or an id that is there twice.
        """
        modules = [importlib.import_module(each) if isinstance(each, str) else each for each in self.modules]
        version = self.version or source_version([Path(each.__file__) for each in modules if each.__file__])
        found = [each for module in modules for each in _functions_of(module)]
        by_id: dict[str, AnyNode] = {}
        for function in [*found, *self.functions]:
            first = by_id.setdefault(function.definition.id, function)
            if first is not function:
                raise DefinitionError(
                    f"the pack has two nodes {function.definition.id!r}: {place_of(first.function)} and "
                    f"{place_of(function.function)}. Rename one of them."
                )
            _check_migrations(function)
            if (function.definition.pack, function.definition.pack_version) != (self.name, version):
                function.definition = function.definition.in_pack(self.name, version)
        return tuple(by_id.values())


@dataclass(frozen=True)
class PackSource:
    """Where a pack comes from, before it is imported.

    Attributes:
        name: The entry point's name, or that of the file or folder.
        target: ``module:attribute`` of an installed pack, or the absolute path of a pack file or folder.
        files: Its source files.
    """

    name: str
    target: str
    files: tuple[Path, ...]

    @property
    def version(self) -> str:
        """A hash that changes when any of the pack's source files does."""
        return source_version(self.files)

    @property
    def is_path(self) -> bool:
        """Whether the pack is a file or folder, and not installed."""
        return os.path.isabs(self.target)

    @property
    def root(self) -> str:
        """The name of the module that all modules of the pack lie below."""
        return private_name(Path(self.target)) if self.is_path else _top(self.target.partition(":")[0])

    def load(self) -> NodePack:
        """Import the pack.

        Raises:
            DefinitionError: if what the entry point names is no pack.
            Exception: whatever the pack's own code raises.
        """
        version = self.version
        if self.is_path:
            pack: object = load_path(Path(self.target))
        else:
            module_name, _, attribute = self.target.partition(":")
            pack = getattr(importlib.import_module(module_name), attribute or "pack", None)
        if not isinstance(pack, NodePack):
            raise DefinitionError(f"{self.target} is no NodePack. Write 'pack = NodePack(\"{self.name}\", …)' there.")
        return pack if pack.version else replace(pack, version=version)


def installed_packs() -> list[PackSource]:
    """List the packs that installed distributions offer, sorted by name, without importing any."""
    points = importlib.metadata.entry_points(group=ENTRY_POINTS)
    return [
        PackSource(point.name, point.value, tuple(_files_of(point.module)))
        for point in sorted(points, key=lambda point: point.name)
    ]


def folder_packs(folder: Path) -> list[PackSource]:
    """List the packs in a folder, sorted by name: each Python file and each folder in it is one."""
    if not folder.is_dir():
        return []
    found = [each for each in folder.iterdir() if not is_skipped(each.name) and (each.is_dir() or each.suffix == ".py")]
    return sorted((path_pack(each) for each in found), key=lambda source: source.name)


def path_pack(path: Path) -> PackSource:
    """Describe the pack that a file or folder is."""
    path = path.absolute()
    return PackSource(path.name if path.is_dir() else path.stem, str(path), python_files(path))


def find_packs(settings: Settings, given: Iterable[Path] = ()) -> list[PackSource]:
    """List the packs to load, by precedence: those given, then those in the packs folder and installed, by name.

    Args:
        given: Files and folders; or names of packs that would be found anyway, which puts them first.
    """
    found = sorted([*folder_packs(settings.packs_folder), *installed_packs()], key=lambda source: source.name)
    by_name = {source.name: source for source in reversed(found)}
    chosen = [path_pack(each) if each.exists() else by_name.get(str(each), path_pack(each)) for each in given]
    return list({source.target: source for source in [*chosen, *found]}.values())


def load_packs(sources: Iterable[PackSource]) -> tuple[list[NodePack], list[PackFailure]]:
    """Import packs; one that fails is reported and the rest load."""
    packs: list[NodePack] = []
    failures: list[PackFailure] = []
    for source in sources:
        try:
            pack = source.load()
            _ = pack.nodes
        except (Exception, SystemExit) as error:  # a border: a pack's own code may raise anything, and call exit()
            failures.append(PackFailure(source.name, describe_failure(error)))
        else:
            packs.append(pack)
    return packs, failures


def load_path(path: Path) -> NodePack:
    """Import a Python file, or a folder of them, as a pack named after it.

    Raises:
        DefinitionError: if it defines no node.
    """
    modules = import_path(path)
    pack = getattr(modules[0], "pack", None) if modules and (path.is_file() or _is_package(modules[0])) else None
    if isinstance(pack, NodePack):
        return pack
    name = path.name if path.is_dir() else path.stem
    if not any(True for module in modules for _ in _functions_of(module)):
        raise DefinitionError(f"{path} defines no node. Decorate a function with '@node(\"{name}.Name\", …)'.")
    return NodePack(name, modules=modules)


def source_version(files: Iterable[Path]) -> str:
    """Hash source files, 16 hexadecimal digits; wherever they are, their contents and names among each other count."""
    paths = sorted(files)
    above = os.path.commonpath([path.parent for path in paths]) if paths else ""
    digest = blake2b(digest_size=8)
    for path in paths:
        digest.update(os.path.relpath(path, above).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def describe_failure(error: BaseException) -> str:
    """Say what a pack raised, and on which line of it; our own messages name the place themselves."""
    if isinstance(error, DefinitionError):
        return str(error)
    own = str(Path(__file__).parent)
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if "importlib" not in frame.filename and not frame.filename.startswith(own)
    ]
    place = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {error}{place}"


def _check_migrations(function: AnyNode) -> None:
    missing = set(range(1, function.definition.version)) - set(function.migrations)
    if missing:
        raise DefinitionError(
            f"{place_of(function.function)}: version {function.definition.version} has no step "
            f"from version {min(missing)}. Add '@{function.__name__}.migrate_from({min(missing)})'."
        )


def _functions_of(module: ModuleType) -> Iterator[AnyNode]:
    values = {id(value): value for value in vars(module).values()}  # one function may have two names
    for value in values.values():
        if isinstance(value, NodeFunction) and value.__module__ == module.__name__:
            yield value


def _is_package(module: ModuleType) -> bool:
    return hasattr(module, "__path__")


def _files_of(module_name: str) -> Iterator[Path]:
    """Find a module's source files without importing it: the package's folder, or the one file."""
    try:
        spec = importlib.util.find_spec(_top(module_name))
    except (ImportError, ValueError):
        return
    if spec is None:
        return
    for folder in spec.submodule_search_locations or ():
        yield from python_files(Path(folder))
    if not spec.submodule_search_locations and spec.origin:
        yield Path(spec.origin)


def _top(module_name: str) -> str:
    return module_name.partition(".")[0]
