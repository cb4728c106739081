"""What a training measures, kept beside its saved states for whoever wants to read it later.

    <folder>/metrics.jsonl    a line for each step: {"step": 1, "time": 1767225600.0, "loss": 0.8, …}
    <folder>/tensorboard/     the same for TensorBoard, if it is asked for: ``tensorboard --logdir <folder>``

A step that is done again, after a stop or a crash, replaces what was measured at it before and after.
"""

from __future__ import annotations

import importlib.util
import json
import logging
import math
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from graphengine.errors import InputError

__all__ = ["TrainingRecord"]

logger = logging.getLogger(__name__)


class TrainingRecord:
    """The record of one training; what can't be written is told once, and ends nothing.

    Args:
        tensorboard: Keep it for TensorBoard as well.

    Raises:
        InputError: if TensorBoard is asked for but not installed.
    """

    def __init__(self, *, tensorboard: bool = False) -> None:
        if tensorboard and importlib.util.find_spec("tensorboard") is None:
            raise InputError(
                "tensorboard",
                "the package tensorboard is not installed.",
                "Install it where graphengine runs (pip install tensorboard), or turn this off; the same numbers are "
                "in metrics.jsonl.",
            )
        self._wants_tensorboard = tensorboard
        self._folder: Path | None = None
        self._lines: Any = None  # Any: a text file
        self._writer: Any = None  # Any: of an optional package
        self._last = math.inf
        self._notices: list[str] = []

    def open(self, folder: Path) -> Path:
        """Say where the record is kept; give the folder back."""
        self._folder = folder
        try:
            if self._wants_tensorboard and not any((folder / "tensorboard").glob("events.*")):
                self._repeat()
        except OSError as error:
            self._give_up(error)
        return folder

    def measured(self, step: int, values: Mapping[str, float]) -> None:
        """Write what was measured at a step."""
        if self._folder is None:
            return
        try:
            if step < self._last:
                self._begin(step)
            self._last = step
            numbers = {name: value if math.isfinite(value) else str(value) for name, value in values.items()}
            self._lines.write(json.dumps({"step": step, "time": round(time.time(), 3), **numbers}) + "\n")
            if self._writer:
                for name, value in values.items():
                    self._writer.add_scalar(name, value, step)
        except OSError as error:
            self._give_up(error)

    def pictured(self, step: int, outputs: Mapping[str, object]) -> None:
        """Write those of a look's outputs that are pictures, for TensorBoard."""
        if self._writer is None:
            return
        for name, value in outputs.items():
            if isinstance(value, Tensor) and value.ndim == 4 and value.shape[-1] == 3:  # [B, H, W, 3] in 0…1
                self._writer.add_images(name, value.clamp(0, 1), step, dataformats="NHWC")

    def take_notices(self) -> list[str]:
        """Give what the user should know since this was last asked for."""
        taken, self._notices = self._notices, []
        return taken

    def close(self) -> None:
        """Bring everything to its files."""
        lines, writer, self._lines, self._writer = self._lines, self._writer, None, None
        if lines:
            lines.close()
        if writer:
            writer.close()

    def _begin(self, step: int) -> None:
        """Go on at a step, forgetting what an earlier run measured from there on."""
        self.close()
        path = self._path
        path.parent.mkdir(parents=True, exist_ok=True)
        size_bytes = sum(len(line) for line in _lines_before(path, step))
        self._lines = path.open("a", encoding="utf-8", buffering=1)
        self._lines.truncate(size_bytes)
        if self._wants_tensorboard:
            self._writer = self._new_writer(purge_step=step)

    def _repeat(self) -> None:
        """Give TensorBoard what was measured before it was asked for."""
        writer = None
        for line in _lines_before(self._path, math.inf):
            measured = json.loads(line)
            step, seconds = measured.pop("step"), measured.pop("time")
            writer = writer or self._new_writer()
            for name, value in measured.items():
                writer.add_scalar(name, float(value), step, walltime=seconds)
        if writer:
            writer.close()

    def _new_writer(self, purge_step: int | None = None) -> Any:  # Any: of an optional package
        from torch.utils.tensorboard import SummaryWriter

        return SummaryWriter(str(self._path.with_name("tensorboard")), purge_step=purge_step)

    def _give_up(self, error: OSError) -> None:
        notice = f"What the training measures can no longer be written to {self._path}: {error}. Training goes on."
        logger.warning("%s", notice)
        self._notices.append(notice)
        self._folder = self._lines = self._writer = None

    @property
    def _path(self) -> Path:
        assert self._folder is not None, "the record was opened"
        return self._folder / "metrics.jsonl"


def _lines_before(path: Path, step: float) -> Iterator[bytes]:
    """Give a record's lines up to the first that is of this step or later, or that a crash cut short."""
    if not path.exists():
        return
    with path.open("rb") as file:
        for line in file:
            try:
                if json.loads(line)["step"] >= step or not line.endswith(b"\n"):
                    return
            except (ValueError, KeyError, TypeError):
                return
            yield line
