"""Datasets to train on, and a look at what is in them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, NamedTuple

from pydantic import Field

from graphengine import Context, FilesIn, InputError, Widget, node
from graphengine.training_types import Dataset
from graphengine.types import Clip, Image, Mask, Model
from graphengine_nodes.inputs import RareShare, Seed, Share

Fit = Literal["cover", "contain", "pad", "stretch"]
Unreadable = Literal["error", "skip"]
_HASHES = "hashes.sqlite"
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
    ctx: Context,
    folder: Annotated[Path, FilesIn("datasets")],
    size: Annotated[int, Field(ge=8, le=8192)] = 512,
    fit: Fit = "cover",
    repeats: bool = False,
    masks: Annotated[Path, FilesIn("datasets")] | None = None,
    alpha_masks: Annotated[bool, Widget("checkbox", advanced=True)] = False,
    unreadable: Annotated[Unreadable, Widget("select", advanced=True)] = "error",
    hints: Annotated[Path, FilesIn("datasets")] | None = None,
) -> Dataset:
    """Use your own pictures, with captions in .txt or .caption files of the same name, or in a metadata table.

    Pictures are turned as their EXIF says and laid on white where they are transparent; of an animation the first frame
    counts. A metadata.jsonl or metadata.csv tells the captions of the pictures in its folder. Pictures without a
    caption among others have the empty one.

    Args:
        folder: A folder in the datasets folder; its sub-folders count too.
        size: Side of the square pictures, in pixels; AspectBuckets and ResizeDataset choose others.
        fit: cover fills the square and cuts off what sticks out; contain shows everything on white; pad does too, but
            the border doesn't count in the loss; stretch distorts.
        repeats: Sub-folders named like 10_cat show their pictures ten times an epoch, as "cat" where no caption is.
        masks: A folder of pictures with the same names: white where a picture counts in the loss, black where not.
        alpha_masks: What is transparent doesn't count in the loss.
        unreadable: Damaged files stop everything, all of them named (error), or are left out with a notice (skip).
        hints: A folder of pictures with the same names, of edges, depth or poses, say: what a ControlNet is to steer
            by. They are resized, cut and mirrored as their pictures are, and laid on black.
    """
    from graphengine.diffusion import image_folder as folders
    from graphengine.diffusion.known_hashes import KnownHashes

    source, notices = folders.image_folder(
        folder,
        repeats=repeats,
        masks=masks,
        alpha_masks=alpha_masks,
        hints=hints,
        unreadable=unreadable,
        watch=ctx.progress,
        known=KnownHashes(ctx.state_folder("datasets") / _HASHES),
    )
    for notice in notices:
        ctx.warn(notice)
    return folders.of_one_size(source, size, fit)


@node("ImageTable", category="training/datasets")
def image_table(
    ctx: Context,
    file: Annotated[Path, FilesIn("datasets")],
    size: Annotated[int, Field(ge=8, le=8192)] = 512,
    fit: Fit = "cover",
    file_column: str = "",
    caption_column: str = "",
    unreadable: Annotated[Unreadable, Widget("select", advanced=True)] = "error",
    hint_column: str = "",
) -> Dataset:
    """Use the pictures that a table lists with their captions: JSON lines, CSV, TSV, or sd-scripts' JSON.

    Args:
        file: The table, in the datasets folder; its pictures lie in its folder or below.
        size: Side of the square pictures, in pixels; AspectBuckets and ResizeDataset choose others.
        fit: As for ImageFolder.
        file_column: Which column names the pictures; empty for file_name, image, file or path.
        caption_column: Which column has the captions; empty for text, caption, prompt, description or tags.
        unreadable: As for ImageFolder.
        hint_column: Which column names the pictures that a ControlNet is to steer by, such as conditioning_image;
            empty for none.
    """
    from graphengine.diffusion import image_folder as folders
    from graphengine.diffusion.known_hashes import KnownHashes

    source, notices = folders.image_table(
        file,
        file_column=file_column,
        caption_column=caption_column,
        hint_column=hint_column,
        unreadable=unreadable,
        watch=ctx.progress,
        known=KnownHashes(ctx.state_folder("datasets") / _HASHES),
    )
    for notice in notices:
        ctx.warn(notice)
    return folders.of_one_size(source, size, fit)


@node("HuggingFaceDataset", category="training/datasets")
def hugging_face_dataset(
    ctx: Context,
    folder: Annotated[Path, FilesIn("datasets")],
    split: str = "train",
    size: Annotated[int, Field(ge=8, le=8192)] = 512,
    fit: Fit = "cover",
    image_column: str = "",
    caption_column: str = "",
    unreadable: Annotated[Unreadable, Widget("select", advanced=True)] = "error",
    hint_column: str = "",
) -> Dataset:
    """Use a dataset in Hugging Face's formats that lies on this computer; needs the package datasets.

    Nothing is downloaded and no code of the dataset runs. Folders of pictures with a metadata.jsonl or metadata.csv
    need no package: ImageFolder reads those.

    Args:
        folder: A Parquet file, a folder of them, or a folder that save_to_disk wrote, in the datasets folder.
        split: Which part, where there are several, such as train.
        size: Side of the square pictures, in pixels; AspectBuckets and ResizeDataset choose others.
        fit: As for ImageFolder.
        image_column: Which column has the pictures; empty for the one that is declared as such.
        caption_column: Which column has the captions; empty for text, caption, prompt or a label's name.
        unreadable: As for ImageFolder.
        hint_column: Which column has the pictures that a ControlNet is to steer by, such as conditioning_image; empty
            for none.
    """
    from graphengine.diffusion import hugging_face_datasets as rows
    from graphengine.diffusion.image_folder import of_one_size

    opened, columns = rows.open_rows(
        folder,
        split=split,
        image_column=image_column,
        caption_column=caption_column,
        hint_column=hint_column,
        cache=ctx.state_folder("hugging_face"),
    )
    source, notices = rows.row_pictures(opened, columns, unreadable=unreadable, watch=ctx.progress)
    for notice in notices:
        ctx.warn(notice)
    return of_one_size(source, size, fit)


@node("ListDataset", category="training/datasets")
def list_dataset(
    images: list[Image],
    captions: list[str] | None = None,
    masks: list[Mask] | None = None,
    hints: list[Image] | None = None,
) -> Dataset:
    """Make a dataset of pictures that nodes made, such as a folder's pictures after an image node changed each.

    Args:
        images: The pictures, of any sizes; each may be a batch. Pictures of one size share batches.
        captions: One for each picture, in their order; open for none.
        masks: One for each picture, 1 where it counts in the loss; open where all counts.
        hints: One for each picture, of its proportions: what a ControlNet is to steer by, such as what an image node
            made of the picture; open for none.
    """
    from graphengine.diffusion.picture_dataset import list_dataset as make

    return make(images, captions, masks, hints)


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
    hints: bool = False,
) -> Image:
    """Show pictures of a dataset as a grid.

    Args:
        dataset: What to look at. Where epochs differ, numbers past the last picture show further variations.
        first: Number of the first example.
        count: How many examples to show.
        captions: Write each caption under its picture.
        hints: Show what a ControlNet is to steer by instead of the pictures.
    """
    from graphengine.diffusion.dataset_pictures import dataset_sheet, shown_examples

    shown = shown_examples(dataset, first=first, count=count)
    if hints and not shown.hints:
        raise InputError("hints", "the dataset gives none.", "Turn this off, or put DatasetEdges before.")
    return dataset_sheet(shown.hints if hints else shown.pictures, shown.captions if captions else ())


class DatasetListOutputs(NamedTuple):
    """Examples of a dataset, one by one.

    Attributes:
        images: The pictures; a node that takes one runs once for each.
        captions: The caption of each, empty where there is none.
        masks: Where each counts in the loss, 1 everywhere unless the dataset says otherwise.
        hints: What a ControlNet is to steer by towards each; none if the dataset gives none.
    """

    images: list[Image]
    captions: list[str]
    masks: list[Mask]
    hints: list[Image]


@node("DatasetToList", category="training/datasets")
def dataset_to_list(
    dataset: Dataset, first: Number = 0, count: Annotated[int, Field(ge=1, le=4096)] = 16
) -> DatasetListOutputs:
    """Take examples out of a dataset, so that image nodes run once for each; ListDataset makes a dataset of them again.

    Only the examples asked for are read.

    Args:
        dataset: Where to take them from.
        first: Number of the first example.
        count: How many, or as many as there are.
    """
    from graphengine.diffusion.dataset_pictures import shown_examples

    shown = shown_examples(dataset, first=first, count=count)
    return DatasetListOutputs(shown.pictures, shown.captions, shown.masks, shown.hints)


class DatasetReportOutputs(NamedTuple):
    """What was found in a dataset.

    Attributes:
        report: Sizes, captions, damaged files, files of the same content, and pictures that look alike.
        sheet: The pictures that are there more than once, small and labelled; else the first ones.
    """

    report: str
    sheet: Image


@node("DatasetReport", category="training/datasets")
def dataset_report(ctx: Context, dataset: Dataset, clip: Clip | None = None) -> DatasetReportOutputs:
    """Look through all pictures before training: sizes, captions, damaged files and duplicates.

    Args:
        dataset: From ImageFolder, ImageTable or ListDataset, also resized, in buckets or augmented.
        clip: Tells which captions are longer than it reads.
    """
    from graphengine.diffusion.dataset_report import report_on
    from graphengine.diffusion.picture_dataset import as_pictures

    found = report_on(as_pictures(dataset, "A report"), clip, ctx.progress)
    if found.unreadable:
        ctx.warn(f"{len(found.unreadable):,} pictures can't be read; see the report.")
    return DatasetReportOutputs(found.text, found.sheet)


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
        levels: How many noise levels, the clean picture among them.
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
    from graphengine.diffusion.dataset_pictures import shown_examples

    return shown_examples(dataset, first=index, count=1).pictures[0]
