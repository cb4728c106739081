"""Workflows that come with the package: read and run like saved ones, until a saved one has their name."""

from __future__ import annotations

import builtins
import difflib
from collections.abc import Mapping
from pathlib import Path

from graphengine.core.workflow import Workflow, parse_workflow
from graphengine.server.library import (
    LibraryError,
    Revision,
    SavedWorkflow,
    TrashedWorkflow,
    UnknownWorkflow,
    WorkflowLibrary,
)

__all__ = ["KnownWorkflows", "ShippedWorkflow"]


class ShippedWorkflow(LibraryError):
    """A shipped workflow can't be deleted."""


class KnownWorkflows:
    """What can be run by name: what users saved goes before what was shipped under the same name.

    Args:
        library: Where users save.
        shipped: The shipped files by name; nobody changes them while the server runs.
    """

    def __init__(self, library: WorkflowLibrary, shipped: Mapping[str, Path]) -> None:
        self._library = library
        self._shipped = dict(shipped)
        self._described: dict[str, SavedWorkflow] = {}

    def list(self) -> builtins.list[SavedWorkflow]:
        """Describe all workflows by name."""
        saved = {each.name: each for each in self._library.list()}
        found = {name: self._describe(name) for name in self._shipped if name not in saved} | saved
        return [found[name] for name in sorted(found)]

    def read(self, name: str) -> tuple[Workflow, SavedWorkflow]:
        """Read a workflow.

        Raises:
            UnknownWorkflow: neither was one of this name saved nor shipped.
            FileFormatError, InvalidWorkflow: the file is damaged.
        """
        try:
            return self._library.read(name)
        except UnknownWorkflow:
            if name in self._shipped:
                return self._read(name)
            near = difflib.get_close_matches(name, self._shipped, n=1)
            if not near:
                raise
            raise UnknownWorkflow(f"there is no workflow {name!r}. Did you mean {near[0]!r}?") from None

    def read_version(self, name: str, version: str) -> tuple[Workflow, SavedWorkflow]:
        """Read a workflow as it is or was in a version; describe it as it is."""
        current = self._find(name)
        if current is None or current.version == version:
            return self.read(name)
        # without reading the newest one: if that was damaged, an earlier one is what is wanted
        return self._library.read_revision(name, version), current

    def save(self, name: str, workflow: Workflow, *, expected_version: str | None) -> SavedWorkflow:
        """Save a workflow as ``WorkflowLibrary.save`` does; over a shipped one, as a new one of the user's own."""
        over = self._find(name)
        if over is not None and over.shipped and over.version == expected_version:
            expected_version = None
        return self._library.save(name, workflow, expected_version=expected_version)

    def rename(self, name: str, new_name: str, *, expected_version: str) -> SavedWorkflow:
        """Give a saved workflow another name, with its history."""
        self._refuse_shipped(name)
        return self._library.rename(name, new_name, expected_version=expected_version)

    def delete(self, name: str, *, expected_version: str) -> TrashedWorkflow:
        """Move a saved workflow to the trash; a shipped one of its name is there again."""
        self._refuse_shipped(name)
        return self._library.delete(name, expected_version=expected_version)

    def history(self, name: str) -> builtins.list[Revision]:
        """List what a workflow said before, the newest first; a shipped one said nothing else."""
        found = self._find(name)
        return [] if found is not None and found.shipped else self._library.history(name)

    def _refuse_shipped(self, name: str) -> None:
        found = self._find(name)
        if found is not None and found.shipped:
            raise ShippedWorkflow(
                f"{name!r} comes with graphengine and stays. Save one of your own under its name: that goes before."
            )

    def _find(self, name: str) -> SavedWorkflow | None:
        return next((each for each in self.list() if each.name == name), None)

    def _describe(self, name: str) -> SavedWorkflow:
        if name not in self._described:
            self._described[name] = self._read(name)[1]
        return self._described[name]

    def _read(self, name: str) -> tuple[Workflow, SavedWorkflow]:
        path = self._shipped[name]
        content = path.read_bytes()
        workflow = parse_workflow(content, name)
        return workflow, SavedWorkflow.of(name, content, path.stat().st_mtime, workflow, shipped=True)
