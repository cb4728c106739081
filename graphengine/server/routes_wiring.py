"""What a wire that is being drawn would bring together; nothing is changed."""

from __future__ import annotations

import asyncio
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from graphengine.core.workflow import workflow_of
from graphengine.server.calls import Call, NoParameters, Route
from graphengine.server.owned_files import every_node, foreign_files

__all__ = ["ROUTES"]


class WireRequest(BaseModel):
    """A socket that a wire is drawn from.

    Attributes:
        node: Below the nodes of the sub-graphs that it is in, as ``upscale/decode``.
    """

    model_config = ConfigDict(extra="forbid")

    workflow: dict[str, Any]  # Any: a workflow document
    node: str = Field(min_length=1, max_length=1000)
    name: str = Field(min_length=1, max_length=200)
    side: Literal["input", "output"]


class MisfitAnswer(BaseModel):
    """A socket that the wire could lead to, and the problem that this would be, there or behind it."""

    model_config = ConfigDict(frozen=True)

    node: str
    name: str
    problem: dict[str, Any]  # Any: JSON


class WireAnswer(BaseModel):
    """The sockets of the same graph that take the wire's type but not what would come along it."""

    model_config = ConfigDict(frozen=True)

    misfits: list[MisfitAnswer]


async def check_wire(call: Call[NoParameters, WireRequest]) -> WireAnswer:
    """Say where a wire from a socket would bring together what wasn't made for each other, such as two models' parts.

    Such a link can be made all the same: whoever changes over to another model makes one after the other.
    """
    given, services = call.body, call.services
    workflow = workflow_of(given.workflow)
    kinds = services.definitions.current.by_id
    is_stated = any(node.type in kinds and kinds[node.type].has_refine for _id, node in every_node(workflow))
    if not is_stated:
        return WireAnswer(misfits=[])
    if await asyncio.to_thread(foreign_files, services, workflow, call.owner):
        return WireAnswer(misfits=[])
    about = {"workflow": workflow.dump(compact=True), "node": given.node, "name": given.name, "side": given.side}
    return WireAnswer.model_validate({"misfits": await services.workers.ask("misfits", about)})


ROUTES = (
    Route("POST", "/check/wire", check_wire, "workflows", body=WireRequest, answer=WireAnswer, errors=(422, 503)),
)
