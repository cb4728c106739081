"""Installed packs' definitions without importing the packs: cached as JSON, made in a child process when they change.

So ``check``, ``nodes`` and servers start at once, and what a pack imports (torch, usually) stays out of them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from glob import escape
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

import graphengine.core.definition
import graphengine.types
from graphengine.authoring.packs import PackSource, load_packs, source_version
from graphengine.core.definition import NodeDefinition
from graphengine.core.registry import Definitions, PackFailure

__all__ = ["read_definitions"]

_ADAPTER = TypeAdapter(list[NodeDefinition])
_DESCRIBE_TIMEOUT_S = 300


def read_definitions(sources: Iterable[PackSource], folder: Path) -> Definitions:
    """Give the definitions of packs, from the cache folder where it is current."""
    definitions: list[NodeDefinition] = []
    failures: list[PackFailure] = []
    reader = _reader_version()
    for source in sources:
        path = folder / f"{source.name}-{source.version}-{reader}.json"
        known = _read(path)
        if known is None:
            known, error = _describe_in_child(source)
            if known is None:
                failures.append(PackFailure(source.name, error, _last_known_ids(folder, source.name)))
                continue
            _write(path, known)
        definitions += known
    return Definitions.collect(definitions, failures)


def _reader_version() -> str:
    """Hash what decides definitions besides a pack's own source: the reader, their form and the shared types."""
    here = Path(__file__).parent
    modules = (graphengine.core.definition, graphengine.types)
    return source_version([*here.glob("*.py"), *(Path(str(module.__file__)) for module in modules)])


def _read(path: Path) -> list[NodeDefinition] | None:
    try:
        return _ADAPTER.validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None


def _write(path: Path, definitions: list[NodeDefinition]) -> None:
    """Write atomically; a cache that can't be written costs time, not the command."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as drafts:
            draft = Path(drafts) / path.name
            draft.write_bytes(_ADAPTER.dump_json(definitions))
            os.replace(draft, path)
    except OSError:
        return


def _last_known_ids(folder: Path, name: str) -> tuple[str, ...]:
    """Give the nodes that a pack which fails now brought before, so that messages can name it."""
    digest = "?" * 16
    files = sorted(folder.glob(f"{escape(name)}-{digest}-{digest}.json"), key=lambda path: path.stat().st_mtime)
    known = _read(files[-1]) if files else None
    return tuple(definition.id for definition in known or ())


def _describe_in_child(source: PackSource) -> tuple[list[NodeDefinition] | None, str]:
    request = json.dumps([source.name, source.target, [str(path) for path in source.files]])
    command = [sys.executable, "-P", "-m", __name__, request]  # -P: files of the current folder hide no module
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    try:
        child = subprocess.run(command, capture_output=True, timeout=_DESCRIBE_TIMEOUT_S, env=environment, check=False)
    except subprocess.TimeoutExpired:
        return None, f"importing it took more than {_DESCRIBE_TIMEOUT_S} s."
    lines = child.stdout.decode(errors="replace").strip().splitlines()
    try:
        answer = json.loads(lines[-1])
        if "error" in answer:
            return None, str(answer["error"])
        return _ADAPTER.validate_python(answer["definitions"]), ""
    except (IndexError, ValueError, KeyError, TypeError):  # what the pack printed last, if it ended the process
        tail = child.stderr.decode(errors="replace").strip()[-500:]
        return None, f"its import ended with exit code {child.returncode}. {tail}"


def _main() -> None:
    """Describe the one pack named on the command line; the last line printed is the answer."""
    name, target, files = json.loads(sys.argv[1])
    packs, failures = load_packs([PackSource(name, target, tuple(map(Path, files)))])
    if failures:
        answer: object = {"error": failures[0].error}
    else:
        answer = {"definitions": _ADAPTER.dump_python([each.definition for each in packs[0].nodes], mode="json")}
    sys.stdout.write("\n" + json.dumps(answer) + "\n")


if __name__ == "__main__":
    _main()
