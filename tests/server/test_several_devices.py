"""Jobs whose nodes work on several devices at once: the server reads the number from the workflow."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
import torch
from safetensors.torch import load_file

from graphengine.config import Settings
from graphengine.core.registry import Registry
from graphengine.core.workflow import parse_workflow
from graphengine.engine import Engine
from graphengine_nodes import pack
from tests.server.running import Json, Server, running, workflow

_PATIENCE_S = 600.0  # each process loads torch; a test that passes never waits for so long


def training(*, devices: int, batch_size: int = 2, steps: int = 4) -> Json:
    """
    digits, new, recipe ──▶ train        by SGD, whose steps are the gradients themselves
    """
    recipe = {"batch_size": batch_size, "optimizer": "sgd", "learning_rate": 0.01, "checkpoint_every": 1}
    inputs = {
        "model": {"$link": "new.model"},
        "dataset": {"$link": "digits.dataset"},
        "recipe": {"$link": "recipe.recipe"},
        "steps": steps,
        "name": "digits",
        "devices": devices,
    }
    nodes = {
        "digits": ("DrawnDigits", {"count": 64}),
        "new": ("NewBasicUNet", {}),
        "recipe": ("TrainRecipe", recipe),
        "train": ("TrainLoop", inputs),
    }
    return workflow(nodes, outputs={"report": {"from": "train.report"}})


def test_a_training_on_more_devices_than_there_are_is_refused_at_once(server: Server) -> None:
    reply = server.ask("POST", "/jobs", {"workflow": training(devices=3)})
    assert (reply.status, reply.code) == (422, "too_few_devices")
    assert "node 'train' wants 3 devices, and this server has 1 (cpu)" in reply.json["detail"]


def test_devices_that_a_sub_graph_is_given_count(server: Server) -> None:
    nodes = training(devices=1)["nodes"]
    gpus = {"type": "INT", "default": 1, "to": ["train.devices"]}
    inner = {"nodes": nodes, "inputs": {"gpus": gpus}, "outputs": {"report": {"from": "train.report"}}}
    document = workflow(
        {"both": ("subgraph:training", {"gpus": 2})},
        subgraphs={"training": inner},
        outputs={"report": {"from": "both.report"}},
    )
    reply = server.ask("POST", "/jobs", {"workflow": document})
    assert (reply.status, reply.code) == (422, "too_few_devices"), reply.body
    assert "node 'both/train' wants 2 devices" in reply.json["detail"]


def test_what_does_not_run_wants_no_devices(server: Server) -> None:
    document = training(devices=3)
    document["nodes"]["one"] = {"type": "t.Number"}
    reply = server.ask("POST", "/jobs", {"workflow": document, "targets": ["one"]})
    assert reply.status == 201
    assert reply.json["job"]["limits"].get("devices", 1) == 1


def test_no_devices_are_refused_with_all_other_problems(server: Server) -> None:
    reply = server.ask("POST", "/jobs", {"workflow": training(devices=0, steps=0)})
    assert reply.status == 422
    assert {each["input"] for each in reply.json["problems"]} == {"devices", "steps"}


@pytest.mark.slow
def test_two_workers_train_as_one_with_twice_the_batch_and_are_free_again_however_it_ends(tmp_path: Path) -> None:
    with running(tmp_path / "two", "--devices", "cpu,cpu") as two:
        both = two.submit(training(devices=2))
        assert two.job(both)["limits"]["devices"] == 2
        _until(lambda: two.job(both)["finished"] is not None)
        assert two.job(both)["state"] == "done", two.job(both)
        mine, theirs = load_file(_states(two.data)[-1]), load_file(_trained_alone(tmp_path))
        for name, tensor in theirs.items():
            torch.testing.assert_close(mine[name], tensor, atol=1e-6, rtol=1e-6)

        cancelled = _begin(two)
        assert two.ask("POST", f"/jobs/{cancelled}/cancel").status == 200
        _until(lambda: two.job(cancelled)["finished"] is not None)
        assert two.job(cancelled)["state"] == "cancelled"
        _assert_free(two)

        killed = _begin(two)
        _processes(two)[1].send_signal(signal.SIGKILL)
        _until(lambda: two.job(killed)["finished"] is not None)
        error = two.job(killed)["error"]
        assert (error["code"], error["extra"]["node"]) == ("node_failed", "train")
        assert "process 2 of 2 of this training" in error["message"]
        assert "SIGKILL" in error["message"]
        _assert_free(two)


def _trained_alone(folder: Path) -> Path:
    """Train as one device with twice the batch; give the last state."""
    settings = Settings(data=folder / "data", output=folder / "output")
    document = parse_workflow(json.dumps(training(devices=1, batch_size=4)))
    Engine(Registry([pack]), settings).run(document)
    return _states(settings.data)[-1]


def _begin(server: Server) -> str:
    """Begin a training that is far from its end, and wait until it has gone on from where the last one stopped."""
    before = _states(server.data)[-1]
    job = server.submit(training(devices=2, steps=1_000_000))
    _until(lambda: _states(server.data)[-1] > before)
    assert sorted(each["state"] for each in _workers(server)) == ["busy", "lent"]
    assert len(_processes(server)) == 2
    return job


def _assert_free(server: Server) -> None:
    _until(lambda: [each["state"] for each in _workers(server)] == ["idle", "idle"])
    assert _processes(server) == []


def _workers(server: Server) -> Json:
    return server.ask("GET", "/system").json["workers"]


def _states(data: Path) -> list[Path]:
    return sorted((data / "state" / "training" / "digits").glob("step-*.safetensors"))


def _processes(server: Server) -> list[psutil.Process]:
    """Find the processes of trainings, by rank."""
    below = psutil.Process(server.pid).children(recursive=True)
    return [each for each in below if any("training_process" in part for part in each.cmdline())]


def _until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + _PATIENCE_S
    while not condition():
        assert time.monotonic() < end, "it did not come to be in time"
        time.sleep(0.05)
