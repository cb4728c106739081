"""Settings: where things are and what may be used, read once and passed on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from graphengine.extra_model_paths import KIND_FOLDERS, ExtraFolder, read_extra_model_paths

__all__ = ["Precision", "Settings", "shipped_folder"]

Precision = Literal["auto", "file", "float32", "bfloat16", "float16"]
"""The number format of loaded weights: chosen for the device, as in the file, or one of these."""

_MODEL_DEPTH = 3
_MODEL_MARKS = ("model_index.json", "config.json", "tokenizer.json", "spiece.model")  # a folder with one is a model

_PARTS = ("unet", "clip", "vae")  # a checkpoint holds these too, and may be named for any of them

_PACKAGED_MODELS = Path(__file__).parent / "models"


@dataclass(frozen=True)
class Settings:
    """Paths, device and limits of one engine.

    Attributes:
        data: Folder for what outlives a run: resumable work, cached definitions, users' models and inputs.
        output: Folder for what nodes save.
        device: A torch device, such as "cpu", "cuda:0" or "mps".
        cache_bytes: Budget of the memory cache for results without models.
        model_bytes: Its budget for models; half of the machine's memory if None. Files are mapped, not read, where
            their number format fits; they count nevertheless.
        disk_cache_bytes: Budget of the cache on disk, which outlives the program; 0 for none.
        asset_bytes: Budget of the copies of saved pictures that show them again when nothing has to run.
        roots: Folders with one subfolder a kind of file: ``<root>/checkpoints/<name>``. Searched in order.
        extra_folders: Further folders of single kinds, such as another program's models.
        beside: Folders in which file names are looked up directly, such as the workflow's own. Given by the command
            line alone, it also allows absolute paths; a server leaves it empty.
        check_immutable: Fail nodes that change their inputs in place; for tests of packs.
        sparing: Use as little device memory as possible, at the cost of time; set where a run found the device full.
        precision: The format of loaded weights, where a node leaves it to "auto".
        device_bytes: Budget for models on the device and what is computed with them; all that it has if None.
        devices: All devices that a run may use, ``device`` first; empty for that one alone.
    """

    data: Path
    output: Path
    device: str = "cpu"
    cache_bytes: int = 2 * 1024**3
    model_bytes: int | None = None
    disk_cache_bytes: int = 4 * 1024**3
    asset_bytes: int = 4 * 1024**3
    roots: tuple[Path, ...] = field(default=(_PACKAGED_MODELS,))
    extra_folders: tuple[ExtraFolder, ...] = ()
    beside: tuple[Path, ...] = ()
    check_immutable: bool = False
    sparing: bool = False
    precision: Precision = "auto"
    device_bytes: int | None = None
    devices: tuple[str, ...] = ()

    @classmethod
    def for_user(
        cls,
        *,
        data: Path | None = None,
        output: Path | None = None,
        device: str | None = None,
        disk_cache_bytes: int | None = None,
        precision: Precision | None = None,
        device_bytes: int | None = None,
        beside: Iterable[Path] = (),
    ) -> Settings:
        """Make settings from what a user gave, the rest at its defaults.

        Raises:
            GraphEngineError: if ``extra_model_paths.yaml`` in the data folder can't be read.
        """
        if data is None:
            import platformdirs

            data = platformdirs.user_data_path("graphengine")
        data = data.expanduser().absolute()
        roots = (data / "models", data, _PACKAGED_MODELS)
        return cls(
            data=data,
            output=(output or Path("output")).expanduser().absolute(),
            device=device or cls.device,
            disk_cache_bytes=cls.disk_cache_bytes if disk_cache_bytes is None else disk_cache_bytes,
            precision=precision or cls.precision,
            device_bytes=device_bytes,
            roots=roots,
            extra_folders=read_extra_model_paths(data / "extra_model_paths.yaml"),
            beside=tuple(folder.absolute() for folder in beside),
        )

    @property
    def cache_folder(self) -> Path:
        """Where results are kept from run to run."""
        return self.data / "cache"

    @property
    def assets_folder(self) -> Path:
        """Where the bytes of what runs showed are kept."""
        return self.data / "assets"

    @property
    def record_file(self) -> Path:
        """What the last runs were made of and how long they took."""
        return self.data / "record.sqlite"

    @property
    def packs_folder(self) -> Path:
        """Where a user puts node packs: folders and single files."""
        return self.data / "packs"

    def find_file(self, kind: str, name: str) -> Path | None:
        """Find a file (or a folder, for kinds that are folders) by the name a user gave; None if there is none.

        Denoisers, text encoders and autoencoders may be parts of checkpoints. Pictures, workflows and
        datasets that shipped workflows use are found last, by the names that these have for them.
        """
        if not name:
            return None
        for folder in map(Path.resolve, self.folders(kind)):
            path = _existing(folder, name)
            if path is not None and path.is_relative_to(folder) and path != folder:
                return path
            if path is not None and kind in KIND_FOLDERS and _stays_below(name):  # by a link, as large files often are
                return folder / name
        if kind in _PARTS and (checkpoint := self.find_file("checkpoints", name)) is not None:
            return checkpoint
        beside = next((path for folder in self.beside if (path := _existing(folder, name)) is not None), None)
        return beside or _shipped(kind, name)

    def folders(self, kind: str) -> list[Path]:
        """Give the folders with files of a kind in the order in which they are searched; they needn't exist."""
        names = KIND_FOLDERS.get(kind, (kind,))
        extra = [folder for folder in self.extra_folders if folder.kind in names]
        return [
            *(folder.path for folder in extra if folder.comes_first),
            *(root / name for root in self.roots for name in names),
            *(folder.path for folder in extra if not folder.comes_first),
        ]

    def file_names(self, kind: str) -> list[str]:
        """List the names that the folders offer for a kind of file.

        Models may be sorted into subfolders, which are part of their names then: ``portraits/anna.safetensors``.
        Checkpoints are offered for their parts as well.
        """
        names = set(self.names_in_folders(kind))
        return sorted(names | set(self.names_in_folders("checkpoints")) if kind in _PARTS else names)

    def names_in_folders(self, kind: str) -> list[str]:
        """List the names of what lies in the folders of a kind itself."""
        depth = _MODEL_DEPTH if kind in KIND_FOLDERS else 0
        return sorted({name for folder in self.folders(kind) for name in _names_in(folder, depth)})


def shipped_folder() -> Path:
    """Give the folder of the shipped workflows: inside an installed package, or beside one that is worked on."""
    inside = Path(__file__).parent / "_workflows"
    return inside if inside.is_dir() else inside.parents[1] / "workflows"


def _shipped(kind: str, name: str) -> Path | None:
    if kind not in ("input", "workflows", "datasets"):
        return None
    folder = shipped_folder().resolve()
    path = _existing(folder, name)
    if path is None or folder not in path.parents:
        return None
    return path if path.is_file() or kind == "datasets" else None


def _stays_below(name: str) -> bool:
    path = Path(name)
    return not path.is_absolute() and ".." not in path.parts and path.parts != ()


def _existing(folder: Path, name: str) -> Path | None:
    try:
        path = (folder / name).resolve()
        return path if path.exists() else None
    except (OSError, ValueError):  # too long, or with characters that no file name has
        return None


def _names_in(folder: Path, depth: int) -> Iterator[str]:
    """List a folder's files, and those in its subfolders so deep; a folder that is a model itself counts as one."""
    if not folder.is_dir():
        return
    for path in folder.iterdir():
        if path.name.startswith("."):
            continue
        is_sorting = depth > 0 and path.is_dir() and not any((path / name).exists() for name in _MODEL_MARKS)
        if is_sorting:
            yield from (f"{path.name}/{name}" for name in _names_in(path, depth - 1))
        else:
            yield path.name
