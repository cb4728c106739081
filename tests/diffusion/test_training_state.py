"""Saved states: whole or not at all, and only for the training they belong to."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from graphengine.diffusion.training import TrainingStateError, train
from graphengine.diffusion.training_state import StateFolder, TrainingState
from graphengine.training_types import Recipe
from tests.diffusion.tiny_training import Blocks, finish, same_weights, tiny_model, weights_of

RECIPE = Recipe(batch_size=2, learning_rate=1e-3)
IDENTITY = {"learning_rate": 0.001, "seed": 1}


def state(step: int) -> TrainingState:
    return TrainingState(step, {"weights/a": torch.full((4,), float(step))}, {"note": "x"})


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_state_comes_back_as_it_was(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path, IDENTITY, keep=2)
    assert folder.load(at_most=10) is None
    assert folder.save(state(3)) is None
    loaded = folder.load(at_most=10)

    assert loaded is not None
    assert (loaded.step, loaded.settings) == (3, {"note": "x"})
    assert torch.equal(loaded.tensors["weights/a"], state(3).tensors["weights/a"])


def test_the_newest_states_are_kept(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path, IDENTITY, keep=2)
    for step in (1, 2, 100_000_000):
        folder.save(state(step))
    assert names(tmp_path) == ["step-00000002.safetensors", "step-100000000.safetensors"]
    loaded = folder.load(at_most=100_000_000)
    assert loaded is not None
    assert loaded.step == 100_000_000


def test_a_state_of_another_training_is_refused_by_what_differs(tmp_path: Path) -> None:
    StateFolder(tmp_path, IDENTITY, keep=2).save(state(3))
    with pytest.raises(TrainingStateError) as caught:
        StateFolder(tmp_path, {"learning_rate": 0.002, "seed": 1}, keep=2).load(at_most=10)

    assert "learning_rate: 0.001 in the state, 0.002 now" in str(caught.value)
    assert "seed" not in str(caught.value)
    assert "another name to begin anew" in str(caught.value)


@pytest.mark.parametrize("damage", ["truncated", "changed", "empty", "not safetensors"])
def test_a_damaged_state_gives_way_to_the_one_before(tmp_path: Path, damage: str) -> None:
    folder = StateFolder(tmp_path, IDENTITY, keep=2)
    folder.save(state(1))
    folder.save(state(2))
    spoil(tmp_path / "step-00000002.safetensors", damage)

    loaded = folder.load(at_most=10)

    assert loaded is not None
    assert loaded.step == 1
    (told,) = folder.take_damaged()
    assert re.search(r"damaged and was passed over: .*step-00000002\.safetensors: .+ goes on from step 1\.", told)
    assert folder.take_damaged() == ()


def test_a_training_tells_that_it_goes_on_from_an_older_state(tmp_path: Path) -> None:
    """Steps 2 and 3 of four are saved, 3 is damaged: it goes on from 2, and comes to the same."""
    recipe = replace(RECIPE, checkpoint_every=1)
    stopped = train(tiny_model(), Blocks(), recipe, steps=4, seed=0, state_dir=tmp_path)
    for _ in range(3):
        next(stopped)
    stopped.close()
    spoil(tmp_path / "step-00000003.safetensors", "changed")

    results, resumed = finish(train(tiny_model(), Blocks(), recipe, steps=4, seed=0, state_dir=tmp_path))

    assert [result.step for result in results] == [3, 4]
    (notice,) = results[0].notices
    assert "step-00000003.safetensors" in notice
    assert resumed.report.notices == (notice,)
    _, whole = finish(train(tiny_model(), Blocks(), recipe, steps=4, seed=0))
    assert same_weights(weights_of(resumed.subject.network), weights_of(whole.subject.network))


def test_two_trainings_of_one_name_do_not_write_over_each_other(tmp_path: Path) -> None:
    place = tmp_path / "digits"
    first = train(tiny_model(), Blocks(), RECIPE, steps=2, seed=0, state_dir=place)
    next(first)
    with pytest.raises(TrainingStateError, match=r"digits: this training runs already(?s:.*)another name"):
        next(train(tiny_model(), Blocks(), RECIPE, steps=2, seed=0, state_dir=place))
    next(train(tiny_model(), Blocks(), RECIPE, steps=2, seed=0, state_dir=tmp_path / "other"))

    first.close()
    results, _ = finish(train(tiny_model(), Blocks(), RECIPE, steps=2, seed=0, state_dir=place))
    assert [result.step for result in results] == [2]


def test_a_folder_that_can_not_be_written_is_told_and_nothing_is_lost(tmp_path: Path) -> None:
    """A file lies where the folder of states should be made: neither a lock nor a state can be written."""
    (tmp_path / "full").write_bytes(b"")
    recipe = replace(RECIPE, checkpoint_every=1)
    results, trained = finish(
        train(tiny_model(), Blocks(), recipe, steps=2, seed=0, state_dir=tmp_path / "full" / "digits")
    )
    assert len(results) == 2
    assert len(trained.report.notices) == 2
    assert "after step 1 could not be saved" in trained.report.notices[0]


def spoil(path: Path, damage: str) -> None:
    content = path.read_bytes()
    path.write_bytes(
        {
            "truncated": content[:-3],
            "changed": content[:-1] + bytes([content[-1] ^ 1]),
            "empty": b"",
            "not safetensors": b"hello, this is text",
        }[damage]
    )


def test_only_damaged_states_are_an_error(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path, IDENTITY, keep=2)
    folder.save(state(1))
    spoil(tmp_path / "step-00000001.safetensors", "truncated")
    with pytest.raises(TrainingStateError, match=r"no saved state can be read(?s:.*)step-00000001(?s:.*)Delete them"):
        folder.load(at_most=10)


def test_a_state_past_the_end_is_refused(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path, IDENTITY, keep=2)
    folder.save(state(30))
    with pytest.raises(TrainingStateError, match="30 steps; 20 are asked for"):
        folder.load(at_most=20)


@contextmanager
def files_limited_to(size_bytes: int) -> Iterator[None]:
    """Let the system refuse larger files, which fails a write as a full disk does."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_keeps_the_state_before_and_says_so(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path, IDENTITY, keep=2)
    folder.save(state(1))
    large = TrainingState(2, {"weights/a": torch.zeros(100_000)}, {})
    with files_limited_to(10_000):
        notice = folder.save(large)

    assert notice is not None
    assert "after step 2 could not be saved" in notice
    assert "the state of step-00000001 is whole" in notice
    assert names(tmp_path) == ["step-00000001.safetensors"]
    loaded = folder.load(at_most=5)
    assert loaded is not None
    assert loaded.step == 1


def test_a_training_goes_on_when_its_state_can_not_be_saved(tmp_path: Path) -> None:
    recipe = replace(RECIPE, checkpoint_every=2)
    with files_limited_to(1000):
        results, trained = finish(train(tiny_model(), Blocks(), recipe, steps=3, seed=0, state_dir=tmp_path / "state"))

    assert [len(result.notices) for result in results] == [0, 0, 1]
    assert len(trained.report.notices) == 2  # after steps 2 and 3
    assert "no state has been saved yet" in trained.report.notices[0]


def test_a_stopped_training_that_can_not_be_saved_says_so(tmp_path: Path) -> None:
    training = train(tiny_model(), Blocks(), RECIPE, steps=3, seed=0, state_dir=tmp_path / "state")
    next(training)
    with files_limited_to(1000), pytest.raises(TrainingStateError, match="after step 1 could not be saved"):
        training.close()


@pytest.mark.parametrize("change", ["recipe", "dataset", "model", "seed", "steps of a cosine"])
def test_a_changed_training_does_not_resume(tmp_path: Path, change: str) -> None:
    recipe = replace(RECIPE, lr_schedule="cosine")
    stopped = train(tiny_model(), Blocks(), recipe, steps=4, seed=0, state_dir=tmp_path)
    next(stopped)
    stopped.close()

    with pytest.raises(TrainingStateError) as caught:
        next(
            train(
                tiny_model(seed=1 if change == "model" else 0),
                Blocks(digest="other" if change == "dataset" else "blocks"),
                replace(recipe, batch_size=3) if change == "recipe" else recipe,
                steps=5 if change.startswith("steps") else 4,
                seed=1 if change == "seed" else 0,
                state_dir=tmp_path,
            )
        )

    expected = {
        "recipe": "batch_size: 2 in the state, 3 now",
        "dataset": "dataset: other examples now",
        "model": "starting weights of network: others now",
        "seed": "seed: 0 in the state, 1 now",
        "steps of a cosine": "steps: 4 in the state, 5 now",
    }[change]
    assert expected in str(caught.value)


def test_closing_right_after_a_saved_step_writes_nothing_more(tmp_path: Path) -> None:
    training = train(tiny_model(), Blocks(), replace(RECIPE, checkpoint_every=1), steps=3, seed=0, state_dir=tmp_path)
    next(training)
    written = (tmp_path / "step-00000001.safetensors").stat().st_mtime_ns
    training.close()
    assert (tmp_path / "step-00000001.safetensors").stat().st_mtime_ns == written


def test_a_half_written_state_of_a_crash_is_not_read(tmp_path: Path) -> None:
    _, whole = finish(train(tiny_model(), Blocks(), RECIPE, steps=2, seed=0, state_dir=tmp_path))
    (tmp_path / "step-00000003.partial-123").write_bytes(b"half")
    _, again = finish(train(tiny_model(), Blocks(), RECIPE, steps=2, seed=0, state_dir=tmp_path))
    assert same_weights(weights_of(whole.subject.network), weights_of(again.subject.network))
    assert names(tmp_path) == ["step-00000002.safetensors"]


def test_time_that_passes_saves_a_state_too(tmp_path: Path) -> None:
    recipe = replace(RECIPE, checkpoint_every=1000, checkpoint_minutes=1e-9)
    training = train(tiny_model(), Blocks(), recipe, steps=3, seed=0, state_dir=tmp_path)
    next(training)
    assert names(tmp_path) == ["step-00000001.safetensors"]

    never = replace(recipe, checkpoint_minutes=0)
    unsaved = train(tiny_model(), Blocks(), never, steps=3, seed=0, state_dir=tmp_path / "never")
    next(unsaved)
    assert not (tmp_path / "never").exists()
