"""Workers that are processes of this host."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from graphengine.workers.local import LocalWorker
from graphengine.workers.logs import log_name, prune_logs
from graphengine.workers.messages import Message, Run
from graphengine.workers.worker import WorkerGone, WorkerOptions
from tests.workers.conformance import Heard, WorkerConformance
from tests.workers.documents import PACK, one
from tests.workers.world import is_running


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
    if leads:  # it left on purpose, as a daemon does
        assert is_running(child)
        os.kill(child, 9)
    _wait_for_end_of(child)


_SERVER = """
import asyncio, sys
from pathlib import Path
from graphengine.workers.local import LocalWorker
from graphengine.workers.messages import Run
from graphengine.workers.worker import WorkerOptions

async def main(folder, pack, workflow):
    worker = LocalWorker(WorkerOptions("cpu", folder / "data", folder / "out", folder / "logs", [pack]), print)
    await worker.start()
    (folder / "worker").write_text(str(worker.pid))
    worker.send(Run("a", 1, workflow, None, str(folder / "o"), "", ["cpu"]))
    await asyncio.Event().wait()

asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]))
"""


def test_ends_with_the_server_however_that_ends(tmp_path: Path) -> None:
    """The worker holds the interpreter, and its node has started a process."""
    note = tmp_path / "child"
    workflow = one("LeaveChild", note=str(note), dies=False)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    server = subprocess.Popen([sys.executable, "-c", _SERVER, tmp_path, PACK, workflow], env=environment)
    try:
        _wait(note.exists)
        started = [int((tmp_path / "worker").read_text()), int(note.read_text())]
        assert all(is_running(pid) for pid in started)
    finally:
        server.kill()
        server.wait()
    for pid in started:
        _wait_for_end_of(pid)


def test_leaves_no_open_files_and_no_zombies(tmp_path: Path) -> None:
    me = psutil.Process()

    async def main() -> None:
        before, others = me.num_fds(), me.children()
        worker = LocalWorker(_options(tmp_path), Heard())
        await worker.start()
        await worker.stop(0)
        assert me.num_fds() == before
        assert set(me.children()) <= set(others)

    asyncio.run(main())


def test_an_installation_that_is_broken_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "graphengine").mkdir()
    (tmp_path / "graphengine" / "__init__.py").write_text("raise ImportError('half an installation')\n")
    monkeypatch.syspath_prepend(str(tmp_path))

    async def main() -> None:
        with pytest.raises(WorkerGone, match="half an installation"):
            await LocalWorker(_options(tmp_path), Heard()).start()

    asyncio.run(main())


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


def _wait(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.01)


def _wait_for_end_of(pid: int) -> None:
    deadline = time.monotonic() + 5
    while is_running(pid):
        assert time.monotonic() < deadline, "it still runs"
        time.sleep(0.01)


def _options(folder: Path, pack: Path = PACK) -> WorkerOptions:
    return WorkerOptions("cpu", folder / "data", folder / "out", folder / "logs", [pack])
