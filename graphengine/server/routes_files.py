"""Pictures by the names that inputs have for them, so that an editor can show what is no upload."""

from __future__ import annotations

import asyncio
import mimetypes
from hashlib import file_digest
from pathlib import Path
from typing import Literal

from aiohttp import web
from pydantic import BaseModel, ConfigDict

from graphengine.server.calls import Call, Refused, Route
from graphengine.server.file_answers import send_file
from graphengine.server.owned_files import is_foreign

__all__ = ["ROUTES"]

_REVALIDATED = "private, no-cache"  # somebody may put another picture under the same name


class PictureQuery(BaseModel):
    """How large a picture is to be; as large as it is if nothing is said."""

    model_config = ConfigDict(extra="forbid")

    size: Literal["128", "256", "512"] | None = None


async def get_file(call: Call[PictureQuery, None]) -> web.StreamResponse:
    """Give a picture that an input may name; with ``size``, a small one of it, as WebP."""
    path = await asyncio.to_thread(_find, call)
    media_type = mimetypes.guess_type(path.name)[0] or ""
    if not media_type.startswith("image/"):
        raise Refused(415, "no_picture", f"{path.name} is no picture.", "Only pictures are given by name.")
    if call.query.size is None:
        return await send_file(call.request, path, media_type, path.name, cached=_REVALIDATED)
    small = await asyncio.to_thread(_thumbnail, call, path)
    return await send_file(call.request, small, "image/webp", f"{path.stem}.webp", cached=_REVALIDATED)


def _find(call: Call[PictureQuery, None]) -> Path:
    """Find the file that a name stands for; others' uploads are as if they weren't there."""
    kind, name, services = call.path["kind"], call.path["name"], call.services
    kinds = _picture_kinds(call)
    if kind not in kinds:
        remedy = f"There are: {', '.join(sorted(kinds))}."
        raise Refused(404, "unknown_kind", f"no node takes pictures of the kind {kind!r}.", remedy)
    path = services.settings.find_file(kind, name)
    if path is None or not path.is_file() or (call.owner is not None and is_foreign(services, kind, name, call.owner)):
        message = f"there is no file {name!r}."
        raise Refused(404, "file_not_found", message, f"GET /files/{kind} lists those that there are.")
    return path


def _picture_kinds(call: Call[PictureQuery, None]) -> set[str]:
    """Give the kinds of files that inputs with a picture's widget take; models are nobody's to download."""
    nodes = call.services.definitions.current.by_id.values()
    return {
        place.files
        for kind in nodes
        for place in kind.inputs
        if place.files is not None and place.widget is not None and place.widget.kind == "image"
    }


def _thumbnail(call: Call[PictureQuery, None], path: Path) -> Path:
    with path.open("rb") as file:
        digest = file_digest(file, "sha256").hexdigest()
    return call.services.thumbnails.get(path, digest, int(call.query.size or 0))


ROUTES = (
    Route(
        "GET",
        "/files/{kind}/{name:.+}",
        get_file,
        "nodes",
        query=PictureQuery,
        media_type="image/*",
        errors=(404, 415, 416, 422),
    ),
)
