"""Run workflows in process: the embedder's one call."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Collection
from functools import lru_cache

from graphengine.config import Settings
from graphengine.core.events import Event
from graphengine.core.graph import build_graph
from graphengine.core.plan import make_plan
from graphengine.core.registry import Registry
from graphengine.core.workflow import Workflow
from graphengine.engine.cache import Cache, MemoryCache
from graphengine.engine.context import RunServices
from graphengine.engine.devices import DeviceMemory
from graphengine.engine.executor import Executor, RunResult

__all__ = ["Engine", "RunResult", "numeric_environment"]


class Engine:
    """A registry, settings and a cache that outlives runs.

    Example:
        ``Engine(registry, settings).run(workflow).outputs["image"]``
    """

    def __init__(self, registry: Registry, settings: Settings) -> None:
        self.registry = registry
        self.settings = settings
        self._environment = numeric_environment(settings.device)
        self._cache: Cache = MemoryCache(settings.cache_bytes)
        self._kept: dict[str, object] = {}
        self._device_memory = DeviceMemory()

    def run(
        self,
        workflow: Workflow,
        *,
        targets: Collection[str] | None = None,
        emit: Callable[[Event], None] = lambda event: None,
        services: RunServices | None = None,
        source: str = "workflow",
    ) -> RunResult:
        """Check a workflow and run it.

        Args:
            targets: Node ids; by default every output node and the nodes of declared outputs.
            emit: Called with each event.
            services: For a caller that cancels the run or embeds another workflow than this one in pictures.
            source: What messages call the workflow.

        Raises:
            InvalidWorkflow: nothing has run then.
            NodeFailed: a node raised.
            Cancelled: the run was stopped.
        """
        graph = build_graph(
            workflow,
            self.registry.definitions,
            self.settings,
            targets=targets,
            function_of=self.registry.function,
            source=source,
        )
        plan = make_plan(
            graph,
            targets,
            environment=self._environment,
            fingerprint_of=lambda definition: self.registry.function(definition).fingerprint,
        )
        services = services or RunServices(self.settings, workflow)
        services.kept = self._kept
        services.device_memory = self._device_memory
        return Executor(self.registry, self._cache, environment=self._environment).run(plan, services, emit)


@lru_cache
def numeric_environment(device: str) -> str:
    """Name what numbers depend on besides inputs: the device's kind and the libraries' versions."""
    versions = (f"{name} {importlib.metadata.version(name)}" for name in ("torch", "diffusers", "transformers"))
    return " ".join([device.partition(":")[0], *versions])
