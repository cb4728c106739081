"""Pictures of a source as a dataset: brought to sizes, changed a little from epoch to epoch, in batches of one size."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property

import numpy as np
import torch
from PIL import Image as Picture
from torch import Tensor

from graphengine.diffusion.augmentation import Augmentation, draw
from graphengine.diffusion.edge_hints import EdgeHints
from graphengine.diffusion.hint_pictures import fitting_hints
from graphengine.diffusion.picture_shapes import Buckets, Fit, Placed, Sizes, placed, scaled_size
from graphengine.diffusion.picture_sources import Decoded, MemoryPictures, PictureSource
from graphengine.errors import InputError
from graphengine.training_types import Dataset, ExampleField, Examples
from graphengine.types import Image, Mask

__all__ = ["PictureDataset", "Settings", "as_pictures", "augmented", "bucketed", "list_dataset", "resized"]

_CACHE_BYTES = 512 * 2**20


@dataclass(frozen=True)
class Settings:
    """How pictures become examples.

    Attributes:
        fit: How proportions that differ from the shape's come to it.
        augmentation: What changes from epoch to epoch.
        shaping: What decided the shapes, for the digest.
        edges: How hints are drawn from the pictures; None for those of the source, if it has any.
    """

    fit: Fit = "cover"
    augmentation: Augmentation = field(default_factory=Augmentation)
    shaping: str = ""
    edges: EdgeHints | None = None

    @property
    def identity(self) -> str:
        """All of it in one text; edges came later, so they aren't named where there are none."""
        return repr({name: value for name, value in asdict(self).items() if name != "edges" or value is not None})


class PictureDataset:
    """Pictures and captions of a source. Scaled pictures are kept as bytes, up to 512 MiB.

    Args:
        source: Where the pictures come from.
        shapes: int32 ``[N, 2]``, width and height of each picture's examples; 0 leaves it out.
        settings: How they are made.
    """

    def __init__(self, source: PictureSource, shapes: Sizes, settings: Settings) -> None:
        self.source = source
        self.shapes = shapes
        self.settings = settings
        kept = np.flatnonzero(shapes[:, 0] > 0)
        self.pictures = np.repeat(kept, np.asarray(source.repeats, dtype=np.int64)[kept])  # example -> picture
        self._scaled: OrderedDict[int, Decoded] = OrderedDict()
        self._scaled_bytes = 0
        self._lock = threading.Lock()

    def changed(self, settings: Settings, shapes: Sizes | None = None) -> PictureDataset:
        """Give the same pictures with other settings."""
        return PictureDataset(self.source, self.shapes if shapes is None else shapes, settings)

    @property
    def length(self) -> int | None:
        """How many examples an epoch has, repeats counted."""
        return len(self.pictures)

    @property
    def fields(self) -> Collection[ExampleField]:
        """Pictures and their sizes; captions if any has one, the others' are empty; a mask where something says it."""
        given: list[ExampleField] = ["images", "sizes"]
        if self.source.captions is not None:
            given.append("captions")
        if self.source.has_masks or self.settings.fit == "pad":
            given.append("mask")
        if self.source.has_hints or self.settings.edges:
            given.append("hints")
        return given

    @cached_property
    def groups(self) -> Sequence[Sequence[int]]:
        """The examples of each size."""
        return _shape_groups(self.shapes[self.pictures])

    @property
    def varies(self) -> bool:
        """Whether epochs differ."""
        return self.settings.augmentation.varies

    @cached_property
    def digest(self) -> str:
        """A hash of every picture's name and content, the captions and the settings."""
        digest = hashlib.blake2b(self.settings.identity.encode(), digest_size=16)
        captions = self.source.captions or [""] * len(self.source.names)
        rows = zip(self.source.names, captions, self.source.repeats, self.shapes, strict=True)
        for index, (name, caption, repeats, (width, height)) in enumerate(rows):
            content = self.source.content_hash(index)
            digest.update(f"{name!r} {content} {caption!r} {repeats} {width} {height}\n".encode())
        return digest.hexdigest()

    def examples(self, indices: Sequence[int], fields: Collection[ExampleField]) -> Examples:
        """Give the examples with these numbers, which must be of one size; images are ``[B, 3, H, W]`` in -1…1.

        Raises:
            InputError: naming the picture that can't be read.
        """
        count = len(self.pictures)
        captions = self.source.captions
        told = [captions[self.pictures[each % count]] for each in indices] if captions is not None else None
        given = Examples(captions=told if "captions" in fields else None)
        if not {"images", "mask", "sizes", "hints"} & set(fields):
            return given
        with_hints = "hints" in fields and "hints" in self.fields
        pictures = [self._placed(index, with_hint=with_hints) for index in indices]
        with_mask = "mask" in fields and "mask" in self.fields
        return replace(
            given,
            images=torch.stack([_planes(each.colours) for each in pictures]) / 127.5 - 1
            if "images" in fields
            else None,
            mask=torch.stack([_planes(each.mask) for each in pictures]) / 255 if with_mask else None,
            sizes=self._sizes(indices, pictures) if "sizes" in fields else None,
            hints=torch.stack([_planes(each.hint) for each in pictures if each.hint]) / 255 if with_hints else None,
        )

    def _placed(self, number: int, *, with_hint: bool) -> Placed:
        """Make one variation of one picture; its hint follows it, but for the colours."""
        picture = int(self.pictures[number % len(self.pictures)])
        shape = (int(self.shapes[picture][0]), int(self.shapes[picture][1]))
        augmentation, fit = self.settings.augmentation, self.settings.fit
        drawn = draw(augmentation, number)
        width, height = self.source.sizes[picture].tolist()
        size = scaled_size((width, height), shape, fit, drawn.zoom)
        scaled = self._decoded(picture, size, keep=augmentation.zoom == 0)
        colours, mask, hint = scaled.colours, scaled.mask, scaled.hint if with_hint else None
        if drawn.is_flipped:
            colours, mask, hint = _mirrored(colours), mask and _mirrored(mask), hint and _mirrored(hint)
        result = placed(colours, mask, shape, fit, drawn.at, hint=hint)
        if with_hint and self.settings.edges:
            result = replace(result, hint=self.settings.edges.of_picture(result.colours))
        return replace(result, colours=drawn.coloured(result.colours))

    def _decoded(self, picture: int, size: tuple[int, int], *, keep: bool) -> Decoded:
        """Give a picture at a size, decoded or from memory; several threads may ask at once."""
        with self._lock:
            if keep and picture in self._scaled:
                self._scaled.move_to_end(picture)
                return self._scaled[picture]
        decoded = self.source.decode(picture, size)
        mask = None if decoded.mask is None else decoded.mask.resize(size, Picture.Resampling.BILINEAR)
        hint = None if decoded.hint is None else decoded.hint.resize(size, Picture.Resampling.LANCZOS)
        scaled = Decoded(decoded.colours.resize(size, Picture.Resampling.LANCZOS), mask, hint)
        if keep:
            self._keep(picture, scaled)
        return scaled

    def _keep(self, picture: int, scaled: Decoded) -> None:
        with self._lock:
            if picture not in self._scaled:
                self._scaled[picture] = scaled
                self._scaled_bytes += _bytes(scaled)
            while self._scaled_bytes > _CACHE_BYTES and len(self._scaled) > 1:
                self._scaled_bytes -= _bytes(self._scaled.popitem(last=False)[1])

    def _sizes(self, indices: Sequence[int], pictures: Sequence[Placed]) -> Tensor:
        rows = []
        for number, each in zip(indices, pictures, strict=True):
            width, height = self.source.sizes[self.pictures[number % len(self.pictures)]].tolist()
            top, left = (max(0, side) for side in each.crop)
            rows.append([height, width, top, left, each.colours.height, each.colours.width])
        return torch.tensor(rows)


def as_pictures(dataset: Dataset, needed_for: str) -> PictureDataset:
    """Give a dataset of pictures whose files, sizes and settings are known.

    Raises:
        InputError: for a dataset that draws or computes its pictures.
    """
    if isinstance(dataset, PictureDataset):
        return dataset
    raise InputError(
        "dataset",
        f"{needed_for} needs pictures from files or nodes; this dataset makes its own, or was changed after them.",
        "Link an ImageFolder, ImageTable or ListDataset, and put this node before others that change datasets.",
    )


def list_dataset(
    pictures: Sequence[Image],
    captions: Sequence[str] | None = None,
    masks: Sequence[Mask] | None = None,
    hints: Sequence[Image] | None = None,
) -> PictureDataset:
    """Make a dataset of pictures ``[B, H, W, 3]`` in memory, each at its own size.

    Raises:
        InputError: if there are none, or not one caption, mask or fitting hint for each.
    """
    single = [Image(each[None]) for picture in pictures for each in picture]
    if not single:
        raise InputError("images", "there are none.", "Link at least one picture.")
    covers = None if masks is None else [Mask(each[None]) for mask in masks for each in mask]
    steering = None if hints is None else [Image(each[None]) for hint in hints for each in hint]
    given: tuple[tuple[str, Sequence[object] | None], ...]
    given = (("captions", captions), ("masks", covers), ("hints", steering))
    for name, row in given:
        if row is not None and len(row) != len(single):
            raise InputError(name, f"{len(row):,} for {len(single):,} pictures.", "Give one for each picture.")
    if steering is not None:
        steering = fitting_hints(steering, single)
    source = MemoryPictures(single, captions, covers, steering)
    return PictureDataset(source, source.sizes, Settings(shaping="own sizes"))


def resized(dataset: Dataset, width: int, height: int, fit: Fit) -> PictureDataset:
    """Bring all pictures to one size."""
    pictures = as_pictures(dataset, "Resizing")
    shapes = np.tile(np.array([width, height], dtype=np.int32), (len(pictures.source.names), 1))
    return pictures.changed(replace(pictures.settings, fit=fit), shapes)


def bucketed(dataset: Dataset, buckets: Buckets) -> tuple[PictureDataset, str]:
    """Sort pictures into buckets, and report what is in each."""
    pictures = as_pictures(dataset, "Sorting into buckets")
    source = pictures.source
    found = buckets.sort(source.sizes, source.names)
    settings = replace(pictures.settings, fit="cover", shaping=repr(buckets))
    return pictures.changed(settings, found.shapes), buckets.report(source.sizes, source.names, found)


def augmented(dataset: Dataset, augmentation: Augmentation) -> PictureDataset:
    """Change pictures a little, anew in each epoch."""
    pictures = as_pictures(dataset, "Augmenting")
    return pictures.changed(replace(pictures.settings, augmentation=augmentation))


def _shape_groups(shapes: Sizes) -> list[list[int]]:
    """Give the numbers of the rows of each shape, ``[N, 2]`` -> one list a shape."""
    keys = shapes[:, 0].astype(np.int64) << 32 | shapes[:, 1]
    order = np.argsort(keys, kind="stable")
    return [each.tolist() for each in np.split(order, np.flatnonzero(np.diff(keys[order])) + 1)]


def _planes(picture: Picture.Image) -> Tensor:
    """Give a picture's bytes as float32 ``[1 or 3, H, W]``."""
    pixels = torch.from_numpy(np.array(picture, dtype=np.uint8).reshape(picture.height, picture.width, -1))
    return pixels.permute(2, 0, 1).contiguous().float()


def _mirrored(picture: Picture.Image) -> Picture.Image:
    return picture.transpose(Picture.Transpose.FLIP_LEFT_RIGHT)


def _bytes(scaled: Decoded) -> int:
    planes = 3 + (scaled.mask is not None) + 3 * (scaled.hint is not None)
    return planes * scaled.colours.width * scaled.colours.height
