"""Commands that ask a server: ``submit``, ``jobs``, ``watch``, ``cancel``, ``logs``, and ``run --server``."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable
from datetime import datetime
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING

from graphengine.client import DEFAULT_URL, Client, ServerError, Submitted
from graphengine.commands.following import CancelOnInterrupt, Following, exit_code, print_values
from graphengine.commands.given import GivenWorkflow, parse_settings, parse_targets, read_given
from graphengine.commands.reports import report_error, report_problems, report_warnings
from graphengine.core.registry import Definitions
from graphengine.errors import GraphEngineError, InvalidWorkflow, Problem

if TYPE_CHECKING:
    from graphengine.core.job import Job

__all__ = ["cancel", "jobs", "logs", "run", "submit", "watch"]

DONE, INVALID, INTERRUPTED = 0, 2, 130

ServerCommand = Callable[[Client, argparse.Namespace], int]

_LOCAL_OPTIONS = {
    "device": "--device",
    "precision": "--precision",
    "device_memory": "--device-memory",
    "no_cache": "--no-cache",
    "no_metadata": "--no-metadata",
    "batch": "--batch",
    "sweep": "--sweep",
    "pack": "--pack",
    "data": "--data",
}


def _asks_server(command: ServerCommand) -> Callable[[argparse.Namespace], int]:
    """Make a command of one that takes a client, and say where a token is given if the server wants one."""

    @wraps(command)
    def ask(options: argparse.Namespace) -> int:
        client = _client(options)
        try:
            return command(client, options)
        except ServerError as error:
            if error.status != 401:
                raise
            remedy = "Give one that is valid with --token-file FILE or as GRAPHENGINE_TOKEN."
            raise GraphEngineError(f"{client.url} requires a token.\n  {remedy}") from None

    return ask


@_asks_server
def submit(client: Client, options: argparse.Namespace) -> int:
    """Queue a workflow and print its job's id; with ``--wait``, show its run, and end as it does."""
    given = _read(client, options)
    job = _submit(client, given, options).job
    print(json.dumps({"type": "job", "job": job.model_dump(mode="json")}) if options.json else job.id, flush=True)
    return _watch(client, job, given, options) if options.wait else DONE


def run(options: argparse.Namespace) -> int:
    """Run a workflow on a server, and fetch what it wrote; 0 if all went well, 1 if it failed."""
    _refuse_local_options(options)
    return _run(options)


@_asks_server
def _run(client: Client, options: argparse.Namespace) -> int:
    given = _read(client, options)
    with Following(given.document, as_json=options.json) as following:
        with CancelOnInterrupt(client) as interrupt:
            job = _submit(client, given, options).job
            following.say("job_queued", job.id, f"Job {job.id} at {client.url}")
            interrupt.cancels(job.id)
            job = following.follow(client, job.id, shows_files=False)
        fetched = client.download(job, options.out or Path("output"))
        following.finish(job, fetched)
    if not options.json:
        for output in job.outputs:
            if output in fetched:
                print(fetched[output])
            else:
                sys.stderr.write(f"{output.path} stays with the server.\n")
        print_values(job)
    return exit_code(job, given.source, as_json=options.json)


@_asks_server
def watch(client: Client, options: argparse.Namespace) -> int:
    """Show a job's run, from its start; end as it does."""
    job = client.job(options.job)
    given = GivenWorkflow(client.workflow(job.id), job.name or f"job {job.id}", None)
    return _watch(client, job, given, options)


@_asks_server
def jobs(client: Client, options: argparse.Namespace) -> int:
    """List jobs, the newest first."""
    found = client.jobs(states=options.state, text=options.text, limit=options.limit)
    for job in found:
        print(json.dumps({"type": "job", "job": job.model_dump(mode="json")}) if options.json else _line(job))
    return DONE


@_asks_server
def cancel(client: Client, options: argparse.Namespace) -> int:
    """Stop jobs; those that can't be stopped don't keep the others from it."""
    code = DONE
    for job_id in options.jobs:
        try:
            job = client.cancel(job_id)
        except ServerError as error:
            if error.status not in (404, 409):
                raise
            report_error(error, as_json=options.json)
            code = INVALID
            continue
        said = f"{job.id} {'is stopping' if job.cancelling else job.state}"
        print(json.dumps({"type": "job", "job": job.model_dump(mode="json")}) if options.json else said)
    return code


@_asks_server
def logs(client: Client, options: argparse.Namespace) -> int:
    """Print what a job's nodes printed."""
    log = client.log(options.job)
    if options.json:
        print(json.dumps({"type": "log", "job": options.job, "text": log.text, "truncated": log.truncated}))
        return DONE
    if log.truncated:
        sys.stderr.write("(only the end of the log is kept)\n")
    print(log.text, end="" if log.text.endswith("\n") or not log.text else "\n")
    return DONE


def _client(options: argparse.Namespace) -> Client:
    """Make the client that options and environment ask for; no command line holds a token, as others could read it."""
    url = options.server or os.environ.get("GRAPHENGINE_SERVER") or DEFAULT_URL
    token = os.environ.get("GRAPHENGINE_TOKEN", "")
    if options.token_file is not None:
        token = options.token_file.read_text(encoding="utf-8", errors="replace")
        if not token.strip():
            raise GraphEngineError(
                f"{options.token_file} holds no token.\n  Write the token into it, and nothing else."
            )
    return Client(url, token.strip() or None)


def _read(client: Client, options: argparse.Namespace) -> GivenWorkflow:
    """Read the workflow with its settings, whose types the server's nodes tell where the workflow doesn't."""
    given = read_given(options)
    names = {each.partition("=")[0] for each in options.settings}
    definitions = Definitions({}) if names <= given.document.inputs.keys() else client.nodes()
    settings = parse_settings(options.settings, given.document, definitions)
    return given._replace(document=given.document.with_settings(settings))


def _submit(client: Client, given: GivenWorkflow, options: argparse.Namespace) -> Submitted:
    """Queue a workflow; what is wrong with it is told as it is of a run here."""
    try:
        submitted = client.submit(
            given.document,
            name=getattr(options, "name", None) or _name(given),
            priority=getattr(options, "priority", 0),
            targets=parse_targets(options),
        )
    except ServerError as error:
        if error.code != "invalid_workflow":
            raise
        raise InvalidWorkflow(error.problems, given.source) from None
    if submitted.warnings and options.json:
        report_problems(submitted.warnings, "", as_json=True)
    elif submitted.warnings:
        report_warnings(submitted.warnings)
    return submitted


def _name(given: GivenWorkflow) -> str:
    """Name a job as its workflow, or else as its file."""
    return str(given.document.meta.get("name") or (given.path.stem if given.path is not None else ""))[:200]


def _watch(client: Client, job: Job, given: GivenWorkflow, options: argparse.Namespace) -> int:
    try:
        with Following(given.document, as_json=options.json) as following:
            job = following.follow(client, job.id, shows_files=True)
            following.finish(job, {})
    except KeyboardInterrupt:
        sys.stderr.write(f"The job goes on; 'graphengine cancel {job.id}' stops it.\n")
        return INTERRUPTED
    if not options.json:
        for output in job.outputs:
            print(output.path)
        print_values(job)
    return exit_code(job, given.source, as_json=options.json)


def _refuse_local_options(options: argparse.Namespace) -> None:
    given = [flag for name, flag in _LOCAL_OPTIONS.items() if getattr(options, name)]
    problems = [
        Problem("local_option", f"{flag} says how to run here, and --server sends the run away.", "Leave one out.")
        for flag in given
    ]
    if options.server is None:
        remedy = "Add --server URL, or leave it out."
        problems.append(Problem("no_server", "--token-file is for a server, and the run is here.", remedy))
    if problems:
        raise InvalidWorkflow(problems, "command line")


def _line(job: Job) -> str:
    created = datetime.fromtimestamp(job.created).strftime("%Y-%m-%d %H:%M:%S")
    took = f"{job.finished - job.started:.1f} s" if job.started and job.finished else ""
    return f"{job.id}  {created}  {job.state:9}  {took:>10}  {job.name}".rstrip()
