"""What a node kind looks like from outside, as plain data.

Definitions are made from functions' signatures by ``graphengine.authoring``, cached as JSON, checked against by
``graphengine.core.graph`` and shown by editors. They hold no function and import nothing heavy.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["Body", "InputDefinition", "NodeDefinition", "OutputDefinition", "Sockets", "WidgetDefinition"]

Scalar = bool | int | float | str


class _Plain(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class WidgetDefinition(_Plain):
    """How an editor shows an input; unknown kinds fall back to the plain widget of the type."""

    kind: str
    hints: Mapping[str, Any] = Field(default_factory=dict)  # Any: hints are each widget's own


class InputDefinition(_Plain):
    """One input of a node kind.

    Attributes:
        name: As in files.
        type: A socket type, see ``core.sockets``.
        required: There is no default; it must be given or linked.
        unless: Other inputs, of which one makes a required one needless.
        default: The value when nothing is given; None for a socket that may be left open.
        minimum: Smallest number allowed (``exclusive_minimum``: just not allowed), or None.
        multiple_of: Numbers must be a multiple of this.
        pattern: Regular expression that a text must match somewhere.
        choices: The only values allowed.
        files: The kind of file, such as "checkpoints", if the value names one in a configured folder.
        lazy: Computed only when the node asks for it.
        doc: The tooltip.
    """

    name: str
    type: str
    required: bool = True
    unless: tuple[str, ...] = ()
    default: Any = None  # Any: a JSON value of the input's own type
    minimum: float | int | None = None
    maximum: float | int | None = None
    exclusive_minimum: float | int | None = None
    exclusive_maximum: float | int | None = None
    multiple_of: float | int | None = None
    min_length: int | None = None
    max_length: int | None = None
    pattern: str | None = None
    choices: tuple[Scalar, ...] | None = None
    files: str | None = None
    lazy: bool = False
    widget: WidgetDefinition | None = None
    doc: str = ""

    @cached_property
    def is_bounded(self) -> bool:
        """Whether values need more than a look at their type."""
        return any(
            bound is not None
            for bound in (
                self.minimum,
                self.maximum,
                self.exclusive_minimum,
                self.exclusive_maximum,
                self.multiple_of,
                self.min_length,
                self.max_length,
                self.pattern,
                self.choices,
                self.files,
            )
        )


class OutputDefinition(_Plain):
    """One output of a node kind."""

    name: str
    type: str
    doc: str = ""


class Sockets(_Plain):
    """What a node has besides what its kind says: the sockets that follow from the file or the choice it is given.

    Attributes:
        doc: What it is then, in a sentence; empty for what the kind says.
    """

    inputs: tuple[InputDefinition, ...] = ()
    outputs: tuple[OutputDefinition, ...] = ()
    doc: str = ""


class Body(_Plain):
    """How a node that runs a sub-graph takes sockets over from it.

    Attributes:
        input: The input that takes the sub-graph.
        supplies: Inputs of the sub-graph that the node itself gives; the others become inputs of the node.
        consumes: Outputs of the sub-graph that the node itself reads; the others become outputs of the node.
        lists: The outputs taken over are lists of the sub-graph's.
        outputs: Whether outputs are taken over; if not, the node itself reads them all.
    """

    input: str = "body"
    supplies: tuple[str, ...] = ()
    consumes: tuple[str, ...] = ()
    lists: bool = False
    outputs: bool = True


class NodeDefinition(_Plain):
    """One kind of node.

    Attributes:
        id: The ``type`` in files.
        version: Raised when saved workflows would change meaning; files keep the version they were made with.
        pack: Name of the pack that brings it.
        pack_version: That pack's version, or the hash of its source; part of cache keys.
        variables: What each type variable may stand for, ``{"$T": "IMAGE|MASK"}``.
        output_node: It shows or saves something, so it runs although nobody reads its outputs.
        has_check: It has a check across inputs that only code can make.
        has_fingerprint: Code says whether it must run again although its inputs are the same.
        has_refine: Code says what is known of its outputs before it runs.
        has_wants: Code names the lazy inputs it needs before it is called.
        is_async: It waits more than it works, and runs beside others.
        expands: It may answer with more nodes.
        body: For a node that runs a sub-graph.
        sockets_from: For a node with further sockets: the inputs that code tells them from, given in the workflow.
        devices_from: The input that says how many devices it works on at once; empty for one.
    """

    id: str
    version: int = 1
    pack: str = ""
    pack_version: str = ""
    category: str = ""
    doc: str = ""
    inputs: tuple[InputDefinition, ...] = ()
    outputs: tuple[OutputDefinition, ...] = ()
    variables: Mapping[str, str] = Field(default_factory=dict)
    output_node: bool = False
    cacheable: bool = True
    device: Literal["cpu", "gpu"] = "cpu"
    has_check: bool = False
    has_fingerprint: bool = False
    has_refine: bool = False
    has_wants: bool = False
    is_async: bool = False
    expands: bool = False
    body: Body | None = None
    sockets_from: tuple[str, ...] = ()
    devices_from: str = ""
    aliases: tuple[str, ...] = ()
    status: Literal["stable", "experimental", "deprecated"] = "stable"
    replaced_by: str | None = None

    def in_pack(self, name: str, version: str) -> NodeDefinition:
        """Give the definition as a pack's; not ``model_copy``, which would keep what was derived from the old one."""
        fields = {field: getattr(self, field) for field in NodeDefinition.model_fields}
        return NodeDefinition(**fields | {"pack": name, "pack_version": version})

    def with_sockets(self, inputs: Iterable[InputDefinition], outputs: Iterable[OutputDefinition]) -> NodeDefinition:
        """Give the definition with further sockets; those whose names it has already are left out."""
        fields = {field: getattr(self, field) for field in NodeDefinition.model_fields}
        more = (each for each in inputs if each.name not in self.inputs_by_name)
        given = (each for each in outputs if each.name not in self.outputs_by_name)
        return NodeDefinition(**fields | {"inputs": (*self.inputs, *more), "outputs": (*self.outputs, *given)})

    @property
    def has_own_sockets(self) -> bool:
        """Whether each of its nodes may have other sockets."""
        return self.body is not None or bool(self.sockets_from)

    @cached_property
    def inputs_by_name(self) -> dict[str, InputDefinition]:
        """Inputs by their names."""
        return {definition.name: definition for definition in self.inputs}

    @cached_property
    def outputs_by_name(self) -> dict[str, OutputDefinition]:
        """Outputs by their names."""
        return {definition.name: definition for definition in self.outputs}

    @cached_property
    def output_positions(self) -> dict[str, int]:
        """Where each output stands in what the function returns."""
        return {definition.name: position for position, definition in enumerate(self.outputs)}

    @cached_property
    def lazy_inputs(self) -> frozenset[str]:
        """Inputs that are computed only when the node asks for them."""
        return frozenset(definition.name for definition in self.inputs if definition.lazy)

    @cached_property
    def key_prefix(self) -> tuple[str, int, str, str]:
        """What this node kind adds to the cache keys of its nodes."""
        return (self.id, self.version, self.pack, self.pack_version)
