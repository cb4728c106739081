"""Sweeps: all combinations of some inputs' values, and one labelled sheet of the pictures that they gave."""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

from graphengine.errors import InvalidWorkflow, Problem
from graphengine.many import Case
from graphengine.types import Image

if TYPE_CHECKING:
    from graphengine.core.plan import Plan
    from graphengine.core.workflow import Workflow
    from graphengine.engine import RunResult

__all__ = ["Axis", "PictureOutput", "combine", "parse_axis", "picture_sheet", "with_sweep"]

MOST_COMBINATIONS = 10_000

_PICTURES = ("IMAGE", "[IMAGE]")
_NUMBER = r"-?\d+(?:\.\d+)?"
_RANGE = re.compile(rf"({_NUMBER})\.\.({_NUMBER})(?::({_NUMBER}))?")
_LABEL_LENGTH = 60


class Axis(NamedTuple):
    """One input with the values that it takes in turn."""

    name: str
    values: tuple[Any, ...]  # Any: JSON values


class PictureOutput(NamedTuple):
    """An output of a workflow that gives pictures: a declared one, or a node's if the workflow declares none."""

    name: str
    node: str | None = None

    @classmethod
    def of(cls, plan: Plan) -> list[PictureOutput]:
        """Find them in a plan."""
        first = plan.steps[0].ordinal
        declared = [
            cls(name)
            for name, (index, position) in plan.outputs.items()
            if plan.steps[index - first].node.definition.outputs[position].type in _PICTURES
        ]
        targets = [plan.steps[index - first].node for index in plan.targets]
        return declared or [
            cls(output.name, node.id)
            for node in targets
            for output in node.definition.outputs
            if output.type in _PICTURES
        ]

    def taken_from(self, result: RunResult) -> Image | None:
        """Give its pictures in a run's result, of a list those of the first one's size; None if it has no value."""
        import torch

        value = result.outputs[self.name] if self.node is None else result.targets[self.node][self.name]
        batches = [each for each in (value if isinstance(value, list) else [value]) if isinstance(each, torch.Tensor)]
        same = [each for each in batches if each.shape[1:] == batches[0].shape[1:]]
        return Image(torch.cat(same).cpu()) if same else None


def parse_axis(text: str, is_text: Callable[[str], bool], read: Callable[[str], object]) -> Axis:
    """Read ``name=a,b,c`` or ``name=10..30:10``; commas in quotes, lists and objects divide nothing.

    Args:
        is_text: Tells whether an input of this name takes a text.
        read: Reads a value that is no text.

    Raises:
        InvalidWorkflow: it is neither.
    """
    name, equals, given = text.partition("=")
    if not equals or not name:
        raise _refused(f"--sweep {text!r} has no '='.", "Write --sweep NAME=VALUE,VALUE.")
    parts = _divided(given)
    if not is_text(name) and len(parts) == 1 and (found := _RANGE.fullmatch(parts[0])):
        return Axis(name, _range(text, *found.groups()))
    if "" in parts:
        raise _refused(f"--sweep {text!r} has an empty value.", 'Take a comma out, or write "" for an empty text.')
    return Axis(name, tuple(_unquoted(part) if is_text(name) else read(part) for part in parts))


def combine(axes: Sequence[Axis]) -> list[Case]:
    """Give all combinations; the last axis changes fastest.

    Raises:
        InvalidWorkflow: an axis stands twice, or there are too many.
    """
    names = [axis.name for axis in axes]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise _refused(f"--sweep names {twice!r} twice.", "Write all its values in one.")
    count = math.prod(len(axis.values) for axis in axes)
    if count > MOST_COMBINATIONS:
        raise _refused(f"the sweep has {count:,} combinations.", f"Give at most {MOST_COMBINATIONS:,}.")
    combinations = itertools.product(*(axis.values for axis in axes))
    return [
        Case(number, settings := dict(zip(names, values, strict=True)), _label(settings))
        for number, values in enumerate(combinations, 1)
    ]


def with_sweep(workflow: Workflow, axes: Sequence[Axis]) -> Workflow:
    """Note a sweep in the workflow that its sheet embeds."""
    return workflow.model_copy(update={"x-sweep": {axis.name: list(axis.values) for axis in axes}})


def picture_sheet(pictures: Sequence[Image | None], axes: Sequence[Axis]) -> Image:
    """Lay the pictures of all combinations out on one sheet; white where a run failed.

    A column for each value of the last axis, and a row for each combination of the others.
    """
    import torch

    from graphengine.diffusion.images import grid, table

    batches = [None if each is None else each if len(each) == 1 else grid(each, gap=2) for each in pictures]
    height = max((each.shape[1] for each in batches if each is not None), default=1)
    width = max((each.shape[2] for each in batches if each is not None), default=1)
    sheet = torch.ones(len(batches), height, width, 3)
    for index, each in enumerate(batches):
        if each is not None:
            sheet[index, : each.shape[1], : each.shape[2]] = each[0]
    *others, last = axes
    rows = [case.label for case in combine(others)] if others else []
    columns = [_label({last.name: value}) for value in last.values]
    return table(Image(sheet), column_heads=columns, row_heads=rows, gap=8)


def _divided(text: str) -> list[str]:
    """Divide at commas, but not within a JSON text, list or object that an item begins with."""
    parts = []
    start = 0
    while True:
        end = _end_of_json(text, start)
        if end is None or text[end : end + 1] not in ("", ","):
            comma = text.find(",", start)
            end = comma if comma >= 0 else len(text)
        parts.append(text[start:end])
        if end >= len(text):
            return parts
        start = end + 1


def _end_of_json(text: str, start: int) -> int | None:
    if text[start : start + 1] not in ('"', "[", "{"):
        return None
    try:
        return json.JSONDecoder().raw_decode(text, start)[1]
    except (ValueError, RecursionError):
        return None


def _unquoted(text: str) -> str:
    if text.startswith('"') and _end_of_json(text, 0) == len(text):
        return str(json.loads(text))
    return text


def _range(text: str, low: str, high: str, step: str | None) -> tuple[int | float, ...]:
    """Count from low to high, high included; in decimals, so that 0.1 steps arrive where they should."""
    first, last = Decimal(low), Decimal(high)
    by = Decimal(step) if step is not None else Decimal(1 if last >= first else -1)
    if by == 0 or (last - first) * by < 0:
        raise _refused(f"--sweep {text!r} counts away from its end.", "Write NAME=FROM..TO:STEP, such as 10..30:10.")
    count = int((last - first) / by) + 1
    if count > MOST_COMBINATIONS:
        raise _refused(f"--sweep {text!r} has {count:,} values.", f"Give at most {MOST_COMBINATIONS:,}.")
    whole = not any("." in each for each in (low, high, step or ""))
    values = (first + index * by for index in range(count))
    return tuple(int(value) if whole else float(value) for value in values)


def _label(settings: Mapping[str, object]) -> str:
    parts = []
    for name, value in settings.items():
        text = f"{name}={value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}"
        parts.append(text if len(text) <= _LABEL_LENGTH else f"{text[: _LABEL_LENGTH - 1]}…")
    return " ".join(parts)


def _refused(message: str, remedy: str) -> InvalidWorkflow:
    return InvalidWorkflow([Problem("bad_sweep", message, remedy)], "command line")
