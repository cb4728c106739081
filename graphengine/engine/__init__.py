"""Run workflows in process: the embedder's one call."""

from __future__ import annotations

import importlib.metadata
import threading
from collections.abc import Callable, Collection, Iterable
from functools import lru_cache
from pathlib import Path

from graphengine.authoring.packs import find_packs, load_packs
from graphengine.config import Settings
from graphengine.core.collector import held_back
from graphengine.core.events import Event
from graphengine.core.plan import Plan
from graphengine.core.planner import Planner
from graphengine.core.registry import Registry
from graphengine.core.workflow import Workflow
from graphengine.engine.cache import Cache, MemoryCache, Result, TieredCache
from graphengine.engine.context import RunServices
from graphengine.engine.device_memory import DeviceMemory
from graphengine.engine.devices import check_device
from graphengine.engine.disk_cache import DiskCache
from graphengine.engine.executor import Executor, RunResult
from graphengine.engine.record import MeasuredCache, Record, Stopwatch, workflow_id

__all__ = ["Engine", "RunResult", "numeric_environment"]


class Engine:
    """A registry, settings and a cache that outlives runs.

    Example:
        ``Engine(registry, settings).run(workflow).outputs["image"]``
    """

    def __init__(self, registry: Registry, settings: Settings, record: Record | None = None) -> None:
        self.settings = settings
        self.record = record
        self.environment = numeric_environment(settings.device, settings.precision)
        self.use(registry)
        self._disk_cache = DiskCache(settings.cache_folder, settings.disk_cache_bytes)
        self._memory_cache = MemoryCache(settings.cache_bytes, _model_bytes(settings))
        self.cache: Cache = TieredCache(self._memory_cache, self._disk_cache)
        self._kept: dict[str, object] = {}
        self._device_memory = DeviceMemory(settings.device_bytes)
        self._turn = threading.RLock()  # one run at a time: they share the device and what nodes keep

    def use(self, registry: Registry) -> None:
        """Go on with other nodes, such as packs that were loaded again; the caches stay."""
        self.registry = registry
        self._planner, self._sparing_planner = (
            Planner(registry.definitions, registry.function, environment=environment)
            for environment in (self.environment, f"{self.environment} sparing")  # tiles change pictures a little
        )

    def close(self) -> None:
        """Wait until results are on disk, and store no more; leaving Python waits as well."""
        self._disk_cache.close()

    def forget(self) -> None:
        """Drop what is held in memory between runs: results, what nodes kept, networks on the device."""
        with self._turn:
            self._memory_cache.clear()
            self._kept.clear()
            self._device_memory.unload(self.settings.device)

    def memory(self) -> dict[str, object]:
        """Say what is held in memory between runs."""
        return {
            "cached_results": len(self._memory_cache),
            "cached_bytes": self._memory_cache.used_bytes,
            "models": self._device_memory.resident_names(self.settings.device),
        }

    def in_memory(self, key: bytes) -> Result | None:
        """Give a result that is held in memory, also while a run goes on; looking doesn't keep it there for longer."""
        return self._memory_cache.peek(key)

    @classmethod
    def for_user(
        cls,
        *,
        packs: Iterable[Path] = (),
        data: Path | None = None,
        output: Path | None = None,
        device: str | None = None,
        disk_cache_bytes: int | None = None,
        beside: Iterable[Path] = (),
    ) -> Engine:
        """Make an engine with the installed packs and these, the rest at its defaults; see ``Settings``."""
        settings = Settings.for_user(
            data=data, output=output, device=device, disk_cache_bytes=disk_cache_bytes, beside=beside
        )
        loaded, failures = load_packs(find_packs(settings, packs))
        return cls(Registry(loaded, failures), settings, Record(settings.record_file))

    def plan(
        self,
        workflow: Workflow,
        *,
        targets: Collection[str] | None = None,
        source: str = "workflow",
        settings: Settings | None = None,
    ) -> Plan:
        """Check a workflow and say what a run would do, without doing it.

        Raises:
            InvalidWorkflow: with all its problems.
        """
        settings = settings or self.settings
        planner = self._sparing_planner if settings.sparing else self._planner
        with held_back():
            return planner.plan(workflow, settings, targets, source=source)

    def run(
        self,
        workflow: Workflow,
        *,
        targets: Collection[str] | None = None,
        emit: Callable[[Event], None] | None = None,
        services: RunServices | None = None,
        source: str = "workflow",
        path: Path | None = None,
        plan: Plan | None = None,
    ) -> RunResult:
        """Check a workflow and run it.

        Args:
            targets: Node ids; by default every output node and the nodes of declared outputs.
            emit: Called with each event.
            services: For a caller that cancels the run or embeds another workflow than this one in pictures.
            source: What messages call the workflow.
            path: Its file, under which its runs are recorded.
            plan: What ``plan`` gave for it and these targets, for a caller that looked at that first.

        Raises:
            InvalidWorkflow: nothing has run then.
            NodeFailed: a node raised.
            Cancelled: the run was stopped.
            GraphEngineError: the device isn't there.
        """
        check_device(self.settings.device)
        services = services or RunServices(self.settings, workflow)
        if plan is None:
            plan = self.plan(workflow, targets=targets, source=source, settings=services.settings)
        with self._turn:
            services.kept = self._kept
            services.device_memory = self._device_memory
            if self.record is None:
                return self._executor(self.cache).run(plan, services, emit)
            stopwatch, cache = Stopwatch.of(plan), MeasuredCache(self.cache)
            try:
                return self._executor(cache).run(plan, services, stopwatch.watching(emit))
            finally:
                self.record.keep(
                    workflow_id(workflow, path),
                    plan,
                    environment=self.environment,
                    seconds=stopwatch.seconds,
                    sizes=cache.sizes,
                    is_partial=targets is not None,
                )

    def _executor(self, cache: Cache) -> Executor:
        return Executor(self.registry, cache, environment=self.environment)


def _model_bytes(settings: Settings) -> int:
    """Give the budget for models."""
    if settings.model_bytes is not None:
        return settings.model_bytes
    import psutil

    return int(psutil.virtual_memory().total // 2)


@lru_cache
def numeric_environment(device: str, precision: str) -> str:
    """Name what numbers depend on besides inputs: the device's kind, the weights' format, the libraries' versions."""
    versions = (f"{name} {importlib.metadata.version(name)}" for name in ("torch", "diffusers", "transformers"))
    return " ".join([device.partition(":")[0], precision, *versions])
