"""The cache on disk: what it stores, what it lets go of, and that nothing harms a run."""

from __future__ import annotations

import logging
import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from graphengine.engine.assets import Asset
from graphengine.engine.cache import Result, Shown
from graphengine.engine.disk_cache import DiskCache
from graphengine.types import Image

LARGE = 2**30


def key(number: int) -> bytes:
    return number.to_bytes(16, "big")


def filled(folder: Path, *values: object, seconds: float = 60.0) -> None:
    """Store values under keys from 0 on, as an earlier process would have."""
    cache = DiskCache(folder, LARGE)
    for number, value in enumerate(values):
        cache.put(key(number), Result([value], seconds=seconds))
    cache.close()


def found(cache: DiskCache, number: int) -> object:
    kept = cache.get(key(number))
    return kept.values[0] if kept is not None else None


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def bytes_in(folder: Path) -> int:
    return sum(path.stat().st_size for path in files(folder))


# What is stored


def test_a_later_process_finds_what_was_stored(tmp_path: Path) -> None:
    asset = Asset("portraits/anna", True, "00" * 16, 123, 456)
    shown = (Shown(Path("/output/anna_00001.png"), asset=asset), Shown(Path("/t/p.png"), True, asset))
    image = Image(torch.rand(1, 8, 8, 3))
    earlier = DiskCache(tmp_path, LARGE)
    earlier.put(key(1), Result([image], shown, 2.5))
    earlier.close()
    kept = DiskCache(tmp_path, LARGE).get(key(1))
    assert kept is not None
    assert torch.equal(kept.values[0], image)
    assert (kept.shown, kept.seconds) == (shown, 2.5)


def test_putting_does_not_wait_for_the_disk_and_flushing_does(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path, LARGE)
    for number in range(20):
        cache.put(key(number), Result([torch.rand(100_000)], seconds=9))
    cache.flush()
    assert len(list((tmp_path / "index").iterdir())) == 20


def test_equal_values_of_several_steps_are_stored_once(tmp_path: Path) -> None:
    filled(tmp_path, *[torch.ones(1000) for _ in range(5)])
    assert len(list((tmp_path / "index").iterdir())) == 5
    assert len(list((tmp_path / "values").iterdir())) == 1


@pytest.mark.parametrize(
    ("megabytes", "seconds", "worth_it"),
    [(0, 0.004, False), (0, 0.01, True), (3, 0.015, False), (3, 0.03, True), (100, 0.3, False), (100, 1, True)],
)
def test_what_is_quicker_to_compute_than_to_store_is_not_stored(
    tmp_path: Path, megabytes: int, seconds: float, worth_it: bool
) -> None:
    cache = DiskCache(tmp_path, LARGE)
    cache.put(key(1), Result([torch.zeros(megabytes * 250_000)], seconds=seconds))
    cache.flush()
    assert (key(1) in cache) == worth_it


@pytest.mark.parametrize(
    "result",
    [
        Result([1], seconds=9, storable=False),
        Result([1], (Shown(Path("/output/checkpoints")),), 9),
        Result([torch.nn.Linear(1, 1)], seconds=9),
        Result([1, object()], seconds=9),
        Result([torch.zeros(LARGE // 4)], seconds=900),
    ],
    ids=["left traces", "wrote a folder", "a network", "one value of two", "larger than the budget"],
)
def test_what_would_be_lost_on_disk_is_not_stored(tmp_path: Path, result: Result) -> None:
    cache = DiskCache(tmp_path / "cache", LARGE)
    cache.put(key(1), result)
    cache.flush()
    assert not (tmp_path / "cache").exists()


def test_a_budget_of_nothing_touches_nothing(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path / "cache", 0)
    cache.put(key(1), Result([1], seconds=9))
    cache.close()
    assert found(cache, 1) is None
    assert not (tmp_path / "cache").exists()


# What gives way


def stored_numbers(folder: Path, count: int) -> list[int]:
    cache = DiskCache(folder, LARGE)
    return [number for number in range(count) if key(number) in cache]


def test_the_folder_stays_within_its_budget(tmp_path: Path) -> None:
    chance = random.Random(1)
    cache = DiskCache(tmp_path, 500_000)
    for number in range(100):
        cache.put(key(number), Result([os.urandom(chance.randrange(1, 60_000))], seconds=chance.random() + 0.1))
        cache.flush()
        assert bytes_in(tmp_path) <= 500_000
    assert 3 < len(stored_numbers(tmp_path, 100)) < 60


def test_the_quickest_to_compute_again_per_byte_goes_first(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path, 300_000)
    for number, seconds in enumerate([5, 1, 50, 2]):
        cache.put(key(number), Result([os.urandom(60_000)], seconds=seconds))
    cache.put(key(4), Result([os.urandom(60_000)], seconds=9))
    cache.close()
    assert stored_numbers(tmp_path, 5) == [0, 2, 4]


def test_what_was_not_used_for_long_goes_before_what_was(tmp_path: Path) -> None:
    filled(tmp_path, os.urandom(60_000), os.urandom(60_000), os.urandom(60_000))
    for number in range(3):
        os.utime(tmp_path / "index" / key(number).hex(), (time.time() - 7 * 86400,) * 2)
    cache = DiskCache(tmp_path, 250_000)
    assert found(cache, 1) is not None
    cache.put(key(3), Result([os.urandom(60_000)], seconds=1))
    cache.close()
    assert stored_numbers(tmp_path, 4) == [1, 3]


def test_values_stay_for_the_steps_that_are_left(tmp_path: Path) -> None:
    filled(tmp_path, "same", "same")
    cache = DiskCache(tmp_path, LARGE)
    cache.drop(key(0))
    assert (found(cache, 0), found(cache, 1)) == (None, "same")


def test_drafts_and_values_that_belong_to_no_step_are_cleaned_up_in_time(tmp_path: Path) -> None:
    filled(tmp_path, "x")
    strays = [tmp_path / "values" / "0123.part", tmp_path / "index" / "4567.part", tmp_path / "values" / ("ab" * 16)]
    for stray in strays:
        stray.write_bytes(b"x" * 100_000)
    for age, left in ((60, strays), (7200, [])):
        for stray in strays:
            os.utime(stray, (time.time() - age,) * 2)
        cache = DiskCache(tmp_path, 90_000)
        cache.put(key(age), Result([os.urandom(50_000)], seconds=60))
        cache.close()
        assert [stray for stray in strays if stray.exists()] == left


# Harm


@pytest.mark.parametrize("what", ["index", "values"])
@pytest.mark.parametrize("harm", ["emptied", "cut", "changed", "longer", "a folder", "gone"])
def test_a_harmed_entry_is_computed_and_stored_again(
    tmp_path: Path, what: str, harm: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    value = torch.arange(1000.0)
    filled(tmp_path, value)
    (path,) = (tmp_path / what).iterdir()
    content = path.read_bytes()
    path.unlink()
    if harm == "a folder":
        path.mkdir()
        (path / "more").touch()
    elif harm != "gone":
        middle = len(content) // 2
        changed = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
        path.write_bytes({"emptied": b"", "cut": content[:-1], "changed": changed, "longer": content + b"x"}[harm])
    cache = DiskCache(tmp_path, LARGE)
    assert found(cache, 0) is None
    assert key(0) not in cache
    dropped = [record for record in caplog.records if "will be computed again" in record.message]
    assert [record.levelname for record in dropped] == ([] if harm == "gone" else ["INFO"])
    cache.put(key(0), Result([value], seconds=9))
    cache.close()
    back = found(DiskCache(tmp_path, LARGE), 0)
    assert isinstance(back, torch.Tensor)
    assert torch.equal(back, value)


def test_a_folder_in_the_place_of_values_is_replaced(tmp_path: Path) -> None:
    filled(tmp_path, "a")
    (path,) = (tmp_path / "values").iterdir()
    path.unlink()
    path.mkdir()
    filled(tmp_path, "a")
    assert found(DiskCache(tmp_path, LARGE), 0) == "a"


def warnings_in(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.message for record in caplog.records if record.levelno >= logging.WARNING]


def test_a_cache_of_a_newer_version_is_left_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    filled(tmp_path, "old")
    (tmp_path / "version").write_text("2\n")
    before = {path: path.read_bytes() for path in files(tmp_path)}
    cache = DiskCache(tmp_path, LARGE)
    for _ in range(3):
        assert found(cache, 0) is None
        cache.put(key(5), Result(["new"], seconds=9))
        cache.drop(key(0))
    cache.close()
    assert {path: path.read_bytes() for path in files(tmp_path)} == before
    assert warnings_in(caplog) == [
        f"the cache in {tmp_path} was written by a newer version of graphengine and is not used. "
        "Upgrade, or give another data folder."
    ]


@contextmanager
def files_up_to(size: int) -> Iterator[None]:
    """Let the kernel refuse larger files, as a disk does that fills up half-way.

    Never around pytest's own writing: its report may be going to a file.
    """
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_is_warned_about_once_and_leaves_nothing_half_written(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    filled(tmp_path, "small")
    before = files(tmp_path)
    cache = DiskCache(tmp_path, LARGE)
    with files_up_to(5000):
        for number in range(1, 4):
            cache.put(key(number), Result([os.urandom(20_000)], seconds=9))
        cache.flush()
    cache.close()
    assert files(tmp_path) == before
    assert found(DiskCache(tmp_path, LARGE), 0) == "small"
    assert warnings_in(caplog) == [
        f"results can't be stored in {tmp_path}: File too large. The run goes on without; they will be computed again."
    ]


def test_a_folder_that_is_a_file_is_warned_about_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "cache").write_text("not a folder")
    cache = DiskCache(tmp_path / "cache", LARGE)
    for number in range(3):
        cache.put(key(number), Result([number], seconds=9))
        cache.flush()
        assert found(cache, number) is None
    assert len(warnings_in(caplog)) == 1
    assert (tmp_path / "cache").read_text() == "not a folder"


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is unwritable to root")
def test_a_cache_that_may_only_be_read_is_read(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    filled(tmp_path, "known")
    folders = (tmp_path / "index", tmp_path / "values", tmp_path)
    for folder in folders:
        folder.chmod(0o500)
    try:
        cache = DiskCache(tmp_path, LARGE)
        cache.put(key(1), Result(["new"], seconds=9))
        assert found(cache, 0) == "known"
        cache.close()
        assert len(warnings_in(caplog)) == 1
    finally:
        for folder in folders:
            folder.chmod(0o700)


# Processes

_WRITER = """
import os, random, sys
from pathlib import Path
from graphengine.engine.cache import Result
from graphengine.engine.disk_cache import DiskCache
cache, chance = DiskCache(Path(sys.argv[1]), 400_000), random.Random(int(sys.argv[2]))
print("ready", flush=True)
for _ in range(int(sys.argv[3])):
    number = chance.randrange(40)
    kept = cache.get(number.to_bytes(16, "big"))
    if kept is not None:
        assert kept.values == [number, bytes([number]) * 30_000 * (number % 3)], number
    cache.put(number.to_bytes(16, "big"), Result([number, bytes([number]) * 30_000 * (number % 3)], seconds=9))
cache.close()
print("done", flush=True)
"""


def start(script: str, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_what_another_process_is_about_to_name_is_left_to_it(tmp_path: Path) -> None:
    """An entry is written whole under another name first; making room just then must not take it away."""
    filled(tmp_path, b"x" * 60_000)
    draft = tmp_path / "index" / "0123.part"
    (tmp_path / "index" / key(0).hex()).rename(draft)
    cache = DiskCache(tmp_path, 90_000)
    cache.put(key(1), Result([b"y" * 60_000], seconds=60))
    cache.close()
    assert draft.exists()
    assert found(DiskCache(tmp_path, LARGE), 1) == b"y" * 60_000


def test_processes_write_and_make_room_in_one_cache_at_once(tmp_path: Path) -> None:
    processes = [start(_WRITER, tmp_path, seed, 150) for seed in (1, 2)]
    for process in processes:
        output, errors = process.communicate(timeout=60)
        assert (process.returncode, output, errors) == (0, "ready\ndone\n", "")
    assert bytes_in(tmp_path) < 400_000 * 1.2  # what the other wrote is counted now and then
    assert not list(tmp_path.rglob("*.part"))
    cache = DiskCache(tmp_path, LARGE)
    assert any(found(cache, number) == number for number in range(40))


def test_a_process_that_is_killed_leaves_whole_entries(tmp_path: Path) -> None:
    process = start(_WRITER, tmp_path, 1, 10**9)
    assert process.stdout is not None
    process.stdout.readline()
    deadline = time.monotonic() + 20
    while len(files(tmp_path / "index")) < 10 and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    cache = DiskCache(tmp_path, LARGE)
    kept = [number for number in range(40) if found(cache, number) == number]
    assert len(kept) >= 8  # what it was making room for may be half done
