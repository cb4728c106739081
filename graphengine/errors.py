"""Everything graphengine raises on purpose.

    GraphEngineError
    ├── FileFormatError        a workflow file can't be read: not JSON, another program's, a future version
    ├── InvalidWorkflow        a workflow has problems; carries all of them
    ├── InputError             one input's value can't be used; raised by nodes and their checks
    ├── ModelFileError         a checkpoint or other model file is missing, damaged or of an unknown kind
    ├── DefinitionError        a node or pack is written wrongly; for pack authors
    └── NodeFailed             a node raised while it ran; carries what it was given
    Cancelled                  the user stopped the run; a BaseException, so a node can't swallow it by accident

A message says what is wrong, where, and what to do. The same error is data for programs: ``Problem.as_json()``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

__all__ = [
    "Cancelled",
    "DefinitionError",
    "FileFormatError",
    "GraphEngineError",
    "InputError",
    "InvalidWorkflow",
    "ModelFileError",
    "NodeFailed",
    "Problem",
]


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a workflow.

    Attributes:
        code: A stable name for programs, such as ``value_too_small``.
        message: What is wrong.
        remedy: What to do about it.
        node: The node's id in the workflow, if one node is to blame.
        node_type: That node's kind.
        input: The node's input, or the workflow's declared input or output.
        extra: More for programs, such as the converting nodes or a cycle's ids.
        warning: It stops nothing: it lies outside what is asked to run, or it is advice.
    """

    code: str
    message: str
    remedy: str = ""
    node: str | None = None
    node_type: str | None = None
    input: str | None = None
    extra: Mapping[str, object] = field(default_factory=dict)
    warning: bool = False

    def __str__(self) -> str:
        place = self._place()
        first = f"{place}: {self.message}" if place else self.message[:1].upper() + self.message[1:]
        return f"{first}\n  {self.remedy}" if self.remedy else first

    def _place(self) -> str:
        parts = []
        if self.node is not None:
            parts.append(f"node {self.node!r} ({self.node_type})" if self.node_type else f"node {self.node!r}")
        if self.input is not None:
            parts.append(f"input {self.input!r}")
        return ", ".join(parts)

    def as_json(self) -> dict[str, object]:
        """Give the problem as plain data, without what is empty."""
        known = {
            "code": self.code,
            "node": self.node,
            "node_type": self.node_type,
            "input": self.input,
            "message": self.message,
            "remedy": self.remedy or None,
            "warning": self.warning or None,
        }
        return {name: value for name, value in known.items() if value is not None} | dict(self.extra)


class GraphEngineError(Exception):
    """Anything that graphengine raises on purpose."""


class FileFormatError(GraphEngineError):
    """A file is not a workflow that this version can read."""


class InvalidWorkflow(GraphEngineError):
    """A workflow has problems; all of them are in ``problems``."""

    def __init__(self, problems: Sequence[Problem], source: str = "workflow") -> None:
        self.problems = tuple(problems)
        self.source = source
        super().__init__(problems, source)

    def __str__(self) -> str:
        return describe_problems(self.problems, self.source)


class InputError(GraphEngineError):
    """The value of one input can't be used."""

    def __init__(self, input: str, message: str, remedy: str = "") -> None:
        self.input = input
        self.message = message
        self.remedy = remedy
        super().__init__(input, message, remedy)

    def __str__(self) -> str:
        text = f"input {self.input!r}: {self.message}"
        return f"{text}\n  {self.remedy}" if self.remedy else text


class ModelFileError(GraphEngineError):
    """A model file is missing, damaged, or of a kind that can't be used."""


class DefinitionError(GraphEngineError):
    """A node or a pack is written wrongly; the message is for its author."""


class NodeFailed(GraphEngineError):
    """A node raised while it ran; the original exception is chained as ``__cause__``.

    Attributes:
        node: Its id in the workflow.
        node_type: Its kind.
        inputs: What it was given: literals as text, tensors by shape, dtype and device.
        message: What it raised, in one line or a few.
    """

    def __init__(self, node: str, node_type: str, inputs: Mapping[str, str], message: str) -> None:
        self.node = node
        self.node_type = node_type
        self.inputs = dict(inputs)
        self.message = message
        super().__init__(node, node_type, inputs, message)

    def __str__(self) -> str:
        given = "".join(f"\n    {name}: {text}" for name, text in self.inputs.items())
        return f"node {self.node!r} ({self.node_type}) failed: {self.message}\n  It was given:{given or ' nothing'}"


class Cancelled(BaseException):
    """The user stopped the run."""


def describe_problems(problems: Sequence[Problem], source: str) -> str:
    """Render problems for a terminal, under a line that counts them; warnings come last, under one of their own."""
    errors = [problem for problem in problems if not problem.warning]
    warnings = [problem for problem in problems if problem.warning]
    blocks = [f"{source}: {_counted(len(errors), 'problem')}", *map(_indented, errors)]
    if warnings:
        blocks += [f"{_counted(len(warnings), 'warning')}, stopping nothing", *map(_indented, warnings)]
    return "\n\n".join(blocks)


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _indented(problem: Problem) -> str:
    return "\n".join(f"  {line}" for line in str(problem).splitlines())
