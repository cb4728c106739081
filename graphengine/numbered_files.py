"""Names with a number that counts up, as saved pictures have: ``portrait_00007.png``. None is ever given twice."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

__all__ = ["NO_HARD_LINKS", "NumberedName", "give_number", "numbered_files", "parse_numbered"]

NO_HARD_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EXDEV, errno.EMLINK)
"""Error numbers by which a disk says that it has no links."""

_NUMBERED = re.compile(r"(?P<prefix>.+)_(?P<number>\d{5,})(?P<suffix>\.[a-z][a-z0-9]*)", re.DOTALL)


class NumberedName(NamedTuple):
    """A file's name in its parts.

    Attributes:
        suffix: With its dot.
    """

    prefix: str
    number: int
    suffix: str


def parse_numbered(name: str) -> NumberedName | None:
    """Take a name apart; None if it has no number of five digits or more."""
    match = _NUMBERED.fullmatch(name)
    return None if match is None else NumberedName(match["prefix"], int(match["number"]), match["suffix"])


def numbered_files(folder: Path, prefix: str, suffix: str = ".png") -> Mapping[int, Path]:
    """Give the files of a folder that have a prefix, by number; none if there is no such folder."""
    if not folder.is_dir():
        return {}
    names = ((name, parse_numbered(name)) for name in os.listdir(folder))
    return {
        parts.number: folder / name
        for name, parts in names
        if parts is not None and (parts.prefix, parts.suffix) == (prefix, suffix)
    }


def give_number(draft: Path, base: Path, suffix: str = ".png", *, first: int = 1) -> Path:
    """Give a draft the next free number after a prefix.

    Args:
        draft: A whole file on the same disk; it may still be there afterwards, as another name of the same file.
        base: Folder and prefix.
        first: The number of the first file.

    Raises:
        OSError: if it can't be named.
    """
    number = max(numbered_files(base.parent, base.name, suffix), default=first - 1) + 1
    while not _take_name(draft, path := base.with_name(f"{base.name}_{number:05d}{suffix}")):
        number += 1
    return path


def _take_name(draft: Path, path: Path) -> bool:
    """Give a draft its name; False if another program took it meanwhile, which a rename would not notice."""
    try:
        os.link(draft, path)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in NO_HARD_LINKS:
            raise
        try:
            path.touch(exist_ok=False)
        except FileExistsError:
            return False
        os.replace(draft, path)
    return True
