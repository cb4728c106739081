"""The browser editor's files, as its build leaves them: ``index.html``, and what it loads from ``_editor/``."""

from __future__ import annotations

import re
from pathlib import Path

from aiohttp import web

__all__ = ["OPEN_PATHS", "add_editor", "editor_folder"]

OPEN_PATHS = frozenset({"/", "/_editor/{name}"})
"""Routes that need no token: whoever has none must see the page on which to give it."""

_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")
_FOR_EVER = "public, max-age=31536000, immutable"  # names hold a hash of what is in the files
_NOT_BUILT = """<!doctype html><html lang="en"><meta charset="utf-8"><title>graphengine</title>
<h1>The editor was not built</h1>
<p>The server runs, and <a href="/api/v1/docs">its API</a> works. For the editor, run
<code>npm ci</code> and <code>npm run build</code> in <code>web/</code>, or install graphengine again while online.</p>
"""


def editor_folder() -> Path:
    """Give the folder of the built editor: inside an installed package, or where a checkout builds it."""
    inside = Path(__file__).parents[1] / "_web"
    return inside if inside.is_dir() else inside.parents[1] / "web" / "dist"


def add_editor(app: web.Application, folder: Path) -> None:
    """Serve the editor; if it was not built, a page that says how to."""

    async def get_page(_request: web.Request) -> web.StreamResponse:
        page = folder / "index.html"
        if not page.is_file():
            return web.Response(text=_NOT_BUILT, content_type="text/html")
        return web.FileResponse(page, headers={"Cache-Control": "no-cache"})

    async def get_file(request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        path = folder / "_editor" / name
        if _NAME.fullmatch(name) is None or not path.is_file():
            raise web.HTTPNotFound
        return web.FileResponse(path, headers={"Cache-Control": _FOR_EVER})

    app.router.add_get("/", get_page)
    app.router.add_get("/_editor/{name}", get_file)
