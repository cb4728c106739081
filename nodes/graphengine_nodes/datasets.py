"""Datasets to train on, and a look at what is in them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from graphengine import FilesIn, Widget, node
from graphengine.training_types import Dataset
from graphengine.types import Image, Model
from graphengine_nodes.inputs import RareShare, Seed, Share

Number = Annotated[int, Field(ge=0, le=2**53)]


@node("DrawnShapes", category="training/datasets")
def drawn_shapes(
    seed: Seed = 0,
    size: Annotated[int, Field(ge=32, le=1024, multiple_of=8)] = 128,
    spread: RareShare = 1.0,
    two_objects: Share = 0.4,
    loose: Share = 0.5,
    widen_from: Annotated[Number, Widget("number", advanced=True)] = 0,
    widen_to: Annotated[Number, Widget("number", advanced=True)] = 0,
    split: Annotated[Literal["train", "held_out"], Widget("select", advanced=True)] = "train",
    crop: Annotated[int, Field(ge=0, le=1024, multiple_of=8), Widget("number", advanced=True)] = 0,
    three_objects: Share = 0.0,
    inside: Share = 0.0,
    patterns: Share = 0.0,
    digits: Share = 0.0,
) -> Dataset:
    """Draw captioned pictures of coloured shapes, without end: images, captions, latents and labels.

    Args:
        seed: Another seed gives other pictures.
        size: Side of the pictures, in pixels.
        spread: How freely radius and place vary around what the words say.
        two_objects: Share of pictures with two shapes, of those that the next two leave.
        loose: Share of captions that tell only a part.
        widen_from: Up to this example everything is strict: words fix the picture, one shape, full captions.
        widen_to: From this example on spread and all shares hold in full; in between they grow.
        split: held_out draws the pairs of colour and shape that train never shows.
        crop: Side of a window around an object, in pixels, for autoencoders; 0 gives whole pictures.
        three_objects: Share of pictures with three shapes.
        inside: Share of pictures with one shape inside another; with three_objects at most 1.
        patterns: Share of striped and dotted shapes, of those that are big enough.
        digits: Share of digits, of pictures with one shape.
    """
    from graphengine.diffusion.drawing import DrawnShapes

    return DrawnShapes(
        seed=seed,
        size=size,
        spread=spread,
        two_objects=two_objects,
        loose=loose,
        widen_from=widen_from,
        widen_to=widen_to,
        split=split,
        crop=crop,
        three_objects=three_objects,
        inside=inside,
        patterns=patterns,
        digits=digits,
    )


@node("DrawnDigits", category="training/datasets")
def drawn_digits(seed: Seed = 0, count: Annotated[int, Field(ge=1, le=2**53)] = 60_000) -> Dataset:
    """Draw digits like handwriting, 28 x 28 and grey: images, captions and labels.

    Args:
        seed: Another seed gives other digits.
        count: How many there are; each comes once an epoch.
    """
    from graphengine.diffusion.digits import DrawnDigits

    return DrawnDigits(seed=seed, count=count)


@node("ImageFolder", category="training/datasets")
def image_folder(
    folder: Annotated[Path, FilesIn("datasets")],
    size: Annotated[int, Field(ge=8, le=8192)] = 512,
    fit: Literal["cover", "contain"] = "cover",
) -> Dataset:
    """Use your own pictures, with captions in text files of the same name beside them.

    Args:
        folder: A folder in the datasets folder; its sub-folders count too.
        size: Side of the square pictures, in pixels.
        fit: cover fills the square and cuts off what sticks out; contain shows everything on white.
    """
    from graphengine.diffusion.image_folder import ImageFolder

    return ImageFolder(folder, size=size, fit=fit)


@node("IDXDataset", category="training/datasets")
def idx_dataset(
    images_file: Annotated[Path, FilesIn("datasets")],
    labels_file: Annotated[Path, FilesIn("datasets")] | None = None,
    names: str = "",
) -> Dataset:
    """Use MNIST, FashionMNIST or other data in their format, gzipped or not.

    Args:
        images_file: A file in the datasets folder, such as train-images-idx3-ubyte.gz.
        labels_file: The file of labels that belongs to it, such as train-labels-idx1-ubyte.gz.
        names: What each label is called in captions, from 0 on, separated by commas. Empty for no captions.
    """
    from graphengine.diffusion import idx

    return idx.load(images_file, labels_file, [name.strip() for name in names.split(",") if name.strip()])


@node("DatasetImages", category="training/datasets")
def dataset_images(
    dataset: Dataset,
    first: Number = 0,
    count: Annotated[int, Field(ge=1, le=256)] = 16,
    captions: bool = False,
) -> Image:
    """Show pictures of a dataset as a grid.

    Args:
        dataset: What to look at.
        first: Number of the first example.
        count: How many.
        captions: Write each caption under its picture.
    """
    from graphengine.diffusion import images, plots

    pictures, texts = plots.dataset_pictures(dataset, first=first, count=count)
    return images.grid(pictures, gap=2, labels=texts if captions else ())


@node("NoiseStrip", category="training/datasets")
def noise_strip(
    images: Image,
    model: Model,
    levels: Annotated[int, Field(ge=2, le=64)] = 8,
    seed: Seed = 0,
) -> Image:
    """Show a picture at noise levels from none to all, side by side.

    Args:
        images: The picture; of a batch, the first.
        model: Its schedule gives the noise.
        levels: How many.
        seed: Decides the noise.
    """
    from graphengine.diffusion import plots

    return plots.noise_strip(images, model, levels=levels, seed=seed)


@node("DatasetImage", category="training/datasets")
def dataset_image(dataset: Dataset, index: Annotated[Number, Widget("number")] = 0) -> Image:
    """Take one picture out of a dataset.

    Args:
        dataset: Where to take it from.
        index: The example's number.
    """
    from graphengine.diffusion import plots

    pictures, _captions = plots.dataset_pictures(dataset, first=index, count=1)
    return pictures
