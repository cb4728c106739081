"""What can be used: node kinds, the files that inputs may name, models."""

from __future__ import annotations

import asyncio
import re
from typing import Any

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from graphengine.server.calls import ANY_OBJECT, Call, NoParameters, Refused, Route
from graphengine.server.owned_files import is_any_foreign, own_file_names

__all__ = ["ROUTES"]


class FileNames(BaseModel):
    """The names that inputs of a kind of file may have now."""

    model_config = ConfigDict(frozen=True)

    kind: str
    names: list[str]


class SocketsRequest(BaseModel):
    """What is chosen at a node.

    Attributes:
        inputs: Those named by its definition's ``sockets_from``; others don't matter.
    """

    model_config = ConfigDict(extra="forbid")

    inputs: dict[str, Any] = Field(default_factory=dict, max_length=1000)  # Any: JSON


class SocketsAnswer(BaseModel):
    """The inputs and outputs that a node has besides those of its definition, in the same form.

    Attributes:
        sockets: ``inputs``, ``outputs`` and ``doc``, without fields at their defaults; null if they aren't known.
        problem: Why the node can't be used with what is chosen; null if it can.
    """

    model_config = ConfigDict(frozen=True)

    sockets: dict[str, Any] | None = None  # Any: JSON
    problem: dict[str, Any] | None = None


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


async def find_node_sockets(call: Call[NoParameters, SocketsRequest]) -> SocketsAnswer:
    """Tell the further inputs and outputs of a node, of those kinds where they follow from what is chosen at it."""
    services, name = call.services, call.path["type"]
    kind = services.definitions.current.get(name)
    if kind is None or not kind.sockets_from:
        message = f"no node {name!r} has further sockets."
        raise Refused(404, "unknown_kind", message, "See 'sockets_from' of the definitions at /api/v1/nodes.")
    inputs = {each: value for each, value in call.body.inputs.items() if each in kind.sockets_from}
    if await asyncio.to_thread(is_any_foreign, services, kind, inputs, call.owner):
        return SocketsAnswer()
    return SocketsAnswer.model_validate(await services.workers.ask("sockets", {"type": kind.id, "inputs": inputs}))


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
    Route(
        "POST",
        "/nodes/{type}/sockets",
        find_node_sockets,
        "nodes",
        body=SocketsRequest,
        answer=SocketsAnswer,
        errors=(404, 422, 503),
    ),
    Route("GET", "/files/{kind}", get_files, "nodes", answer=FileNames, errors=(404,)),
    Route("GET", "/models", list_models, "nodes", answer=ModelList),
)
