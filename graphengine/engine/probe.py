"""Look at a value that an earlier run left in memory: nothing is run, nothing is read from the disk."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from copy import copy
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from graphengine.core.plan import Plan
from graphengine.core.sockets import is_list, is_variable, item_type, members
from graphengine.core.workflow import DeclaredOutput, Workflow
from graphengine.engine import Engine
from graphengine.engine.calling import describe
from graphengine.engine.previews import preview_jpeg
from graphengine.errors import GraphEngineError, InvalidWorkflow

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Probed", "ProbedTensor", "probe"]

_MOST_TENSORS = 4
_MOST_MEASURED = 2**24  # elements; more would take the processor from a job that runs for too long
_PROBED = "probed"


@dataclass(frozen=True)
class ProbedTensor:
    """A tensor in a value.

    Attributes:
        name: The field or the list's item that it is; empty for the value itself.
        minimum: Of the finite elements, as are ``maximum`` and ``mean``; None if there are none, or too many to
            look at.
        not_finite: How many elements are infinite or no number.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    device: str
    minimum: float | None = None
    maximum: float | None = None
    mean: float | None = None
    not_finite: int = 0


@dataclass(frozen=True)
class Probed:
    """What is known of a value.

    Attributes:
        text: The value in a line, as errors describe it.
        thumbnail: A JPEG in base64, of pictures and masks; empty for the rest.
    """

    text: str
    tensors: tuple[ProbedTensor, ...] = ()
    thumbnail: str = ""

    def as_json(self) -> dict[str, object]:
        """Give it as plain data."""
        return asdict(self) | {"tensors": [{**asdict(each), "shape": list(each.shape)} for each in self.tensors]}


def probe(engine: Engine, workflow: Workflow, node: str, output: str, *, source: str = "workflow") -> Probed | None:
    """Describe the value that an output would give without running anything; None if it isn't in memory.

    Args:
        node: With the names of the sub-graphs' nodes that it is in; a sub-graph's node itself, at the top level only.
    """
    found = _place(engine, workflow, node, output, source)
    if found is None:
        return None
    plan, (ordinal, position) = found
    step = plan.steps[ordinal]
    result = engine.in_memory(step.key) if step.key is not None else None
    if result is None:
        return None
    value = result.values[position]
    return Probed(
        describe(value), tuple(_tensors(value)), _thumbnail(step.node.definition.outputs[position].type, value)
    )


def _place(
    engine: Engine, workflow: Workflow, node: str, output: str, source: str
) -> tuple[Plan, tuple[int, int]] | None:
    """Find the step and the position there that an output of a workflow comes from."""
    engine = copy(engine)
    engine.use(engine.registry)  # with a planner of its own: the engine's may be planning the job that runs
    declared = DeclaredOutput.model_validate({"from": f"{node}.{output}"}) if "/" not in node else None
    outputs = {} if declared is None else {_PROBED: declared}
    try:
        plan = engine.plan(workflow.model_copy(update={"outputs": outputs}), targets=[node], source=source)
    except InvalidWorkflow:
        return None  # so it never ran
    if _PROBED in plan.outputs:
        return plan, plan.outputs[_PROBED]
    for step in plan.steps:
        if step.node.id == node:
            names = [each.name for each in step.node.definition.outputs]
            return (plan, (step.ordinal, names.index(output))) if output in names else None
    return None


def _tensors(value: Any) -> Iterator[ProbedTensor]:  # Any: a socket value
    """Describe the first tensors of a value: itself, its list's items, or its fields."""
    if _is_tensor(value):
        yield _measured("", value)
        return
    if isinstance(value, list | tuple):
        parts = [(f"[{index}]", item) for index, item in enumerate(value[:_MOST_TENSORS])]
    else:
        parts = list(getattr(value, "__dict__", {}).items())
    for name, part in [each for each in parts if _is_tensor(each[1])][:_MOST_TENSORS]:
        yield _measured(name, part)


def _is_tensor(value: object) -> bool:
    return all(hasattr(value, name) for name in ("shape", "dtype", "device", "isfinite"))


def _measured(name: str, tensor: Tensor) -> ProbedTensor:
    """Measure a tensor on the processor, so that a job that runs finds its device as it was."""
    dtype = str(tensor.dtype).removeprefix("torch.")
    probed = ProbedTensor(name, tuple(tensor.shape), dtype, str(tensor.device))
    if not 0 < tensor.numel() <= _MOST_MEASURED or tensor.is_complex():
        return probed
    numbers = tensor.detach().cpu().flatten()
    numbers = numbers.float() if numbers.is_floating_point() else numbers.double()
    finite = numbers[numbers.isfinite()]
    probed = replace(probed, not_finite=numbers.numel() - finite.numel())
    if not finite.numel():
        return probed
    return replace(probed, minimum=finite.min().item(), maximum=finite.max().item(), mean=finite.mean().item())


def _thumbnail(kind: str, value: Any) -> str:  # Any: a socket value
    """Make a small picture of a picture or a mask, of the first one of several."""
    while isinstance(value, list) and value:
        value = value[0]
    kind = item_type(kind) if is_list(kind) else kind
    if not _is_tensor(value):
        return ""
    if kind == "MASK":
        value = value.unsqueeze(-1).expand(*value.shape, 3)
    elif "IMAGE" not in members(kind) and not is_variable(kind):
        return ""
    try:
        return base64.b64encode(preview_jpeg(value)).decode()
    except GraphEngineError:  # of another shape than pictures have, such as a union's other member
        return ""
