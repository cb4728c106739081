"""Hand over what a training is asked to do to other processes of this machine, by a file.

It holds Python objects, as a dataset may be of any class: only a process that trusts the writer may read it. Classes of
packs that are files are found there under the names that they have here.
"""

from __future__ import annotations

import io
import pickletools
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from graphengine.authoring.node import PRIVATE_MODULE
from graphengine.authoring.pack_files import import_path
from graphengine.errors import GraphEngineError, InputError

if TYPE_CHECKING:
    from graphengine.diffusion.training import Asked

__all__ = ["hand_over", "take_over"]

_ASKED, _PACKS = "asked.pt", "packs.txt"
_PRIVATE = PRIVATE_MODULE.partition("{")[0]
_INPUTS = {"subject": "model"}  # the node's name of it


def hand_over(asked: Asked, folder: Path) -> None:
    """Write a training's inputs into a folder.

    Raises:
        InputError: one of them can't be written.
        GraphEngineError: there is no room.
    """
    try:
        torch.save(asked, folder / _ASKED)
    except OSError as error:
        raise GraphEngineError(
            f"the models and data of this training could not be handed to its processes in {folder}: {error}.\n"
            "  Make room there, or train on 1 device."
        ) from error
    except Exception as error:  # a border: objects of any class raise anything here
        raise _refusal(asked, error) from error
    (folder / _PACKS).write_text("\n".join(map(str, _packs_in(folder / _ASKED))), encoding="utf-8")


def take_over(folder: Path) -> Asked:
    """Read a training's inputs; weights are mapped, not read.

    Raises:
        InputError: they are of classes that are not found here.
    """
    for pack in (folder / _PACKS).read_text(encoding="utf-8").splitlines():
        import_path(Path(pack))
    try:
        asked: Asked = torch.load(folder / _ASKED, map_location="cpu", mmap=True, weights_only=False)
    except (AttributeError, ImportError) as error:
        raise InputError(
            "devices",
            f"the training's processes don't find what it is made of: {error}.",
            "Put its classes into an installed package or a pack, or train on 1 device.",
        ) from error
    return asked


def _refusal(asked: Asked, error: Exception) -> InputError:
    """Name the input that can't be written."""
    for each in fields(asked):
        try:
            torch.save(getattr(asked, each.name), io.BytesIO())
        except Exception as reason:  # a border: as above
            error, name = reason, _INPUTS.get(each.name, each.name)
            break
    else:
        name = "devices"
    return InputError(
        name,
        f"it can't be handed to the other devices' processes: {error}.",
        "Leave out what belongs to this process alone, such as open files and locks, or train on 1 device.",
    )


def _packs_in(path: Path) -> Iterator[Path]:
    """Find the packs that are files or folders of which a file written by torch names classes."""
    with zipfile.ZipFile(path) as archive:
        (name,) = (each for each in archive.namelist() if each.endswith("/data.pkl"))
        content = archive.read(name)
    modules = {
        str(argument).partition(" ")[0] for code, argument, _ in pickletools.genops(content) if code.name == "GLOBAL"
    }
    for root in sorted({module.partition(".")[0] for module in modules if module.startswith(_PRIVATE)}):
        spec = sys.modules[root].__spec__
        if spec is not None and spec.submodule_search_locations:
            yield Path(spec.submodule_search_locations[0])
        elif spec is not None and spec.origin:
            yield Path(spec.origin)
