"""A real run's context for calling nodes without an engine, and the events that it emits."""

from __future__ import annotations

from pathlib import Path

from graphengine.config import Settings
from graphengine.core.events import NodeWarning
from graphengine.engine.context import ExecutionContext, RunServices


class Run:
    """One run of one node.

    Attributes:
        services: What the run shares; ``services.cancel`` stops it.
        context: What the node is given.
        progress: (done, total) in the order reported.
        warnings: What the node told the user.
    """

    def __init__(self, folder: Path, *, roots: tuple[Path, ...] = ()) -> None:
        settings = Settings(data=folder / "data", output=folder / "output", roots=roots or Settings.roots)
        self.services = RunServices(settings)
        self.context = ExecutionContext(self.services, "node", self._receive)
        self.progress: list[tuple[int, int]] = []
        self.warnings: list[str] = []

    def _receive(self, kind: type, **values: object) -> None:
        if kind is NodeWarning:
            self.warnings.append(str(values["message"]))
        elif "done" in values:
            self.progress.append((int(str(values["done"])), int(str(values["total"]))))
