"""Saved workflows: list, read, save, check, plan and run; each one with declared inputs is an endpoint of its own."""

from __future__ import annotations

import asyncio
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from graphengine.core.job import JobRequest
from graphengine.core.workflow import Workflow, workflow_of
from graphengine.errors import InvalidWorkflow
from graphengine.server.calls import Call, NoParameters, Refused, Route, checked
from graphengine.server.library import SavedWorkflow
from graphengine.server.routes_jobs import JobAnswer, WaitQuery, submit, when_ended
from graphengine.server.submission import Submission, check_workflow, problems_as_json, read_given

__all__ = ["ROUTES", "RunRequest"]


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True)


class Saved(_Answer):
    """What is known of a saved workflow.

    Attributes:
        error: Why it can't be read.
        shipped: It came with the server, and nobody saved one under its name.
    """

    name: str
    version: str
    modified: float
    size_bytes: int
    title: str = ""
    description: str = ""
    inputs: list[str] = []
    error: str = ""
    shipped: bool = False

    @classmethod
    def of(cls, saved: SavedWorkflow) -> Saved:
        """Make it from what the library says."""
        return cls.model_validate(
            {name: getattr(saved, name) or "" for name in ("title", "description", "error")}
            | {
                "name": saved.name,
                "version": saved.version,
                "modified": saved.modified,
                "size_bytes": saved.size_bytes,
                "inputs": list(saved.inputs),
                "shipped": saved.shipped,
            }
        )


class SavedList(_Answer):
    """The workflows, by name."""

    workflows: list[Saved]


class SavedDocument(_Answer):
    """A saved workflow with its document; save it with this ``version``."""

    saved: Saved
    workflow: dict[str, Any]  # Any: a workflow document


class SaveRequest(BaseModel):
    """A workflow to save.

    Attributes:
        version: The version that it was made from; null for a new one. If the server has another one by now, nothing
            is saved.
    """

    model_config = ConfigDict(extra="forbid")

    workflow: dict[str, Any]  # Any: a workflow document
    version: str | None = None


class RenameRequest(BaseModel):
    """Another name for a workflow.

    Attributes:
        version: The version that was seen; if the server has another one by now, nothing is renamed.
    """

    model_config = ConfigDict(extra="forbid")

    name: str = Field(max_length=1000)
    version: str = Field(max_length=64)


class VersionQuery(BaseModel):
    """Which version is meant."""

    model_config = ConfigDict(extra="forbid")

    version: str = Field(max_length=64)


class VersionChoice(BaseModel):
    """Which version is meant; the newest if none is given."""

    model_config = ConfigDict(extra="forbid")

    version: str | None = Field(default=None, max_length=64)


class RevisionAnswer(_Answer):
    """An earlier version of a workflow."""

    version: str
    saved: float
    size_bytes: int


class History(_Answer):
    """The earlier versions, the newest first."""

    revisions: list[RevisionAnswer]


class Trashed(_Answer):
    """A deleted workflow."""

    id: str
    name: str


class Trash(_Answer):
    """What was deleted and can be restored."""

    workflows: list[Trashed]


class CheckRequest(BaseModel):
    """What to check or plan: a document, or a saved workflow by name, with values for its inputs."""

    model_config = ConfigDict(extra="forbid")

    workflow: dict[str, Any] | None = None  # Any: a workflow document
    saved: str | None = None
    inputs: dict[str, Any] = Field(default_factory=dict)  # Any: JSON
    targets: list[str] | None = Field(default=None, max_length=1000)


class CheckAnswer(_Answer):
    """All problems; it is sound if none of them is more than a warning."""

    sound: bool
    problems: list[dict[str, Any]]  # Any: JSON


class PlanAnswer(_Answer):
    """What a run would do; see ``graphengine plan --json``."""

    plan: dict[str, Any]  # Any: JSON


class RunRequest(JobRequest):
    """Values for a saved workflow's declared inputs, and how to run it."""

    inputs: dict[str, Any] = Field(default_factory=dict)  # Any: JSON, checked as the inputs' types


async def list_workflows(call: Call[NoParameters, None]) -> SavedList:
    """List the workflows that can be run by name: the saved ones, damaged ones included, and those that were shipped.

    A saved one goes before a shipped one of its name.
    """
    found = await asyncio.to_thread(call.services.workflows.list)
    return SavedList(workflows=[Saved.of(each) for each in found])


async def read_workflow(call: Call[VersionChoice, None]) -> SavedDocument:
    """Give a saved or shipped workflow, or an earlier version of it."""
    name, version, workflows = call.path["name"], call.query.version, call.services.workflows
    if version is None:
        document, saved = await asyncio.to_thread(workflows.read, name)
    else:
        document, saved = await asyncio.to_thread(workflows.read_version, name, version)
    return SavedDocument(saved=Saved.of(saved), workflow=_as_json(document))


async def save_workflow(call: Call[NoParameters, SaveRequest]) -> Saved:
    """Save a workflow under a name; the version before it stays in the history.

    Problems in it don't stop it from being saved: work in progress is never lost. Over a shipped workflow it is saved
    as one of the user's own.
    """
    workflow, name = workflow_of(call.body.workflow), call.path["name"]
    _refuse_address_of_history(name)
    saved = await asyncio.to_thread(
        lambda: call.services.workflows.save(name, workflow, expected_version=call.body.version)
    )
    return Saved.of(saved)


async def rename_workflow(call: Call[NoParameters, RenameRequest]) -> Saved:
    """Give a saved workflow another name; its history comes with it. A shipped one keeps its name."""
    name, given = call.path["name"], call.body
    _refuse_address_of_history(given.name)
    renamed = await asyncio.to_thread(
        lambda: call.services.workflows.rename(name, given.name, expected_version=given.version)
    )
    return Saved.of(renamed)


async def delete_workflow(call: Call[VersionQuery, None]) -> Trashed:
    """Move a saved workflow to the trash; a shipped one can't be deleted."""
    name, version = call.path["name"], call.query.version
    trashed = await asyncio.to_thread(lambda: call.services.workflows.delete(name, expected_version=version))
    return Trashed(id=trashed.id, name=trashed.name)


async def get_history(call: Call[NoParameters, None]) -> History:
    """List a workflow's earlier versions."""
    revisions = await asyncio.to_thread(call.services.workflows.history, call.path["name"])
    return History(revisions=[RevisionAnswer.model_validate(each, from_attributes=True) for each in revisions])


async def list_trash(call: Call[NoParameters, None]) -> Trash:
    """List what was deleted."""
    found = await asyncio.to_thread(call.services.library.trash)
    return Trash(workflows=[Trashed(id=each.id, name=each.name) for each in found])


async def restore_workflow(call: Call[NoParameters, None]) -> Saved:
    """Take a workflow out of the trash."""
    return Saved.of(await asyncio.to_thread(call.services.library.restore, call.path["id"]))


async def check(call: Call[NoParameters, CheckRequest]) -> CheckAnswer:
    """Find all problems of a workflow without running it."""
    workflow = await _given(call)
    problems = await check_workflow(call.services, workflow, call.body.targets, call.owner)
    return CheckAnswer(sound=all(each.warning for each in problems), problems=problems_as_json(problems))


async def plan(call: Call[NoParameters, CheckRequest]) -> PlanAnswer:
    """Say what a run would do: which nodes, what is cached, how long it may take."""
    workflow = await _given(call)
    problems = await check_workflow(call.services, workflow, call.body.targets, call.owner)
    if not all(each.warning for each in problems):
        raise InvalidWorkflow(problems)
    about = {"workflow": workflow.dump(compact=True), "targets": call.body.targets}
    answer = await call.services.workers.ask("plan", about, timeout_s=30)
    return PlanAnswer.model_validate({"plan": answer})


async def run_workflow(call: Call[WaitQuery, RunRequest]) -> JobAnswer:
    """Run a saved or shipped workflow with values for its declared inputs; with ``wait``, answer when it has ended.

    As with a job, it goes on if that time is over or whoever waits gives up.
    """
    fields = call.body.model_dump(exclude_unset=True)
    given = checked(Submission, {**fields, "saved": call.path["name"]})
    answer = await submit(call.services, call.as_owner, given, call.request.headers.get("Idempotency-Key"))
    return answer.model_copy(update={"job": await when_ended(call.services, answer.job, call.query.wait)})


def _refuse_address_of_history(name: str) -> None:
    if name.endswith("/history"):
        message = f"{name!r} can't be a workflow's name: its address would be another workflow's history."
        raise Refused(422, "bad_name", message, "Take another word for what comes after the last '/'.")


async def _given(call: Call[Any, CheckRequest]) -> Workflow:  # Any: any query
    workflow = await read_given(call.services, call.body.workflow, call.body.saved)
    return workflow.with_settings(call.body.inputs) if call.body.inputs else workflow


def _as_json(workflow: Workflow) -> dict[str, Any]:  # Any: a workflow document
    import json

    document: dict[str, Any] = json.loads(workflow.dump(compact=True))  # Any: as above
    return document


_NAME = "/workflows/{name:.+?}"  # names may have folders

ROUTES = (
    Route("GET", "/workflows", list_workflows, "workflows", answer=SavedList),
    Route("POST", "/check", check, "workflows", body=CheckRequest, answer=CheckAnswer, errors=(404, 422)),
    Route("POST", "/plan", plan, "workflows", body=CheckRequest, answer=PlanAnswer, errors=(404, 422, 503)),
    Route("GET", "/trash", list_trash, "workflows", answer=Trash),
    Route("POST", "/trash/{id}/restore", restore_workflow, "workflows", answer=Saved, errors=(404, 409, 422)),
    Route(
        "POST",
        f"{_NAME}/run",
        run_workflow,
        "workflows",
        query=WaitQuery,
        body=RunRequest,
        answer=JobAnswer,
        status=201,
        errors=(404, 422, 503, 507),
    ),
    Route(
        "POST",
        f"{_NAME}/rename",
        rename_workflow,
        "workflows",
        body=RenameRequest,
        answer=Saved,
        errors=(404, 409, 507),
    ),
    Route("GET", f"{_NAME}/history", get_history, "workflows", answer=History, errors=(404, 422)),
    Route("GET", _NAME, read_workflow, "workflows", query=VersionChoice, answer=SavedDocument, errors=(404, 422)),
    Route("PUT", _NAME, save_workflow, "workflows", body=SaveRequest, answer=Saved, errors=(409, 422, 507)),
    Route("DELETE", _NAME, delete_workflow, "workflows", query=VersionQuery, answer=Trashed, errors=(404, 409, 422)),
)
