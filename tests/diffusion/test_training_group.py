"""One training on several devices: a process for each, here two on the CPU that speak by gloo."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import psutil
import pytest
import torch

from graphengine.authoring.pack_files import import_path
from graphengine.diffusion.batch_order import BatchOrder, PartedOrder
from graphengine.diffusion.training import Asked, train
from graphengine.diffusion.training_devices import (
    Share,
    SharedOrder,
    check_group,
    choose_devices,
    device_of,
    group_environment,
)
from graphengine.diffusion.training_group import GroupEnded, _Group
from graphengine.diffusion.training_handover import hand_over, take_over
from graphengine.errors import InputError
from graphengine.training_types import Recipe
from tests.diffusion.tiny_training import Blocks, finish, same_weights, tiny_model, weights_of

TWO = ("cpu", "cpu")
EACH = Recipe(batch_size=4, optimizer="sgd", learning_rate=0.1, ema_decay=0.9, checkpoint_every=2)
WHOLE = replace(EACH, batch_size=8)
DATA = Blocks(length=10)


@pytest.mark.slow
def test_two_devices_train_as_one_with_twice_the_batch_and_each_resumes_the_other(tmp_path: Path) -> None:
    """SGD, whose steps are the gradients themselves, so that nothing hides a difference."""
    model = tiny_model()
    options = {"steps": 4, "seed": 1, "held_out": Blocks(length=6), "look_every": 2}
    results, one = finish(train(model, DATA, WHOLE, **options))  # type: ignore[arg-type]  # of several types
    _, in_parts = finish(train(model, DATA, replace(EACH, accumulate=2), steps=4, seed=1))

    training = train(model, DATA, EACH, devices=TWO, state_dir=tmp_path, **options)  # type: ignore[arg-type]  # as above
    first = [next(training), next(training)]
    so_far = first[-1].so_far().subject
    finish_early = [*first, next(training)]
    training.close()
    rest, two = finish(train(model, DATA, WHOLE, state_dir=tmp_path, **options))  # type: ignore[arg-type]  # as above

    assert [each.loss for each in finish_early + rest] == pytest.approx([each.loss for each in results], rel=1e-6)
    assert [each.held_out_loss for each in first] == [None, pytest.approx(results[1].held_out_loss, rel=1e-6)]
    _close(weights_of(two.subject.network), weights_of(one.subject.network))
    assert two.report.held_out.keys() == {2, 4}
    _, two_steps = finish(train(model, DATA, replace(EACH, accumulate=2), steps=2, seed=1))
    assert same_weights(weights_of(so_far.network), weights_of(two_steps.subject.network))  # type: ignore[union-attr]  # a model
    assert not same_weights(weights_of(in_parts.subject.network), weights_of(two_steps.subject.network))


@pytest.mark.slow
def test_a_process_that_is_killed_ends_the_group_and_what_was_saved_goes_on(tmp_path: Path) -> None:
    training = train(tiny_model(), DATA, EACH, steps=4, seed=1, devices=TWO, state_dir=tmp_path)
    for _ in range(3):
        next(training)
    processes = _processes()
    assert len(processes) == 2
    processes[1].send_signal(signal.SIGKILL)
    with pytest.raises(GroupEnded, match=r"process 2 of 2 .* on cpu, ended by SIGKILL(?s:.*) after step 3(?s:.*)saved"):
        next(training)
    assert not any(each.is_running() for each in processes)
    assert [path.stem for path in tmp_path.iterdir()] == ["step-00000002"]

    results, two = finish(train(tiny_model(), DATA, WHOLE, steps=4, seed=1, state_dir=tmp_path))
    _, one = finish(train(tiny_model(), DATA, WHOLE, steps=4, seed=1))
    assert [each.step for each in results] == [3, 4]
    _close(weights_of(two.subject.network), weights_of(one.subject.network))


def test_the_cause_of_an_end_is_told_before_what_came_of_it() -> None:
    """When a process ends, others may fail because of that, and may say so first."""
    lost = {"error": "", "arguments": ["RuntimeError: connection closed by peer"]}
    gone = {"error": "InputError", "arguments": ["dataset", "picture 7 is gone.", "Bring it back."]}
    with _saying(lost, gone) as group, pytest.raises(InputError, match="picture 7 is gone"):
        group.answers(2)
    with _saying(lost, "kill") as group, pytest.raises(GroupEnded, match=r"process 2 of 2 .* ended by SIGKILL"):
        group.answers(2)


@contextmanager
def _saying(*said: Mapping[str, object] | str) -> Iterator[_Group]:
    """Start a group of processes that say this, one each, or kill themselves."""
    say, kill = "import sys; print(sys.argv[1])", "import os; os.kill(os.getpid(), 9)"
    processes = [
        subprocess.Popen(
            [sys.executable, "-S", "-c", kill if each == "kill" else say, json.dumps(each)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for each in said
    ]
    try:
        yield _Group(processes, TWO, None)
    finally:
        for process in processes:
            process.communicate()


def test_processes_share_every_batch() -> None:
    whole = BatchOrder(10, 12, seed=1)
    parts = PartedOrder(whole, parts=6)  # three batches a step on each of two devices
    mine = [SharedOrder(parts, Share(rank, 2)) for rank in range(2)]
    for step in range(2):
        seen = [each.indices(3 * step + part) for part in range(3) for each in mine]
        assert [number for part in seen for number in part] == list(whole.indices(step))


def test_devices_are_chosen_from_what_there_is() -> None:
    assert choose_devices(1, "cuda:1", ()) == ("cuda:1",)
    assert choose_devices(2, "cpu", ()) == TWO
    assert choose_devices(2, "cuda:1", ("cuda:1", "cuda:0", "cuda:3")) == ("cuda:1", "cuda:0")
    with pytest.raises(InputError, match=r"3 are asked for, and this job has 2 devices \(cuda:0, cuda:1\)"):
        choose_devices(3, "cuda:0", ("cuda:0", "cuda:1"))
    with pytest.raises(InputError, match=r"2 are asked for, and this machine has 1 \(mps\)(?s:.*)Choose 1"):
        choose_devices(2, "mps", ())


@pytest.mark.parametrize(
    ("devices", "message"),
    [
        (("cpu", "cuda:0"), "cpu, cuda:0 can't train together"),
        (("cuda", "cuda:0"), "names a GPU twice"),
        (("mps", "mps"), "can't train together"),
    ],
    ids=["mixed", "twice", "other kinds"],
)
def test_devices_that_cannot_train_together_are_refused(devices: Sequence[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_group(devices)


def test_processes_see_their_gpus_in_the_order_of_the_group(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5,6")
    environment = group_environment(1, ("cuda:2", "cuda:0"))
    assert environment["CUDA_VISIBLE_DEVICES"] == "6,4"
    assert (environment["RANK"], environment["WORLD_SIZE"]) == ("1", "2")
    assert device_of(1, ("cuda:2", "cuda:0")) == torch.device("cuda:1")


def test_what_belongs_to_this_process_alone_cannot_be_handed_over(tmp_path: Path) -> None:
    @dataclass(frozen=True)
    class Locked(Blocks):
        lock: object = threading.Lock()

    with pytest.raises(InputError, match=r"input 'dataset': it can't be handed to the other devices' processes"):
        finish(train(tiny_model(), Locked(), EACH, steps=1, seed=0, devices=TWO, scratch=tmp_path / "new"))
    assert list((tmp_path / "new").iterdir()) == []


PACK = """
from tests.diffusion.tiny_training import Blocks

class Mine(Blocks):
    pass
"""


def test_classes_of_a_pack_that_is_a_file_are_found_by_the_processes(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(PACK)
    (module,) = import_path(path)
    hand_over(Asked(tiny_model(), module.Mine(), EACH, steps=1, seed=0), tmp_path)

    assert (tmp_path / "packs.txt").read_text() == str(path)
    asked = take_over(tmp_path)
    assert type(asked.dataset).__name__ == "Mine"
    assert asked.recipe == EACH


def _processes() -> list[psutil.Process]:
    """Find the processes of groups that this one has started."""
    children = psutil.Process(os.getpid()).children()
    return [each for each in children if any("training_process" in part for part in each.cmdline())]


def _close(mine: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> None:
    for name, weight in theirs.items():
        torch.testing.assert_close(mine[name], weight, atol=1e-6, rtol=1e-6)
