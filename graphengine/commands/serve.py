"""``graphengine serve``: the queue, the workers and the API in front of them."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import ipaddress
import logging
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from aiohttp import web
from filelock import FileLock, Timeout

from graphengine.authoring.definition_cache import read_definitions
from graphengine.authoring.packs import find_packs
from graphengine.commands.serve_options import ServeError, check_options, device_names, output_folder, tls_context
from graphengine.config import Settings
from graphengine.errors import GraphEngineError
from graphengine.jobs.hub import EventHub
from graphengine.jobs.store_thread import StoreThread
from graphengine.server.app import create_app
from graphengine.server.broken_requests import Runner
from graphengine.server.definitions import LiveDefinitions
from graphengine.server.editor_pages import OPEN_PATHS
from graphengine.server.library import WorkflowLibrary
from graphengine.server.security import SecurityPolicy
from graphengine.server.services import Services
from graphengine.server.shipped import KnownWorkflows
from graphengine.server.thumbnails import Thumbnails
from graphengine.server.tokens import TokenStore
from graphengine.server.uploads import UploadStore
from graphengine.workers.local import WorkerOptions
from graphengine.workers.supervisor import Supervisor
from graphengine.workflow_files import shipped_workflows

__all__ = ["serve"]

logger = logging.getLogger(__name__)

_WATCH_PACKS_EVERY_S = 1.0
_SHUTDOWN_S = 1.0
_TRASH_S = 30 * 24 * 3600.0


def serve(options: argparse.Namespace) -> int:
    """Serve until a signal ends it."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)
    settings = Settings.for_user(data=options.data, device="cpu")
    check_options(options, settings)
    policy = _policy(options, settings)
    lock = FileLock(settings.data / "server.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise ServeError(
            f"another graphengine serves the data folder {settings.data}. End it, or give another folder with --data."
        ) from None
    with lock:
        asyncio.run(_serve(options, settings, policy))
    return 0


async def _serve(options: argparse.Namespace, settings: Settings, policy: SecurityPolicy) -> None:
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        with contextlib.suppress(NotImplementedError):  # Windows has no such handlers; Ctrl-C raises there
            loop.add_signal_handler(number, ended.set)
    output = output_folder(options, settings)
    logs = settings.data / "logs"
    store = StoreThread(settings.data / "queue.sqlite")
    hub = EventHub(store)
    workers = Supervisor(
        store,
        hub,
        [
            WorkerOptions(device, settings.data, output, logs, options.pack, options.precision, options.device_memory)
            for device in device_names(options)
        ],
        cancel_grace_s=options.cancel_grace,
        stuck_timeout_s=options.stuck_timeout,
    )
    library = WorkflowLibrary(settings.data / "workflows")
    definitions = LiveDefinitions(lambda: read_definitions(find_packs(settings, options.pack), _cache(settings)))
    services = Services(
        settings=settings,
        store=store,
        hub=hub,
        workers=workers,
        definitions=definitions,
        library=library,
        workflows=KnownWorkflows(library, shipped_workflows()),
        uploads=UploadStore(settings.data / "input" / "uploads"),
        thumbnails=Thumbnails(settings.data / "thumbnails"),
        output=output,
        logs=logs,
        requires_token=policy.require_token,
    )
    beside = [asyncio.create_task(hub.keep_regularly()), asyncio.create_task(asyncio.to_thread(_clean, services))]
    if options.reload_packs:
        beside.append(asyncio.create_task(_watch_packs(services)))
    runner = Runner(
        create_app(services, policy),
        access_log=None,
        handle_signals=False,
        shutdown_timeout=_SHUTDOWN_S,
        max_line_size=16 * 1024,
        max_field_size=16 * 1024,
    )
    await runner.setup()
    try:
        await _listen(runner, options)  # first of all: starting workers takes a moment
        await workers.start()
        _greet(options, services, runner)
        gc.freeze()  # what is here now stays; a search for garbage in it would hold up all requests for a moment
        await ended.wait()
        logger.info("stopping: jobs that run have %g s to finish; what waits stays in the queue", options.grace)
        services.is_accepting = False
        await workers.stop(options.grace)
    finally:
        for task in beside:
            task.cancel()
        await asyncio.gather(*beside, return_exceptions=True)
        hub.close()
        with contextlib.suppress(GraphEngineError):
            await hub.keep()
        await runner.cleanup()
        await store.close()


async def _listen(runner: web.AppRunner, options: argparse.Namespace) -> None:
    try:
        await web.TCPSite(runner, options.host, options.port, ssl_context=tls_context(options)).start()
    except OSError as error:
        raise ServeError(
            f"can't listen on {options.host}:{options.port}: {error.strerror or error}. Choose another --port."
        ) from None


def _clean(services: Services) -> None:
    """Remove what earlier servers left: uploads that broke off, and workflows that were deleted long ago."""
    services.uploads.clean()
    with contextlib.suppress(GraphEngineError):  # a disk that fails now is tried again at the next start
        services.library.empty_trash(_TRASH_S)


async def _watch_packs(services: Services) -> None:
    """Read packs again when their files change."""
    while True:
        await asyncio.sleep(_WATCH_PACKS_EVERY_S)
        if await asyncio.to_thread(services.definitions.refresh):
            logger.info("packs changed and were read again")
            services.workers.reload_packs()


def _policy(options: argparse.Namespace, settings: Settings) -> SecurityPolicy:
    """Decide who may come in: from this machine anybody, from elsewhere only who has a token."""
    tokens = TokenStore(options.token_file or settings.data / "tokens.json")
    is_local = _is_loopback(options.host)
    require = options.require_token or not is_local
    if require and not tokens.list():
        raise ServeError(
            f"listening on {options.host} lets other machines in, so a token is required, and there is none. "
            "Make one with 'graphengine token create NAME', or listen on 127.0.0.1."
        )
    hosts = {options.host} if options.host not in ("0.0.0.0", "::") else set()
    named = frozenset(each if ":" not in each or each.startswith("[") else f"[{each}]" for each in hosts)
    return SecurityPolicy(
        hosts=named | frozenset(options.allow_host),
        origins=frozenset(options.allow_origin),
        tokens=tokens,
        require_token=require,
        open_routes=OPEN_PATHS,
    )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _greet(options: argparse.Namespace, services: Services, runner: web.AppRunner) -> None:
    """Say where to find the server and what it found."""
    definitions = services.definitions.current
    scheme = "https" if options.tls_cert is not None else "http"
    for address in runner.addresses:
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address[0], address[0])  # where all addresses are, this one is
        host, port = (f"[{host}]" if ":" in host else host), address[1]
        print(f"graphengine listens on {scheme}://{host}:{port}  (API: {scheme}://{host}:{port}/api/v1/docs)")
    devices = ", ".join(services.workers.devices)
    print(f"devices: {devices}; nodes: {len(definitions.by_id)}; data: {services.settings.data}")
    found = {kind: services.settings.names_in_folders(kind) for kind in _model_kinds(services)}
    models = [f"{len(names)} {kind}" for kind, names in found.items() if names]
    print(f"models: {', '.join(models) or 'none'}")
    for failure in definitions.failures:
        print(f"pack {failure.pack!r} failed to load: {failure.error}")
    for conflict in definitions.conflicts:
        print(conflict)
    sys.stdout.flush()


def _model_kinds(services: Services) -> Sequence[str]:
    nodes = services.definitions.current.by_id.values()
    kinds = {place.files for kind in nodes for place in kind.inputs if place.files is not None}
    return sorted(kinds - {"input", "datasets"})


def _cache(settings: Settings) -> Path:
    return settings.data / "definitions"
