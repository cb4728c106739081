"""What the routes of a server share."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from aiohttp import web

from graphengine.config import Settings
from graphengine.jobs.hub import EventHub
from graphengine.jobs.store_thread import StoreThread
from graphengine.server.definitions import LiveDefinitions
from graphengine.server.library import WorkflowLibrary
from graphengine.server.shipped import KnownWorkflows
from graphengine.server.thumbnails import Thumbnails
from graphengine.server.uploads import UploadStore

__all__ = ["SERVICES", "Services", "WorkerControl", "WorkerReport"]


class WorkerReport(Protocol):
    """What a worker is doing."""

    @property
    def device(self) -> str: ...
    @property
    def state(self) -> str: ...
    @property
    def pid(self) -> int | None: ...
    @property
    def job(self) -> str | None: ...
    @property
    def responding(self) -> bool: ...
    @property
    def memory_bytes(self) -> int | None: ...
    @property
    def starts(self) -> int: ...
    @property
    def last_exit(self) -> str: ...


class WorkerControl(Protocol):
    """What the server asks of those who run jobs; ``workers.Supervisor`` is one."""

    @property
    def devices(self) -> tuple[str, ...]:
        """The devices that have a worker."""

    def wake(self) -> None:
        """Look for jobs."""

    def cancel(self, job_id: str) -> None:
        """Stop a job that runs."""

    async def ask(self, what: str, about: object = None, *, timeout_s: float = 10) -> object:
        """Ask any worker."""

    def ask_all(self, what: str, about: object = None, *, timeout_s: float = 10) -> AsyncGenerator[object]:
        """Ask all workers, and give the answers as they come."""

    def free_memory(self) -> None:
        """Have all workers forget what they hold."""

    def reload_packs(self) -> None:
        """Have all workers load changed packs again."""

    def status(self) -> Sequence[WorkerReport]:
        """Say what each worker is doing."""


@dataclass
class Services:
    """The parts of a server.

    Attributes:
        library: What users saved.
        workflows: The same, and what was shipped.
        output: The folder with a folder for each job.
        requires_token: Whether owners are told apart.
        is_accepting: Whether new jobs are taken; a server that stops takes none.
    """

    settings: Settings
    store: StoreThread
    hub: EventHub
    workers: WorkerControl
    definitions: LiveDefinitions
    library: WorkflowLibrary
    workflows: KnownWorkflows
    uploads: UploadStore
    thumbnails: Thumbnails
    output: Path
    logs: Path
    requires_token: bool = False
    is_accepting: bool = True
    started: float = field(default_factory=time.time)


SERVICES = web.AppKey("SERVICES", Services)
