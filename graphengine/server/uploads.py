"""What users send: taken in whole or not at all, judged by content, and never put outside its folder.

    uploads/.drafts/<random>                         what is arriving
    uploads/<owner>/<12 digits of sha256>-<name>     what was kept

Everything here blocks, so a server calls it in threads.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import time
import unicodedata
from dataclasses import dataclass, replace
from hashlib import file_digest, sha256
from pathlib import Path

from graphengine.durable import sync_folder
from graphengine.errors import GraphEngineError
from graphengine.server.upload_contents import UploadRefused, look_inside

__all__ = [
    "Draft",
    "Upload",
    "UploadRefused",
    "UploadStore",
    "UploadTooLarge",
    "cant_keep",
    "inspect_upload",
    "is_owner_name",
    "safe_name",
]

MAX_UPLOAD_BYTES = 256 * 2**20

_DRAFTS = ".drafts"
_STALE_SECONDS = 24 * 3600
_NAME_CHARACTERS = 100
_NAME_BYTES = 200  # file systems take 255, and the digest is put before it
_EXTENSION = re.compile(r"\.(?:[a-z][a-z0-9]{1,3}|safetensors)$", re.IGNORECASE)  # in "v1.5" and "Mr.Smith" is none
_DEVICE = re.compile(r"(?:con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]) *(?:\.|$)", re.IGNORECASE)  # of Windows


class UploadTooLarge(UploadRefused):
    """A file has more bytes than the server takes."""


@dataclass(frozen=True)
class Upload:
    """A file that was found to be acceptable.

    Attributes:
        name: Safe for any file system, with the extension that fits the content.
        media_type: By content.
        sha256: In hex.
        size_bytes: Of the file.
        width: In pixels, turned as the EXIF says; None for tensors.
        height: As width.
    """

    name: str
    media_type: str
    sha256: str
    size_bytes: int
    width: int | None
    height: int | None


def inspect_upload(path: Path, name: str, digest: str) -> Upload:
    """Judge a file by its content.

    Args:
        name: What its sender calls it, in whatever form.
        digest: The SHA-256 of its bytes, in hex.

    Raises:
        UploadRefused: if it is of another kind, damaged, cut off or too large.
    """
    content = look_inside(path, safe_name(name))
    named = safe_name(name, content.extension)
    return Upload(named, content.media_type, digest, path.stat().st_size, content.width, content.height)


def safe_name(name: str, extension: str | None = None) -> str:
    """Make a file name out of any text: letters and digits of all scripts, spaces and ``._-()``.

    Args:
        extension: What to end with instead of the name's own extension, with its dot.
    """
    last = re.split(r"[/\\]", name)[-1]
    kept = "".join(char for char in last if char in " ._-()" or unicodedata.category(char)[0] in "LMN")
    kept = unicodedata.normalize("NFC", kept).strip(" .")
    own = match[0] if (match := _EXTENSION.search(kept)) else ""
    ending = own if extension is None else extension
    stem = kept.removesuffix(own).rstrip(" .") or "file"
    if _DEVICE.match(stem):
        stem = f"_{stem}"
    stem = stem[: _NAME_CHARACTERS - len(ending)]
    while len(f"{stem}{ending}".encode()) > _NAME_BYTES:
        stem = stem[:-1]
    return stem.rstrip(" .") + ending


def is_owner_name(name: str) -> bool:
    """Tell whether files can be an owner's of this name: it has to be a folder's name, and the only spelling of it."""
    return name == safe_name(name)


class Draft:
    """A file that is arriving; leaving its ``with`` drops it, unless it was kept.

    Attributes:
        path: Where it is.
        size_bytes: What has arrived so far.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self.path = folder / secrets.token_hex(16)
        self.size_bytes = 0
        self._max_bytes = max_bytes
        self._hash = sha256()
        self._file = self.path.open("xb")

    def __enter__(self) -> Draft:
        return self

    def __exit__(self, *error: object) -> None:
        self.discard()

    @property
    def sha256(self) -> str:
        """Of what has arrived so far, in hex."""
        return self._hash.hexdigest()

    def write(self, chunk: bytes) -> None:
        """Append bytes; if they can't be taken, the draft is gone.

        Raises:
            UploadTooLarge: if they are too many in all.
            GraphEngineError: if the disk is full or fails.
        """
        if self.size_bytes + len(chunk) > self._max_bytes:
            self.discard()
            raise UploadTooLarge(f"The file has more than {self._max_bytes:,} bytes.", "Make it smaller.")
        try:
            self._file.write(chunk)
        except OSError as error:
            self.discard()
            raise cant_keep("the file", error) from error
        self._hash.update(chunk)
        self.size_bytes += len(chunk)

    def flush(self) -> None:
        """Let others see what has arrived."""
        self._file.flush()

    def close(self) -> None:
        """Bring what has arrived to the disk; nothing more comes."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()

    def discard(self) -> None:
        """Drop it; no harm if that was done before."""
        with contextlib.suppress(OSError):  # closing writes what is buffered, to a disk that may be full
            self._file.close()
        self.path.unlink(missing_ok=True)


class UploadStore:
    """A folder of uploads, a folder for each owner in it.

    Attributes:
        folder: Where it is; paths of uploads are below it, the first part being the owner.

    Args:
        max_bytes: The largest file to take in.
    """

    def __init__(self, folder: Path, *, max_bytes: int = MAX_UPLOAD_BYTES) -> None:
        self.folder = folder
        self._drafts = folder / _DRAFTS
        self._max_bytes = max_bytes

    def begin(self) -> Draft:
        """Start taking in a file.

        Raises:
            GraphEngineError: if the folder can't be written.
        """
        try:
            self._drafts.mkdir(parents=True, exist_ok=True)
            return Draft(self._drafts, self._max_bytes)
        except OSError as error:
            raise cant_keep("the file", error) from error

    def keep(self, draft: Draft, name: str, owner: str) -> Upload:
        """Judge a draft and give it its place; whatever happens, the draft is gone.

        The same bytes are kept once for each owner, under the name that they were sent by first.

        Args:
            name: What its sender calls it, in whatever form.
            owner: Whose it is, in a form that is a file name.

        Raises:
            UploadRefused: if the content is not acceptable, or the owner's name.
            GraphEngineError: if the disk is full or fails.
        """
        try:
            folder = self._owners(owner)
            draft.flush()
            upload = inspect_upload(draft.path, name, draft.sha256)
            if (known := _find(folder, upload.sha256)) is not None:
                return replace(upload, name=known)
            draft.close()
            folder.mkdir(exist_ok=True)
            os.replace(draft.path, self.path(upload, owner))
            sync_folder(folder)
            return upload
        except OSError as error:
            raise cant_keep(repr(safe_name(name)), error) from error
        finally:
            draft.discard()

    def path(self, upload: Upload, owner: str) -> Path:
        """Say where an owner's upload is kept.

        Raises:
            UploadRefused: if the owner's name is no file name.
        """
        return self._owners(owner) / f"{_prefix(upload.sha256)}{upload.name}"

    def delete(self, path: Path) -> None:
        """Delete a kept file; no harm if it is gone.

        Args:
            path: Absolute, or below the store's folder.

        Raises:
            UploadRefused: if that is no place of an upload.
            GraphEngineError: if the disk fails.
        """
        folder = (self.folder / path).parent.resolve()  # not of the whole path: it may be a link, to be deleted itself
        if folder.parent != self.folder.resolve() or folder.name == _DRAFTS or path.name in ("", ".."):
            raise UploadRefused(f"{path} is no upload.", "Give the path of a file that was kept.")
        try:
            (folder / path.name).unlink(missing_ok=True)
        except OSError as error:
            raise GraphEngineError(f"can't delete {path.name}: {error.strerror or error}.") from error

    def clean(self) -> None:
        """Drop the drafts that nobody wrote to for a day: a server that ended at once left them."""
        oldest = time.time() - _STALE_SECONDS
        for draft in self._drafts.glob("*"):
            with contextlib.suppress(OSError):  # another process was quicker, or has it open
                if draft.stat().st_mtime < oldest:
                    draft.unlink()

    def _owners(self, owner: str) -> Path:
        """Give an owner's folder; names that could lead elsewhere, or be two spellings of one, are not made to fit."""
        folder = self.folder.resolve() / owner
        if not is_owner_name(owner) or folder.resolve() != folder:
            raise UploadRefused(f"{owner!r} can't own files.", "Use letters, digits and '._-()'.")
        return folder


def cant_keep(what: str, error: OSError) -> GraphEngineError:
    """Make the error that says why a file can't be written."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return GraphEngineError(f"the disk is full: {what} was not kept. Free some space.")
    return GraphEngineError(f"can't keep {what}: {error.strerror or error}.")


def _find(folder: Path, digest: str) -> str | None:
    """Give the name under which these bytes are kept already; a file that was edited since is not taken for them."""
    for path in sorted(folder.glob(f"{_prefix(digest)}*")):
        if path.is_file() and _digest(path) == digest:
            return path.name.removeprefix(_prefix(digest))
    return None


def _prefix(digest: str) -> str:
    return f"{digest[:12]}-"


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()
