"""Say what went wrong: to people on standard error, to programs as one line of JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from graphengine.errors import NodeFailed, Problem

__all__ = ["report_error", "report_failure", "report_problems", "report_warnings"]


def report_problems(problems: Sequence[Problem], text: str, *, as_json: bool) -> None:
    """Give all problems, to people in these words."""
    if as_json:
        print(json.dumps({"type": "problems", "problems": [problem.as_json() for problem in problems]}))
    else:
        sys.stderr.write(f"{text}\n")


def report_warnings(problems: Sequence[Problem]) -> None:
    """Give the problems that stop nothing."""
    for problem in problems:
        if problem.warning:
            sys.stderr.write(f"warning: {problem}\n")


def report_failure(error: NodeFailed) -> None:
    """Show where in its code a node broke, unless it refused its input in words of its own."""
    import traceback

    from graphengine.errors import GraphEngineError

    cause = error.__cause__
    if cause is not None and not isinstance(cause, GraphEngineError):
        sys.stderr.write("".join(traceback.format_exception(cause)) + "\n")
    sys.stderr.write(f"{error}\n")


def report_error(error: Exception, *, as_json: bool) -> None:
    """Give what a command couldn't do."""
    if as_json:
        print(json.dumps({"type": "error", "message": str(error)}))
    else:
        sys.stderr.write(f"graphengine: {error}\n")
