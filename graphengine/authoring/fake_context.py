"""A context for nodes that are called in tests: it remembers what they do."""

from __future__ import annotations

import shutil
import tempfile
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from graphengine.authoring.context import Blocked
from graphengine.config import Settings
from graphengine.core.progress import Progress
from graphengine.core.subgraphs import SubgraphValue
from graphengine.core.workflow import Workflow
from graphengine.errors import Cancelled, InputError
from graphengine.numbered_files import give_number
from graphengine.types import PICTURE_SUFFIXES, Image, PictureFormat

if TYPE_CHECKING:
    import torch

__all__ = ["FakeContext", "FakeOutputs", "Metrics", "SubgraphRun"]

T = TypeVar("T")


class Metrics(NamedTuple):
    """Values that a node reported for a step."""

    step: int
    values: Mapping[str, float]


class SubgraphRun(NamedTuple):
    """A sub-graph that a node ran."""

    body: SubgraphValue
    name: str
    inputs: Mapping[str, Any]  # Any: socket values


class FakeOutputs:
    """Writes what a node saves, and remembers it.

    Attributes:
        images: Pictures, as they were given.
        files: What was written, in order.
    """

    def __init__(self, folder: Path, temporary: Path) -> None:
        self._folder = folder
        self._temporary = temporary
        self.images: list[Image] = []
        self.files: list[Path] = []

    def write_images(
        self,
        images: Image,
        prefix: str,
        *,
        temporary: bool = False,
        picture_format: PictureFormat = "png",
        quality: int = 90,
    ) -> Sequence[Path]:
        from PIL import Image as pillow

        base = _inside(self._temporary if temporary else self._folder, prefix)
        paths = []
        for image in images:
            picture = pillow.fromarray((image * 255).round().clamp(0, 255).byte().numpy())
            write = partial(picture.save, format=picture_format, quality=quality)
            paths.append(_write_numbered(write, base, PICTURE_SUFFIXES[picture_format]))
        self.images.append(images)
        self.files += paths
        return paths

    def write_file(self, write: Callable[[Path], object], prefix: str, suffix: str) -> Path:
        path = _write_numbered(write, _inside(self._folder, prefix), suffix)
        self.files.append(path)
        return path

    def write_text(self, text: str, name: str) -> Path:
        path = self.folder(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def folder(self, name: str) -> Path:
        path = _inside(self._folder, name)
        self.files.append(path)
        return path


class FakeContext(Progress):
    """A run of one node that remembers what the node did.

    Attributes:
        progress_reports: How far the node said it was, each time, from 0 to 1 of its whole bar.
        metrics: What it measured.
        warnings: What it warned of.
        previews: Pictures of the work so far.
        outputs: What it wrote.
        loaded_values: What it asked to have on the device.
        subgraph_runs: Which sub-graphs it ran, under which names and with what inputs.

    Args:
        folder: Where it writes; by default a folder that is gone with the context.
        cancel_after: The user stops the run at this report of progress.
    """

    node_id = "node"

    def __init__(
        self, folder: Path | None = None, *, cancel_after: int | None = None, workflow: Workflow | None = None
    ) -> None:
        if folder is None:
            folder = Path(tempfile.mkdtemp(prefix="graphengine-test-"))
            weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        self.settings = Settings(data=folder / "data", output=folder / "output", beside=(Path.cwd(),))
        self.workflow = workflow
        self.progress_reports: list[float] = []
        self.metrics: list[Metrics] = []
        self.warnings: list[str] = []
        self.previews: list[Image] = []
        self.outputs = FakeOutputs(self.settings.output, self.settings.data / "temporary")
        self.loaded_values: list[object] = []
        self.subgraph_runs: list[SubgraphRun] = []
        self._cancel = threading.Event()
        self._cancel_after = cancel_after
        self._kept: dict[str, Any] = {}  # Any: whatever the node keeps

    @property
    def device(self) -> torch.device:
        import torch

        return torch.device("cpu")

    @property
    def images(self) -> list[Image]:
        """Pictures that the node saved, as it gave them."""
        return self.outputs.images

    @property
    def files(self) -> list[Path]:
        """What the node wrote, in order."""
        return self.outputs.files

    # What a node says

    def _show_progress(self, done: int, total: int) -> None:
        self.progress_reports.append(min(done / total, 1) if total > 0 else 0.0)
        if self._cancel_after is not None and len(self.progress_reports) >= self._cancel_after:
            self.cancel()

    def preview(self, image: Image | Callable[[], Image | None]) -> None:
        picture = image() if callable(image) else image
        if picture is not None:
            self.previews.append(picture)

    def report(self, step: int, **values: float) -> None:
        self.metrics.append(Metrics(step, values))

    def warn(self, message: str) -> None:
        self.warnings.append(message)

    # Stop

    def cancel(self) -> None:
        """Stop the run, as a user would; the node notices where it looks."""
        self._cancel.set()

    def check_cancelled(self) -> None:
        if self.is_cancelled:
            raise Cancelled

    @property
    def is_cancelled(self) -> bool:
        return self._cancel.is_set()

    @contextmanager
    def saving_when_stopped(self) -> Iterator[None]:
        yield

    # What a node gets

    @contextmanager
    def loaded(self, *values: object) -> Iterator[torch.device]:
        self.loaded_values += values
        yield self.device

    def run_subgraph(self, body: SubgraphValue, name: str, **inputs: Any) -> dict[str, Any]:  # Any: socket values
        """Remember what was asked for; its nodes need an engine, so its outputs are blocked."""
        self.subgraph_runs.append(SubgraphRun(body, name, inputs))
        return {output.name: Blocked("its nodes need an engine") for output in body.outputs}

    def generator(self, seed: int) -> torch.Generator:
        import torch

        return torch.Generator("cpu").manual_seed(seed)

    def state_folder(self, name: str) -> Path:
        return _inside(self.settings.data / "state", name)

    def keep(self, key: str, factory: Callable[[], Any]) -> Any:  # Any: whatever the factory makes
        if key not in self._kept:
            self._kept[key] = factory()
        return self._kept[key]

    def shared(self, key: str, factory: Callable[[], T]) -> T:
        made: T = self.keep(f"shared/{key}", factory)
        return made


def _write_numbered(write: Callable[[Path], object], base: Path, suffix: str) -> Path:
    base.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".draft-", dir=base.parent) as drafts:
        write(draft := Path(drafts, "draft.part"))  # as in a run: no writer may go by the name
        return give_number(draft, base, suffix)


def _inside(folder: Path, name: str) -> Path:
    path = (folder / name).resolve()
    if not path.is_relative_to(folder.resolve()) or path == folder.resolve():
        raise InputError(
            "filename_prefix", f"{name!r} names nothing inside the folder.", "Give a name such as 'trip/day'."
        )
    return path
