"""Import packs that are files or folders: under names of their own, and always from their source.

Python trusts a compiled file if its source's size and second of change are the same, which two quick edits can share.
So these modules are compiled each time they are imported; no compiled file is read or written.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b
from importlib.machinery import EXTENSION_SUFFIXES, ExtensionFileLoader, FileFinder, ModuleSpec, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType

from graphengine.authoring.node import PRIVATE_MODULE
from graphengine.errors import DefinitionError

__all__ = ["forget", "fresh_modules", "import_path", "is_module_of", "is_skipped", "private_name", "python_files"]

_NO_NODES_IN = re.compile(r"__init__|setup|conftest|test_.*|.*_test")


def import_path(path: Path) -> list[ModuleType]:
    """Import a file, or each file directly in a folder; the folder's ``__init__.py``, if it has one, comes first.

    Raises:
        DefinitionError: if there is no Python file.
        Exception: whatever the pack's own code raises.
    """
    root = private_name(path)
    with fresh_modules(root):
        return list(_import_folder(path, root) if path.is_dir() else _import_file(path, root))


@contextmanager
def fresh_modules(root: str) -> Iterator[None]:
    """Forget a module and those below it, so that the block imports them anew; if it fails, they are as before."""
    before = {name: sys.modules.pop(name) for name in list(sys.modules) if is_module_of(name, root)}
    importlib.invalidate_caches()
    try:
        yield
    except BaseException:
        forget(root)
        sys.modules.update(before)
        raise


def forget(root: str) -> None:
    """Take a module and those below it out of the imported ones."""
    for name in [each for each in sys.modules if is_module_of(each, root)]:
        del sys.modules[name]


def private_name(path: Path) -> str:
    """Give the name under which a pack file or folder is imported."""
    digest = blake2b(os.fsencode(path.absolute()), digest_size=4).hexdigest()
    return PRIVATE_MODULE.format(digest=digest, name=re.sub(r"\W", "_", path.name.removesuffix(".py")))


def is_module_of(name: str, root: str) -> bool:
    """Tell whether a module is this one or lies below it."""
    return name == root or name.startswith(f"{root}.")


def python_files(path: Path) -> tuple[Path, ...]:
    """List the sources of a pack: the file, or those of a folder and of the folders in it."""
    if not path.is_dir():
        return (path,) if path.is_file() else ()
    found: list[Path] = []
    for folder, folders, names in os.walk(path):
        folders[:] = [each for each in folders if not is_skipped(each)]
        found += [Path(folder, name) for name in names if name.endswith(".py") and not is_skipped(name)]
    return tuple(sorted(found))


def is_skipped(name: str) -> bool:
    """Tell whether a file or folder is no part of packs."""
    return name.startswith(".") or name == "__pycache__" or name.endswith(".disabled")


class _FromSource(SourceFileLoader):
    """Compiles the source at each import."""

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        return self.source_to_code(self.get_data(path), path)


def _import_file(path: Path, name: str) -> Iterator[ModuleType]:
    if not path.is_file() or path.suffix != ".py":
        raise DefinitionError(
            f"{path} is no Python file or folder. Give the path of a .py file that defines nodes, or of their folder."
        )
    yield _execute(importlib.util.spec_from_file_location(name, path, loader=_FromSource(name, str(path))))


def _import_folder(folder: Path, name: str) -> Iterator[ModuleType]:
    folder = folder.absolute()
    stems = [path.stem for path in sorted(folder.glob("*.py")) if not is_skipped(path.name)]
    if not stems:
        raise DefinitionError(f"{folder} holds no .py file. {_where_the_nodes_are(folder)}")
    for each in {folder, *(path.parent for path in python_files(folder))}:
        loaders = (ExtensionFileLoader, EXTENSION_SUFFIXES), (_FromSource, [".py"])
        sys.path_importer_cache[str(each)] = FileFinder(str(each), *loaders)
    if "__init__" in stems:
        start = folder / "__init__.py"
        loader = _FromSource(name, str(start))
        yield _execute(
            importlib.util.spec_from_file_location(name, start, loader=loader, submodule_search_locations=[str(folder)])
        )
    else:
        spec = ModuleSpec(name, None, is_package=True)
        spec.submodule_search_locations = [str(folder)]
        sys.modules[name] = importlib.util.module_from_spec(spec)
    for stem in stems:
        if not _NO_NODES_IN.fullmatch(stem):
            yield importlib.import_module(f"{name}.{stem}")


def _execute(spec: ModuleSpec | None) -> ModuleType:
    assert spec is not None, "a loader was given"
    assert spec.loader is not None, "a loader was given"
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # type hints are resolved through it
    spec.loader.exec_module(module)
    return module


def _where_the_nodes_are(folder: Path) -> str:
    """Guess what a folder without Python files is: a project, most likely."""
    packages = sorted(each.parent for pattern in ("*", "src/*") for each in folder.glob(f"{pattern}/__init__.py"))
    packages = [each for each in packages if each.name not in ("tests", "test")]
    if packages:
        return f"If it is a project, install it: 'pip install {folder}'. Its nodes seem to be in {packages[0]}."
    return "Put a file with nodes there, or rename the folder so that it ends in .disabled."
