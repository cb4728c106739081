"""The Context that the executor hands to nodes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from graphengine.config import Settings
from graphengine.core.events import NodeMetrics, NodeProgress, NodeShowed, NodeWarning
from graphengine.core.workflow import Workflow
from graphengine.engine.cache import Shown
from graphengine.engine.outputs import OutputFolder, path_inside
from graphengine.errors import Cancelled, InputError

if TYPE_CHECKING:
    import torch

__all__ = ["ExecutionContext", "RunServices"]

T = TypeVar("T")


@dataclass
class RunServices:
    """What the nodes of a run share.

    Attributes:
        workflow: The workflow to embed in what is saved; None for none.
        cancel: Set by whoever wants the run to stop.
        kept: Objects kept between runs of one engine.
    """

    settings: Settings
    workflow: Workflow | None = None
    cancel: threading.Event = field(default_factory=threading.Event)
    kept: dict[str, Any] = field(default_factory=dict)  # Any: whatever nodes keep

    @cached_property
    def workflow_json(self) -> str:
        """The text to embed, made when the first picture is saved."""
        return self.workflow.dump() if self.workflow is not None else ""


class ExecutionContext:
    """One node's view of the run; see ``authoring.Context``."""

    def __init__(self, services: RunServices, node_id: str, emit: Callable[..., None], *, node_type: str = "") -> None:
        self.node_id = node_id
        self._node_type = node_type
        self.shown: list[Shown] = []
        self._services = services
        self._emit = emit

    @property
    def device(self) -> torch.device:
        import torch

        return torch.device(self._services.settings.device)

    @property
    def outputs(self) -> OutputFolder:
        settings = self._services.settings
        return OutputFolder(settings.output, settings.data / "temporary", self._services.workflow_json, self._show)

    def progress(self, items: Iterable[T], *, total: int | None = None) -> Iterator[T]:
        if total is None:
            items = list(items)
            total = len(items)
        self.report_progress(0, total)
        for done, item in enumerate(items, 1):
            yield item
            self.report_progress(done, total)

    def report_progress(self, done: int, total: int) -> None:
        self.check_cancelled()
        self._emit(NodeProgress, node=self.node_id, done=done, total=total)

    def report(self, step: int, **values: float) -> None:
        self._emit(NodeMetrics, node=self.node_id, step=step, values=values)

    def warn(self, message: str) -> None:
        self._emit(NodeWarning, node=self.node_id, message=message)

    def check_cancelled(self) -> None:
        if self._services.cancel.is_set():
            raise Cancelled

    @property
    def is_cancelled(self) -> bool:
        return self._services.cancel.is_set()

    def generator(self, seed: int) -> torch.Generator:
        import torch

        return torch.Generator("cpu").manual_seed(seed)

    def state_folder(self, name: str) -> Path:
        path = path_inside(self._services.settings.data / "state", name)
        if path is None:
            raise InputError("name", f"{name!r} can't name a folder.", "Give a name such as 'my_training'.")
        return path

    def keep(self, key: str, factory: Callable[[], Any]) -> Any:  # Any: whatever the factory makes
        full_key = f"{self._node_type} {self.node_id}/{key}"  # another workflow may call another kind of node the same
        if full_key not in self._services.kept:
            self._services.kept[full_key] = factory()
        return self._services.kept[full_key]

    def _show(self, shown: Shown) -> None:
        self.shown.append(shown)
        self._emit(NodeShowed, node=self.node_id, path=str(shown.path), temporary=shown.temporary)
