"""Train on several devices: a process for each, and this one, which starts them and tells them when to go on.

    here                    process 0                  process 1 …
    step ─────────────────▶ its share ◀─ gradients ──▶ its share
         ◀───────────────── what the step was; a state saved if one is due
    give ─────────────────▶ the weights so far, as a file
    stop ─────────────────▶ a state saved              its end

No process goes on before it is told to, so none waits for another while that one saves, measures or is looked at, and a
stop comes between the same two steps for all. What they are given lies in a folder that only this user can read.

A process that ends ends the group: its pipe closes, and the others are killed at once, wherever they wait.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal

import torch

from graphengine.diffusion.training_devices import group_environment
from graphengine.diffusion.training_handover import hand_over
from graphengine.diffusion.training_run import StepResult, TrainingDiverged, TrainingRun
from graphengine.diffusion.training_state import StateFolder, TrainingStateError
from graphengine.diffusion.training_tasks import Finished
from graphengine.errors import GraphEngineError, InputError

if TYPE_CHECKING:
    from graphengine.diffusion.training import Asked

__all__ = ["GroupEnded", "steps_in_group"]

Word = Literal["step", "give", "stop"]
Said = Mapping[str, Any]  # Any: JSON

KNOWN = {each.__name__: each for each in (InputError, TrainingDiverged, TrainingStateError, GraphEngineError)}
_LISTEN_S = 1.0  # after the first sign of an end, for those that tell more about its cause


class GroupEnded(GraphEngineError):
    """A process of a training on several devices ended before its time."""


def steps_in_group(
    asked: Asked, run: TrainingRun, devices: Sequence[str], place: Path | None, scratch: Path | None
) -> Generator[StepResult, None, None]:
    """Do all steps that are left on several devices; closing it saves the state.

    Args:
        run: The same training with the batch of all devices; takes over what comes of it.
        place: The folder of the saved states, if there is one.
        scratch: The folder for what is handed over; by default where temporary files go.

    Raises:
        GroupEnded: a process ended before its time.
        GraphEngineError: what a process raised.
    """
    if scratch is not None:
        scratch.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="training-", dir=scratch) as name:
        folder = Path(name)
        hand_over(asked, folder)
        if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]  # torch's
            torch.cuda.empty_cache()  # the processes' turn
        outcomes = StateFolder(folder / "outcome", run.identity, keep=1)

        def fetch() -> None:
            group.tell("give", only=0)
            group.answers(1)
            outcome = outcomes.load(at_most=asked.steps)
            assert outcome is not None, "it was written just now"
            run.adopt(outcome)
            outcomes.clear()

        def so_far() -> Finished:
            fetch()
            return run.so_far()

        with _Group.started(folder, devices, place) as group:
            try:
                while not (said := group.step())["over"]:
                    yield StepResult(**said["result"], so_far=so_far)
            except GeneratorExit:
                group.stop()
                raise
            fetch()
            group.stop()


class _Group:
    """The processes of a group, and what they say."""

    def __init__(self, processes: Sequence[subprocess.Popen[str]], devices: Sequence[str], place: Path | None) -> None:
        self._processes = processes
        self._devices = devices
        self._place = place
        self._steps = 0
        self._said: queue.SimpleQueue[tuple[int, Said | None]] = queue.SimpleQueue()
        for rank, process in enumerate(processes):
            assert process.stdout is not None, "it was asked for"
            listening = threading.Thread(target=self._listen, args=(rank, process.stdout), daemon=True)
            listening.start()

    @classmethod
    @contextmanager
    def started(cls, folder: Path, devices: Sequence[str], place: Path | None) -> Iterator[_Group]:
        """Start a group, and see to it that nothing of it is left after the block."""
        processes: list[subprocess.Popen[str]] = []
        try:
            for rank in range(len(devices)):
                processes.append(_start(folder, rank, devices, place))
            yield cls(processes, devices, place)
        finally:
            for process in processes:
                process.kill()
            for process in processes:
                process.wait()
                for pipe in (process.stdin, process.stdout):
                    with suppress(OSError):  # what was never read
                        assert pipe is not None, "it was asked for"
                        pipe.close()

    def step(self) -> Said:
        """Have all do a step; give what the first says of it."""
        self.tell("step")
        said = self.answers(len(self._processes))[0]
        self._steps = said["result"]["step"] if not said["over"] else self._steps
        return said

    def stop(self) -> None:
        """Have the state saved, and wait until all have ended."""
        self.tell("stop")
        self.answers(len(self._processes))

    def tell(self, word: Word, *, only: int | None = None) -> None:
        """Tell all, or one, what to do."""
        for rank, process in enumerate(self._processes):
            if only in (None, rank) and process.stdin is not None:
                with suppress(OSError):  # it has ended, which is heard below
                    process.stdin.write(f"{word}\n")
                    process.stdin.flush()

    def answers(self, count: int) -> dict[int, Said]:
        """Wait until so many have answered.

        Raises:
            GraphEngineError: one of them failed, or ended.
        """
        heard: dict[int, Said] = {}
        while len(heard) < count:
            rank, said = self._said.get()
            if said is None or "error" in said:
                raise self._explained({rank: said})
            heard[rank] = said
        return heard

    def _listen(self, rank: int, pipe: IO[str]) -> None:
        with suppress(ValueError, OSError):  # closed from here, or a line cut short
            for line in pipe:
                self._said.put((rank, json.loads(line)))
        self._said.put((rank, None))

    def _explained(self, signs: dict[int, Said | None]) -> GraphEngineError:
        """Find the cause of the end: when one fails, others may fail because of that."""
        deadline = time.monotonic() + _LISTEN_S
        with suppress(queue.Empty):
            while len(signs) < len(self._processes):
                rank, said = self._said.get(timeout=max(0.0, deadline - time.monotonic()))
                if said is None or "error" in said:
                    signs.setdefault(rank, said)
        errors = [said for _, said in sorted(signs.items()) if said is not None]
        known = [KNOWN[said["error"]](*said["arguments"]) for said in errors if said["error"] in KNOWN]
        if known:
            return known[0]
        for rank, said in sorted(signs.items()):
            if said is None:
                return GroupEnded(f"{self._name(rank)} ended {self._ending(rank)}{self._where()}")
        rank, said = next((rank, said) for rank, said in sorted(signs.items()) if said is not None)
        return GroupEnded(f"{self._name(rank)} failed: {said['arguments'][0]}{self._where()}")

    def _name(self, rank: int) -> str:
        return f"process {rank + 1} of {len(self._devices)} of this training, on {self._devices[rank]},"

    def _ending(self, rank: int) -> str:
        try:
            code = self._processes[rank].wait(timeout=_LISTEN_S)
        except subprocess.TimeoutExpired:
            return "without a word"
        if code >= 0:
            return f"with exit code {code}"
        name = signal.Signals(-code).name
        return f"by {name}, as the system does when memory is short" if name == "SIGKILL" else f"by {name}"

    def _where(self) -> str:
        text = f" after step {self._steps:,}, so all were stopped.\n  "
        if self._place is None:
            return f"{text}Nothing was saved; train again."
        return f"{text}Train again to go on from the last state saved in {self._place}."


def _start(folder: Path, rank: int, devices: Sequence[str], place: Path | None) -> subprocess.Popen[str]:
    given = {"folder": str(folder), "rank": rank, "devices": devices, "place": place and str(place)}
    environment = dict(os.environ) | group_environment(rank, devices)
    environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "graphengine.diffusion.training_process", json.dumps(given), str(os.getpid())],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        env=environment,
    )
