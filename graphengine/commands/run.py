"""``graphengine run``: one run, or one for each line of a batch or each combination of a sweep."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from typing import TYPE_CHECKING

from graphengine.authoring.context import Blocked
from graphengine.commands.given import (
    GivenWorkflow,
    is_text,
    json_or_text,
    make_engine,
    parse_settings,
    parse_targets,
    read_given,
    read_settings,
)
from graphengine.commands.reports import report_failure, report_problems, report_warnings
from graphengine.console import EventLines, ProgressDisplay
from graphengine.engine import Engine, RunResult
from graphengine.engine.context import RunServices
from graphengine.errors import GraphEngineError, NodeFailed, Problem

if TYPE_CHECKING:
    from graphengine.core.plan import Plan
    from graphengine.core.workflow import Workflow
    from graphengine.many import Case
    from graphengine.sweep import Axis
    from graphengine.types import Image

__all__ = ["run"]

DONE, FAILED = 0, 1

# Ctrl-C, ``kill`` and schedulers' time limits, a terminal that closes; Windows lacks some.
_ENDING = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
_AGAIN: dict[int, str] = {signal.SIGINT: "Ctrl-C again"}


def run(options: argparse.Namespace) -> int:
    """Run what the options say; 0 if all went well, 1 if a node failed."""
    given = read_given(options)
    engine = make_engine(options, read_settings(options, given.path))
    settings = parse_settings(options.settings, given.document, engine.registry.definitions)
    runs = _Runs(options, given._replace(document=given.document.with_settings(settings)), engine)
    if options.batch:
        return _run_batch(runs)
    if options.sweep:
        return _run_sweep(runs)
    return _run_once(runs)


class _Runs:
    """What the runs of one command share."""

    def __init__(self, options: argparse.Namespace, given: GivenWorkflow, engine: Engine) -> None:
        self.options = options
        self.workflow = given.document
        self.engine = engine
        self.targets = parse_targets(options)
        self.as_json: bool = options.json
        self._given = given
        self._cancel = threading.Event()

    def check(self, workflow: Workflow) -> Sequence[Problem]:
        """Find what is wrong with a workflow."""
        from graphengine.core.graph import check

        registry, settings = self.engine.registry, self.engine.settings
        with redirect_stdout(sys.stderr):  # what packs print
            return check(workflow, registry.definitions, settings, targets=self.targets, function_of=registry.function)

    def check_all(self, cases: Sequence[Case]) -> list[Workflow]:
        """Check each case before the first runs."""
        from graphengine.many import check_cases

        workflows, warnings = check_cases(self.workflow, cases, self.check, self._given.source)
        self.warn(warnings)
        return workflows

    def warn(self, problems: Sequence[Problem]) -> None:
        """Show what stops nothing."""
        if problems and self.as_json:
            report_problems(problems, "", as_json=True)
        elif problems:
            report_warnings(problems)

    def services(self, workflow: Workflow) -> RunServices:
        """Give what a run's nodes share; the workflow is embedded in pictures, unless the user wants none there."""
        embedded = None if self.options.no_metadata else workflow
        return RunServices(self.engine.settings, embedded, cancel=self._cancel)

    def plan(self, workflow: Workflow) -> Plan:
        """Check a workflow, and plan it."""
        with redirect_stdout(sys.stderr):  # what packs print
            return self.engine.plan(workflow, targets=self.targets, source=self._given.source)

    def run(self, workflow: Workflow, display: EventLines | ProgressDisplay, plan: Plan | None = None) -> RunResult:
        """Run a workflow and show its events."""
        return self.engine.run(
            workflow,
            targets=self.targets,
            emit=display.show,
            services=self.services(workflow),
            source=self._given.source,
            path=self._given.path,
            plan=plan,
        )

    def run_case(self, case: Case, workflow: Workflow, display: EventLines | ProgressDisplay) -> RunResult | None:
        """Run one of many; None if it failed, which is reported here."""
        display.begin(case)
        try:
            result = self.run(workflow, display)
        except GraphEngineError as error:
            if not self.as_json:
                sys.stderr.write(f"{case.label}: {error}\n")
            elif not isinstance(error, NodeFailed):  # whose event said it
                display.write({"type": "error", "message": str(error)})
            return None
        if not self.as_json:
            print_result(result, f"{case.label}: ")
        return result

    @contextmanager
    def display(self, count: int = 1, number_as: str = "") -> Iterator[EventLines | ProgressDisplay]:
        """Show progress, and let the first Ctrl-C end the run in order."""
        with _cancel_on_interrupt(self._cancel):
            if self.as_json:
                lines = EventLines(sys.stdout, number_as)
                with redirect_stdout(sys.stderr):  # what nodes print; standard output is for events alone
                    yield lines
            else:
                with ProgressDisplay(self.workflow, count) as display:
                    yield display


def _run_once(runs: _Runs) -> int:
    plan = runs.plan(runs.workflow)
    runs.warn(plan.warnings)
    try:
        with runs.display() as display:
            result = runs.run(runs.workflow, display, plan)
    except NodeFailed as error:
        if not runs.as_json:
            report_failure(error)
        return FAILED
    if not runs.as_json:
        print_result(result)
    return DONE


def _run_batch(runs: _Runs) -> int:
    from graphengine.many import read_batch

    cases = read_batch(runs.options.batch)
    workflows = runs.check_all(cases)
    with runs.display(len(cases), "line") as display:
        results = [
            runs.run_case(case, workflow, display) is not None for case, workflow in zip(cases, workflows, strict=True)
        ]
    return DONE if all(results) else FAILED


def _run_sweep(runs: _Runs) -> int:
    from graphengine.sweep import PictureOutput, combine

    axes = _axes(runs)
    cases = combine(axes)
    workflows = runs.check_all(cases)
    outputs = PictureOutput.of(runs.plan(workflows[0]))
    pictures: list[list[Image | None]] = [[] for _ in outputs]
    failed = False
    with runs.display(len(cases), "run") as display:
        for case, workflow in zip(cases, workflows, strict=True):
            result = runs.run_case(case, workflow, display)
            failed = failed or result is None
            for output, kept in zip(outputs, pictures, strict=True):
                kept.append(None if result is None else output.taken_from(result))
    for output, kept in zip(outputs, pictures, strict=True):
        if any(each is not None for each in kept):
            _write_sheet(runs, axes, output.name, kept)
    return FAILED if failed else DONE


def _axes(runs: _Runs) -> list[Axis]:
    from graphengine.sweep import parse_axis

    definitions = runs.engine.registry.definitions
    return [
        parse_axis(text, lambda name: is_text(name, runs.workflow, definitions), json_or_text)
        for text in runs.options.sweep
    ]


def _write_sheet(runs: _Runs, axes: Sequence[Axis], output: str, pictures: Sequence[Image | None]) -> None:
    from graphengine.sweep import picture_sheet, with_sweep

    sheet = picture_sheet(pictures, axes)
    folder = runs.services(with_sweep(runs.workflow, axes)).output_folder(lambda shown: None)
    (path,) = folder.write_images(sheet, "sweep")
    print(json.dumps({"type": "sheet", "output": output, "path": str(path)}) if runs.as_json else path)


def print_result(result: RunResult, before: str = "") -> None:
    """Print the files that a run wrote, and those of its outputs that are a line of text."""
    for shown in result.shown:
        print(f"{before}{shown.path}")
    for name, value in result.outputs.items():
        if isinstance(value, bool | int | float | str):
            print(f"{before}{name}: {value}")
        elif isinstance(value, Blocked):
            print(f"{before}{name}: blocked: {value.message}")


@contextmanager
def _cancel_on_interrupt(cancel: threading.Event) -> Iterator[None]:
    """Let the first Ctrl-C, or a polite request to end, end the run in order, and the second at once."""

    def stop(number: int, frame: object) -> None:
        cancel.set()
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
        sys.stderr.write(f"Stopping after this step ({_AGAIN.get(number, 'the same again')} stops at once).\n")

    numbers = [number for number in _ENDING if signal.getsignal(number) is not signal.SIG_IGN]  # nohup ignores one
    before = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
