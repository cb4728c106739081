"""The judge must be right about true pictures before it may judge made ones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from graphengine.diffusion.drawing import DrawnShapes, draw_pictures
from graphengine.diffusion.scenes import BACKGROUNDS, COLOURS, PLACES, RELATIONS, SHAPES, SIZES
from tests.quality.claims import claims_of, verdict
from tests.quality.judge import look_at

PICTURES = 200


ONE, TWO = DrawnShapes(seed=5, loose=0.3, two_objects=0.0), DrawnShapes(seed=5, loose=0.3, two_objects=1.0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("dataset", "also"),
    [
        pytest.param(ONE, {"size", "position"}, id="one object"),
        pytest.param(replace(ONE, split="held_out"), {"size", "position"}, id="held-out pairs"),
        pytest.param(TWO, {"size", "relation"}, id="two objects"),
        pytest.param(replace(TWO, three_objects=1.0), {"relation"}, id="three objects"),
        pytest.param(replace(TWO, inside=1.0), {"relation"}, id="one inside another"),
        pytest.param(replace(ONE, patterns=1.0), {"size", "position", "pattern"}, id="patterns"),
        pytest.param(replace(ONE, digits=1.0), {"size", "position"}, id="digits"),
    ],
)
def test_judge_is_right_about_drawn_pictures(dataset: DrawnShapes, also: set[str]) -> None:
    scenes = dataset.scenes(range(60))
    pictures = draw_pictures(scenes, 128).permute(0, 2, 3, 1).numpy()
    right: dict[str, list[bool]] = {}
    for claims, picture in zip(claims_of(scenes), pictures, strict=True):
        for name, is_right in verdict(claims, look_at(picture)).items():
            right.setdefault(name, []).append(is_right)
    expected = {"background", "colour", "shape"} | also
    assert set(right) == expected
    assert {name: np.mean(values) >= 0.98 for name, values in right.items()} == dict.fromkeys(expected, True)


@pytest.mark.slow
def test_judge_does_not_take_a_plain_shape_for_a_patterned_one() -> None:
    """Plain pictures where stripes or dots are claimed, and the other way round."""
    scenes = DrawnShapes(seed=5, two_objects=0.0, patterns=1.0).scenes(range(50))
    plain = replace(scenes, pattern=np.zeros_like(scenes.pattern))
    swapped = replace(scenes, pattern=np.where(scenes.pattern == 1, 2, np.where(scenes.pattern == 2, 1, 0)))
    for other in (plain, swapped):
        pictures = draw_pictures(other, 128).permute(0, 2, 3, 1).numpy()
        verdicts = [verdict(c, look_at(p)) for c, p in zip(claims_of(scenes), pictures, strict=True)]
        patterns = [one["pattern"] for one in verdicts if "pattern" in one]
        assert len(patterns) > 35
        assert np.mean(patterns) < 0.05


@pytest.mark.slow
def test_judge_measures_place_and_radius() -> None:
    scenes = DrawnShapes(seed=8, two_objects=0.0).scenes(range(100))
    for row, picture in enumerate(draw_pictures(scenes, 128).permute(0, 2, 3, 1).numpy()):
        (seen,) = look_at(picture).objects
        assert abs(seen.x - scenes.x[row, 0]) < 0.006
        assert abs(seen.y - scenes.y[row, 0]) < 0.006
        assert abs(seen.radius / scenes.radius[row, 0] - 1) < 0.05


@pytest.mark.slow
def test_judge_is_wrong_about_pictures_of_something_else() -> None:
    """Claims of one scene against the picture of the next: what agrees by chance is rare."""
    scenes = DrawnShapes(seed=5, two_objects=0.0, loose=0.0).scenes(range(PICTURES))
    pictures = draw_pictures(scenes, 128).permute(0, 2, 3, 1).numpy()
    shifted = np.roll(pictures, 1, axis=0)
    verdicts = [verdict(c, look_at(p)) for c, p in zip(claims_of(scenes), shifted, strict=True)]
    assert np.mean([all(one.values()) for one in verdicts]) < 0.02
    for name, chance in {"shape": 1 / 5, "position": 1 / 9, "size": 1 / 3, "background": 1 / 7}.items():
        assert abs(np.mean([one[name] for one in verdicts]) - chance) < 0.15


def test_judge_sees_nothing_on_an_empty_picture_and_no_shape_in_a_blob() -> None:
    empty = np.ones((128, 128, 3), dtype=np.float32)
    assert look_at(empty).objects == ()
    assert look_at(empty).background == "white"
    bar = empty.copy()
    bar[60:66, 20:110] = COLOURS["red"]
    assert [seen.shape for seen in look_at(bar).objects] == ["none"]
    assert [seen.colour for seen in look_at(bar).objects] == ["red"]


def test_judge_counts_objects() -> None:
    """A second object in a one-object prompt's picture makes its shape wrong."""
    scenes = DrawnShapes(seed=5, two_objects=0.0).scenes(range(1))
    (claims,) = claims_of(scenes)
    picture = draw_pictures(scenes, 128)[0].permute(1, 2, 0).numpy()
    assert verdict(claims, look_at(picture))["shape"]
    spoiled = picture.copy()
    far_x, far_y = (4 if centre > 0.5 else 104 for centre in (scenes.x[0, 0], scenes.y[0, 0]))
    spoiled[far_y : far_y + 20, far_x : far_x + 20] = 1 - spoiled[1, 1]
    assert len(look_at(spoiled).objects) == 2
    assert not verdict(claims, look_at(spoiled))["shape"]


def test_claims_name_what_captions_tell() -> None:
    scenes = DrawnShapes(seed=2, two_objects=0.5, loose=0.5).scenes(range(300))
    for row, claims in enumerate(claims_of(scenes)):
        told = scenes.told
        assert (claims.background is not None) == told.background[row]
        assert claims.background in (None, list(BACKGROUNDS)[scenes.background[row]])
        assert len(claims.objects) == scenes.count[row]
        assert claims.objects[0].shape in (None, SHAPES[scenes.shape[row, 0]])
        assert claims.objects[0].size in (None, list(SIZES)[scenes.size[row, 0]])
        assert claims.position in (None, PLACES[scenes.place[row]])
        assert claims.relation in (None, RELATIONS[scenes.relation[row]])
