"""Saved states of a training: one safetensors file each, written whole or not at all.

    <folder>/step-00000500.safetensors    tensors: weights, optimizer, moving average, history
                                          header: what the training is, the step, the schedules, a checksum

The newest that can be read is resumed; a damaged one is passed over for the one before it, which is why two are kept.
"""

from __future__ import annotations

import json
import logging
import os
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from filelock import FileLock, Timeout
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from graphengine.durable import sync_file, sync_folder
from graphengine.errors import GraphEngineError

logger = logging.getLogger(__name__)

_FORMAT = "graphengine-training/1"

Identity = Mapping[str, str | int | float | bool]
"""What decides the weights, by name in the user's words: a state resumes only a training that has the same."""


class TrainingStateError(GraphEngineError):
    """A saved state of a training can't be resumed."""


@dataclass(frozen=True)
class TrainingState:
    """A training between two steps.

    Attributes:
        step: Steps done.
        tensors: Weights, optimizer, moving average and history, by name.
        settings: The rest, as JSON.
    """

    step: int
    tensors: Mapping[str, Tensor]
    settings: Mapping[str, object]


class StateFolder:
    """The saved states of one training.

    Args:
        folder: Made when the first state is saved.
        identity: What the training is.
        keep: States that are kept, ≥ 1.
    """

    def __init__(self, folder: Path, identity: Identity, keep: int) -> None:
        self._folder = folder
        self._identity = dict(identity)
        self._keep = keep
        self._damaged: list[str] = []

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep other trainings out of this folder within the block; a lock beside it ends with the process.

        Raises:
            TrainingStateError: if one runs there now.
        """
        # Not thread-local: what holds a training may let go of it in another thread.
        lock = FileLock(self._folder.with_name(f"{self._folder.name}.lock"), thread_local=False, fallback_to_soft=False)
        try:
            self._folder.parent.mkdir(parents=True, exist_ok=True)
            lock.acquire(timeout=0)
        except Timeout:
            raise TrainingStateError(
                f"{self._folder}: this training runs already, in another job or process.\n"
                "  Wait for its end or stop it; to train beside it, give this one another name."
            ) from None
        except (OSError, NotImplementedError):  # nothing can be locked there, and maybe saved: told when it is tried
            pass
        try:
            yield
        finally:
            lock.release()

    def save(self, state: TrainingState) -> str | None:
        """Write a state, then delete those that are too old.

        Returns:
            None, or what went wrong, for the user; the states saved before are untouched then.
        """
        path = self._path(state.step)
        partial = path.with_suffix(f".partial-{os.getpid()}")
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.tensors.items()}
            save_file(tensors, partial, self._header(state, _checksum(tensors)))
            sync_file(partial)  # else a crash after renaming it could leave an empty file
            partial.replace(path)
            sync_folder(self._folder)
        except (OSError, SafetensorError) as error:
            _remove(partial)
            return self._not_saved(state.step, error)
        for old in self._paths()[: -self._keep]:
            _remove(old)
        return None

    def load(self, *, at_most: int) -> TrainingState | None:
        """Read the newest state that is whole; None if there is none. What a crash left half-written is removed.

        What is damaged is passed over, see ``take_damaged``.

        Args:
            at_most: The steps the training is to have.

        Raises:
            TrainingStateError: if none is whole, or it belongs to another training, or it is past its end.
        """
        for leftover in self._folder.glob("step-*.partial-*"):
            _remove(leftover)
        damaged: list[str] = []
        for path in reversed(self._paths()):
            try:
                state, identity = _read(path)
            except (OSError, SafetensorError, ValueError, KeyError) as error:
                damaged.append(f"{path.name}: {error}")
                continue
            self._check_identity(path, identity)
            self._pass_over(damaged, state.step)
            if state.step > at_most:
                raise TrainingStateError(
                    f"{path}: this training has had {state.step:,} steps; {at_most:,} are asked for.\n"
                    "  Ask for as many or more, or give this training another name to begin anew."
                )
            return state
        if damaged:
            raise TrainingStateError(
                f"{self._folder}: no saved state can be read.\n"
                + "".join(f"  {line}\n" for line in damaged)
                + "  Delete them to begin anew."
            )
        return None

    def take_damaged(self) -> tuple[str, ...]:
        """Tell which states ``load`` passed over since this was asked last, for the user."""
        taken = tuple(self._damaged)
        self._damaged.clear()
        return taken

    def _pass_over(self, damaged: list[str], step: int) -> None:
        for line in damaged:
            message = (
                f"A saved state of this training is damaged and was passed over: {self._folder / line}. "
                f"It goes on from step {step:,}."
            )
            logger.warning("%s", message)
            self._damaged.append(message)

    def clear(self) -> None:
        """Delete all states."""
        for path in self._paths():
            _remove(path)

    def _header(self, state: TrainingState, checksum: int) -> dict[str, str]:
        content = {
            "step": state.step,
            "identity": self._identity,
            "settings": state.settings,
            "checksum": checksum,
        }
        return {"format": _FORMAT, "training": json.dumps(content)}

    def _check_identity(self, path: Path, saved: Identity) -> None:
        differences = [
            f"  {_difference(name, saved.get(name), self._identity.get(name))}\n"
            for name in sorted({*saved, *self._identity})
            if saved.get(name) != self._identity.get(name)
        ]
        if differences:
            raise TrainingStateError(
                f"{path}: this state belongs to another training.\n"
                + "".join(differences)
                + "  Put these back to resume it, or give this training another name to begin anew."
            )

    def _not_saved(self, step: int, error: Exception) -> str:
        last = self._paths()[-1:]
        rest = f"the state of {last[0].stem} is whole" if last else "no state has been saved yet"
        message = (
            f"The training state after step {step:,} could not be saved in {self._folder}: {error}. "
            f"Training goes on; {rest}. Make room on the disk; the next state is saved as planned."
        )
        logger.warning("%s", message)
        return message

    def _path(self, step: int) -> Path:
        return self._folder / f"step-{step:08d}.safetensors"

    def _paths(self) -> list[Path]:
        """Give the states there are, oldest first."""
        return sorted(self._folder.glob("step-*.safetensors"))


class FollowedFolder(StateFolder):
    """The saved states of a training that another process saves."""

    @contextmanager
    def held(self) -> Iterator[None]:
        """Leave it to the other process."""
        yield

    def save(self, state: TrainingState) -> str | None:
        """Leave it to the other process."""
        return None


def _difference(name: str, saved: object, now: object) -> str:
    """Say what differs, without hashes, which tell nobody anything; a choice that isn't named is at its default."""
    if name == "dataset":
        return "dataset: other examples now; their files, captions, sizes or changes"
    if "weights of" in name:
        return f"{name}: others now"
    then, today = ("the default" if value is None else repr(value) for value in (saved, now))
    return f"{name}: {then} in the state, {today} now"


def _read(path: Path) -> tuple[TrainingState, Identity]:
    with safe_open(path, framework="pt") as file:
        header = file.metadata() or {}
        if header.get("format") != _FORMAT:
            raise ValueError(f"its format is {header.get('format')!r}, not {_FORMAT!r}")
        content = json.loads(header["training"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    if _checksum(tensors) != content["checksum"]:
        raise ValueError("its checksum is wrong; the file was changed or damaged")
    return TrainingState(content["step"], tensors, content["settings"]), content["identity"]


def _checksum(tensors: Mapping[str, Tensor]) -> int:
    checksum = 0
    for name, tensor in sorted(tensors.items()):
        checksum = zlib.crc32(name.encode(), checksum)
        checksum = zlib.crc32(tensor.reshape(-1).view(torch.uint8).numpy().data, checksum)
    return checksum


def _remove(path: Path) -> None:
    """Delete a file, if the folder lets one: what is left over takes room and does no harm."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        logger.warning("%s can't be deleted: %s", path, error)
