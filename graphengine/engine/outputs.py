"""Where nodes write what the user keeps: whole files or none, never over another's."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from graphengine.durable import sync_file, sync_folder
from graphengine.engine.assets import AssetStore
from graphengine.engine.cache import Shown
from graphengine.engine.picture_files import write_picture
from graphengine.errors import GraphEngineError, InputError
from graphengine.numbered_files import give_number
from graphengine.types import PICTURE_SUFFIXES, Image, PictureFormat

__all__ = ["OutputFolder", "path_inside"]


class OutputFolder:
    """The output folder of a run, as one node sees it.

    Args:
        folder: Where kept files go.
        temporary: Where previews go.
        workflow_json: The workflow to embed in pictures, or an empty text for none.
        show: Called with each thing that was written.
        assets: Where the bytes of what is written are kept for later runs.
    """

    def __init__(
        self,
        folder: Path,
        temporary: Path,
        workflow_json: str,
        show: Callable[[Shown], None],
        assets: AssetStore,
    ) -> None:
        self._folder = folder
        self._temporary = temporary
        self._workflow_json = workflow_json
        self._show = show
        self._assets = assets

    def write_images(
        self,
        images: Image,
        prefix: str,
        *,
        temporary: bool = False,
        picture_format: PictureFormat = "png",
        quality: int = 90,
    ) -> Sequence[Path]:
        """Write each picture with its workflow inside; see ``authoring.context.Outputs``."""
        from PIL import Image as pillow

        paths = []
        for image in images:
            picture = pillow.fromarray((image * 255).round().clamp(0, 255).byte().numpy())
            write = partial(
                write_picture,
                picture,
                picture_format=picture_format,
                quality=quality,
                workflow=self._workflow_json,
            )
            paths.append(self._write_numbered(write, prefix, PICTURE_SUFFIXES[picture_format], temporary))
        return paths

    def write_file(self, write: Callable[[Path], object], prefix: str, suffix: str) -> Path:
        """Have a function write a numbered file; see ``authoring.context.Outputs``."""
        return self._write_numbered(write, prefix, suffix, temporary=False)

    def write_text(self, text: str, name: str) -> Path:
        """Write a text file, whole or not at all, over an earlier one of that name."""
        path = self._inside(self._folder, name)
        with _whole_file(path) as draft:
            draft.write_text(text, encoding="utf-8")
            asset = self._assets.keep(draft, name, numbered=False)
            sync_file(draft)
            os.replace(draft, path)
            sync_folder(path.parent)
        self._show(Shown(path, asset=asset))
        return path

    def folder(self, name: str) -> Path:
        """Give the path of a folder that a node writes itself."""
        path = self._inside(self._folder, name)
        self._show(Shown(path))
        return path

    def publish(self, shown: Sequence[Shown]) -> tuple[Shown, ...] | None:
        """Bring what an earlier run showed into this run's folders; None if that can't be done for all of it.

        A file that is still at its place there, with the same bytes, stays as it is. Others are written again, a
        picture under the next free number. They embed the workflow of the run that made them, whose layout, titles or
        other branches may differ from this run's; but a run that embeds none never shows a picture that has one, nor
        the other way round. A folder that a node wrote itself has to be there still.

        Raises:
            GraphEngineError: if a file can't be written.
        """
        files = {each.path: each for each in shown}  # a text that was written twice is what it was in the end
        pictures = [each.asset for each in files.values() if each.asset is not None and each.asset.numbered]
        if any(asset.has_workflow != bool(self._workflow_json) for asset in pictures):
            return None
        missing = [each for each in files.values() if not self._is_in_place(each)]
        if not all(each.asset is not None and self._assets.holds(each.asset) for each in missing):
            return None
        return tuple(self._publish_again(each) if each in missing else each for each in files.values())

    def _is_in_place(self, shown: Shown) -> bool:
        root = (self._temporary if shown.temporary else self._folder).resolve()
        if not shown.path.is_relative_to(root):
            return False
        return shown.path.exists() if shown.asset is None else shown.asset.is_at(shown.path)

    def _publish_again(self, shown: Shown) -> Shown:
        asset = shown.asset
        assert asset is not None, "only files have bytes to publish"
        path = self._inside(self._temporary if shown.temporary else self._folder, asset.name)
        with _whole_file(path) as draft:
            self._assets.copy_to(asset, draft)
            asset = asset._replace(mtime_ns=draft.stat().st_mtime_ns)
            if not shown.temporary:
                sync_file(draft)
            if asset.numbered:
                path = give_number(draft, path, asset.suffix)
            else:
                os.replace(draft, path)
            if not shown.temporary:
                sync_folder(path.parent)
        return Shown(path, shown.temporary, asset)

    def _write_numbered(self, write: Callable[[Path], object], prefix: str, suffix: str, temporary: bool) -> Path:
        base = self._inside(self._temporary if temporary else self._folder, prefix)
        with _whole_file(base) as draft:
            write(draft)
            has_workflow = bool(self._workflow_json)
            asset = self._assets.keep(draft, prefix, numbered=True, has_workflow=has_workflow, suffix=suffix)
            if not temporary:
                sync_file(draft)
            path = give_number(draft, base, suffix)
            if not temporary:
                sync_folder(path.parent)
        self._show(Shown(path, temporary, asset))
        return path

    def _inside(self, folder: Path, name: str) -> Path:
        path = path_inside(folder, name)
        if path is None:
            message = f"{name!r} names nothing inside the output folder."
            raise InputError("filename_prefix", message, "Give a name such as 'portraits/anna'.")
        return path


def path_inside(folder: Path, name: str) -> Path | None:
    """Give the path of a name below a folder; None if it leads out of it, or is no name."""
    root = folder.resolve()
    try:
        path = (root / name).resolve()
        os.fsencode(path)
    except (OSError, ValueError):  # with characters that no file name has
        return None
    inside = path.is_relative_to(root) and path != root and not name.endswith(("/", "\\"))
    return path if inside else None


class _whole_file:
    """A draft beside a path, gone at the end; a full disk becomes a message that says so."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> Path:
        self._draft = self._path.with_name(f".{secrets.token_hex(8)}.part")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._draft.touch(exist_ok=False)
        except OSError as error:
            raise _cant_write(self._path, error) from error
        return self._draft

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self._draft.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise _cant_write(self._path, error) from error


def _cant_write(path: Path, error: OSError) -> GraphEngineError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return GraphEngineError(f"the disk is full: {path.name} was not saved in {path.parent}. Free some space.")
    return GraphEngineError(f"can't write {path.name} in {path.parent}: {error.strerror or error}.")
