"""What odd data does to a training."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

import pytest
import torch

from graphengine.diffusion.joined_datasets import JoinedDataset, Part
from graphengine.diffusion.picture_dataset import PictureDataset, list_dataset
from graphengine.diffusion.training import TrainingStateError, train
from graphengine.errors import InputError
from graphengine.training_types import ExampleField, Examples, Recipe
from graphengine.types import Image, Mask, Model
from tests.diffusion.picture_files import flat, folder_dataset, halves, save
from tests.diffusion.tiny_training import Blocks, finish, same_weights, tiny_model, weights_of

RECIPE = Recipe(batch_size=4, learning_rate=1e-3)


@pytest.fixture(scope="module")
def model() -> Model:
    from graphengine.diffusion.networks import new_unet_2d

    return new_unet_2d(
        seed=0, size=8, channels=3, block_channels=(8,), attention_levels=(False,), layers_per_block=1, norm_groups=4
    )


def first_loss(model: Model, dataset: PictureDataset | JoinedDataset) -> float:
    return next(train(model, dataset, RECIPE, steps=1, seed=0)).loss


def test_one_picture_is_trained_on_in_batches_larger_than_the_data(tmp_path: Path, model: Model) -> None:
    save(tmp_path / "a.png", halves(8, 8))
    results, _trained = finish(train(model, folder_dataset(tmp_path), RECIPE, steps=2, seed=0))
    assert [result.step for result in results] == [1, 2]


def test_changed_data_is_refused_when_a_training_resumes(tmp_path: Path, model: Model) -> None:
    pictures, state = tmp_path / "pictures", tmp_path / "state"
    save(pictures / "a.png", halves(8, 8))
    finish(train(model, folder_dataset(pictures), RECIPE, steps=1, seed=0, state_dir=state))
    save(pictures / "a.png", flat(8, 8, 7))
    with pytest.raises(TrainingStateError, match="dataset: other examples now; their files"):
        next(train(model, folder_dataset(pictures), RECIPE, steps=2, seed=0, state_dir=state))


class FailsAt(Blocks):
    """Blocks whose file of number 8 may be missing."""

    is_missing = True

    def examples(self, indices: Sequence[int], fields: Collection[ExampleField]) -> Examples:
        if 8 in indices and type(self).is_missing:
            raise InputError("dataset", "8.png can't be read.", "Bring it back.")
        return super().examples(indices, fields)


def test_a_picture_that_goes_away_stops_a_training_with_its_state_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two steps of four examples each are done when number 8 is asked for."""

    def training(folder: Path) -> Model:
        return finish(train(tiny_model(), FailsAt(length=None), RECIPE, steps=3, seed=0, state_dir=folder))[1].subject

    with pytest.raises(InputError, match=r"8\.png can't be read"):
        training(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000002.safetensors"]
    monkeypatch.setattr(FailsAt, "is_missing", False)
    resumed = training(tmp_path)
    assert same_weights(weights_of(resumed.network), weights_of(training(tmp_path / "other").network))


def test_what_a_mask_covers_does_not_count(model: Model) -> None:
    picture = Image(torch.rand(1, 8, 8, 3))
    half = torch.ones(1, 8, 8)
    half[:, :, 4:] = 0
    alone, nothing, left, right = (
        first_loss(model, list_dataset([picture], masks=None if mask is None else [Mask(mask)]))
        for mask in (None, torch.zeros(1, 8, 8), half, 1 - half)
    )
    assert nothing == 0
    assert 0 < left < alone
    assert left + right == pytest.approx(alone, rel=1e-5)


def test_a_weight_scales_an_examples_loss(model: Model) -> None:
    dataset = list_dataset([Image(torch.rand(1, 8, 8, 3))])
    assert first_loss(model, JoinedDataset([Part(dataset, 1, 0.25)])) == pytest.approx(
        0.25 * first_loss(model, dataset), rel=1e-5
    )
