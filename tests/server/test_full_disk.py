"""A full disk, seen through HTTP: 507, nothing half-written, and all is well when there is room again."""

from __future__ import annotations

import asyncio
import errno
import io
import os
import sqlite3
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from graphengine.config import Settings
from graphengine.core.registry import Definitions
from graphengine.jobs.hub import EventHub
from graphengine.jobs.store_thread import StoreThread
from graphengine.server.app import create_app
from graphengine.server.definitions import LiveDefinitions
from graphengine.server.library import WorkflowLibrary
from graphengine.server.security import SecurityPolicy
from graphengine.server.services import Services, WorkerReport
from graphengine.server.shipped import KnownWorkflows
from graphengine.server.thumbnails import Thumbnails
from graphengine.server.uploads import UploadStore
from tests.jobs.failing import let_fail, use_failing_connections
from tests.server.running import Json, one_node
from tests.server.upload_files import picture_bytes

Send = Callable[[aiohttp.ClientSession], Awaitable[aiohttp.ClientResponse]]


class NoWorkers:
    """No worker at all: what these tests ask for needs none."""

    devices = ("cpu",)

    def wake(self) -> None: ...
    def cancel(self, job_id: str) -> None: ...
    def free_memory(self) -> None: ...
    def reload_packs(self) -> None: ...

    async def ask(self, what: str, about: object = None, *, timeout_s: float = 10) -> object:
        raise TimeoutError

    async def ask_all(self, what: str, about: object = None, *, timeout_s: float = 10) -> AsyncGenerator[object]:
        raise TimeoutError
        yield

    def status(self) -> tuple[WorkerReport, ...]:
        return ()


def talk(folder: Path, talk: Callable[[aiohttp.ClientSession], Awaitable[None]]) -> None:
    """Serve from a folder in this process, whose calls of the system a test can let fail, and talk to that."""

    async def go() -> None:
        store = StoreThread(folder / "queue.sqlite")
        library = WorkflowLibrary(folder / "workflows")
        services = Services(
            settings=Settings.for_user(data=folder),
            store=store,
            hub=EventHub(store),
            workers=NoWorkers(),
            definitions=LiveDefinitions(lambda: Definitions.collect([])),
            library=library,
            workflows=KnownWorkflows(library, {}),
            uploads=UploadStore(folder / "input" / "uploads"),
            thumbnails=Thumbnails(folder / "thumbnails"),
            output=folder / "output",
            logs=folder / "logs",
        )
        policy = SecurityPolicy(frozenset(), frozenset(), tokens=None, require_token=False)
        runner = web.AppRunner(create_app(services, policy))
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        try:
            async with aiohttp.ClientSession(f"http://127.0.0.1:{runner.addresses[0][1]}") as session:
                await talk(session)
        finally:
            await runner.cleanup()
            await store.close()

    asyncio.run(go())


def full(*_: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def everything(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() and "sqlite" not in path.name}


def upload(session: aiohttp.ClientSession, content: bytes) -> Awaitable[aiohttp.ClientResponse]:
    form = aiohttp.FormData()
    form.add_field("file", io.BytesIO(content), filename="cat.png")
    return session.post("/api/v1/assets", data=form)


def save(
    session: aiohttp.ClientSession, document: Json, version: str | None = None
) -> Awaitable[aiohttp.ClientResponse]:
    return session.put("/api/v1/workflows/a", json={"workflow": document, "version": version})


async def require_507(answer: aiohttp.ClientResponse) -> None:
    problem = await answer.json(content_type="application/problem+json")
    assert (answer.status, problem["code"]) == (507, "disk_full")
    assert "Free some space" in problem["detail"]


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_upload_to_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    content = picture_bytes(tmp_path)

    async def conversation(session: aiohttp.ClientSession) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(os, step, full)
            await require_507(await upload(session, content))
        assert everything(tmp_path) == set()
        assert (await (await session.get("/api/v1/assets")).json())["assets"] == []
        asset = await (await upload(session, content)).json()
        assert await (await session.get(f"/api/v1/assets/{asset['asset']}")).read() == content

    talk(tmp_path, conversation)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_disk_that_fills_up_while_an_upload_arrives_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = picture_bytes(tmp_path, "BMP", (2000, 500))
    opened = Path.open

    def open_on_a_full_device(path: Path, mode: str = "r", *more: object) -> object:
        file = opened(path, mode)
        if path.parent.name == ".drafts" and "x" in mode:
            with opened(Path("/dev/full"), "wb") as device:
                os.dup2(device.fileno(), file.fileno())
        return file

    async def conversation(session: aiohttp.ClientSession) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(Path, "open", open_on_a_full_device)
            await require_507(await upload(session, content))
        assert everything(tmp_path) == set()
        assert (await upload(session, content)).status == 201

    talk(tmp_path, conversation)


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_workflow_saved_to_a_full_disk_stays_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    async def conversation(session: aiohttp.ClientSession) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(os, step, full)
            await require_507(await save(session, one_node("t.Number")))
        assert everything(tmp_path) == set()
        first = (await (await save(session, one_node("t.Number"))).json())["version"]
        before = everything(tmp_path)
        with monkeypatch.context() as patch:
            patch.setattr(os, step, full)
            await require_507(await save(session, one_node("t.Other"), first))
        assert everything(tmp_path) == before
        assert (await (await session.get("/api/v1/workflows/a")).json())["saved"]["version"] == first
        assert (await save(session, one_node("t.Other"), first)).status == 200

    talk(tmp_path, conversation)


@pytest.mark.parametrize(
    ("number", "status", "code", "retry_after"),
    [(sqlite3.SQLITE_FULL, 507, "disk_full", None), (sqlite3.SQLITE_BUSY, 503, "busy", "1")],
    ids=["full", "busy"],
)
def test_queue_that_cant_be_written_says_whether_to_try_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, status: int, code: str, retry_after: str | None
) -> None:
    use_failing_connections(monkeypatch)

    async def conversation(session: aiohttp.ClientSession) -> None:
        with monkeypatch.context() as patch:
            let_fail(patch, lambda statement: number if statement.startswith("DELETE") else None)
            answer = await session.post("/api/v1/jobs/prune", json={"keep": 0})
            problem = await answer.json(content_type="application/problem+json")
        assert (answer.status, problem["code"], answer.headers.get("Retry-After")) == (status, code, retry_after)
        assert (await session.post("/api/v1/jobs/prune", json={"keep": 0})).status == 200

    talk(tmp_path, conversation)
