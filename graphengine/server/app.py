"""The web application: routes, errors and security put together."""

from __future__ import annotations

import asyncio
import json
import weakref
from importlib.metadata import version
from importlib.resources import files
from urllib.parse import quote

from aiohttp import web

from graphengine.core.workflow import Workflow
from graphengine.errors import GraphEngineError
from graphengine.server import routes_assets, routes_jobs, routes_nodes, routes_system, routes_workflows
from graphengine.server.calls import MOST_BODY_BYTES, bind, catch_errors
from graphengine.server.openapi import PREFIX, describe, workflow_operation
from graphengine.server.security import SecurityPolicy, secure
from graphengine.server.services import SERVICES, Services
from graphengine.server.websocket import SOCKETS, close_sockets, events_socket

__all__ = ["API", "create_app", "openapi"]

API = (
    *routes_jobs.ROUTES,
    *routes_workflows.ROUTES,
    *routes_nodes.ROUTES,
    *routes_assets.ROUTES,
    *routes_system.ROUTES,
)


def create_app(services: Services, policy: SecurityPolicy) -> web.Application:
    """Make the application that serves these parts under this policy."""
    app = web.Application(client_max_size=MOST_BODY_BYTES, middlewares=[catch_errors])
    app[SERVICES] = services
    app[SOCKETS] = weakref.WeakSet()
    app.on_shutdown.append(close_sockets)
    app.router.add_get(f"{PREFIX}/openapi.json", _get_openapi)
    app.router.add_get(f"{PREFIX}/docs", _get_docs)
    app.router.add_get(f"{PREFIX}/docs.js", _get_docs_script)
    app.router.add_get(f"{PREFIX}/events", events_socket, allow_head=False)
    bind(app, API, PREFIX)
    bind(app, routes_system.OPEN_ROUTES, "")
    secure(app, policy)
    return app


def openapi() -> str:
    """Give the API's description as it is committed; saved workflows are added where it is served."""
    return json.dumps(describe(API, routes_system.OPEN_ROUTES), indent=2, sort_keys=True) + "\n"


async def _get_openapi(request: web.Request) -> web.Response:
    """Describe the API and an endpoint for each saved workflow with declared inputs."""
    library = request.app[SERVICES].library

    def read() -> dict[str, Workflow]:
        found = {}
        for saved in library.list():
            if saved.inputs and not saved.error:
                try:
                    found[saved.name], _about = library.read(saved.name)
                except GraphEngineError:  # it was just deleted
                    continue
        return found

    document = describe(API, routes_system.OPEN_ROUTES, version=version("graphengine"))
    for name, workflow in (await asyncio.to_thread(read)).items():
        document["paths"][f"{PREFIX}/workflows/{quote(name)}/run"] = workflow_operation(name, workflow)
    return web.json_response(document)


async def _get_docs(request: web.Request) -> web.Response:
    return web.Response(text=_read("docs.html"), content_type="text/html")


async def _get_docs_script(request: web.Request) -> web.Response:
    return web.Response(text=_read("docs.js"), content_type="text/javascript")


def _read(name: str) -> str:
    return (files("graphengine.server") / name).read_text(encoding="utf-8")
