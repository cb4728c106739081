"""The shipped workflows that show one ability of the engine each do what they say, in few steps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from graphengine import Workflow
from graphengine.engine import Engine
from graphengine.library import Result
from tests.quality.judge import look_at

FOLDER = Path(__file__).parents[2] / "workflows"
Picture = NDArray[np.float32]


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    """Runs all workflows of this module, so that the embedded model is opened once."""
    scratch = tmp_path_factory.mktemp("engine")
    return Engine.for_user(data=scratch / "data", output=scratch / "output", disk_cache_bytes=0, beside=[FOLDER])


def ran(engine: Engine, name: str, **inputs: object) -> Result:
    return Workflow.load(FOLDER / f"{name}.json", engine=engine)(**inputs)


def sheet(engine: Engine, name: str, **inputs: object) -> Picture:
    """Run a workflow and give its one picture ``[H, W, 3]``."""
    pictures: NDArray[np.float32] = np.asarray(ran(engine, name, **inputs).image, dtype=np.float32)
    assert len(pictures) == 1
    picture: Picture = pictures[0]
    return picture


def seen(picture: Picture) -> tuple[str, str]:
    """Tell the shape and colour of the one object in a picture."""
    (found,) = look_at(picture).objects
    return found.shape, found.colour


def test_graded_repainting_keeps_black_and_changes_white(engine: Engine) -> None:
    made = sheet(engine, "differential_diffusion", **{"sample.steps": 6})
    before, after = made[:128], made[304:432]
    assert np.abs(before[:, :128] - after[:, :128]).mean() < 0.02
    assert look_at(after[:, 256:]).objects[0].colour == "red"


def test_tiles_differ_from_the_whole_by_little(engine: Engine) -> None:
    made = sheet(engine, "tiled_vae", prompts="a big red star\na big blue circle\n", **{"sample.steps": 4})
    tiles, whole = made[:128, :256], made[:128, 264:520]
    assert tiles.std() > 0.1
    assert 0 < np.abs(tiles - whole).mean() < 0.02
    assert np.allclose(made[:128, 528:784], np.abs(tiles - whole).clip(0, 1 / 8) * 8, atol=0.02)


def test_shares_of_two_prompts_lead_from_one_to_the_other(engine: Engine) -> None:
    made = sheet(engine, "mix_prompts", **{"sample.steps": 8, "count.stop": 7, "count.step": 6})
    assert made.shape == (128, 260, 3)
    assert (seen(made[:, :128]), seen(made[:, 132:])) == (("circle", "red"), ("star", "blue"))


def test_each_prompt_is_drawn_in_its_mask(engine: Engine) -> None:
    found = look_at(sheet(engine, "masked_prompts", **{"sample.steps": 10})).objects
    assert sorted((each.colour, each.x < 0.5) for each in found) == [("green", True), ("red", False)]


def test_a_saved_latent_is_gone_on_with(engine: Engine) -> None:
    saved = ran(engine, "save_latent", step=3, **{"sample.steps": 8, "finish.steps": 8})
    file = next(path for path in saved.shown if path.suffix == ".safetensors")
    whole = np.asarray(saved.image, dtype=np.float32)[0, :128, 136:]
    prompts = "a big star in the centre on a white background\na big green star in the centre on a white background"
    finished = sheet(engine, "finish_latent", latent=str(file), prompts=prompts, step=3, **{"sample.steps": 8})
    assert np.allclose(finished[:, :128], whole, atol=1e-4)
    assert seen(finished[:, 132:]) == ("star", "green")
    (shipped,) = np.asarray(ran(engine, "finish_latent", prompts=prompts.splitlines()[1]).image)
    assert seen(shipped) == ("star", "green")


def test_parts_opened_apart_draw_as_the_whole_does(engine: Engine) -> None:
    prompt, few = "a big orange heart in the centre on a blue background", {"sample.steps": 4}
    apart = sheet(engine, "loaders_apart", prompt=prompt, **few)
    assert np.array_equal(apart, sheet(engine, "text_to_image", prompt=prompt, **few))


def test_a_learned_word_is_what_it_was_learned_from(engine: Engine) -> None:
    prompts = "a big embedding:mascot in the centre on a white background\nsmall embedding:mascot at the top left"
    made = sheet(engine, "learned_word", prompts=prompts, **{"sheet.labels": "", "sample.steps": 10})
    assert seen(made[:, :128]) == ("star", "purple")
    assert look_at(made[:, 136:]).objects[0].colour == "purple"


def test_a_lora_changes_the_style_by_its_strength(engine: Engine) -> None:
    made = sheet(engine, "lora", steps=8, **{"count.stop": 2, "strength.b": 1.0, "sheet.labels": ""})
    without, with_it = made[:, :128], made[:, 132:]
    assert seen(without) == ("circle", "blue")
    assert without[60:68, 60:68, 0].max() < 0.5 < with_it[60:68, 60:68, 0].min()  # an outline is empty in the middle


def test_edges_say_where_and_the_prompt_says_what(engine: Engine) -> None:
    made = sheet(engine, "controlnet", prompts="a yellow star above a pink star on a blue background", steps=8)
    given, drawn = (sorted(look_at(made[:, x : x + 128]).objects, key=lambda each: each.y) for x in (0, 272))
    assert [each.colour for each in given] == ["cyan", "yellow"]
    assert [each.colour for each in drawn] == ["yellow", "pink"]
    for there, here in zip(given, drawn, strict=True):
        assert (here.x, here.y) == pytest.approx((there.x, there.y), abs=0.05)


def test_each_seed_draws_another_line_of_a_wildcard_file(engine: Engine) -> None:
    made = sheet(
        engine, "wildcards", prompt="a big __colours__ circle in the centre on a white background", end=3, steps=8
    )
    assert seen(made[:, :128]) != seen(made[:, 132:])
