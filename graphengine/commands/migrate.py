"""``graphengine migrate``: bring workflow files to the installed versions of their nodes."""

from __future__ import annotations

import argparse
import json
import os
import secrets
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from graphengine.commands.given import function_of, read_definitions, read_settings
from graphengine.core.migration import Change
from graphengine.core.migration import migrate as migrate_workflow
from graphengine.core.workflow import Workflow, load_workflow
from graphengine.errors import FileFormatError, GraphEngineError, InvalidWorkflow, Problem

__all__ = ["migrate"]

DONE, WOULD_CHANGE = 0, 1
_PICTURES = (".png", ".jpg", ".jpeg", ".webp")


class _Migrated(NamedTuple):
    path: Path
    target: Path
    workflow: Workflow
    changes: Sequence[Change]


def migrate(options: argparse.Namespace) -> int:
    """Migrate files; all are read before the first is written, and one that can't be migrated stops it all."""
    settings = read_settings(options)
    definitions = read_definitions(options, settings)
    functions = function_of(options, settings)
    done: list[_Migrated] = []
    problems: list[Problem] = []
    for path in options.files:
        try:
            if path.suffix.lower() in _PICTURES:
                raise FileFormatError(f"{path}: pictures keep the workflow that made them. Give a workflow file.")
            workflow, changes = migrate_workflow(load_workflow(path), definitions, functions)
        except InvalidWorkflow as error:
            problems += [replace(each, message=f"{path}: {each.message}") for each in error.problems]
        except (GraphEngineError, OSError) as error:
            problems.append(Problem("bad_file", str(error)))
        else:
            target = path if options.out is None else options.out / path.name
            done.append(_Migrated(path, target, workflow, changes))
    twice = {each.target for each in done if sum(other.target == each.target for other in done) > 1}
    problems += [Problem("written_twice", f"two files would become {target}.", "Rename one.") for target in twice]
    if problems:
        raise InvalidWorkflow(problems, "migrate")
    if not options.check:
        for each in done:
            if each.changes or each.target != each.path:
                _write_whole(each.target, each.workflow.dump())
    _report(done, is_check=options.check, as_json=options.json)
    return WOULD_CHANGE if options.check and any(each.changes for each in done) else DONE


def _report(done: Sequence[_Migrated], *, is_check: bool, as_json: bool) -> None:
    for each in done:
        if as_json:
            changes = [change._asdict() for change in each.changes]
            print(json.dumps({"type": "migrated", "file": str(each.path), "to": str(each.target), "changes": changes}))
        elif not each.changes:
            print(f"{each.path}: up to date")
        else:
            print(f"{each.path}: {'would change' if is_check else 'changed'}")
            for change in each.changes:
                print(f"  node {change.node!r}: {change.message}")
    sys.stdout.flush()


def _write_whole(path: Path, text: str) -> None:
    """Write a file beside its place and move it there, so that nobody ever finds half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    target = path.resolve()  # a link stays one
    draft = target.with_name(f".{secrets.token_hex(8)}.part")
    try:
        draft.write_text(text, encoding="utf-8", newline="\n")
        if target.exists():
            draft.chmod(target.stat().st_mode)
        os.replace(draft, target)
    finally:
        draft.unlink(missing_ok=True)
