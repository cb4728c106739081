"""Make lists and take them apart. A node that takes one value and gets a list runs once per item."""

from __future__ import annotations

from typing import Annotated, TypeVar

from graphengine import InputError, Widget, node
from graphengine.types import Image

T = TypeVar("T")


@node("Range", category="lists", outputs="numbers")
def numbers(start: int = 0, stop: int = 4, step: int = 1) -> list[int]:
    """Count: whole numbers from start up to, but not including, stop.

    Args:
        start: The first number.
        stop: The first number that is no longer in the list.
        step: From one number to the next; below 0 counts down.
    """
    if step == 0:
        raise InputError("step", "counting in steps of 0 never ends.", "Give another number.")
    return list(range(start, stop, step))


@node("TextList", category="lists", outputs="texts")
def text_list(text: Annotated[str, Widget("textarea")] = "", separator: str = "\\n") -> list[str]:
    """Split a text into a list, such as a prompt per line; empty parts are left out.

    Args:
        text: What to split.
        separator: What stands between the parts; \\\\n is the end of a line.
    """
    if not separator:
        raise InputError("separator", "it is empty.", "Give what stands between the parts, e.g. a comma.")
    parts = (part.strip() for part in text.split(separator.replace("\\n", "\n")))
    return [part for part in parts if part]


@node("JoinLists", category="lists", outputs="items")
def join_lists(first: list[T], second: list[T]) -> list[T]:
    """Put one list behind another.

    Args:
        first: Comes first; a single value counts as a list of one.
        second: Comes after it.
    """
    return [*first, *second]


@node("SelectItem", category="lists", outputs="item")
def select_item(items: list[T], index: int = 0) -> T:
    """Take one item of a list.

    Args:
        items: The list; a single value counts as a list of one.
        index: Which one, from 0; below 0 counts from the end.
    """
    if not -len(items) <= index < len(items):
        remedy = f"Give a number from 0 to {len(items) - 1}." if items else "The list is empty."
        raise InputError("index", f"there is no item {index} in a list of {len(items)}.", remedy)
    return items[index]


@node("ListLength", category="lists", outputs="length")
def list_length(items: list[T]) -> int:
    """Count the items of a list.

    Args:
        items: The list; a single value counts as a list of one.
    """
    return len(items)


@node("ImageToList", category="lists", outputs="images")
def image_to_list(images: Image) -> list[Image]:
    """Take a batch of pictures apart into a list, so that the nodes after it run once per picture.

    Args:
        images: The batch to take apart.
    """
    return [Image(images[index : index + 1]) for index in range(len(images))]


@node("ListToImage", category="lists", outputs="images")
def list_to_image(images: list[Image]) -> Image:
    """Put a list of pictures of one size together into a batch.

    Args:
        images: The pictures; each may be a batch itself.
    """
    import torch

    sizes = sorted({f"{each.shape[2]}×{each.shape[1]}" for each in images})
    if len(sizes) != 1:
        found = f"the pictures have different sizes ({', '.join(sizes)})." if sizes else "the list is empty."
        raise InputError("images", found, "Put an ImageScale node before the list." if sizes else "Link a longer list.")
    return Image(torch.cat(list(images)))
