"""Commands that look and change nothing: ``check``, ``plan``, ``why``, ``nodes``, ``schema``."""

from __future__ import annotations

import argparse
import json
import sys
from contextlib import redirect_stdout

from graphengine.commands.given import (
    function_of,
    make_engine,
    parse_settings,
    parse_targets,
    read_definitions,
    read_given,
    read_settings,
)
from graphengine.commands.reports import report_problems

__all__ = ["check", "nodes", "plan", "schema", "why"]

DONE, INVALID = 0, 2


def check(options: argparse.Namespace) -> int:
    """Find everything that is wrong with a workflow; 0 if there are warnings at most."""
    from graphengine.core.graph import check as check_workflow
    from graphengine.errors import describe_problems

    given = read_given(options)
    settings = read_settings(options, given.path)
    definitions = read_definitions(options, settings)
    problems = check_workflow(given.document, definitions, settings, function_of=function_of(options, settings))
    report_problems(problems, describe_problems(problems, given.source), as_json=options.json)
    return DONE if all(problem.warning for problem in problems) else INVALID


def plan(options: argparse.Namespace) -> int:
    """Say what a run would do; 2 if it can't run."""
    from graphengine.console import describe_plan
    from graphengine.engine.explain import explain_plan

    given = read_given(options)
    engine = make_engine(options, read_settings(options, given.path))
    settings = parse_settings(options.settings, given.document, engine.registry.definitions)
    workflow = given.document.with_settings(settings)
    with redirect_stdout(sys.stderr):  # what packs print while they are asked
        report = explain_plan(engine, workflow, targets=parse_targets(options), source=given.source, path=given.path)
    print(json.dumps(report.as_json()) if options.json else describe_plan(report))
    return DONE if report.is_sound else INVALID


def why(options: argparse.Namespace) -> int:
    """Say what changed since the last run that makes a node run again."""
    from graphengine.console import describe_why
    from graphengine.engine.explain import explain_node

    given = read_given(options)
    engine = make_engine(options, read_settings(options, given.path))
    settings = parse_settings(options.settings, given.document, engine.registry.definitions)
    workflow = given.document.with_settings(settings)
    with redirect_stdout(sys.stderr):
        report = explain_node(engine, workflow, options.node, source=given.source, path=given.path)
    print(json.dumps(report.as_json()) if options.json else describe_why(report))
    return DONE


def nodes(options: argparse.Namespace) -> int:
    """List nodes, or describe one."""
    from graphengine.console import describe_node, list_nodes

    definitions = read_definitions(options, read_settings(options))
    if options.name is None:
        shown = [each.model_dump(mode="json", exclude_defaults=True) for each in definitions.by_id.values()]
        print(json.dumps(shown, indent=2) if options.json else list_nodes(definitions))
        return DONE
    definition = definitions.get(options.name)
    if definition is None:
        near = definitions.nearest(options.name)
        guess = f" Did you mean {near!r}?" if near else " 'graphengine nodes' lists all."
        sys.stderr.write(f"there is no node {options.name!r}.{guess}\n")
        return INVALID
    print(
        json.dumps(definition.model_dump(mode="json", exclude_defaults=True), indent=2)
        if options.json
        else describe_node(definition)
    )
    return DONE


def schema(options: argparse.Namespace) -> int:
    """Print the JSON Schema of workflow files, or the OpenAPI description of the server."""
    if options.api:
        from graphengine.server.app import openapi

        print(openapi(), end="")
        return DONE
    from graphengine.core.schema import workflow_schema

    print(workflow_schema(), end="")
    return DONE
