"""What a node may ask of the run that it is part of."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    import torch

    from graphengine.types import Image

__all__ = ["Context", "Lazy", "Outputs"]

T = TypeVar("T")


class Lazy(Generic[T]):
    """An input that is computed only when it is asked for."""

    def __init__(self, compute: Callable[[], T]) -> None:
        self._compute = compute

    def get(self) -> T:
        """Compute the value, or return it if it is known."""
        return self._compute()


class Outputs(Protocol):
    """Where a node writes what the user wants to keep or see."""

    def write_images(self, images: Image, prefix: str, *, temporary: bool = False) -> Sequence[Path]:
        """Write each picture as PNG with its workflow inside, named ``<prefix>_<number>.png``.

        Args:
            images: float32 ``[B, H, W, 3]`` in 0…1; bytes are rounded.
            prefix: May name folders below the output folder: ``portraits/anna``.
            temporary: For previews: written where they may be cleaned up.

        Raises:
            InputError: for a prefix that leaves the output folder.
            OSError: if the disk is full; nothing half-written stays.
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
    def device(self) -> torch.device:
        """Where this node's heavy work belongs."""

    @property
    def outputs(self) -> Outputs:
        """Where to write."""

    def progress(self, items: Iterable[T], *, total: int | None = None) -> Iterator[T]:
        """Go through items while reporting progress; cancelling takes effect at each one."""

    def report_progress(self, done: int, total: int) -> None:
        """Say how far the node is, for work that calls back; cancelling takes effect here."""

    def report(self, step: int, **values: float) -> None:
        """Report measured values, such as a training step's loss, to plots and logs."""

    def warn(self, message: str) -> None:
        """Tell the user something that is not an error, such as what was cut off."""

    def check_cancelled(self) -> None:
        """Raise Cancelled if the user stopped the run."""

    @property
    def is_cancelled(self) -> bool:
        """Whether the user stopped the run, for nodes that save before they stop."""

    def generator(self, seed: int) -> torch.Generator:
        """Give a random generator on the CPU, so that a seed means the same on every device."""

    def state_folder(self, name: str) -> Path:
        """Give a folder that outlives the run, for work that can be resumed.

        Raises:
            InputError: for a name that leaves the data folder.
        """

    def keep(self, key: str, factory: Callable[[], Any]) -> Any:  # Any: whatever the factory makes
        """Give the object kept under this key from an earlier run of this process, making it the first time."""
