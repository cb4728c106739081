"""Put a job's files into a folder: each whole or not at all, and no picture over another."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Collection, Iterable
from contextlib import suppress
from hashlib import file_digest, sha256
from pathlib import Path

from graphengine.core.job import JobOutput
from graphengine.errors import GraphEngineError
from graphengine.numbered_files import give_number, numbered_files, parse_numbered

__all__ = ["find_download", "path_of", "save_download"]


def path_of(output: JobOutput, folder: Path) -> Path:
    """Say where a file belongs below a folder.

    Raises:
        GraphEngineError: its name leads out of there.
    """
    root = folder.expanduser().resolve()
    try:
        path = (root / output.path).resolve()
        is_inside = path.is_relative_to(root) and path != root
    except (OSError, ValueError):
        is_inside = False
    if not is_inside:
        raise GraphEngineError(f"the server names a file {output.path!r}, which lies outside of {folder}.")
    return path


def find_download(output: JobOutput, path: Path, taken: Collection[Path]) -> Path | None:
    """Find the same bytes at a file's place, under any number if it is numbered; None if they aren't there."""
    parts = parse_numbered(path.name)
    siblings = {} if parts is None else numbered_files(path.parent, parts.prefix, parts.suffix)
    for candidate in (path, *siblings.values()):
        try:
            if candidate not in taken and candidate.stat().st_size == output.size_bytes:
                with candidate.open("rb") as file:
                    if file_digest(file, "sha256").hexdigest() == output.asset:
                        return candidate
        except OSError:  # there is none, or one that can't be read
            continue
    return None


def save_download(output: JobOutput, path: Path, chunks: Iterable[bytes]) -> Path | None:
    """Write a file and give it its name; a numbered picture gets the next free number.

    Returns:
        Where it is; None, and no file, if its bytes are not all there.

    Raises:
        GraphEngineError: it can't be written.
    """
    draft = path.with_name(f".{secrets.token_hex(8)}.part")
    digest = sha256()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with draft.open("xb") as file:
            for chunk in chunks:
                digest.update(chunk)
                file.write(chunk)
        return _give_name(draft, path) if digest.hexdigest() == output.asset else None
    except OSError as error:
        is_full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        why = "the disk is full. Free some space" if is_full else error.strerror or error
        raise GraphEngineError(f"can't write {path.name} in {path.parent}: {why}.") from error
    finally:
        with suppress(OSError):  # where its folder could not be made, for one
            draft.unlink()


def _give_name(draft: Path, path: Path) -> Path:
    parts = parse_numbered(path.name)
    if parts is None:
        os.replace(draft, path)
        return path
    return give_number(draft, path.with_name(parts.prefix), parts.suffix, first=parts.number)
