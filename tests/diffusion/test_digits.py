"""Drawn digits: a pure function of the number, like MNIST in range and look."""

from __future__ import annotations

import torch

from graphengine.diffusion.digits import DrawnDigits


def test_a_digit_depends_on_its_number_only() -> None:
    dataset = DrawnDigits(seed=5)
    together = dataset.examples([3, 59_999, 17], ["images", "labels"])
    alone = dataset.examples([17], ["images", "labels"])
    assert together.images is not None
    assert alone.images is not None
    assert together.labels is not None
    assert alone.labels is not None
    assert torch.equal(together.images[2], alone.images[0])
    assert together.labels["digit"][2] == alone.labels["digit"][0]


def test_digits_look_like_mnist_in_range_and_brightness() -> None:
    """MNIST's pixels have mean 0.131 and deviation 0.308 in 0…1, and its border is black."""
    images = DrawnDigits(seed=0).examples(range(500), ["images"]).images
    assert images is not None
    assert images.shape == (500, 1, 28, 28)
    assert images.min() == -1
    assert images.max() == 1
    brightness = (images + 1) / 2
    assert 0.08 < brightness.mean() < 0.16
    assert 0.25 < brightness.std() < 0.35
    assert brightness[:, :, 0].mean() < 0.01
    assert brightness[:, :, :, 0].mean() < 0.01


def test_digits_vary_within_a_class_and_more_between_classes() -> None:
    examples = DrawnDigits(seed=0).examples(range(1500), ["images", "labels"])
    assert examples.images is not None
    assert examples.labels is not None
    digit = examples.labels["digit"]
    assert set(digit.tolist()) == set(range(10))
    means = torch.stack([examples.images[digit == value].mean(dim=0).flatten() for value in range(10)])
    nearest = torch.cdist(examples.images.flatten(1), means).argmin(dim=1)
    assert (nearest == digit).float().mean() > 0.6  # MNIST's own figure for nearest means is 0.82
    assert len({image.numpy().tobytes() for image in examples.images}) == 1500


def test_captions_name_the_digit() -> None:
    examples = DrawnDigits(seed=0).examples(range(50), ["captions", "labels"])
    assert examples.captions is not None
    assert examples.labels is not None
    names = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
    assert list(examples.captions) == [f"a {names[value]}" for value in examples.labels["digit"].tolist()]


def test_digest_changes_with_every_setting() -> None:
    digests = {dataset.digest for dataset in (DrawnDigits(), DrawnDigits(seed=1), DrawnDigits(count=10))}
    assert len(digests) == 3
