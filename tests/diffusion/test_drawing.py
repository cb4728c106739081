"""Drawn scenes: a pure function of the number, captions that are true, latents that match the pictures."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from graphengine.diffusion.captions import write_captions
from graphengine.diffusion.drawing import (
    DISTANCE_MEAN,
    DISTANCE_SCALE,
    DISTANCES,
    PICTURE_MEAN,
    PICTURE_SCALE,
    DrawnShapes,
    draw_latents,
    draw_pictures,
    scene_distances,
)
from graphengine.diffusion.numbered_random import numbered_uniform
from graphengine.diffusion.scenes import (
    BACKGROUNDS,
    COLOURS,
    DIGITS,
    EXTENT,
    HELD_OUT,
    PATTERNS,
    PLACES,
    SHAPES,
    SIZES,
)
from graphengine.errors import InputError
from graphengine.training_types import ExampleField

ALL: tuple[ExampleField, ...] = ("images", "captions", "latents", "labels")


def test_numbers_are_a_pure_function_of_seed_row_and_column() -> None:
    together = numbered_uniform(3, range(100), 7)
    assert np.array_equal(together[40:60], numbered_uniform(3, range(40, 60), 7))
    assert np.array_equal(together[:, :5], numbered_uniform(3, range(100), 5))
    assert not np.isclose(together, numbered_uniform(4, range(100), 7)).any()


def test_numbers_are_uniform_and_uncorrelated() -> None:
    """Over 20,000 rows, means stay within 5 standard errors of 1/2, correlations of neighbours within 5 of 0."""
    draws = numbered_uniform(2**64 - 1, range(2**63, 2**63 + 20_000), 4)
    assert np.abs(draws.mean(axis=0) - 0.5).max() < 5 * np.sqrt(1 / 12 / 20_000)
    columns = np.concatenate([draws[:-1], draws[1:]], axis=1)
    correlations = np.corrcoef(columns, rowvar=False) - np.eye(8)
    assert np.abs(correlations).max() < 5 / np.sqrt(20_000)


def test_an_example_depends_on_its_number_only() -> None:
    dataset = DrawnShapes(seed=11)
    together = dataset.examples([5, 900, 31], ALL)
    alone = dataset.examples([31], ALL)
    assert together.images is not None
    assert alone.images is not None
    assert together.latents is not None
    assert alone.latents is not None
    assert together.captions is not None
    assert alone.captions is not None
    assert together.labels is not None
    assert alone.labels is not None
    assert torch.equal(together.images[2], alone.images[0])
    assert torch.equal(together.latents[2], alone.latents[0])
    assert together.captions[2] == alone.captions[0]
    assert {name: values[2].item() for name, values in together.labels.items()} == {
        name: values[0].item() for name, values in alone.labels.items()
    }


def test_gives_only_the_fields_asked_for() -> None:
    examples = DrawnShapes().examples(range(2), ["captions"])
    assert examples.captions is not None
    assert len(examples.captions) == 2
    assert (examples.images, examples.latents, examples.labels) == (None, None, None)


def test_pictures_are_in_range_and_vary() -> None:
    images = DrawnShapes(size=64).examples(range(32), ["images"]).images
    assert images is not None
    assert images.shape == (32, 3, 64, 64)
    assert images.min() >= -1
    assert images.max() <= 1
    assert len({image.numpy().tobytes() for image in images}) == 32


def test_latents_are_the_pooled_picture_of_about_unit_variance() -> None:
    """Cells average 16 points instead of 64 pixels, so single cells on an outline may be 0.03 of full scale off."""
    scenes = DrawnShapes(seed=2).scenes(range(256))
    latents = draw_latents(scenes, 128)
    pooled = torch.nn.functional.avg_pool2d(draw_pictures(scenes, 128), 8)
    error = latents[:, :3] * PICTURE_SCALE + PICTURE_MEAN - pooled
    assert latents.shape == (256, 4, 16, 16)
    assert error.abs().max() < 0.04
    assert error.square().mean().sqrt() < 0.002
    assert latents.mean(dim=(0, 2, 3)).abs().max() < 0.3
    assert latents.std(dim=(0, 2, 3)).min() > 0.8
    assert latents.std(dim=(0, 2, 3)).max() < 1.3


@pytest.mark.parametrize("shape", DISTANCES)
def test_distances_have_unit_slope_and_their_outline_stays_within_reach(shape: str) -> None:
    """A signed distance changes by one per unit of way almost everywhere: everywhere but on ridges."""
    axis = torch.linspace(-2, 2, 401, dtype=torch.float64)
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    distance = DISTANCES[shape](x, y)
    down, right = torch.gradient(distance, spacing=(axis, axis))
    slope = (down**2 + right**2).sqrt()[1:-1, 1:-1]
    assert ((slope - 1).abs() < 0.02).double().mean() > 0.97
    assert (distance[(x.abs() > EXTENT + 0.01) | (y.abs() > EXTENT + 0.01)] > 0).all()
    assert (distance < 0).any()


def test_shapes_stay_inside_the_picture_and_never_overlap() -> None:
    scenes = DrawnShapes(seed=3, two_objects=0.5).scenes(range(2000))
    distances = scene_distances(scenes, 64)
    assert (distances > 0)[:, :, [0, -1]].all()
    assert (distances > 0)[:, :, :, [0, -1]].all()
    assert ((distances < 0).sum(dim=1) <= 1).all()


def test_held_out_pairs_never_occur_in_training() -> None:
    colours = list(COLOURS)
    train = DrawnShapes(seed=1, two_objects=0.5).scenes(range(20_000))
    shown = {
        (colours[colour], SHAPES[shape])
        for which in (0, 1)
        for colour, shape in zip(train.colour[:, which], train.shape[:, which], strict=True)
    }
    assert shown == {(colour, shape) for colour in COLOURS for shape in SHAPES} - set(HELD_OUT)
    held_out = DrawnShapes(seed=1, two_objects=0.5, split="held_out").scenes(range(2000))
    firsts = zip(held_out.colour[:, 0], held_out.shape[:, 0], strict=True)
    assert {(colours[colour], SHAPES[shape]) for colour, shape in firsts} == set(HELD_OUT)


def test_objects_differ_in_colour_from_background_and_each_other() -> None:
    scenes = DrawnShapes(seed=1, two_objects=0.5).scenes(range(5000))
    backgrounds = np.array(list(BACKGROUNDS.values()))[scenes.background]
    colours = np.array(list(COLOURS.values()))[scenes.colour]
    assert (np.linalg.norm(colours[:, 0] - backgrounds, axis=1) > 0.3).all()
    assert (np.linalg.norm(colours[:, 1] - backgrounds, axis=1)[scenes.two] > 0.3).all()
    assert (scenes.colour[:, 0] != scenes.colour[:, 1])[scenes.two].all()


COLOUR_WORDS = [{"cyan": {"cyan", "turquoise"}, "purple": {"purple", "violet"}}.get(name, {name}) for name in COLOURS]

SYNONYMS = {
    "circle": {"circle", "disc", "ball"},
    "square": {"square", "box"},
    "cyan": {"cyan", "turquoise"},
    "purple": {"purple", "violet"},
    "grey": {"grey", "gray"},
    "small": {"small", "little", "tiny"},
    "medium": {"medium", "medium-sized"},
    "big": {"big", "large", "huge"},
    "centre": {"centre", "center", "middle"},
    "top": {"top", "upper"},
    "bottom": {"bottom", "lower"},
}
"""Written out again, so that a word in the wrong list fails."""


def _says(caption: str, name: str) -> bool:
    words = caption.rstrip(".").replace(",", " ").split()
    return any(word in SYNONYMS.get(name, {name}) for word in words)


def test_captions_say_what_is_told_and_nothing_else() -> None:
    scenes = DrawnShapes(seed=4, two_objects=0.0, loose=0.7).scenes(range(3000))
    told = scenes.told
    attributes = (
        (SHAPES, scenes.shape[:, 0], told.shape),
        (tuple(SIZES), scenes.size[:, 0], told.size[:, 0]),
    )
    for row, caption in enumerate(write_captions(scenes)):
        for names, values, is_told in attributes:
            said = [name for name in names if _says(caption, name)]
            assert said == ([names[values[row]]] if is_told[row] else []), caption
        colours = {list(COLOURS)[scenes.colour[row, 0]]} if told.colour[row] else set()
        if told.background[row]:
            colours.add(list(BACKGROUNDS)[scenes.background[row]])
        assert {name for name in {*COLOURS, *BACKGROUNDS} if _says(caption, name)} == colours, caption
        place_words = {name for name in ("top", "bottom", "left", "right", "centre") if _says(caption, name)}
        assert place_words == (set(PLACES[scenes.place[row]].split()) if told.place[row] else set()), caption


def test_relations_hold_in_the_picture() -> None:
    scenes = DrawnShapes(seed=6, two_objects=1.0).scenes(range(2000))
    right, down = scenes.x[:, 0] - scenes.x[:, 1], scenes.y[:, 0] - scenes.y[:, 1]
    sideways = scenes.relation < 2
    assert (np.abs(right) > np.abs(down))[sideways].all()
    assert (np.abs(down) > np.abs(right))[~sideways].all()
    leading = np.where(sideways, right, down)
    assert ((leading < 0) == (scenes.relation % 2 == 0)).all()


def test_two_objects_are_told_in_order() -> None:
    scenes = DrawnShapes(seed=6, two_objects=1.0).scenes(range(500))
    for row, caption in enumerate(write_captions(scenes)):
        words = caption.rstrip(".").replace(",", " ").split()
        positions = []
        for which in (0, 1):
            names = SYNONYMS.get(SHAPES[scenes.shape[row, which]], {SHAPES[scenes.shape[row, which]]})
            found = [place for place, word in enumerate(words) if word in names]
            positions.append(found[0] if which == 0 else found[-1])
        assert positions[0] < positions[1], caption


def test_what_saved_trainings_drew_from_stays_as_it_was() -> None:
    """Younger settings are off: neither the hash nor the captions of older data may change with them."""
    dataset = DrawnShapes(seed=1)
    assert dataset.digest == "ba1b0ec260c52936ea979410641f06397d0ca879bee8655adfb3f670f07f9bcb"
    assert dataset.examples(range(3), ["captions"]).captions == [
        "a green triangle",
        "a red circle in the upper right.",
        "medium-sized purple circle beneath a medium green square, on grey",
    ]


def test_an_object_inside_another_keeps_clear_of_its_outline() -> None:
    scenes = DrawnShapes(seed=3, inside=1.0).scenes(range(500))
    inner, outer = scene_distances(scenes, 64)[:, :2].unbind(1)
    assert scenes.inside.all()
    assert (outer[inner < 0] < -0.005).all()
    assert (outer > 0)[:, [0, -1]].all()
    drawn = draw_pictures(scenes, 64)
    colours = torch.tensor(list(COLOURS.values()))[torch.from_numpy(scenes.colour)]
    for row, deepest in enumerate(inner.flatten(1).argmin(1)):
        assert torch.allclose(drawn[row].flatten(1)[:, deepest], colours[row, 0], atol=1e-6)


def test_three_objects_lie_in_the_order_they_are_told() -> None:
    scenes = DrawnShapes(seed=3, three_objects=1.0, loose=0.6).scenes(range(1500))
    assert ((scene_distances(scenes, 64) < 0).sum(dim=1) <= 1).all()
    assert set(scenes.row.tolist()) == {0, 1, 2}
    assert np.array_equal(scenes.told.row, scenes.row < 2)
    for row, caption in enumerate(write_captions(scenes)):
        x, y = scenes.x[row].tolist(), scenes.y[row].tolist()
        assert scenes.row[row] != 0 or x == sorted(x)
        assert scenes.row[row] != 1 or y == sorted(y)
        names = [COLOUR_WORDS[colour] for colour in scenes.colour[row]]
        words = caption.rstrip(".").replace(",", " ").split()
        if scenes.told.background[row]:
            continue  # may be called the same as no object, but comes first or last
        found = [next(place for place, word in enumerate(words) if word in names[which]) for which in range(3)]
        assert found == sorted(found), caption
        assert ("left" in caption or "row" in caption) == (scenes.row[row] == 0), caption


def test_patterns_and_digits_are_told_and_have_room() -> None:
    scenes = DrawnShapes(seed=4, two_objects=0.4, patterns=0.5, digits=0.3).scenes(range(2000))
    present = np.arange(3) < scenes.count[:, None]
    is_digit, patterned = (scenes.shape >= len(SHAPES)) & present, (scenes.pattern > 0) & present
    assert is_digit[scenes.count == 1].mean() == pytest.approx(0.1, abs=0.03)  # one of three columns
    assert not (is_digit & patterned).any()
    assert (scenes.size[is_digit | patterned] > 0).all()
    for row, caption in enumerate(write_captions(scenes)):
        for name, words in {"striped": ("strip",), "dotted": ("dot", "spotted")}.items():
            said = any(word in caption for word in words)
            assert said == any(PATTERNS[index] == name for index in scenes.pattern[row, present[row]]), caption
        if is_digit[row, 0] and scenes.told.shape[row]:
            value = scenes.shape[row, 0] - len(SHAPES)
            assert any(word in caption for word in (str(value), DIGITS[value])), caption


def test_stripes_and_dots_leave_gaps_that_latents_can_hold() -> None:
    """Ink covers about the same share of a shape whatever its size; the gaps show the background."""
    scenes = DrawnShapes(seed=4, two_objects=0.0, patterns=1.0).scenes(range(300))
    whole = replace(scenes, pattern=np.zeros_like(scenes.pattern))
    ink, silhouette = ((scene_distances(each, 128)[:, 0] < 0).sum(dim=(1, 2)) for each in (scenes, whole))
    share = (ink / silhouette).numpy()
    for index, expected in ((1, 0.58), (2, 0.72)):
        shares = share[scenes.pattern[:, 0] == index]
        assert len(shares) > 80
        assert shares.mean() == pytest.approx(expected, abs=0.05)
        assert shares.max() < 0.9


def test_widening_starts_strict_and_ends_varied() -> None:
    dataset = DrawnShapes(seed=1, widen_from=1000, widen_to=3000, two_objects=0.4, loose=0.5)
    strict, varied = dataset.scenes(range(1000)), dataset.scenes(range(3000, 5000))
    middle = dataset.scenes(range(1900, 2100))
    assert not strict.two.any()
    assert strict.told.place.all()
    assert strict.told.size[:, 0].all()
    assert strict.told.background.all()
    assert np.abs(strict.radius[:, 0] / np.array(list(SIZES.values()))[strict.size[:, 0]] - 1).max() <= 0.04
    assert 0.35 < varied.two.mean() < 0.45
    assert 0.1 < middle.two.mean() < 0.3
    assert np.abs(varied.radius[:, 0] / np.array(list(SIZES.values()))[varied.size[:, 0]] - 1).max() > 0.12


def test_labels_say_minus_one_where_the_caption_is_silent() -> None:
    dataset = DrawnShapes(seed=9, loose=1.0, two_objects=0.3)
    labels = dataset.examples(range(2000), ["labels"]).labels
    assert labels is not None
    scenes = dataset.scenes(range(2000))
    assert torch.equal(labels["two"] == 1, torch.from_numpy(scenes.two))
    assert torch.equal(labels["place"] >= 0, torch.from_numpy(scenes.told.place))
    assert torch.equal(labels["tells_place"] == 1, labels["place"] >= 0)
    assert (labels["shape2"][labels["two"] == 0] == -1).all()
    assert (labels["colour2"][labels["two"] == 1] >= 0).all()
    assert set(labels["place"].tolist()) == set(range(-1, len(PLACES)))


def test_labels_of_wide_scenes_name_what_only_they_have() -> None:
    dataset = DrawnShapes(seed=9, three_objects=0.3, inside=0.2, patterns=0.4, digits=0.4)
    labels, scenes = dataset.examples(range(1000), ["labels"]).labels, dataset.scenes(range(1000))
    assert labels is not None
    narrow = DrawnShapes(seed=9).examples([0], ["labels"]).labels
    assert narrow is not None
    assert set(labels) - set(narrow) == {"three", "shape3", "colour3", "pattern", "pattern2", "row"}
    assert torch.equal(labels["three"] == 1, torch.from_numpy(scenes.count == 3))
    assert torch.equal(labels["colour3"] >= 0, labels["three"] == 1)
    assert set(labels["pattern"].tolist()) == {-1, 0, 1, 2}
    assert set(labels["shape"].tolist()) == set(range(-1, 15))
    assert (labels["relation"] == 4).sum() == scenes.inside.sum()


def test_windows_are_cut_from_picture_and_latents_alike_around_an_object() -> None:
    windows = DrawnShapes(seed=2, crop=64, two_objects=0.5).examples(range(40), ["images", "latents"])
    whole = DrawnShapes(seed=2, two_objects=0.5).examples(range(40), ["images", "latents"])
    assert windows.images is not None
    assert windows.latents is not None
    assert whole.images is not None
    assert whole.latents is not None
    assert windows.images.shape == (40, 3, 64, 64)
    assert windows.latents.shape == (40, 4, 8, 8)
    for cut, latent, picture, latents in zip(windows.images, windows.latents, whole.images, whole.latents, strict=True):
        corners = [
            (top, left)
            for top in range(9)
            for left in range(9)
            if torch.equal(latents[:, top : top + 8, left : left + 8], latent)
            and torch.equal(picture[:, 8 * top : 8 * top + 64, 8 * left : 8 * left + 64], cut)
        ]
        assert len(corners) == 1
        assert (latent[3] * DISTANCE_SCALE + DISTANCE_MEAN < 0).any()


def test_digest_changes_with_every_setting() -> None:
    changed = [
        DrawnShapes(seed=1),
        DrawnShapes(size=64),
        DrawnShapes(crop=64),
        DrawnShapes(spread=0.5),
        DrawnShapes(two_objects=0.1),
        DrawnShapes(loose=0.1),
        DrawnShapes(widen_to=5),
        DrawnShapes(split="held_out"),
        DrawnShapes(three_objects=0.1),
        DrawnShapes(inside=0.1),
        DrawnShapes(patterns=0.1),
        DrawnShapes(digits=0.1),
    ]
    digests = {dataset.digest for dataset in [DrawnShapes(), *changed]}
    assert len(digests) == 13
    assert DrawnShapes().digest == DrawnShapes().digest


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        pytest.param({"size": 100}, "size", id="size"),
        pytest.param({"spread": 1.5}, "spread", id="spread"),
        pytest.param({"loose": -0.1}, "loose", id="loose"),
        pytest.param({"crop": 60}, "crop", id="window"),
        pytest.param({"crop": 256}, "crop", id="window larger than the picture"),
        pytest.param({"widen_from": 10, "widen_to": 5}, "widen_to", id="order"),
    ],
)
def test_refuses_settings_out_of_range(settings: dict[str, int], named: str) -> None:
    with pytest.raises(InputError, match=named):
        DrawnShapes(**settings)  # type: ignore[arg-type]  # parametrised settings have one type for all
