"""The server itself: what it is, what it has, how it does."""

from __future__ import annotations

import asyncio
import platform
import time
from importlib.metadata import version
from typing import get_args

from aiohttp import web
from pydantic import BaseModel, ConfigDict

from graphengine.core.job import JobState
from graphengine.jobs.store import JobStore, UnknownJob
from graphengine.server.calls import Call, NoParameters, Route
from graphengine.server.services import WorkerReport

__all__ = ["OPEN_ROUTES", "ROUTES"]


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True)


class Health(_Answer):
    """The server answers."""

    status: str = "ok"


class WorkerAnswer(_Answer):
    """A worker and what it is doing."""

    device: str
    state: str
    responding: bool
    starts: int
    last_exit: str = ""
    pid: int | None = None
    job: str | None = None
    memory_bytes: int | None = None


class SystemAnswer(_Answer):
    """Versions, devices, memory, and packs that failed to load."""

    version: str
    python: str
    torch: str
    platform: str
    uptime_s: float
    accepting: bool
    disk_free_bytes: int
    memory_free_bytes: int
    nodes: int
    pack_failures: dict[str, str]
    conflicts: list[str]
    workers: list[WorkerAnswer]


class Reloaded(_Answer):
    """Whether any pack had changed."""

    changed: bool


async def healthz(call: Call[NoParameters, None]) -> Health:
    """Say that the server answers."""
    return Health()


async def get_system(call: Call[NoParameters, None]) -> SystemAnswer:
    """Tell versions, devices, memory and packs."""
    import psutil

    services = call.services
    definitions = services.definitions.current
    free = await asyncio.to_thread(lambda: psutil.disk_usage(str(services.settings.data)).free)
    return SystemAnswer(
        version=version("graphengine"),
        python=platform.python_version(),
        torch=version("torch"),
        platform=platform.platform(),
        uptime_s=round(time.time() - services.started, 3),
        accepting=services.is_accepting,
        disk_free_bytes=free,
        memory_free_bytes=psutil.virtual_memory().available,
        nodes=len(definitions.by_id),
        pack_failures={failure.pack: failure.error for failure in definitions.failures},
        conflicts=list(definitions.conflicts),
        workers=[await _described(call, each) for each in services.workers.status()],
    )


async def _described(call: Call[NoParameters, None], worker: WorkerReport) -> WorkerAnswer:
    """Describe a worker; what another owner's job is called is nobody's business."""
    answer = WorkerAnswer.model_validate(worker, from_attributes=True)
    if worker.job is None or call.owner is None:
        return answer
    try:
        await call.services.store.read(lambda store: store.get(str(answer.job), call.owner))
    except UnknownJob:
        return answer.model_copy(update={"job": None})
    return answer


async def free_memory(call: Call[NoParameters, None]) -> None:
    """Have all workers forget cached values and unload models, those that are busy after their job."""
    call.services.workers.free_memory()


async def reload_packs(call: Call[NoParameters, None]) -> Reloaded:
    """Load packs again whose files changed."""
    changed = await asyncio.to_thread(call.services.definitions.refresh)
    call.services.workers.reload_packs()
    return Reloaded(changed=changed)


async def get_metrics(call: Call[NoParameters, None]) -> web.StreamResponse:
    """Give figures for Prometheus."""
    from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Gauge, generate_latest

    def read(store: JobStore) -> dict[str, int]:
        return store.counts()

    counts = await call.services.store.read(read)
    registry = CollectorRegistry()
    jobs = Gauge("graphengine_jobs", "Jobs by state.", ["state"], registry=registry)
    for state in get_args(JobState):
        jobs.labels(state).set(counts.get(state, 0))
    up = Gauge("graphengine_uptime_seconds", "Seconds since the server started.", registry=registry)
    up.set(time.time() - call.services.started)
    labels = ["device"]
    busy = Gauge("graphengine_worker_busy", "1 while a worker runs a job.", labels, registry=registry)
    responding = Gauge("graphengine_worker_responding", "1 while a worker answers.", labels, registry=registry)
    memory = Gauge("graphengine_worker_memory_bytes", "Resident memory of a worker.", labels, registry=registry)
    starts = Gauge("graphengine_worker_starts", "How often a worker was started.", labels, registry=registry)
    for worker in call.services.workers.status():
        busy.labels(worker.device).set(worker.job is not None)
        responding.labels(worker.device).set(worker.responding)
        memory.labels(worker.device).set(worker.memory_bytes or 0)
        starts.labels(worker.device).set(worker.starts)
    return web.Response(body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})


ROUTES = (
    Route("GET", "/system", get_system, "system", answer=SystemAnswer),
    Route("POST", "/system/free-memory", free_memory, "system", status=204),
    Route("POST", "/system/reload-packs", reload_packs, "system", answer=Reloaded),
)

OPEN_ROUTES = (
    Route("GET", "/healthz", healthz, "system", answer=Health),
    Route("GET", "/metrics", get_metrics, "system", media_type="text/plain"),
)
