"""Change datasets: sizes, buckets, small random changes, captions; join and split them."""

from __future__ import annotations

from typing import Annotated, Literal, NamedTuple

from pydantic import Field

from graphengine import InputError, Widget, node
from graphengine.training_types import Dataset
from graphengine_nodes.inputs import RareShare, Seed, Share

Fit = Literal["cover", "contain", "pad", "stretch"]
DatasetSide = Annotated[int, Field(ge=8, le=8192)]
EdgeStrength = Annotated[float, Field(ge=0.01, le=4), Widget("slider", step=0.01)]
Times = Annotated[int, Field(ge=1, le=10_000)]


@node("ResizeDataset", category="training/datasets")
def resize_dataset(
    dataset: Dataset, width: DatasetSide = 512, height: DatasetSide = 512, fit: Fit = "cover"
) -> Dataset:
    """Bring all pictures of a dataset to one size, from their files, so that nothing is resized twice.

    Args:
        dataset: From ImageFolder, ImageTable or ListDataset.
        width: Of all pictures, in pixels.
        height: Of all pictures, in pixels.
        fit: cover fills the size and cuts off what sticks out; contain shows everything on white; pad does too, but
            the border doesn't count in the loss; stretch distorts.
    """
    from graphengine.diffusion.picture_dataset import resized

    return resized(dataset, width, height, fit)


class AspectBucketsOutputs(NamedTuple):
    """Pictures in buckets.

    Attributes:
        dataset: The pictures, each at its bucket's size; a batch has pictures of one bucket.
        report: How many pictures each bucket has, what is cut off, and which pictures are left out.
    """

    dataset: Dataset
    report: str


@node("AspectBuckets", category="training/datasets")
def aspect_buckets(
    dataset: Dataset,
    resolution: Annotated[int, Field(ge=16, le=4096)] = 512,
    min_side: DatasetSide = 256,
    max_side: DatasetSide = 1024,
    step: Annotated[int, Field(ge=8, le=512, multiple_of=8)] = 64,
    small: Literal["enlarge", "keep", "skip"] = "enlarge",
    max_crop: RareShare = 1.0,
) -> AspectBucketsOutputs:
    """Train on pictures in their own proportions: each goes to the size nearest to them, and is cut to it.

    A batch never mixes sizes, and each picture comes once an epoch. Read the report before a long training.

    Args:
        dataset: From ImageFolder, ImageTable or ListDataset.
        resolution: Buckets have about the area of a square of this side, in pixels, and never more.
        min_side: The shortest side of a bucket, in pixels.
        max_side: The longest side of a bucket, in pixels.
        step: Sides are multiples of it, in pixels; Stable Diffusion needs multiples of 8, and 64 is usual.
        small: Pictures smaller than their bucket are enlarged, keep their own size (rounded down to steps), or are left
            out (skip). Kept ones must not be smaller than min_side.
        max_crop: Pictures that would lose a larger share of their area are left out, and named in the report.
    """
    from graphengine.diffusion.picture_dataset import bucketed
    from graphengine.diffusion.picture_shapes import Buckets

    buckets = Buckets(resolution**2, min_side, max_side, step, small, max_crop)
    return AspectBucketsOutputs(*bucketed(dataset, buckets))


@node("AugmentDataset", category="training/datasets")
def augment_dataset(
    dataset: Dataset,
    flip: Share = 0.5,
    random_crop: bool = False,
    zoom: RareShare = 0.0,
    brightness: RareShare = 0.0,
    contrast: RareShare = 0.0,
    saturation: RareShare = 0.0,
    hue: Annotated[float, Field(ge=0, le=0.5), Widget("slider", step=0.01, advanced=True)] = 0.0,
) -> Dataset:
    """Change pictures a little, anew in each epoch; the training's seed decides how.

    SDXL is told where each crop lies, as it was in its own training.

    Args:
        dataset: From ImageFolder, ImageTable or ListDataset, resized or in buckets.
        flip: Share of pictures shown as in a mirror; 0 for faces, letters and what else has a side.
        random_crop: Cut anywhere instead of both sides alike.
        zoom: Enlarge pictures by up to this share before they are cut; with random_crop also square ones move.
        brightness: Up or down by at most this share.
        contrast: Up or down by at most this share.
        saturation: Up or down by at most this share.
        hue: Turn colours in the colour circle by at most this; 0.5 is as far as they can.
    """
    from graphengine.diffusion.augmentation import Augmentation
    from graphengine.diffusion.picture_dataset import augmented

    return augmented(
        dataset,
        Augmentation(
            flip=flip,
            random_crop=random_crop,
            zoom=zoom,
            brightness=brightness,
            contrast=contrast,
            saturation=saturation,
            hue=hue,
        ),
    )


@node("DatasetEdges", category="training/datasets")
def dataset_edges(dataset: Dataset, low_threshold: EdgeStrength = 0.4, high_threshold: EdgeStrength = 0.8) -> Dataset:
    """Find the edges of each picture as the Canny node would, as hints to train a ControlNet on.

    Pictures from files have the edges of what is cut out of them, before AugmentDataset changes its colours.

    Args:
        dataset: A dataset of pictures; ImageFolder and others take hints made by other programs.
        low_threshold: How strong an edge must be that goes on from a strong one.
        high_threshold: How strong an edge must be to count by itself; black beside white has about 2.6.
    """
    from graphengine.diffusion.dataset_edges import edged
    from graphengine.diffusion.edge_hints import EdgeHints

    return edged(dataset, EdgeHints(low_threshold, high_threshold))


@dataset_edges.check
def _(low_threshold: float, high_threshold: float) -> None:
    if low_threshold > high_threshold:
        raise InputError(
            "low_threshold",
            f"{low_threshold} is above the high threshold, {high_threshold}.",
            f"Choose at most {high_threshold}.",
        )


@node("CaptionRules", category="training/datasets")
def caption_rules(
    dataset: Dataset,
    prefix: str = "",
    suffix: str = "",
    shuffle: bool = False,
    keep_tokens: Annotated[int, Field(ge=0, le=1000)] = 0,
    tag_dropout: Share = 0.0,
    separator: Annotated[str, Field(min_length=1, max_length=20), Widget("text", advanced=True)] = ",",
) -> Dataset:
    """Change captions: words before and after them, tags in another order or left out in each epoch.

    Whole captions are dropped by the recipe's caption_dropout.

    Args:
        dataset: A dataset with captions.
        prefix: Comes first in each caption and stays there, such as a word that the model is to learn.
        suffix: Comes last in each caption.
        shuffle: Put the tags in another order each time.
        keep_tokens: The first so many tags stay first, and are never left out.
        tag_dropout: Share of the other tags left out.
        separator: What stands between tags.
    """
    from graphengine.diffusion import caption_rules as rules

    chosen = rules.CaptionRules(prefix.strip(), suffix.strip(), shuffle, keep_tokens, tag_dropout, separator)
    return rules.CaptionedDataset(dataset, chosen)


@node("JoinDatasets", category="training/datasets")
def join_datasets(first: Dataset, second: Dataset, first_repeats: Times = 1, second_repeats: Times = 1) -> Dataset:
    """Train on two datasets as one.

    Masks and weights may be in one of them only; all else that a training uses must be in both.

    Args:
        first: A dataset of so and so many examples.
        second: Another one, with the same kinds of fields.
        first_repeats: How often each example of the first comes in an epoch.
        second_repeats: How often each example of the second comes in an epoch.
    """
    from graphengine.diffusion.joined_datasets import joined

    return joined((first, first_repeats), (second, second_repeats))


@node("AddRegularisation", category="training/datasets")
def add_regularisation(
    dataset: Dataset, regularisation: Dataset, weight: Annotated[float, Field(ge=0, le=100)] = 1.0
) -> Dataset:
    """Show, for each picture to learn, one of what the model knows already, so that it keeps that (prior preservation).

    An epoch has as many regularisation pictures as others. If there are more, all come in turn over the epochs; in
    several sizes, only the first so many.

    Args:
        dataset: What to learn.
        regularisation: What to keep, such as pictures that the model itself made of "a dog" while it learns one dog.
        weight: How much the regularisation pictures count in the loss, against 1 for the others.
    """
    from graphengine.diffusion.joined_datasets import regularised

    return regularised(dataset, regularisation, weight)


class SplitDatasetOutputs(NamedTuple):
    """A dataset in two parts without a common example.

    Attributes:
        train: The larger part, to train on.
        held_out: The others, to measure what was learnt on examples that training never shows.
    """

    train: Dataset
    held_out: Dataset


@node("SplitDataset", category="training/datasets")
def split_dataset(
    dataset: Dataset, share: Annotated[float, Field(gt=0, lt=1)] = 0.1, seed: Seed = 0
) -> SplitDatasetOutputs:
    """Hold examples out of a training, chosen at random; at least one is in each part.

    Args:
        dataset: A dataset of so and so many examples.
        share: How many are held out.
        seed: Another seed holds out others.
    """
    from graphengine.diffusion.joined_datasets import split

    return SplitDatasetOutputs(*split(dataset, share, seed))
