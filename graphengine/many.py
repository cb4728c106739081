"""Several runs of one workflow with different settings: the lines of a batch file, the combinations of a sweep."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from graphengine.core.workflow import Workflow
from graphengine.errors import InvalidWorkflow, Problem

__all__ = ["Case", "check_cases", "read_batch"]

_MOST_LINES = 100_000
_MOST_PROBLEMS = 100


class Case(NamedTuple):
    """One of the runs.

    Attributes:
        number: The line of the batch file, or the place in the sweep; from 1.
        settings: As for ``Workflow.with_settings``.
        label: What to call it: ``line 3``, ``steps=10 cfg=2``.
    """

    number: int
    settings: Mapping[str, object]
    label: str


def read_batch(path: Path) -> list[Case]:
    """Read a JSONL file: a JSON object of settings on each line; empty lines are passed over.

    Raises:
        InvalidWorkflow: lines that are none; all of them at once.
        OSError: the file can't be read.
    """
    cases: list[Case] = []
    problems: list[Problem] = []
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        if not line.strip():
            continue
        try:
            settings = json.loads(line.decode("utf-8-sig"))
        except (ValueError, RecursionError) as error:
            problems.append(_bad_line(number, f"it is not valid JSON: {error}."))
            continue
        if isinstance(settings, dict):
            cases.append(Case(number, settings, f"line {number}"))
        else:
            problems.append(_bad_line(number, "it is no object."))
    if not cases and not problems:
        problems.append(Problem("empty_batch", "the file has no line to run.", 'Write {"NAME": VALUE, …} on each.'))
    if len(cases) > _MOST_LINES:
        message = f"the file has {len(cases):,} lines; {_MOST_LINES:,} are the most that run at once."
        problems.append(Problem("too_many", message, "Divide it into several files."))
    if problems:
        raise InvalidWorkflow(problems, str(path))
    return cases


def check_cases(
    workflow: Workflow, cases: Iterable[Case], check: Callable[[Workflow], Sequence[Problem]], source: str
) -> tuple[list[Workflow], list[Problem]]:
    """Make each case's workflow and check all of them before the first runs.

    Problems of a case say which one it is; what every case has is said once, without.

    Returns:
        The workflows, and the warnings.

    Raises:
        InvalidWorkflow: with all problems.
    """
    workflows: list[Workflow] = []
    found: dict[str, tuple[Problem, list[Case]]] = {}  # by text: a problem's extra facts can't be hashed
    all_cases = list(cases)
    for case in all_cases:
        try:
            workflows.append(workflow.with_settings(case.settings))
            problems = check(workflows[-1])
        except InvalidWorkflow as error:
            problems = error.problems
        for problem in problems:
            found.setdefault(repr(problem), (problem, []))[1].append(case)
    said = [each for problem, of in found.values() for each in _of_cases(problem, of, len(all_cases))]
    stopping = [problem for problem in said if not problem.warning]
    if stopping:
        raise InvalidWorkflow(stopping[:_MOST_PROBLEMS], source)
    return workflows, said


def _of_cases(problem: Problem, cases: Sequence[Case], count: int) -> list[Problem]:
    if len(cases) == count > 1 or problem.warning:
        return [problem]
    return [
        replace(problem, message=f"{case.label}: {problem.message}", extra={**problem.extra, "number": case.number})
        for case in cases
    ]


def _bad_line(number: int, message: str) -> Problem:
    remedy = 'Write an object of settings: {"prompt": "a cat", "sample.steps": 30}.'
    return Problem("bad_line", f"line {number}: {message}", remedy, extra={"number": number})
