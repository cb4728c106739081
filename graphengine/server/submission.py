"""From what somebody sends to a job that can run: the workflow, its settings, all its problems at once."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from pydantic import ConfigDict, Field

from graphengine.core.definition import NodeDefinition
from graphengine.core.graph import Graph, build_graph, check
from graphengine.core.job import JobLimits, JobRequest, NewJob
from graphengine.core.workflow import Workflow, workflow_of
from graphengine.errors import GraphEngineError, InvalidWorkflow, Problem
from graphengine.server.calls import Refused
from graphengine.server.owned_files import every_node, foreign_files
from graphengine.server.services import Services

__all__ = ["Submission", "check_workflow", "prepare", "problems_as_json", "read_given"]

_BESIDE_THE_LOOP = 150  # nodes, from which on a check would hold up other requests
_MOST_TRAITS = 32


class Submission(JobRequest):
    """A workflow to run, and how.

    Attributes:
        workflow: The document; either this or ``saved``.
        saved: The name of a workflow in the server's library, or of a shipped one.
        inputs: Values for declared inputs (``prompt``) and nodes' inputs (``sampler.steps``).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    workflow: dict[str, Any] | None = None  # Any: JSON, checked as a workflow
    saved: str | None = Field(default=None, max_length=200)
    inputs: dict[str, Any] = Field(default_factory=dict, max_length=10_000)  # Any: JSON, checked as the inputs' types


async def read_given(
    services: Services, workflow: Mapping[str, Any] | None, saved: str | None
) -> Workflow:  # Any: JSON
    """Give the workflow that a request holds or names.

    Raises:
        Refused: it does neither, or both.
        GraphEngineError: what it holds or names can't be read.
    """
    if (workflow is None) == (saved is None):
        message = "a job is made of one workflow."
        raise Refused(422, "bad_field", message, "Send either 'workflow', a document, or 'saved', a name.")
    if saved is not None:
        document, _about = await asyncio.to_thread(services.workflows.read, saved)
        return document
    return workflow_of(workflow, "workflow")


async def prepare(services: Services, owner: str, given: Submission) -> tuple[NewJob, list[Problem]]:
    """Make a job of what was sent, and give the warnings that stop nothing.

    Raises:
        InvalidWorkflow: it can't run; with all problems.
    """
    workflow = await read_given(services, given.workflow, given.saved)
    if given.inputs:
        workflow = workflow.with_settings(given.inputs)
    _check_devices(services, given.limits.devices, "the job", "Lower limits.devices.")
    problems = await check_workflow(services, workflow, given.targets, owner if services.requires_token else None)
    if any(not problem.warning for problem in problems):
        raise InvalidWorkflow(problems)
    limits = await asyncio.to_thread(_with_devices, services, workflow, given)
    title = workflow.meta.get("name", "")
    name = given.name or given.saved or (title[:200] if isinstance(title, str) else "")
    fields = {each: getattr(given, each) for each in JobRequest.model_fields}
    return (
        NewJob(
            owner=owner,
            workflow=workflow.dump(compact=True),
            request=JobRequest.model_construct(**(fields | {"name": name, "limits": limits})),
            traits=_traits(workflow, services.definitions.current.by_id),
            node_types=tuple(node.type for _id, node in every_node(workflow)),
        ),
        problems,
    )


def _with_devices(services: Services, workflow: Workflow, given: Submission) -> JobLimits:
    """Give the job's limits with as many devices as its nodes work on at once, if that is more.

    A node whose number comes by a link is known only when it runs: it has what the limits say.

    Raises:
        Refused: there are not so many.
    """
    definitions = services.definitions.current
    kinds = {node.type for _id, node in every_node(workflow)}
    if not any(kind.devices_from for name in kinds if (kind := definitions.get(name)) is not None):
        return given.limits
    graph = build_graph(workflow, definitions, services.settings, targets=given.targets)
    most = given.limits.devices
    for id in _needed(graph, given.targets):
        node = graph.nodes[id]
        wanted = node.literals.get(node.definition.devices_from, 1)
        _check_devices(services, wanted, f"node {id!r}", f"Lower its {node.definition.devices_from!r}.")
        most = max(most, wanted)
    return given.limits.model_copy(update={"devices": most})


def _needed(graph: Graph, targets: Sequence[str] | None) -> Collection[str]:
    """Give the nodes that a run may need."""
    waiting = graph.default_targets() if targets is None else graph.nodes_of(targets)
    found = set(waiting)
    while waiting:
        sources = {source for source, _ in graph.nodes[waiting.pop()].links.values()} - found
        found |= sources
        waiting += sources
    return found


def _check_devices(services: Services, wanted: int, who: str, remedy: str) -> None:
    there = services.workers.devices
    if wanted > len(there):
        has = f"{len(there)} ({', '.join(there)})"
        remedy = f"{remedy} Or start the server with more: --devices cuda:0,cuda:1."
        raise Refused(422, "too_few_devices", f"{who} wants {wanted} devices, and this server has {has}.", remedy)


async def check_workflow(
    services: Services, workflow: Workflow, targets: Sequence[str] | None, owner: str | None
) -> list[Problem]:
    """Find all problems, those included that only a worker can find, if one is there.

    Args:
        owner: Whose uploads it may name; None where owners are not told apart.
    """
    definitions = services.definitions

    def look() -> list[Problem]:
        found = foreign_files(services, workflow, owner)
        return found or list(check(workflow, definitions.current, services.settings, targets=targets))

    kinds = [node.type for _id, node in every_node(workflow)]
    problems = look() if len(kinds) < _BESIDE_THE_LOOP else await asyncio.to_thread(look)
    is_sound = all(problem.warning for problem in problems)
    if not is_sound or definitions.needs_worker.isdisjoint(kinds):
        return problems
    about = {"workflow": workflow.dump(compact=True), "targets": None if targets is None else list(targets)}
    try:
        answer = await services.workers.ask("check", about)
    except (GraphEngineError, TimeoutError):
        return problems  # the worker that gets the job checks it before it runs
    return [_problem(each) for each in answer] if isinstance(answer, list) else problems


def problems_as_json(problems: Sequence[Problem]) -> list[dict[str, object]]:
    """Give problems as plain data."""
    return [problem.as_json() for problem in problems]


def _problem(fields: Mapping[str, Any]) -> Problem:  # Any: JSON
    known = ("code", "message", "remedy", "node", "node_type", "input", "warning")
    extra = {name: value for name, value in fields.items() if name not in known}
    return Problem(**{name: fields[name] for name in known if name in fields}, extra=extra)


def _traits(workflow: Workflow, definitions: Mapping[str, NodeDefinition]) -> tuple[str, ...]:
    """Name the model files that a workflow uses: a worker that has them loaded is the one to run it."""
    found: dict[str, None] = {}
    for _id, node in every_node(workflow):
        kind = definitions.get(node.type)
        if kind is None:
            continue
        for name, value in node.inputs.items():
            place = kind.inputs_by_name.get(name)
            if place is not None and place.files is not None and isinstance(value, str):
                found[f"{place.files}/{value}"] = None
    return tuple(found)[:_MOST_TRAITS]
