"""The Context that the executor hands to nodes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from graphengine.config import Settings
from graphengine.core.events import NodeMetrics, NodePreview, NodeProgress, NodeShowed, NodeWarning
from graphengine.core.fingerprint import step_key
from graphengine.core.parameters import parameters_of
from graphengine.core.progress import Progress
from graphengine.core.registry import RunnableNode
from graphengine.core.subgraphs import SubgraphValue
from graphengine.core.workflow import Workflow
from graphengine.engine.assets import AssetStore
from graphengine.engine.cache import Cache, Result, Shown
from graphengine.engine.device_memory import DeviceMemory
from graphengine.engine.outputs import OutputFolder, path_inside
from graphengine.engine.previews import preview_jpeg
from graphengine.errors import Cancelled, InputError

if TYPE_CHECKING:
    import torch

    from graphengine.types import Image

__all__ = ["ExecutionContext", "RunServices"]

T = TypeVar("T")

RunSubgraph = Callable[[SubgraphValue, str, Mapping[str, Any]], dict[str, Any]]  # Any: socket values


@dataclass
class RunServices:
    """What the nodes of a run share.

    Attributes:
        workflow: The workflow to embed in what is saved; None for none.
        cancel: Set by whoever wants the run to stop.
        kept: Objects kept between runs of one engine.
        device_memory: What is on the device, kept between runs as well.
        previews: Whether somebody watches previews.
        preview_interval_s: The shortest time between two previews of a node.
        saves_when_stopped: How many nodes are at work that save it before they stop.
    """

    settings: Settings
    workflow: Workflow | None = None
    cancel: threading.Event = field(default_factory=threading.Event)
    kept: dict[str, Any] = field(default_factory=dict)  # Any: whatever nodes keep
    device_memory: DeviceMemory = field(default_factory=DeviceMemory)
    previews: bool = False
    preview_interval_s: float = 0.2
    saves_when_stopped: int = 0

    @cached_property
    def workflow_json(self) -> str:
        """The text to embed, made when the first picture is saved."""
        return self.workflow.dump() if self.workflow is not None else ""

    @cached_property
    def _assets(self) -> AssetStore:
        return AssetStore(self.settings.assets_folder, self.settings.asset_bytes)

    def output_folder(self, show: Callable[[Shown], None]) -> OutputFolder:
        """Give the run's output folder to a node; ``show`` is told what it writes."""
        temporary = self.settings.data / "temporary"
        return OutputFolder(self.settings.output, temporary, self.workflow_json, show, self._assets)

    def publish(self, shown: Sequence[Shown]) -> tuple[Shown, ...] | None:
        """Bring what an earlier run showed into this run's folders; None if its node has to run again."""
        return self.output_folder(lambda shown: None).publish(shown) if shown else ()

    def make_room(self, function: RunnableNode, arguments: Mapping[str, Any]) -> int:  # Any: socket values
        """Make room on the device for a call of a node that tells how much it needs, in bytes."""
        if function.memory is None or self.settings.device == "cpu":
            return 0
        names = parameters_of(function.memory)
        wanted_bytes: int = function.memory(**{name: value for name, value in arguments.items() if name in names})
        self.device_memory.make_room(wanted_bytes, self.settings.device, arguments.values())
        return wanted_bytes


class ExecutionContext(Progress):
    """One node's view of the run; see ``authoring.Context``.

    Attributes:
        shown: What the node wrote for the user.
        left_traces: Whether it left something elsewhere than in its outputs.
        work_bytes: What its call takes on the device besides networks, as far as it tells.
    """

    def __init__(
        self,
        services: RunServices,
        node_id: str,
        emit: Callable[..., None],
        *,
        node_type: str = "",
        run_subgraph: RunSubgraph | None = None,
        cache: Cache | None = None,
    ) -> None:
        self.node_id = node_id
        self._run_subgraph = run_subgraph
        self._node_type = node_type
        self.shown: list[Shown] = []
        self.left_traces = False
        self.work_bytes = 0
        self._services = services
        self._emit = emit
        self._cache = cache
        self._next_preview = 0.0

    @property
    def workflow(self) -> Workflow | None:
        return self._services.workflow

    @property
    def settings(self) -> Settings:
        return self._services.settings

    @property
    def device(self) -> torch.device:
        import torch

        return torch.device(self._services.settings.device)

    @property
    def outputs(self) -> OutputFolder:
        return self._services.output_folder(self._show)

    def _show_progress(self, done: int, total: int) -> None:
        self._emit(NodeProgress, node=self.node_id, done=done, total=total)

    def preview(self, image: Image | Callable[[], Image | None]) -> None:
        now = time.monotonic()
        if self._services.previews and now >= self._next_preview:
            self._next_preview = now + self._services.preview_interval_s
            picture = image() if callable(image) else image
            if picture is not None:
                self._emit(NodePreview, node=self.node_id, jpeg=preview_jpeg(picture))

    @contextmanager
    def loaded(self, *values: object) -> Iterator[torch.device]:
        with self._services.device_memory.loaded(values, self._services.settings.device, self.work_bytes):
            yield self.device

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

    @contextmanager
    def saving_when_stopped(self) -> Iterator[None]:
        self._services.saves_when_stopped += 1
        try:
            yield
        finally:
            self._services.saves_when_stopped -= 1

    def generator(self, seed: int) -> torch.Generator:
        import torch

        return torch.Generator("cpu").manual_seed(seed)

    def run_subgraph(self, body: SubgraphValue, name: str, **inputs: Any) -> dict[str, Any]:  # Any: socket values
        self.left_traces = True
        assert self._run_subgraph is not None, "this context belongs to no run"
        return self._run_subgraph(body, name, inputs)

    def state_folder(self, name: str) -> Path:
        self.left_traces = True
        path = path_inside(self._services.settings.data / "state", name)
        if path is None:
            raise InputError("name", f"{name!r} can't name a folder.", "Give a name such as 'my_training'.")
        return path

    def keep(self, key: str, factory: Callable[[], Any]) -> Any:  # Any: whatever the factory makes
        self.left_traces = True
        full_key = f"{self._node_type} {self.node_id}/{key}"  # another workflow may call another kind of node the same
        if full_key not in self._services.kept:
            self._services.kept[full_key] = factory()
        return self._services.kept[full_key]

    def shared(self, key: str, factory: Callable[[], T]) -> T:
        full_key = step_key("shared", self._node_type.rpartition(".")[0], key)  # the pack
        kept = self._cache.get(full_key) if self._cache is not None else None
        if kept is not None:
            found: T = kept.values[0]
            return found
        started = time.perf_counter()
        made = factory()
        if self._cache is not None:
            self._cache.put(full_key, Result([made], seconds=time.perf_counter() - started, storable=False))
        return made

    def _show(self, shown: Shown) -> None:
        if shown.asset is None:  # a folder, which the node fills itself
            self.left_traces = True
        self.shown.append(shown)
        self._emit(NodeShowed, node=self.node_id, path=str(shown.path), temporary=shown.temporary)
