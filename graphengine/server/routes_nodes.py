"""What can be used: node kinds, the files that inputs may name, models."""

from __future__ import annotations

import asyncio
import re

from aiohttp import web
from pydantic import BaseModel, ConfigDict

from graphengine.server.calls import ANY_OBJECT, Call, NoParameters, Refused, Route
from graphengine.server.owned_files import own_file_names

__all__ = ["ROUTES"]


class FileNames(BaseModel):
    """The names that inputs of a kind of file may have now."""

    model_config = ConfigDict(frozen=True)

    kind: str
    names: list[str]


class ModelList(BaseModel):
    """The model files by kind: checkpoints, vae, loras, …"""

    model_config = ConfigDict(frozen=True)

    models: dict[str, list[str]]


async def get_nodes(call: Call[NoParameters, None]) -> web.StreamResponse:
    """Give all node definitions, the packs that failed to load, and which nodes are hidden by others.

    Fields at their defaults are left out. ``If-None-Match`` with the ETag of before answers 304.
    """
    definitions = call.services.definitions
    headers = {"ETag": definitions.etag, "Cache-Control": "no-cache", "Vary": "Accept-Encoding"}
    if _is_known(call.request, definitions.etag):
        return web.Response(status=304, headers=headers)
    if _takes_gzip(call.request):
        headers["Content-Encoding"] = "gzip"
        return web.Response(body=definitions.compressed_body, content_type="application/json", headers=headers)
    return web.Response(body=definitions.body, content_type="application/json", headers=headers)


async def get_files(call: Call[NoParameters, None]) -> FileNames:
    """List the files that an input of this kind may name, as they are now."""
    kind = call.path["kind"]
    if kind not in _kinds(call):
        known = ", ".join(sorted(_kinds(call)))
        raise Refused(404, "unknown_kind", f"no node takes files of the kind {kind!r}.", f"There are: {known}.")
    names = await asyncio.to_thread(own_file_names, call.services, kind, call.owner)
    return FileNames(kind=kind, names=names)


async def list_models(call: Call[NoParameters, None]) -> ModelList:
    """List the model files of all kinds."""
    kinds = sorted(_kinds(call) - {"input", "datasets"})

    def look() -> dict[str, list[str]]:
        return {kind: call.services.settings.names_in_folders(kind) for kind in kinds}

    return ModelList(models=await asyncio.to_thread(look))


def _is_known(request: web.Request, etag: str) -> bool:
    """Tell whether a client has what an ETag names, compared weakly as RFC 9110 has it."""
    given = ",".join(request.headers.getall("If-None-Match", []))
    known = {each.strip().removeprefix("W/") for each in given.split(",")}
    return "*" in known or etag.removeprefix("W/") in known


def _takes_gzip(request: web.Request) -> bool:
    given = ",".join(request.headers.getall("Accept-Encoding", [])).lower()
    weights = {name.strip(): weight.strip() for name, _, weight in (each.partition(";") for each in given.split(","))}
    return re.fullmatch(r"q=0(\.0*)?", weights.get("gzip", weights.get("*", "q=0"))) is None


def _kinds(call: Call[NoParameters, None]) -> set[str]:
    nodes = call.services.definitions.current.by_id.values()
    return {place.files for kind in nodes for place in kind.inputs if place.files is not None}


ROUTES = (
    Route("GET", "/nodes", get_nodes, "nodes", schema=ANY_OBJECT),
    Route("GET", "/files/{kind}", get_files, "nodes", answer=FileNames, errors=(404,)),
    Route("GET", "/models", list_models, "nodes", answer=ModelList),
)
