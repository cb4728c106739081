"""Every shipped workflow is sound and written canonically; those that make pictures make what they promise."""

from __future__ import annotations

import itertools
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as pillow

import graphengine
from graphengine.cli import main
from graphengine.core.workflow import parse_workflow
from graphengine.diffusion import checkpoints
from tests.known_definitions import share_definitions
from tests.quality.claims import Claims, ObjectClaim, verdict
from tests.quality.judge import SeenPicture, look_at

WORKFLOWS = sorted((Path(__file__).parents[2] / "workflows").glob("*.json"))
TRAININGS = [path for path in WORKFLOWS if "TrainLoop" in path.read_text() or "file:train_" in path.read_text()]


def run(path: Path, folder: Path, *settings: str) -> int:
    options = [part for setting in settings for part in ("--set", setting)]
    return main(["run", str(path), "--data", str(folder / "data"), "--out", str(folder / "output"), *options])


def named(name: str) -> Path:
    return next(path for path in WORKFLOWS if path.stem == name)


def pictures(folder: Path) -> list[np.ndarray]:
    files = sorted((folder / "output").rglob("*.png"))
    return [np.asarray(pillow.open(file), dtype=np.float32) / 255 for file in files]


def one_picture(folder: Path) -> SeenPicture:
    (picture,) = pictures(folder)
    return look_at(picture)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_example_is_sound_and_canonical(path: Path, tmp_path: Path) -> None:
    assert main(["check", str(path), "--data", str(share_definitions(tmp_path))]) == 0
    assert parse_workflow(path.read_bytes()).dump() == path.read_text(encoding="utf-8")


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_example_says_what_it_is_for(path: Path) -> None:
    readme = (path.parent / "README.md").read_text(encoding="utf-8")
    meta = json.loads(path.read_bytes())["meta"]
    assert meta["name"]
    assert meta["description"]
    assert path.name in readme


@pytest.mark.parametrize(
    "path", [*WORKFLOWS, *sorted(WORKFLOWS[0].parent.glob("*/*.json"))], ids=lambda path: path.stem
)
def test_each_node_of_an_example_has_a_place_of_its_own(path: Path) -> None:
    """The editor opens it tidily: columns are a node's width apart, and in one nothing begins where another does."""
    document = json.loads(path.read_bytes())
    for graph in (document, *document.get("subgraphs", {}).values()):
        kept = graph.get("ui", {}).get("nodes", {})
        places = {id_: kept.get(id_, {}).get("pos") for id_ in graph["nodes"]}
        assert None not in places.values(), f"without a place: {[id_ for id_, at in places.items() if at is None]}"
        for one, other in itertools.combinations(places, 2):
            (x, y), (u, v) = places[one], places[other]
            assert abs(x - u) >= 300 or abs(y - v) >= 100, f"{one} lies on {other}"


def test_text_to_image_draws_its_prompt(tmp_path: Path) -> None:
    assert run(named("text_to_image"), tmp_path) == 0
    claims = Claims("white", (ObjectClaim("star", "red", "big"),), position="centre")
    judged = verdict(claims, one_picture(tmp_path))
    assert judged
    assert all(judged.values()), judged


def test_text_to_image_takes_a_prompt_from_the_command_line(tmp_path: Path) -> None:
    prompt = "a medium blue circle in the centre on a yellow background"
    assert run(named("text_to_image"), tmp_path, f"prompt={prompt}", "seed=1") == 0
    claims = Claims("yellow", (ObjectClaim("circle", "blue", "medium"),), position="centre")
    judged = verdict(claims, one_picture(tmp_path))
    assert all(judged.values()), judged


def test_image_to_image_starts_from_its_picture(tmp_path: Path) -> None:
    """With little denoise the picture stays what it was; at full strength only the prompt decides."""
    assert run(named("image_to_image"), tmp_path, "denoise=0.2", "prompt=a big blue square") == 0
    assert run(named("image_to_image"), tmp_path, "denoise=1") == 0
    kept, redrawn = pictures(tmp_path)
    original = np.asarray(pillow.open(WORKFLOWS[0].parent / "inputs" / "blue_square.png"), dtype=np.float32) / 255
    assert np.abs(kept - original).mean() < 0.05
    assert look_at(redrawn).objects[0].colour == "green"


def test_inpainting_leaves_every_pixel_outside_the_mask(tmp_path: Path) -> None:
    assert run(named("inpaint"), tmp_path) == 0
    (painted,) = pictures(tmp_path)
    original = np.asarray(pillow.open(WORKFLOWS[0].parent / "inputs" / "blue_square.png"), dtype=np.float32) / 255
    outside = np.ones((128, 128), dtype=bool)
    outside[:64, :64] = False
    assert np.array_equal(painted[outside], original[outside])
    assert np.abs(painted - original)[~outside].max() > 0.2


def test_outpainting_draws_beside_the_picture(tmp_path: Path) -> None:
    assert run(named("outpaint"), tmp_path) == 0
    (painted,) = pictures(tmp_path)
    assert painted.shape == (128, 192, 3)
    original = np.asarray(pillow.open(WORKFLOWS[0].parent / "inputs" / "blue_square.png"), dtype=np.float32) / 255
    assert np.array_equal(painted[:, :104], original[:, :104])  # the seam is 24 pixels wide
    (found,) = look_at(painted[:, 96:]).objects
    assert found.colour == "red"


def test_a_picture_changed_through_its_noise_keeps_its_places(tmp_path: Path) -> None:
    assert run(named("change_through_noise"), tmp_path) == 0
    (both,) = pictures(tmp_path)
    before, after = look_at(both[:, :128]).objects, look_at(both[:, -128:]).objects
    assert [each.colour for each in (*before, *after)] == ["blue", "green"]
    assert np.abs(both[:, :128].mean(2) < 0.7).sum() == pytest.approx(
        np.abs(both[:, -128:].mean(2) < 0.7).sum(), rel=0.2
    )


def test_two_pictures_begun_apart_become_one(tmp_path: Path) -> None:
    assert run(named("compose_latents"), tmp_path) == 0
    (picture,) = pictures(tmp_path)
    assert look_at(picture[:, :66]).objects[0].colour == "red"
    assert look_at(picture[:, 66:]).objects[0].colour == "blue"


@pytest.mark.slow
def test_a_checkpoint_mixed_with_itself_draws_and_is_saved_as_it_was(tmp_path: Path) -> None:
    assert run(named("merge_checkpoints"), tmp_path, "name=mine") == 0
    assert run(named("text_to_image"), tmp_path / "plain") == 0
    (mixed,), (plain,) = pictures(tmp_path), pictures(tmp_path / "plain")
    assert np.abs(mixed - plain).max() < 0.01
    saved, _clip, _vae = checkpoints.load(tmp_path / "output" / "mine.safetensors", precision="float32")
    shipped, _clip, _vae = checkpoints.load(
        Path(graphengine.__file__).parent / "models" / "checkpoints" / "embedded", precision="float32"
    )
    for ours, theirs in zip(saved.network.parameters(), shipped.network.parameters(), strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-3, atol=1e-6)


def test_touched_up_pictures_are_saved_as_webp_with_their_workflow(tmp_path: Path) -> None:
    assert run(named("touch_up"), tmp_path) == 0
    (file,) = (tmp_path / "output").glob("*.webp")
    sheet = np.asarray(pillow.open(file).convert("RGB"), dtype=np.float32) / 255
    found = [look_at(sheet[:128, left : left + 128]).objects[0].colour for left in (0, 136)]
    assert found == ["blue", "red"]
    assert sheet[:128, 408:536].mean() < 0.05  # thin lines on black
    assert run(file, tmp_path / "again") == 0


@pytest.mark.slow
def test_upscaled_picture_is_larger_and_still_the_prompt(tmp_path: Path) -> None:
    assert run(named("upscale"), tmp_path) == 0
    (picture,) = pictures(tmp_path)
    assert picture.shape == (192, 192, 3)
    assert look_at(picture).objects[0].colour == "blue"


@pytest.mark.slow
def test_each_region_is_its_prompt(tmp_path: Path) -> None:
    assert run(named("regional_prompts"), tmp_path, "left=a big purple circle in the centre on a white background") == 0
    (picture,) = pictures(tmp_path)
    assert picture.shape == (128, 320, 3)
    seen = [look_at(picture[:, x : x + 128]).objects[0] for x in (0, 96, 192)]
    assert [(each.shape, each.colour) for each in seen] == [
        ("circle", "purple"),
        ("circle", "blue"),
        ("heart", "green"),
    ]


@pytest.mark.slow
def test_prompts_with_schedules_weights_and_choices_are_drawn(tmp_path: Path) -> None:
    prompts = "a big red [square:circle:0.1] in the centre on a white background\na big {blue|blue} heart\n"
    assert run(named("prompt_language"), tmp_path, f"prompts={prompts}", "grid.labels=") == 0
    (sheet,) = pictures(tmp_path)
    seen = [look_at(part).objects[0] for part in (sheet[:, :128], sheet[:, -128:])]
    assert [(each.shape, each.colour) for each in seen] == [("circle", "red"), ("heart", "blue")]


@pytest.mark.slow
def test_a_list_of_prompts_gives_a_picture_for_each(tmp_path: Path) -> None:
    assert run(named("prompt_list"), tmp_path, "prompts=a big red star\n\na small blue circle\n", "grid.labels=") == 0
    (sheet,) = pictures(tmp_path)
    star, circle = sheet[:, :128], sheet[:, -128:]
    assert (look_at(star).objects[0].colour, look_at(circle).objects[0].colour) == ("red", "blue")


@pytest.mark.slow
def test_drawing_over_keeps_the_picture_of_each_round(tmp_path: Path) -> None:
    assert run(named("draw_over"), tmp_path, "rounds=2") == 0
    (sheet,) = pictures(tmp_path)
    assert look_at(sheet[:128, :128]).objects[0].colour == "blue"
    assert look_at(sheet[:128, 264:392]).objects[0].colour == "green"


def test_saved_picture_makes_itself_again(tmp_path: Path) -> None:
    assert run(named("text_to_image"), tmp_path / "first", "seed=11", "steps=4") == 0
    (file,) = (tmp_path / "first" / "output").glob("*.png")
    assert run(file, tmp_path / "second") == 0
    assert np.array_equal(pictures(tmp_path / "first")[0], pictures(tmp_path / "second")[0])


@pytest.mark.slow
@pytest.mark.parametrize("path", TRAININGS, ids=lambda path: path.stem)
def test_training_workflow_runs(path: Path, tmp_path: Path) -> None:
    """A few steps of each training that ships, and of those that it takes from others, to what it saves."""
    for each in TRAININGS:
        shorten(each, tmp_path)
    shutil.copytree(path.parent / "datasets", tmp_path / "datasets")
    assert run(tmp_path / path.name, tmp_path) == 0
    assert any((tmp_path / "output").rglob("*.*"))


@pytest.mark.slow
def test_a_stage_of_the_embedded_model_that_is_finished_is_not_trained_again(tmp_path: Path) -> None:
    """What ``make train`` relies on to go on: even with no result cached, states stand for what is done."""
    shorten(named("train_text_encoder"), tmp_path)

    def trained() -> dict[str, tuple[int, bytes]]:
        assert run(tmp_path / "train_text_encoder.json", tmp_path) == 0
        shutil.rmtree(tmp_path / "data" / "cache", ignore_errors=True)  # what took no time was never kept
        states = sorted((tmp_path / "data" / "state" / "training").rglob("*.safetensors"))
        return {str(path): (path.stat().st_mtime_ns, path.read_bytes()) for path in states}

    first = trained()
    assert {Path(name).parent.name for name in first} == {"embedded-text", "embedded-text-wide"}
    assert trained() == first


def shorten(path: Path, folder: Path) -> None:
    """Copy a workflow, with two steps of small batches for each training, and for each sampler."""
    document = json.loads(path.read_bytes())
    for graph in (document, *document.get("subgraphs", {}).values()):
        for node in graph["nodes"].values():
            if node["type"] == "TrainLoop" or "Sampler" in node["type"]:
                node["inputs"]["steps"] = 2
            elif node["type"] == "TrainRecipe":
                node["inputs"] |= {"warmup_steps": 0, "batch_size": 4}
    for declared in document.get("inputs", {}).values():
        if any(target.endswith(".steps") for target in declared["to"]):
            declared["default"] = 2
    (folder / path.name).write_text(json.dumps(document))
