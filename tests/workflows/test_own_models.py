"""The shipped workflows for models that users have themselves say which ones are missing, and run with such."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from safetensors.torch import save_file

from graphengine import Workflow
from graphengine.config import Settings
from graphengine.core.graph import check
from graphengine.core.workflow import parse_workflow
from graphengine.engine import Engine
from graphengine.library import Result
from tests.diffusion.original_layouts import random_parts, write_original
from tests.diffusion.test_upscale_models import basicsr, network
from tests.diffusion.tiny_pipelines import save_video

FOLDER = Path(__file__).parents[2] / "workflows" / "own_models"
WORKFLOWS = sorted(FOLDER.glob("*.json"))


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    (tmp_path / "data" / "models" / "checkpoints").mkdir(parents=True)
    inputs = FOLDER.parent
    return Engine.for_user(
        data=tmp_path / "data", output=tmp_path / "output", disk_cache_bytes=0, beside=[tmp_path, inputs]
    )


def ran(engine: Engine, name: str, **inputs: object) -> Result:
    return Workflow.load(FOLDER / f"{name}.json", engine=engine)(**inputs)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_only_the_models_are_missing_and_each_is_a_declared_input(path: Path, engine: Engine) -> None:
    text = path.read_text(encoding="utf-8")
    workflow = parse_workflow(text.encode())
    assert workflow.dump() == text
    settings = Settings.for_user(data=engine.settings.data, beside=[FOLDER])
    problems = check(workflow, engine.registry.definitions, settings, function_of=engine.registry.function)
    assert problems
    assert {problem.code for problem in problems} == {"file_not_found"}
    missing = {f"{problem.node}.{problem.input}" for problem in problems}
    assert missing <= {target for declared in workflow.inputs.values() for target in declared.to}
    meta = json.loads(text)["meta"]
    assert "Needs" in meta["description"]
    assert f"own_models/{path.name}" in (FOLDER.parent / "README.md").read_text(encoding="utf-8")


def test_a_model_enlarges_to_the_size_that_is_asked_for(engine: Engine, tmp_path: Path) -> None:
    save_file(basicsr(dict(network(2).state_dict())), tmp_path / "4x.safetensors")
    made = ran(engine, "upscale_model", model="4x.safetensors", width=64, height=64)
    assert made.image.shape[2] == 2 * 64 + 8


@pytest.mark.slow
def test_the_refiner_goes_on_where_the_base_stopped(engine: Engine, tmp_path: Path) -> None:
    for family, seed in (("sdxl", 0), ("sdxl_refiner", 1)):
        file = tmp_path / "data" / "models" / "checkpoints" / f"{family}.safetensors"
        write_original(file, random_parts(family, seed=seed), family, notes=True)  # type: ignore[arg-type]  # a Family
    names = {"base": "sdxl.safetensors", "refiner": "sdxl_refiner.safetensors"}
    made = ran(engine, "sdxl", **names, width=64, height=64, steps=3, switch=2)
    assert made.image.shape == (1, 64, 64, 3)


@pytest.mark.slow
def test_a_model_with_nine_channels_repaints(engine: Engine, tmp_path: Path) -> None:
    file = tmp_path / "data" / "models" / "checkpoints" / "inpainting.safetensors"
    write_original(file, random_parts("sd1", inpainting=True), "sd1", notes=True)
    small = {f"{node}.{side}": 64 for node in ("large", "mask") for side in ("width", "height")}
    made = ran(engine, "inpaint_model", checkpoint=file.name, steps=2, **small)
    assert made.image.shape == (1, 64, 64, 3)


@pytest.mark.slow
def test_a_pipeline_makes_a_video_and_saves_it(engine: Engine, tmp_path: Path) -> None:
    save_video(tmp_path / "tiny")
    made = ran(engine, "pipeline_video", pipeline="tiny", prompt="red", num_frames=2, steps=2, seed=4)
    assert made.video.frames.shape == (1, 2, 16, 16, 3)
    assert [path.name.partition(".")[0] for path in (tmp_path / "output").iterdir()] == ["boat_00001"]
