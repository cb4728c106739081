"""The score of pictures that are known to be right, wrong or all alike."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from graphengine.diffusion.captions import write_captions
from graphengine.diffusion.drawing import draw_pictures
from tests.quality.score import GOALS, SETS, SIZE, Pictures, score_prompts, score_variety, table


@pytest.mark.slow
@pytest.mark.parametrize("name", SETS)
def test_true_pictures_score_full_marks(name: str) -> None:
    dataset = SETS[name]

    def draw_what_is_asked(prompts: Sequence[str], seed: int) -> Pictures:
        scenes = dataset.scenes(range(len(prompts)))
        assert write_captions(scenes) == list(prompts)
        return draw_pictures(scenes, SIZE).permute(0, 2, 3, 1).numpy()

    figures = score_prompts(draw_what_is_asked, dataset, 40, 0)
    assert figures == dict.fromkeys(figures, 1.0)
    assert {"colour", "background", "shape", "all"} <= set(figures)


def test_blank_pictures_score_nothing_but_a_background_by_chance() -> None:
    def paint_white(prompts: Sequence[str], seed: int) -> Pictures:
        return np.ones((len(prompts), SIZE, SIZE, 3), dtype=np.float32)

    figures = score_prompts(paint_white, SETS["one object"], 40, 0)
    assert figures.pop("background") < 0.4
    assert figures == dict.fromkeys(figures, 0.0)


def test_variety_is_zero_for_one_picture_and_about_one_for_the_data() -> None:
    scenes = SETS["one object"].scenes(range(8))
    pictures = draw_pictures(scenes, SIZE).permute(0, 2, 3, 1)

    def repeat_one(prompts: Sequence[str], seed: int) -> Pictures:
        return pictures[:1].expand(len(prompts), -1, -1, -1).numpy()

    def draw_many(prompts: Sequence[str], seed: int) -> Pictures:
        return pictures[: len(prompts)].numpy()

    assert score_variety(repeat_one, seeds=8, seed=0)["distance_to_data"] == pytest.approx(0, abs=1e-6)
    assert score_variety(draw_many, seeds=8, seed=0)["distance_to_data"] == pytest.approx(1, abs=0.25)


def test_table_shows_each_set_with_its_goal() -> None:
    figures = {name: {"shape": 0.985, "all": 0.5} for name in SETS}
    text = table(
        figures | {"autoencoder": {"psnr_db": 36.2, "shapes_survive": 1.0}, "variety": {"distance_to_data": 0.8}}
    )
    assert [line.split("  ")[0] for line in text.splitlines()[1:9]] == list(SETS)
    assert text.count("98.5%") == len(SETS)
    assert all(f"{goal:.0%}" in text for goal in GOALS.values())
    assert "36.2 dB (goal 35)" in text
