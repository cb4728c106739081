"""What happens during a run, as frozen values, numbered per job.

Events go one way: from the executor to whoever shows or stores them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = [
    "AnyEvent",
    "Event",
    "JobFinished",
    "JobStarted",
    "NodeCached",
    "NodeFailedEvent",
    "NodeFinished",
    "NodeMetrics",
    "NodePreview",
    "NodeProgress",
    "NodeShowed",
    "NodeSkipped",
    "NodeStarted",
    "NodeWarning",
    "WrittenEvent",
]

WrittenEvent = tuple[str, str, str, bytes | None]
"""An event on its way between processes: type, node or nothing, all fields as a JSON object, a preview's JPEG."""


class Event(BaseModel):
    """Something that happened in a job; ``number`` counts from 1 without gaps."""

    model_config = ConfigDict(frozen=True, ser_json_inf_nan="strings")  # a loss may be NaN; JSON has no such number

    number: int


class JobStarted(Event):
    """A run begins; ``steps`` is how many nodes it involves, cached ones included."""

    type: Literal["job_started"] = "job_started"
    steps: int


class NodeStarted(Event):
    """A node's function is about to be called."""

    type: Literal["node_started"] = "node_started"
    node: str
    node_type: str


class NodeProgress(Event):
    """A node is ``done`` of ``total`` parts along."""

    type: Literal["node_progress"] = "node_progress"
    node: str
    done: int
    total: int


class NodeMetrics(Event):
    """A node measured something, such as a training step's loss."""

    type: Literal["node_metrics"] = "node_metrics"
    node: str
    step: int
    values: Mapping[str, float]


class NodeWarning(Event):
    """A node tells the user something that is not an error."""

    type: Literal["node_warning"] = "node_warning"
    node: str
    message: str


class NodePreview(Event):
    """A small picture of what a node is working on, as JPEG; base64 in JSON. For watching, not for keeping."""

    model_config = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")

    type: Literal["node_preview"] = "node_preview"
    node: str
    jpeg: bytes


class NodeShowed(Event):
    """A node wrote something for the user; ``path`` is absolute."""

    type: Literal["node_showed"] = "node_showed"
    node: str
    path: str
    temporary: bool = False


class NodeFinished(Event):
    """A node's function returned after this many seconds."""

    type: Literal["node_finished"] = "node_finished"
    node: str
    seconds: float


class NodeCached(Event):
    """A node was not run: its outputs were kept from an equal run."""

    type: Literal["node_cached"] = "node_cached"
    node: str


class NodeSkipped(Event):
    """A node was not run because something it reads has no value; ``message`` says why."""

    type: Literal["node_skipped"] = "node_skipped"
    node: str
    message: str


class NodeFailedEvent(Event):
    """A node raised; ``inputs`` tells tensors by shape, dtype and device."""

    type: Literal["node_failed"] = "node_failed"
    node: str
    node_type: str
    message: str
    inputs: Mapping[str, str]
    traceback: str


class JobFinished(Event):
    """A run is over."""

    type: Literal["job_finished"] = "job_finished"
    state: Literal["done", "failed", "cancelled"]
    seconds: float


AnyEvent = Annotated[
    JobStarted
    | NodeStarted
    | NodeProgress
    | NodeMetrics
    | NodeWarning
    | NodePreview
    | NodeShowed
    | NodeFinished
    | NodeCached
    | NodeSkipped
    | NodeFailedEvent
    | JobFinished,
    Field(discriminator="type"),
]
