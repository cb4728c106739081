"""A look at what travelled along a wire: the value that the last run left in a worker's memory."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from graphengine.core.workflow import workflow_of
from graphengine.server.calls import Call, NoParameters, Route
from graphengine.server.owned_files import foreign_files

__all__ = ["ROUTES"]


class ProbeRequest(BaseModel):
    """Whose value is asked for.

    Attributes:
        node: Below the nodes of the sub-graphs that it is in, as ``upscale/decode``.
    """

    model_config = ConfigDict(extra="forbid")

    workflow: dict[str, Any]  # Any: a workflow document
    node: str = Field(min_length=1, max_length=1000)
    output: str = Field(min_length=1, max_length=200)


class ProbedTensorAnswer(BaseModel):
    """A tensor in a value.

    Attributes:
        name: The field or the list's item that it is; empty for the value itself.
        minimum: Of the finite elements, as are ``maximum`` and ``mean``; null if there are none, or too many to look
            at.
        not_finite: How many elements are infinite or no number.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    shape: list[int]
    dtype: str
    device: str
    minimum: float | None = None
    maximum: float | None = None
    mean: float | None = None
    not_finite: int = 0


class ProbeAnswer(BaseModel):
    """A value, if a worker has it in memory.

    Attributes:
        text: The value in a line, as errors describe it.
        thumbnail: A JPEG in base64, of pictures and masks; empty for the rest.
    """

    model_config = ConfigDict(frozen=True)

    known: bool
    text: str = ""
    tensors: list[ProbedTensorAnswer] = []
    thumbnail: str = ""


async def probe(call: Call[NoParameters, ProbeRequest]) -> ProbeAnswer:
    """Describe the value that an output gave last, if a worker still has it in memory; nothing is run."""
    asked, services = call.body, call.services
    workflow = workflow_of(asked.workflow)
    if await asyncio.to_thread(foreign_files, services, workflow, call.owner):
        return ProbeAnswer(known=False)
    about = {"workflow": workflow.dump(compact=True), "node": asked.node, "output": asked.output}
    async with contextlib.aclosing(services.workers.ask_all("probe", about)) as answers:
        async for answer in answers:  # of two workers that ran it, one's value is as good as the other's
            if answer is not None:
                return ProbeAnswer.model_validate({"known": True, **_fields(answer)})
    return ProbeAnswer(known=False)


def _fields(answer: object) -> dict[str, Any]:  # Any: JSON
    assert isinstance(answer, dict)  # what a worker's probe gives
    return answer


ROUTES = (Route("POST", "/probe", probe, "workflows", body=ProbeRequest, answer=ProbeAnswer, errors=(422, 503)),)
