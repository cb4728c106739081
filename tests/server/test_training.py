"""Trainings in a real server: followed, killed, cancelled, continued, and gone when they are over.

A training is looked at every ten steps; the look saves a picture and then waits for a file. So a test knows at which
step it is when something happens to it.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.server.running import Json, Server, running, until, workflow

pytestmark = pytest.mark.slow

PACK = Path(__file__).parent / "training_pack.py"
STEPS, SAVED_EVERY, HELD_AT = 24, 7, 10
_PATIENCE_S = 240.0  # the machine may be busy; a test that passes never waits for so long


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("server"), "--pack", str(PACK), "--cancel-grace", "60") as started:
        yield started


def link(source: str) -> Json:
    return {"$link": source}


def training(name: str, gate: Path, *, steps: int = STEPS, **recipe: Json) -> Json:
    """
    digits, model ──▶ train ──▶ plot ──▶ save
                        └─ watch: sample ──▶ save, hold until the gate is there
    """
    look = {
        "nodes": {
            "sample": {"type": "MixingSampler", "inputs": {"steps": 1, "count": 1}},
            "save": {"type": "SaveImage", "inputs": {"images": link("sample.images"), "filename_prefix": "look"}},
            "hold": {"type": "tt.Hold", "inputs": {"file": str(gate)}},
        },
        "inputs": {
            "model": {"type": "MODEL", "to": ["sample.model"]},
            "step": {"type": "INT", "to": ["sample.seed", "hold.step"]},
        },
        "outputs": {"looked": {"from": "hold.step"}},
    }
    chosen = {"batch_size": 1, "optimizer": "adam", "checkpoint_every": SAVED_EVERY, "checkpoint_minutes": 0, **recipe}
    parts = {"model": link("new.model"), "dataset": link("digits.dataset"), "recipe": link("recipe.recipe")}
    return workflow(
        {
            "digits": ("DrawnDigits", {"count": 8}),
            "new": ("NewBasicUNet", {}),
            "recipe": ("TrainRecipe", chosen),
            "train": (
                "TrainLoop",
                parts | {"steps": steps, "name": name, "watch": {"$subgraph": "look"}, "look_every": HELD_AT},
            ),
            "plot": ("LossPlot", {"report": link("train.report"), "width": 100, "height": 80}),
            "save": ("SaveImage", {"images": link("plot.image"), "filename_prefix": "plot"}),
        },
        subgraphs={"look": look},
    )


def events(server: Server, job: str) -> list[Json]:
    found: list[Json] = server.ask("GET", f"/jobs/{job}/events").json["events"]
    return found


def steps_of(server: Server, job: str, name: str = "loss") -> list[int]:
    """Give the steps at which a job measured something, in order."""
    told = [each for each in events(server, job) if each["type"] == "node_metrics"]
    return [each["step"] for each in told if name in each["values"]]


def end_of(server: Server, job: str) -> Json:
    until(lambda: server.job(job)["finished"] is not None, _PATIENCE_S)
    return server.job(job)


def until_held(server: Server, job: str, step: int = HELD_AT) -> None:
    """Wait until a training is held up in its look at a step."""

    def is_held() -> bool:
        started = [each["node"] for each in events(server, job) if each["type"] == "node_started"]
        return f"train/step{step}/hold" in started

    until(is_held, _PATIENCE_S)


def states(server: Server, name: str) -> dict[str, tuple[Json, bytes]]:
    """Give the saved states of a training by their files' names: header and tensors."""
    folder = server.data / "state" / "training" / name
    return {path.name: state_of(path.read_bytes()) for path in sorted(folder.glob("*.safetensors"))}


def recorded(server: Server, name: str) -> list[int]:
    """Give the steps whose loss is kept beside a training's states, in order."""
    lines = (server.data / "state" / "training" / name / "metrics.jsonl").read_text().splitlines()
    return [measured["step"] for measured in map(json.loads, lines) if "loss" in measured]


def state_of(content: bytes) -> tuple[Json, bytes]:
    """Split a safetensors file; the order of its header's fields says nothing."""
    end = 8 + int.from_bytes(content[:8], "little")
    return json.loads(content[8:end]), content[end:]


def worker(server: Server) -> Json:
    (only,) = server.ask("GET", "/system").json["workers"]
    return only


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    return tmp_path / "gate"


@pytest.fixture(scope="module")
def whole(server: Server, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A training that nothing happened to, named "whole": its job."""
    gate = tmp_path_factory.mktemp("whole") / "gate"
    gate.touch()
    job = server.submit(training("whole", gate))
    ended = end_of(server, job)
    assert ended["state"] == "done", ended["error"]
    return job


def test_a_training_tells_of_each_step_and_shows_pictures_and_plot(server: Server, whole: str) -> None:
    """What a page that is loaded again asks for: all that was measured, and the files by their nodes."""
    measured = [each["values"] for each in events(server, whole) if each["type"] == "node_metrics"]
    assert steps_of(server, whole) == list(range(1, STEPS + 1))
    assert {"loss", "learning_rate", "grad_norm", "items_per_s"} <= measured[0].keys()
    assert steps_of(server, whole, "looked") == [10, 20, STEPS]
    shown = {each["node"]: each["asset"] for each in server.job(whole)["outputs"]}
    assert shown.keys() == {"save", *(f"train/step{step}/save" for step in (10, 20, STEPS))}
    assert all(server.ask("GET", f"/assets/{asset}").body.startswith(b"\x89PNG") for asset in shown.values())


def test_a_killed_worker_costs_one_interval_and_changes_no_bit(server: Server, whole: str, gate: Path) -> None:
    """Killed at step 10, with a state of step 7: on from step 8, before the job that waits behind it."""
    job = server.submit(training("killed", gate))
    until_held(server, job)
    waiting = server.submit(workflow({"n": ("t.Say", {})}))
    os.kill(worker(server)["pid"], signal.SIGKILL)
    gate.touch()
    ended = end_of(server, job)

    assert (ended["state"], ended["attempts"]) == ("done", 2)
    assert steps_of(server, job) == [*range(1, 11), *range(8, STEPS + 1)]
    assert states(server, "killed") == states(server, "whole")
    assert recorded(server, "killed") == list(range(1, STEPS + 1))
    assert end_of(server, waiting)["started"] >= ended["finished"]


def test_a_cancelled_training_is_saved_where_it_was_and_goes_on_there(server: Server, whole: str, gate: Path) -> None:
    job = server.submit(training("cancelled", gate))
    until_held(server, job)
    server.ask("POST", f"/jobs/{job}/cancel")
    ended = end_of(server, job)
    assert (ended["state"], ended["error"]) == ("cancelled", None)
    assert steps_of(server, job)[-1] == HELD_AT
    assert list(states(server, "cancelled")) == ["step-00000007.safetensors", "step-00000010.safetensors"]

    gate.touch()
    again = server.submit(training("cancelled", gate))
    assert end_of(server, again)["state"] == "done"
    assert steps_of(server, again) == list(range(11, STEPS + 1))
    final = f"step-{STEPS:08d}.safetensors"
    assert states(server, "cancelled")[final] == states(server, "whole")[final]
    assert recorded(server, "cancelled") == list(range(1, STEPS + 1))


def test_more_steps_continue_a_finished_training(server: Server, whole: str, gate: Path) -> None:
    gate.touch()
    job = server.submit(training("whole", gate, steps=STEPS + 3))
    assert end_of(server, job)["state"] == "done"
    assert steps_of(server, job) == [STEPS + 1, STEPS + 2, STEPS + 3]


def test_a_training_that_diverges_is_its_nodes_clear_failure(server: Server, gate: Path) -> None:
    gate.touch()
    wild = {"optimizer": "sgd", "learning_rate": 1.0, "max_grad_norm": 0}
    job = server.submit(training("wild", gate, steps=1000, **wild))
    ended = end_of(server, job)
    error = ended["error"]
    assert (ended["state"], error["code"], error["extra"]["node"]) == ("failed", "node_failed", "train")
    assert "; the weights are still those of step" in error["message"]
    assert "Choose a lower learning_rate" in error["message"]
    started = worker(server)["starts"]
    assert end_of(server, server.submit(workflow({"n": ("t.Say", {})})))["state"] == "done"
    assert worker(server)["starts"] == started


def test_trainings_leave_no_threads_behind_and_the_worker_gives_memory_back(server: Server, gate: Path) -> None:
    """What is still held of a training's tensors is counted in tests/nodes/test_training_memory.py."""
    gate.touch()
    assert end_of(server, server.submit(training("first", gate, steps=1)))["state"] == "done"
    process = psutil.Process(worker(server)["pid"])
    threads, files = process.num_threads(), process.num_fds()
    for number in range(3):
        assert end_of(server, server.submit(training(f"next{number}", gate, steps=1)))["state"] == "done"
    server.ask("POST", "/system/free-memory")
    assert end_of(server, server.submit(workflow({"n": ("t.Say", {})})))["state"] == "done"
    assert worker(server)["pid"] == process.pid
    assert process.num_threads() <= threads
    assert process.num_fds() <= files
