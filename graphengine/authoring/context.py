"""What a node may ask of the run that it is part of."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    import torch

    from graphengine.authoring.expansion import Subgraph
    from graphengine.config import Settings
    from graphengine.core.workflow import Workflow
    from graphengine.types import Image, PictureFormat

__all__ = ["Blocked", "Context", "Lazy", "Outputs"]

T = TypeVar("T")


@dataclass(frozen=True)
class Blocked:
    """What a node returns for an output that has no value this time.

    Nodes that read it are skipped, and their outputs are blocked with the same message.
    """

    message: str = ""


class Lazy(Generic[T]):
    """An input that is computed only when it is asked for."""

    def __init__(self, compute: Callable[[], T]) -> None:
        self._compute = compute

    def get(self) -> T:
        """Compute the value, or return it if it is known."""
        return self._compute()


class Outputs(Protocol):
    """Where a node writes what the user wants to keep or see."""

    def write_images(
        self,
        images: Image,
        prefix: str,
        *,
        temporary: bool = False,
        picture_format: PictureFormat = "png",
        quality: int = 90,
    ) -> Sequence[Path]:
        """Write each picture as a file with its workflow inside, named ``<prefix>_<number>`` and the format's suffix.

        Args:
            images: float32 ``[B, H, W, 3]`` in 0…1; bytes are rounded.
            prefix: May name folders below the output folder: ``portraits/anna``.
            temporary: For previews: written where they may be cleaned up.
            picture_format: Names end in .png, .jpg or .webp.
            quality: 1…100, for JPEG and WebP; a WebP of 100 is lossless.

        Raises:
            InputError: for a prefix that leaves the output folder.
            OSError: if the disk is full; nothing half-written stays.
        """

    def write_file(self, write: Callable[[Path], object], prefix: str, suffix: str) -> Path:
        """Write a file of another kind, whole or not at all, under the next free number: ``<prefix>_<number><suffix>``.

        Args:
            write: Called with the path to write to; the workflow, ``ctx.workflow``, is its own matter.
            prefix: As for ``write_images``.
            suffix: With its dot: ``.safetensors``.
        """

    def write_text(self, text: str, name: str) -> Path:
        """Write a text file below the output folder, whole or not at all."""

    def folder(self, name: str) -> Path:
        """Give the path of a folder below the output folder for a node that writes a whole folder itself.

        It need not exist; what it is given to the user as is what the node leaves there.
        """


class Context(Protocol):
    """The run, as one node sees it. A parameter annotated ``Context`` receives it; it is no input."""

    @property
    def node_id(self) -> str:
        """The node's id in the workflow."""

    @property
    def workflow(self) -> Workflow | None:
        """The workflow that runs, to be written into files; None if the user wants none there.

        For metadata alone: a result is kept for equal inputs, whatever workflow they came from.
        """

    @property
    def settings(self) -> Settings:
        """Where things are and what may be used."""

    @property
    def device(self) -> torch.device:
        """Where this node's heavy work belongs."""

    @property
    def outputs(self) -> Outputs:
        """Where to write."""

    def progress(self, items: Iterable[T], *, total: int | None = None) -> Iterator[T]:
        """Go through items while reporting progress; cancelling takes effect at each one."""

    def report_progress(self, done: int, total: int) -> None:
        """Say how far the node is, for work that calls back; cancelling takes effect here."""

    def part(self, share: float) -> AbstractContextManager[None]:
        """Let progress within the block fill a share of the node's bar.

        Parts run one after the other, and parts within a part share what that part has. What is reported between
        parts fills what they leave. ::

            with ctx.part(0.3):
                prepare(ctx)
            with ctx.part(0.7):
                for step in ctx.progress(range(20)):
                    ...

        Args:
            share: Of the bar, or of the part that this one lies in; above 0, at most 1.
        """

    def preview(self, image: Image | Callable[[], Image | None]) -> None:
        """Show a picture of the work so far to a user who watches: ``[H, W, 3]``, or the first of ``[B, H, W, 3]``.

        Costs nothing when nobody watches, and little otherwise: pictures that come too soon are dropped.

        Args:
            image: Or a function that makes it, called only if it is going to be shown; None shows nothing.
        """

    def loaded(self, *values: object) -> AbstractContextManager[torch.device]:
        """Have the networks of models, text encoders and autoencoders on the node's device within the block. ::

            with ctx.loaded(model, vae) as device:
                ...

        They stay there afterwards until others need the room. Others that are loaded by a block around this one stay.

        Raises:
            GraphEngineError: within ``with``, if they don't fit.
        """

    def report(self, step: int, **values: float) -> None:
        """Report measured values, such as a training step's loss, to plots and logs."""

    def warn(self, message: str) -> None:
        """Tell the user something that is not an error, such as what was cut off."""

    def check_cancelled(self) -> None:
        """Raise Cancelled if the user stopped the run."""

    @property
    def is_cancelled(self) -> bool:
        """Whether the user stopped the run, for nodes that save before they stop."""

    def saving_when_stopped(self) -> AbstractContextManager[None]:
        """Ask for more time to stop within the block, because hours of work are saved first.

        A server ends a node that takes longer than its grace period to stop, which is a few seconds; within the block
        it waits for minutes, unless the user stops the run again. The block has to look at cancelling all the same.
        """

    def generator(self, seed: int) -> torch.Generator:
        """Give a random generator on the CPU, so that a seed means the same on every device."""

    def run_subgraph(self, body: Subgraph, name: str, **inputs: Any) -> Mapping[str, Any]:  # Any: socket values
        """Run a sub-graph now, in the midst of the node's work, and give its outputs by name.

        For work that is watched while it goes on, such as a training that samples pictures. A node whose outputs come
        from a sub-graph returns an ``Expansion`` instead. A node inside that fails is reported, ends nothing, and gives
        ``Blocked`` for the outputs that depend on it.

        Args:
            body: As the node received it.
            name: Of this time, such as ``step1000``: its nodes are called ``<node>/<name>/<id>``. Nodes that ran under
                the same name with equal inputs may be taken from the cache, so it must stand for all that values made
                by this node depend on besides its own inputs.
            inputs: Values for inputs that the sub-graph declares.

        Raises:
            GraphEngineError: if the sub-graph can't take these inputs, or the node is async.
            Cancelled: if the user stopped the run.
        """

    def state_folder(self, name: str) -> Path:
        """Give a folder that outlives the run, for work that can be resumed.

        Raises:
            InputError: for a name that leaves the data folder.
        """

    def keep(self, key: str, factory: Callable[[], Any]) -> Any:  # Any: whatever the factory makes
        """Give the object kept under this key from an earlier run of this process, making it the first time."""

    def shared(self, key: str, factory: Callable[[], T]) -> T:
        """Give what a node of this pack made under this key, in this run or an earlier one, or make it now.

        For what is slow to open and may be used by several nodes, such as a model. It is kept within the engine's
        budget, so it may have to be made again; nobody may change it.

        Args:
            key: Everything that decides what is made.
        """
