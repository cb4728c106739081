"""Latents and text states that are kept on disk."""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import torch

from graphengine.diffusion.augmentation import Augmentation, draw
from graphengine.diffusion.batch_feed import BatchFeed
from graphengine.diffusion.batch_order import BatchOrder, make_order
from graphengine.diffusion.cached_captions import CachedCaptions
from graphengine.diffusion.cached_latents import CachedLatents
from graphengine.diffusion.caption_rules import CaptionedDataset, CaptionRules
from graphengine.diffusion.joined_datasets import split
from graphengine.diffusion.picture_dataset import PictureDataset, augmented, bucketed
from graphengine.diffusion.picture_shapes import Buckets
from graphengine.diffusion.tensor_store import TensorStore
from graphengine.diffusion.training import train
from graphengine.diffusion.training_text import encode_captions
from graphengine.diffusion.vae import encode
from graphengine.errors import GraphEngineError, InputError
from graphengine.training_types import ExampleField, Examples, Recipe
from graphengine.types import Clip, Image, Vae
from tests.diffusion.picture_files import flat, folder_dataset, halves, save
from tests.diffusion.tiny_training import Blocks, finish, same_weights, tiny_clip, tiny_text_model, tiny_vae, weights_of


@pytest.fixture(scope="module")
def vae() -> Vae:
    return tiny_vae()


@pytest.fixture(scope="module")
def sharp(vae: Vae) -> Vae:
    """An autoencoder whose posterior has no spread, so that drawing from it changes nothing."""
    autoencoder: Any = copy.deepcopy(vae.autoencoder)  # Any: diffusers is untyped
    with torch.no_grad():
        autoencoder.encoder.conv_out.weight[3:] = 0
        autoencoder.encoder.conv_out.bias[3:] = -30
    return Vae(autoencoder)


@pytest.fixture(scope="module")
def clip() -> Clip:
    return tiny_clip()


def store(folder: Path, max_bytes: int = 10**9) -> TensorStore:
    return TensorStore(folder / "store", max_bytes)


def pictures(folder: Path) -> Path:
    for number in range(3):
        save(folder / "pictures" / f"{number}.png", halves(8, 8 + 8 * (number == 2)) // (number + 1))
        (folder / "pictures" / f"{number}.txt").write_text("a red disc" if number else "a blue square")
    return folder / "pictures"


def test_each_picture_is_encoded_once_and_found_again_by_its_content(tmp_path: Path, vae: Vae) -> None:
    folder = pictures(tmp_path)
    assert CachedLatents(folder_dataset(folder), vae, store(tmp_path)).fill() == 3
    (folder / "2.png").rename(folder / "renamed.png")
    save(folder / "copy.png", halves(8, 8))
    again = CachedLatents(folder_dataset(folder), vae, store(tmp_path))
    assert again.fill() == 0
    save(folder / "0.png", flat(8, 8, 9))
    assert CachedLatents(folder_dataset(folder), vae, store(tmp_path)).fill() == 1
    assert CachedLatents(folder_dataset(folder, size=16), vae, store(tmp_path)).fill() == 4
    assert CachedLatents(folder_dataset(folder, fit="pad"), vae, store(tmp_path)).fill() == 4
    assert CachedLatents(folder_dataset(folder), tiny_vae(seed=1), store(tmp_path)).fill() == 4


def test_latents_are_drawn_from_the_posterior_anew_in_each_epoch(tmp_path: Path, vae: Vae) -> None:
    dataset = folder_dataset(pictures(tmp_path))
    cached = CachedLatents(dataset, vae, store(tmp_path))
    numbers = [0 + 3 * variation for variation in range(300)]
    drawn = cached.examples(numbers, ["latents"]).latents
    images = dataset.examples([0], ["images"]).images
    assert drawn is not None
    autoencoder: Any = vae.autoencoder  # Any: diffusers is untyped
    with torch.no_grad():
        posterior = autoencoder.encode(images).latent_dist
    scale = autoencoder.config.scaling_factor
    torch.testing.assert_close(drawn.mean(0), posterior.mean[0] * scale, atol=0.3 * scale, rtol=0)
    torch.testing.assert_close(drawn.std(0), posterior.std[0] * scale, atol=0.15 * scale, rtol=0.15)
    assert torch.equal(cached.examples([numbers[7]], ["latents"]).latents, drawn[7:8])  # type: ignore[arg-type]  # given


def test_flips_are_cached_and_what_is_new_in_each_epoch_is_refused(tmp_path: Path, vae: Vae) -> None:
    dataset = folder_dataset(pictures(tmp_path))
    flipping = CachedLatents(augmented(dataset, Augmentation(flip=0.5)), vae, store(tmp_path))
    assert flipping.fill() == 6
    assert CachedLatents(dataset, vae, store(tmp_path)).fill() == 0
    seldom = CachedLatents(augmented(dataset, Augmentation(flip=1e-12)), vae, store(tmp_path))
    assert seldom.fill() == 0
    always = CachedLatents(augmented(dataset, Augmentation(flip=1)), vae, store(tmp_path))
    assert always.fill() == 0
    with pytest.raises(InputError, match="new in each epoch"):
        CachedLatents(augmented(dataset, Augmentation(random_crop=True)), vae, store(tmp_path))


def test_a_flipped_example_has_the_latent_of_the_flipped_picture(tmp_path: Path, sharp: Vae) -> None:
    flip = Augmentation(flip=0.5)
    dataset = augmented(folder_dataset(pictures(tmp_path)), flip)
    numbers = list(range(0, 60, 3))
    latents = CachedLatents(dataset, sharp, store(tmp_path)).examples(numbers, ["latents"]).latents
    images = dataset.examples(numbers, ["images"]).images
    assert latents is not None
    assert images is not None
    expected = encode(sharp, Image((images.permute(0, 2, 3, 1) + 1) / 2)).samples
    torch.testing.assert_close(latents, expected, atol=5e-3, rtol=5e-3)
    assert 0 < sum(draw(flip, number).is_flipped for number in numbers) < 20


def test_masks_come_at_the_latents_size_and_buckets_stay_apart(tmp_path: Path, vae: Vae) -> None:
    folder = pictures(tmp_path)
    padded = CachedLatents(folder_dataset(folder, fit="pad"), vae, store(tmp_path)).examples([2], ["latents", "mask"])
    assert padded.latents is not None
    assert padded.mask is not None
    assert padded.mask.shape[2:] == padded.latents.shape[2:] == (4, 4)
    assert padded.mask[0, 0, :, 0].tolist() == [0, 1, 1, 0]

    buckets, _report = bucketed(folder_dataset(folder), Buckets(128, 8, 16, 8))
    cached = CachedLatents(buckets, vae, store(tmp_path))
    order = make_order(cached, 2, seed=0)
    shapes = {tuple(cached.examples(order.indices(step), ["latents"]).latents.shape[1:]) for step in range(4)}  # type: ignore[union-attr]  # given
    assert len(shapes) == 2


def test_a_dataset_without_files_is_cached_and_an_odd_size_refused(tmp_path: Path, vae: Vae) -> None:
    blocks = CachedLatents(Blocks(channels=3), vae, store(tmp_path))
    assert blocks.fill() == 8
    assert blocks.fill() == 0
    train_part, _held_out = split(Blocks(channels=3), 0.5, seed=0)
    assert CachedLatents(train_part, vae, store(tmp_path)).examples([3], ["latents"]).latents is not None
    with pytest.raises(InputError, match="multiples of 2"):
        CachedLatents(folder_dataset(pictures(tmp_path), size=9), vae, store(tmp_path)).fill()
    with pytest.raises(InputError, match="endless"):
        CachedLatents(Blocks(length=None, channels=3), vae, store(tmp_path))


class Encoded:
    """Latents of a dataset's pictures made as VAEEncode makes them, without any cache."""

    digest = "encoded"

    def __init__(self, dataset: PictureDataset, vae: Vae) -> None:
        self.length = dataset.length
        self.fields: list[ExampleField] = ["latents", "captions"]
        self._dataset = dataset
        self._vae = vae

    def examples(self, indices: Sequence[int], fields: Collection[ExampleField]) -> Examples:
        examples = self._dataset.examples(indices, ["images", "captions"])
        assert examples.images is not None
        pixels = Image((examples.images.permute(0, 2, 3, 1) + 1) / 2)
        return Examples(latents=encode(self._vae, pixels).samples, captions=examples.captions)


def test_training_with_caches_is_training_without_but_for_rounding(tmp_path: Path, sharp: Vae, clip: Clip) -> None:
    dataset = folder_dataset(pictures(tmp_path))
    cached = CachedLatents(dataset, sharp, store(tmp_path))
    recipe = Recipe(batch_size=2, learning_rate=1e-3, caption_dropout=0.3)
    losses = []
    for data in (Encoded(dataset, sharp), cached, CachedCaptions(cached, clip, store(tmp_path))):
        results, _trained = finish(train(tiny_text_model(), data, recipe, steps=4, seed=1, clip=clip))
        losses.append([result.loss for result in results])
    assert losses[0] == pytest.approx(losses[1], rel=1e-2)
    assert losses[1] == pytest.approx(losses[2], rel=1e-2)


def test_captions_are_encoded_once_and_found_again(tmp_path: Path, clip: Clip) -> None:
    dataset = folder_dataset(pictures(tmp_path))
    cached = CachedCaptions(dataset, clip, store(tmp_path))
    assert cached.fill() == 2
    assert CachedCaptions(dataset, clip, store(tmp_path)).fill() == 0
    assert CachedCaptions(dataset, tiny_clip(seed=1), store(tmp_path)).fill() == 2
    states = cached.examples([0, 1], ["embeddings"]).embeddings
    with torch.no_grad():
        expected, _pooled, _real = encode_captions(
            clip, clip.encoders[0].network, ["a blue square", "a red disc"], torch.device("cpu")
        )
    torch.testing.assert_close(states, expected, atol=2e-3, rtol=2e-3)


def test_captions_that_change_are_refused(tmp_path: Path, clip: Clip) -> None:
    dataset = folder_dataset(pictures(tmp_path))
    for number in range(3):
        (tmp_path / "pictures" / f"{number}.txt").write_text("a, b, c, d, e")
    shuffled = CaptionedDataset(folder_dataset(tmp_path / "pictures"), CaptionRules(shuffle=True))
    with pytest.raises(InputError, match="its captions are new in each epoch"):
        CachedCaptions(shuffled, clip, store(tmp_path)).fill()
    with pytest.raises(InputError, match="cached already"):
        CaptionedDataset(CachedCaptions(dataset, clip, store(tmp_path)), CaptionRules(prefix="a"))


def test_a_store_is_bounded_and_the_oldest_goes_first(tmp_path: Path, vae: Vae) -> None:
    old = folder_dataset(pictures(tmp_path))
    new = folder_dataset(tmp_path / "pictures", size=16)
    CachedLatents(old, vae, store(tmp_path)).fill()
    one = sum(path.stat().st_size for path in (tmp_path / "store").glob("*/*")) // 3
    with pytest.raises(InputError, match="may be kept"):
        CachedLatents(old, vae, store(tmp_path, max_bytes=one)).fill()

    roomy = CachedLatents(new, vae, store(tmp_path))
    roomy.fill()
    total = sum(path.stat().st_size for path in (tmp_path / "store").glob("*/*"))
    CachedLatents(new, vae, store(tmp_path, max_bytes=total - 3 * one)).fill()
    assert roomy.fill() == 0
    assert CachedLatents(old, vae, store(tmp_path)).fill() == 3


def test_damaged_and_missing_files_are_made_again(tmp_path: Path, vae: Vae) -> None:
    cached = CachedLatents(folder_dataset(pictures(tmp_path)), vae, store(tmp_path))
    before = cached.examples([0, 1], ["latents"]).latents
    for path, content in zip(sorted((tmp_path / "store").glob("*/*")), (b"", b"rubbish" * 9), strict=True):
        path.write_bytes(content)
    after = cached.examples([0, 1], ["latents"]).latents
    assert before is not None
    assert after is not None
    assert torch.equal(before, after)


def test_a_stopped_run_goes_on_where_it_was_and_leaves_nothing_half_written(tmp_path: Path, vae: Vae) -> None:
    def stopping(sides: Sequence[tuple[int, bool]]) -> Iterator[tuple[int, bool]]:
        yield sides[0]
        raise KeyboardInterrupt

    cached = CachedLatents(folder_dataset(pictures(tmp_path)), vae, store(tmp_path))
    with pytest.raises(KeyboardInterrupt):
        cached.fill(stopping)
    assert cached.fill() < 3
    (tmp_path / "store" / "00").mkdir(exist_ok=True)
    leftover = tmp_path / "store" / "00" / "a.safetensors.partial-1"
    leftover.write_bytes(b"half")
    cached.fill()
    assert not leftover.exists()


def test_a_folder_that_can_not_be_written_is_told(tmp_path: Path, vae: Vae) -> None:
    (tmp_path / "store").write_text("a file where the folder should be")
    with pytest.raises(GraphEngineError, match="the cache can't be written"):
        CachedLatents(folder_dataset(pictures(tmp_path)), vae, store(tmp_path)).fill()


def test_the_number_of_workers_changes_nothing(tmp_path: Path, vae: Vae) -> None:
    """Trained by none, and by three whose training is stopped and resumed on the way."""
    changes = Augmentation(flip=0.5, random_crop=True, brightness=0.2)
    dataset = augmented(folder_dataset(pictures(tmp_path)), changes)

    def training(workers: int) -> Any:  # Any: a generator of results
        recipe = Recipe(batch_size=2, learning_rate=1e-3, data_workers=workers)
        return train(vae, dataset, recipe, steps=4, seed=1, state_dir=tmp_path / str(workers))

    alone = finish(training(0))[1].subject
    first = training(3)
    next(first)
    first.close()
    with_three = finish(training(3))[1].subject
    assert same_weights(weights_of(alone.autoencoder), weights_of(with_three.autoencoder))


class Slow(Blocks):
    """Blocks that fail at one number, and remember what was asked."""

    def examples(self, indices: Sequence[int], fields: Collection[ExampleField]) -> Examples:
        if 5 in indices:
            raise InputError("dataset", "5 can't be read.", "Replace it.")
        return super().examples(indices, fields)


def test_what_can_not_be_read_stops_at_its_step_and_nothing_is_read_past_the_end() -> None:
    feed = BatchFeed(Slow(), BatchOrder(None, 1, 0), ["captions"], workers=2, steps=5)
    with closing(feed):
        assert [feed.take(step).captions for step in (0, 1, 4)] == [
            ["a red square"],
            ["a blue square"],
            ["a red square"],
        ]
    feed = BatchFeed(Slow(), BatchOrder(None, 1, 0), ["captions"], workers=2, steps=7)
    with closing(feed):
        for step in (3, 4):
            feed.take(step)
        with pytest.raises(InputError, match="5 can't be read"):
            feed.take(5)
        assert feed.take(6).captions == ["a red disc"]
