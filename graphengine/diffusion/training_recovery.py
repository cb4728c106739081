"""When a training diverges: back to the last state that was saved, and on at half the learning rate."""

from __future__ import annotations

from dataclasses import replace

from graphengine.diffusion.training_run import StepResult, TrainingDiverged, TrainingRun
from graphengine.diffusion.training_state import StateFolder, TrainingState

_FACTOR = 0.5


class Recovery:
    """Steps a training, and rolls it back when a step isn't finite.

    Without a folder, or before the first state in it, it goes back to where it was when this began, of which a copy is
    kept on the CPU.

    Args:
        attempts: How often it may roll back before the error is raised after all.
    """

    def __init__(self, run: TrainingRun, folder: StateFolder | None, *, steps: int, attempts: int = 5) -> None:
        self._run = run
        self._folder = folder
        self._steps = steps
        self._left = self._attempts = attempts
        self._begin = _copied(run.state())

    def advance(self) -> StepResult:
        """Do a step, of the state rolled back to if need be.

        Raises:
            TrainingDiverged: if lower rates didn't help either.
        """
        while True:
            try:
                return self._run.advance()
            except TrainingDiverged as error:
                self._roll_back(error)

    def _roll_back(self, error: TrainingDiverged) -> None:
        if self._left == 0:
            raise TrainingDiverged(
                f"{error}\n  It was rolled back {self._attempts} times, each time at half the learning rate."
            ) from error
        self._left -= 1
        failed = self._run.step + 1
        saved = self._folder.load(at_most=self._steps) if self._folder else None
        self._run.wait()  # others may read what is saved below
        self._run.restore(saved or self._begin)
        self._run.lower_rate(_FACTOR)
        for notice in self._folder.take_damaged() if self._folder else ():
            self._run.note(notice)
        self._run.note(
            f"At step {failed:,} the training diverged; it went back to step {self._run.step:,} and goes on at "
            f"{_FACTOR:g} times the learning rate."
        )
        if self._folder:
            self._run.note(self._folder.save(self._run.state()))  # so that going back again lowers the rate again
        else:
            self._begin = _copied(self._run.state())


def _copied(state: TrainingState) -> TrainingState:
    tensors = {name: tensor.detach().to("cpu", copy=True) for name, tensor in state.tensors.items()}
    return replace(state, tensors=tensors)
