"""Train, be killed, and train on, many times: ``python -m tests.diffusion.killed_training FOLDER TRIES SEED``.

Torch is loaded once. Each try runs in a fork of this process, which a timer ends as abruptly as ``kill -9`` would,
wherever it is: within a step, while a state is written, or between writing and naming it. It counts processor time from
the first step on, so that a busy machine makes no difference. The steps that each try did are printed, a line a try;
the last one is left alone.
"""

from __future__ import annotations

import os
import random
import signal
import sys
from collections.abc import Generator
from pathlib import Path

from graphengine.diffusion.training import StepResult, Trained, train
from graphengine.training_types import Recipe
from graphengine.types import Model
from tests.diffusion.tiny_training import Blocks, tiny_model

STEPS = 40
SAVED_EVERY = 3


def killable(folder: Path | None) -> Generator[StepResult, None, Trained[Model]]:
    """Begin the training, or go on with it."""
    recipe = Recipe(batch_size=4, learning_rate=2e-3, ema_decay=0.9, checkpoint_every=SAVED_EVERY, data_workers=0)
    return train(tiny_model(), Blocks(), recipe, steps=STEPS, seed=1, state_dir=folder)


def run(folder: Path, killed_after_s: float | None) -> None:
    """Train to the end or the timer."""
    for result in killable(folder):
        os.write(1, f"{result.step} ".encode())
        if killed_after_s is not None and signal.getitimer(signal.ITIMER_PROF)[0] == 0:
            signal.setitimer(signal.ITIMER_PROF, killed_after_s)  # its signal ends a process that does not listen to it


def main(folder: Path, tries: int, seed: int) -> None:
    """Train so many times with a timer, then to the end."""
    moments = random.Random(seed)
    for delay in [*(moments.uniform(0.01, 0.2) for _ in range(tries)), None]:
        child = os.fork()
        if child == 0:
            run(folder, delay)
            os._exit(0)
        os.waitpid(child, 0)
        os.write(1, b"\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
