"""Workers that are processes of this host."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import psutil
import pytest

from graphengine.workers.local import LocalWorker
from graphengine.workers.logs import log_name, prune_logs
from graphengine.workers.messages import Message, Run
from graphengine.workers.worker import WorkerGone, WorkerOptions
from tests.workers.conformance import Heard, WorkerConformance
from tests.workers.documents import PACK, one


class TestLocalWorker(WorkerConformance):
    make = staticmethod(LocalWorker)


@pytest.mark.parametrize("leads", [False, True], ids=["in its group", "in a group of its own"])
def test_what_a_node_started_does_not_hide_the_workers_end(tmp_path: Path, leads: bool) -> None:
    note = tmp_path / "child"

    async def main() -> float:
        worker = LocalWorker(_options(tmp_path), Heard())
        await worker.start()
        worker.send(Run("a", 1, one("LeaveChild", note=str(note), leads=leads), None, str(tmp_path / "o"), "", ["cpu"]))
        while not note.exists():
            await asyncio.sleep(0.01)
        started = time.monotonic()
        ended = await asyncio.wait_for(worker.exited(), 5)
        assert ended.code == 3
        return time.monotonic() - started

    assert asyncio.run(main()) < 2
    child = int(note.read_text())
    assert leads == psutil.pid_exists(child)
    if leads:  # it left on purpose, as a daemon does
        os.kill(child, 9)


def test_one_that_talks_nonsense_is_ended(tmp_path: Path) -> None:
    bad = tmp_path / "bad_pack.py"
    bad.write_text(
        "import os\nfor number in range(3, 20):\n    try:\n        os.write(number, b'nonsense' * 10)\n"
        "    except OSError:\n        pass\n"
    )

    async def main() -> None:
        with pytest.raises(WorkerGone, match="ended with signal SIGKILL as it started"):
            await LocalWorker(_options(tmp_path, bad), Heard()).start()

    asyncio.run(main())


def test_one_whose_words_cant_be_borne_is_ended(tmp_path: Path) -> None:
    def refuse(message: Message) -> None:
        raise RuntimeError("not that")

    async def main() -> None:
        worker = LocalWorker(_options(tmp_path), refuse)
        await worker.start()
        worker.send(Run("a", 1, one("Say"), None, str(tmp_path / "o"), "", ["cpu"]))
        assert (await asyncio.wait_for(worker.exited(), 20)).code == -9

    asyncio.run(main())


def test_start_that_is_given_up_leaves_nothing(tmp_path: Path) -> None:
    slow = tmp_path / "slow_pack.py"
    slow.write_text("import time\ntime.sleep(60)\n")

    async def main() -> int:
        worker = LocalWorker(_options(tmp_path, slow), Heard())
        starting = asyncio.ensure_future(worker.start())
        while worker.pid is None:
            await asyncio.sleep(0.01)
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
        return worker.pid

    assert not psutil.pid_exists(asyncio.run(main()))


def test_old_logs_are_removed(tmp_path: Path) -> None:
    names = [f"worker-{device}-{number}.log" for device in ("cpu", "cpu_0") for number in range(100, 125)]
    for name in [*names, "notes.txt", "worker-x.log"]:
        (tmp_path / name).touch()
    prune_logs(tmp_path, {"worker-cpu-101.log"})
    kept = {path.name for path in tmp_path.iterdir()}
    newest = {f"worker-{device}-{number}.log" for device in ("cpu", "cpu_0") for number in range(105, 125)}
    assert kept == newest | {"worker-cpu-101.log", "notes.txt", "worker-x.log"}


def test_log_names_hold_nothing_odd() -> None:
    assert log_name("cuda:0").startswith("worker-cuda_0-")
    assert "/" not in log_name("../x")


def _options(folder: Path, pack: Path = PACK) -> WorkerOptions:
    return WorkerOptions("cpu", folder / "data", folder / "out", folder / "logs", [pack])
