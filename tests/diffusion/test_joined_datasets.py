"""Datasets made of others, and rules for captions."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from diffusers import DDPMScheduler
from torch.nn import functional

from graphengine.diffusion.augmentation import Augmentation
from graphengine.diffusion.batch_order import make_order
from graphengine.diffusion.caption_rules import CaptionedDataset, CaptionRules
from graphengine.diffusion.digits import DrawnDigits
from graphengine.diffusion.joined_datasets import joined, regularised, split
from graphengine.diffusion.networks import new_unet_2d
from graphengine.diffusion.picture_dataset import PictureDataset, augmented, list_dataset
from graphengine.diffusion.step_random import StepRandom
from graphengine.diffusion.training_denoisers import DenoisingTask
from graphengine.errors import InputError
from graphengine.training_types import Dataset, Recipe
from graphengine.types import Image, Mask
from tests.diffusion.tiny_training import ONLY_CAPTIONS, ONLY_IMAGES, Blocks


def greys(*values: float, size: int = 8, mask: float | None = None) -> PictureDataset:
    """Flat pictures, captioned with their brightness."""
    masks = None if mask is None else [Mask(torch.full((1, size, size), mask)) for _ in values]
    return list_dataset(
        [Image(torch.full((1, size, size, 3), value)) for value in values], list(map(str, values)), masks
    )


def told(dataset: Dataset, numbers: list[int]) -> list[str]:
    captions = dataset.examples(numbers, ["captions"]).captions
    assert captions is not None
    return list(captions)


def test_joined_datasets_give_all_their_examples_as_often_as_asked() -> None:
    dataset = joined((greys(0.0, 0.2), 3), (greys(1.0), 2))
    assert dataset.length == 8
    order = make_order(dataset, 4, seed=0)
    seen = [caption for step in range(2) for caption in told(dataset, list(order.indices(step)))]
    assert Counter(seen) == {"0.0": 3, "0.2": 3, "1.0": 2}


def test_a_batch_over_several_datasets_keeps_its_order() -> None:
    dataset = joined((greys(0.0, 0.2), 1), (greys(0.6, 1.0, mask=0.0), 1))
    examples = dataset.examples([3, 0, 2, 1], ["images", "captions", "mask"])
    assert examples.captions == ["1.0", "0.0", "0.6", "0.2"]
    assert examples.images is not None
    torch.testing.assert_close(
        (examples.images[:, 0, 0, 0] + 1) / 2, torch.tensor([1.0, 0.0, 0.6, 0.2]), atol=0.01, rtol=0
    )
    assert examples.mask is not None
    assert examples.mask.amax((1, 2, 3)).tolist() == [0, 1, 0, 1]  # all counts where nothing says otherwise


def test_joined_datasets_of_other_sizes_never_share_a_batch() -> None:
    dataset = joined((greys(0.0, 0.2, 0.4), 1), (greys(0.6, 1.0, size=16), 2))
    assert sorted(map(len, dataset.groups)) == [3, 4]
    order = make_order(dataset, 2, seed=1)
    for step in range(7):
        assert dataset.examples(order.indices(step), ["images"]).images is not None


def test_a_regularisation_set_is_half_of_all_and_has_its_weight() -> None:
    dataset = regularised(greys(0.0, 0.2), greys(0.6, 0.8, 1.0), 0.5)
    assert dataset.length == 4
    assert "weights" in dataset.fields
    order = make_order(dataset, 4, seed=0)
    seen: Counter[str] = Counter()
    for step in range(60):
        examples = dataset.examples(order.indices(step), ["captions", "weights"])
        assert examples.captions is not None
        assert examples.weights is not None
        weights = dict(zip(examples.captions, examples.weights.tolist(), strict=True))
        assert weights["0.0"] == weights["0.2"] == 1
        assert sorted(weights.values()) == [0.5, 0.5, 1, 1]
        seen.update(examples.captions)
    assert seen["0.0"] == seen["0.2"] == 60
    assert min(seen["0.6"], seen["0.8"], seen["1.0"]) > 20  # all come in turn, though only two an epoch


def test_the_prior_counts_in_the_loss_as_published() -> None:
    """The loss of the instances plus the weight times that of the class, as one mean over the examples of both.

    Source: Ruiz et al. 2023, arXiv:2208.12242, eq. 2, and diffusers' train_dreambooth.py.
    """
    model = new_unet_2d(
        seed=0, size=8, channels=3, block_channels=(4, 8), attention_levels=(False, False), layers_per_block=1,
        norm_groups=4,
    )  # fmt: skip
    dataset = regularised(greys(0.0, 0.2), greys(0.6, 0.8), 0.3)
    task = DenoisingTask(model, dataset, Recipe(), torch.device("cpu"), clip=None, vae=None)
    examples = dataset.examples([0, 2, 1, 3], task.fields)
    assert examples.images is not None

    random, scheduler = StepRandom(0, 0), DDPMScheduler.from_config(dict(model.scheduler_config))
    timesteps, noise = random.integers(1000, 4), random.normal(4, 3, 8, 8)
    with torch.no_grad():
        predicted = model.network(scheduler.add_noise(examples.images, noise, timesteps), timesteps).sample
        instance_loss = functional.mse_loss(predicted[[0, 2]], noise[[0, 2]])
        prior_loss = functional.mse_loss(predicted[[1, 3]], noise[[1, 3]])
        loss = task.losses(examples, StepRandom(0, 0))["denoising"]
    torch.testing.assert_close(loss, (instance_loss + 0.3 * prior_loss) / 2)
    assert abs(loss - (instance_loss + prior_loss) / 2) > 0.01


def test_an_endless_dataset_can_regularise_and_one_of_several_sizes() -> None:
    endless = regularised(Blocks(), Blocks(length=None, digest="endless"), 1.0)
    assert endless.length == 16
    assert make_order(endless, 16, seed=0).indices(0)
    assert "weights" not in endless.fields

    sizes = joined((greys(0.6), 1), (greys(0.8, 1.0, size=16), 1))
    dataset = regularised(greys(0.0, 0.2), sizes, 0.5)
    order = make_order(dataset, 2, seed=0)
    assert Counter(text for step in range(6) for text in told(dataset, list(order.indices(step)))).keys() >= {
        "0.6",
        "0.8",
    }

    with pytest.raises(InputError, match="endless"):
        regularised(Blocks(length=None), Blocks(), 1.0)


def test_variations_reach_the_datasets_within() -> None:
    half = torch.zeros(1, 8, 8, 3)
    half[:, :, :4] = 1
    flipping = augmented(list_dataset([Image(half)], ["half"]), Augmentation(flip=0.5))
    dataset = CaptionedDataset(joined((flipping, 2), (greys(0.0), 1)), CaptionRules(prefix="a"))
    assert dataset.varies
    order = make_order(dataset, 3, seed=0)
    seen = [dataset.examples(order.indices(step), ["images", "captions"]) for step in range(30)]
    left = [
        image[0, 0, 0].item()
        for each in seen
        for image, caption in zip(each.images if each.images is not None else (), each.captions or (), strict=True)
        if caption == "a half"
    ]
    assert len(left) == 60
    assert 15 < sum(side > 0 for side in left) < 45


def test_datasets_without_anything_in_common_are_refused() -> None:
    with pytest.raises(InputError, match="share neither"):
        joined((Blocks(fields=ONLY_IMAGES), 1), (Blocks(fields=ONLY_CAPTIONS), 1))


def test_a_split_has_every_example_once() -> None:
    dataset = greys(*(number / 10 for number in range(10)))
    train, held_out = split(dataset, 0.3, seed=1)
    assert (train.length, held_out.length) == (7, 3)
    both = told(train, list(range(7))) + told(held_out, list(range(3)))
    assert sorted(both) == sorted(told(dataset, list(range(10))))
    assert told(split(dataset, 0.3, seed=2)[1], [0, 1, 2]) != told(held_out, [0, 1, 2])
    assert train.digest != held_out.digest
    with pytest.raises(InputError, match="one example"):
        split(greys(0.5), 0.5, seed=0)


def test_caption_rules_say_what_stays_and_what_moves() -> None:
    rules = CaptionRules(prefix="sks", suffix="photo", shuffle=True, keep_tokens=1, tag_dropout=0.3)
    seen = [rules.apply("cat, sofa, window , night", number) for number in range(200)]
    assert len(set(seen)) > 15
    assert seen == [rules.apply("cat, sofa, window , night", number) for number in range(200)]
    kept: Counter[str] = Counter()
    for caption in seen:
        assert caption.startswith("sks cat")
        assert caption.endswith(" photo")
        tags = caption.removeprefix("sks ").removesuffix(" photo").split(", ")
        assert set(tags) <= {"cat", "sofa", "window", "night"}
        assert len(set(tags)) == len(tags)
        kept.update(tags)
    assert all(110 < kept[tag] < 170 for tag in ("sofa", "window", "night"))  # 140 of 200 are expected


def test_rules_without_chance_change_nothing_else() -> None:
    assert CaptionRules(prefix="a").apply("b,c ; d", 3) == "a b,c ; d"
    assert CaptionRules(prefix="a", suffix="z", shuffle=True).apply("", 3) == "a z"
    dataset = CaptionedDataset(greys(0.0, 1.0), CaptionRules(suffix="grey"))
    assert not dataset.varies
    assert told(dataset, [1, 0]) == ["1.0 grey", "0.0 grey"]
    assert dataset.digest != CaptionedDataset(greys(0.0, 1.0), CaptionRules(suffix="gray")).digest


def test_an_endless_dataset_follows_caption_rules_too() -> None:
    dataset = CaptionedDataset(Blocks(length=None), CaptionRules(prefix="drawn:"))
    assert dataset.length is None
    assert told(dataset, [5]) == ["drawn: a blue square"]
    assert CaptionedDataset(DrawnDigits(count=3), CaptionRules()).length == 3
    with pytest.raises(InputError, match="has no captions"):
        CaptionedDataset(Blocks(fields=ONLY_IMAGES), CaptionRules())
