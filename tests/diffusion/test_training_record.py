"""What trainings measure, as files beside their states."""

from __future__ import annotations

import importlib.machinery
import json
import math
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import pytest
import torch

from graphengine.diffusion.training import train
from graphengine.diffusion.training_bands import LossBands
from graphengine.diffusion.training_record import TrainingRecord
from graphengine.errors import InputError
from graphengine.training_types import Recipe
from tests.diffusion.tiny_training import Blocks, finish, tiny_model


def written(folder: Path) -> list[tuple[int, float]]:
    lines = (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [(line["step"], float(line["loss"])) for line in map(json.loads, lines)]


def measure(folder: Path, steps: range, loss: float = 1.0, *, tensorboard: bool = False) -> TrainingRecord:
    record = TrainingRecord(tensorboard=tensorboard)
    record.open(folder)
    for step in steps:
        record.measured(step, {"loss": loss})
    record.close()
    return record


def test_a_step_that_is_done_again_replaces_what_was_measured_from_there_on(tmp_path: Path) -> None:
    measure(tmp_path, range(1, 6))
    with (tmp_path / "metrics.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"step": 6, "lo')  # cut short by a crash
    measure(tmp_path, range(4, 8), 2.0)
    assert written(tmp_path) == [(1, 1), (2, 1), (3, 1), (4, 2), (5, 2), (6, 2), (7, 2)]


def test_a_training_that_is_rolled_back_is_recorded_once(tmp_path: Path) -> None:
    record = TrainingRecord()
    record.open(tmp_path)
    for step, loss in ((1, 1.0), (2, math.nan), (1, 2.0), (1, 3.0)):  # the last one is another line of the same step
        record.measured(step, {"loss": loss})
    record.close()
    assert written(tmp_path) == [(1, 2), (1, 3)]


def test_a_full_disk_ends_no_training_and_is_told_once(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    record = measure(tmp_path / "file" / "below", range(1, 4))
    (notice,) = record.take_notices()
    assert "can no longer be written" in notice
    assert record.take_notices() == []


class Board:
    """What a SummaryWriter was asked to write."""

    written: ClassVar[list[tuple[Any, ...]]] = []  # Any: what each call was given

    def __init__(self, folder: str, purge_step: int | None = None) -> None:
        Path(folder).mkdir(exist_ok=True)
        (Path(folder) / "events.out").touch()
        self.written.append(("begins", purge_step))

    def add_scalar(self, name: str, value: float, step: int, walltime: float | None = None) -> None:
        self.written.append((name, value, step))

    def add_images(self, name: str, images: torch.Tensor, step: int, dataformats: str) -> None:
        self.written.append((name, tuple(images.shape), step, dataformats))

    def close(self) -> None:
        self.written.append(("ends",))


@pytest.fixture
def board(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:  # Any: as above
    package, writer = ModuleType("tensorboard"), ModuleType("torch.utils.tensorboard")
    package.__spec__ = importlib.machinery.ModuleSpec("tensorboard", None)
    writer.SummaryWriter = Board  # type: ignore[attr-defined]  # a module made for the test
    monkeypatch.setitem(sys.modules, "tensorboard", package)
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", writer)
    Board.written.clear()
    return Board.written


def test_tensorboard_gets_what_was_measured_before_it_was_asked_for(
    tmp_path: Path, board: list[tuple[Any, ...]]
) -> None:
    measure(tmp_path, range(1, 3))
    measure(tmp_path, range(3, 4), tensorboard=True)
    measure(tmp_path, range(3, 4), 2.0, tensorboard=True)
    before = [("begins", None), ("loss", 1.0, 1), ("loss", 1.0, 2), ("ends",)]
    first = [("begins", 3), ("loss", 1.0, 3), ("ends",)]
    assert board == [*before, *first, ("begins", 3), ("loss", 2.0, 3), ("ends",)]


def test_tensorboard_gets_the_pictures_of_a_look(tmp_path: Path, board: list[tuple[Any, ...]]) -> None:
    record = TrainingRecord(tensorboard=True)
    record.open(tmp_path)
    record.measured(5, {"loss": 1.0})
    record.pictured(5, {"image": torch.rand(2, 4, 4, 3), "latent": torch.rand(2, 4, 4, 4), "score": 1.0})
    record.close()
    assert board[-2] == ("image", (2, 4, 4, 3), 5, "NHWC")


def test_the_events_are_what_tensorboard_reads(tmp_path: Path) -> None:
    reading: Any = importlib.import_module("tensorboard.backend.event_processing.event_accumulator")  # Any: untyped
    measure(tmp_path, range(1, 4), 0.5, tensorboard=True)
    events = reading.EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [(each.step, each.value) for each in events.Scalars("loss")] == [(1, 0.5), (2, 0.5), (3, 0.5)]


def test_tensorboard_that_is_not_installed_is_refused_before_the_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match="tensorboard is not installed") as caught:
        TrainingRecord(tensorboard=True)
    assert caught.value.input == "tensorboard"


def test_bands_are_means_by_the_amount_of_noise() -> None:
    bands = LossBands(8)
    bands.add(torch.tensor([0, 1, 7]), torch.tensor([1.0, 3.0, 5.0]))
    bands.add(torch.tensor([6, 3]), torch.tensor([7.0, 4.0], requires_grad=True))
    with torch.no_grad():  # a held-out loss
        bands.add(torch.tensor([4]), torch.tensor([9.0]))
    assert bands.take() == {"loss_noise_0_25": 2, "loss_noise_25_50": 4, "loss_noise_75_100": 6}
    assert bands.take() == {}


def test_a_training_tells_its_bands_now_and_then_before_any_weighting() -> None:
    recipe = Recipe(batch_size=1, data_workers=0)
    results, _trained = finish(train(tiny_model(), Blocks(), recipe, steps=11, seed=0, held_out=Blocks(), look_every=2))
    assert [result.step for result in results if result.bands] == [10, 11]
    assert list(results[-1].bands.values()) == pytest.approx([results[-1].loss])
    weighted = replace(recipe, loss_weighting="sqrt_one_minus_alphas")
    ((other,), _trained) = finish(train(tiny_model(), Blocks(), weighted, steps=1, seed=0))
    ((plain,), _trained) = finish(train(tiny_model(), Blocks(), recipe, steps=1, seed=0))
    assert other.bands == plain.bands
    assert other.loss < plain.loss
