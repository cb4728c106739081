"""Packs' definitions without importing the packs: cached as JSON, made in a child process when they change.

So ``check``, ``nodes`` and servers start at once, and what a pack imports (torch, usually) stays out of them.
One file is kept per pack, that of the source read last. When the source has changed, the definitions are compared with
those before, so that a change that would break saved workflows is noticed while its author is still at it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from glob import escape
from hashlib import blake2b
from pathlib import Path

from pydantic import BaseModel, ValidationError

import graphengine.core.definition
import graphengine.training_types
import graphengine.types
from graphengine.authoring.breaking_changes import find_breaking_changes
from graphengine.authoring.packs import PackSource, load_packs, source_version
from graphengine.core.definition import NodeDefinition
from graphengine.core.registry import Definitions, PackFailure

__all__ = ["read_definitions"]

_DESCRIBE_TIMEOUT_S = 300


class _Known(BaseModel):
    """What is known of a pack.

    Attributes:
        breaking_changes: What its source changed that would break saved workflows, compared to the source before.
    """

    definitions: list[NodeDefinition]
    breaking_changes: list[str] = []


def read_definitions(sources: Iterable[PackSource], folder: Path) -> Definitions:
    """Give the definitions of packs, from the cache folder where it is current."""
    definitions: list[NodeDefinition] = []
    failures: list[PackFailure] = []
    changes: list[str] = []
    reader = _reader_version()
    for source in sources:
        place = blake2b(source.target.encode(), digest_size=4).hexdigest()  # packs in two places may have one name
        path = folder / f"{source.name}-{place}-{source.version}-{reader}.json"
        known = _read(path)
        if known is None:
            before = _read_last(path)
            known, error = _describe_in_child(source)
            if known is None:
                ids = tuple(each.id for each in before.definitions) if before else ()
                failures.append(PackFailure(source.name, error, ids))
                continue
            if before is not None:
                known.breaking_changes = find_breaking_changes(before.definitions, known.definitions)
            _write(path, known)
        definitions += known.definitions
        changes += known.breaking_changes
    return Definitions.collect(definitions, failures, changes)


def _reader_version() -> str:
    """Hash what decides definitions besides a pack's own source: the reader, their form and the shared types."""
    here = Path(__file__).parent
    modules = (graphengine.core.definition, graphengine.types, graphengine.training_types)
    return source_version([*here.glob("*.py"), *(Path(str(module.__file__)) for module in modules)])


def _read(path: Path) -> _Known | None:
    try:
        return _Known.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None


def _write(path: Path, known: _Known) -> None:
    """Write atomically, in the place of older ones; a cache that can't be written costs time, not the command."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as drafts:
            draft = Path(drafts) / path.name
            draft.write_text(known.model_dump_json(), encoding="utf-8")
            os.replace(draft, path)
        for older in _files_of_pack(path):
            if older != path:
                older.unlink(missing_ok=True)
    except OSError:
        return


def _read_last(path: Path) -> _Known | None:
    """Read what was known of the pack before its source changed."""
    files = _files_of_pack(path)
    return _read(files[-1]) if files else None


def _files_of_pack(path: Path) -> list[Path]:
    """List the cache files of the pack that this one belongs to, the newest last."""
    name, _version, _reader = path.name.rsplit("-", 2)
    digest = "?" * 16
    try:
        found = path.parent.glob(f"{escape(name)}-{digest}-{digest}.json")
        return sorted(found, key=lambda each: each.stat().st_mtime_ns)
    except OSError:  # another program cleaned up just now
        return []


def _describe_in_child(source: PackSource) -> tuple[_Known | None, str]:
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
        return _Known.model_validate(answer), ""
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
        answer = {"definitions": [each.definition.model_dump(mode="json") for each in packs[0].nodes]}
    sys.stdout.write("\n" + json.dumps(answer) + "\n")


if __name__ == "__main__":
    _main()
