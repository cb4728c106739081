"""The web application: routes, errors and security put together."""

from __future__ import annotations

import asyncio
import json
import weakref
from importlib.metadata import version
from importlib.resources import files
from urllib.parse import quote

from aiohttp import web

from graphengine.errors import GraphEngineError
from graphengine.server import (
    routes_assets,
    routes_files,
    routes_jobs,
    routes_nodes,
    routes_probe,
    routes_system,
    routes_wiring,
    routes_words,
    routes_workflows,
)
from graphengine.server.calls import MOST_BODY_BYTES, bind, catch_errors
from graphengine.server.editor_pages import add_editor, editor_folder
from graphengine.server.openapi import PREFIX, describe, workflow_operation
from graphengine.server.routes_jobs import WaitQuery
from graphengine.server.security import SecurityPolicy, secure
from graphengine.server.services import SERVICES, Services
from graphengine.server.websocket import SOCKETS, close_sockets, events_socket

__all__ = ["API", "create_app", "openapi"]

API = (
    *routes_jobs.ROUTES,
    *routes_workflows.ROUTES,
    *routes_wiring.ROUTES,
    *routes_probe.ROUTES,
    *routes_nodes.ROUTES,
    *routes_files.ROUTES,
    *routes_words.ROUTES,
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
    add_editor(app, editor_folder())
    secure(app, policy)
    return app


def openapi() -> str:
    """Give the API's description as it is committed; workflows are added where it is served."""
    return json.dumps(describe(API, routes_system.OPEN_ROUTES), indent=2, sort_keys=True) + "\n"


async def _get_openapi(request: web.Request) -> web.Response:
    """Describe the API and an endpoint for each saved or shipped workflow with declared inputs."""
    workflows = request.app[SERVICES].workflows

    def read() -> str:
        document = describe(API, routes_system.OPEN_ROUTES, version=version("graphengine"))
        for saved in workflows.list():
            if saved.inputs and not saved.error:
                try:
                    workflow, _about = workflows.read(saved.name)
                except GraphEngineError:  # it was just deleted
                    continue
                path = f"{PREFIX}/workflows/{quote(saved.name)}/run"
                document["paths"][path] = workflow_operation(saved.name, workflow, WaitQuery)
        return json.dumps(document)

    # beside the loop: it takes 50 ms, which would hold up everybody else's requests
    return web.Response(text=await asyncio.to_thread(read), content_type="application/json")


async def _get_docs(request: web.Request) -> web.Response:
    return web.Response(text=_read("docs.html"), content_type="text/html")


async def _get_docs_script(request: web.Request) -> web.Response:
    return web.Response(text=_read("docs.js"), content_type="text/javascript")


def _read(name: str) -> str:
    return (files("graphengine.server") / name).read_text(encoding="utf-8")
