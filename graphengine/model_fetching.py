"""Fetch models from the Hugging Face hub or a URL: only when asked, resumed where it stopped, checked before use.

A file grows beside its place, under a hidden name, and gets its own name once its size and checksum are right; a
repository's folder likewise. What was broken off goes on there the next time.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import file_digest
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from graphengine.errors import GraphEngineError

__all__ = ["RemoteFile", "Wanted", "fetch"]

_TEXTS = (".json", ".txt", ".model")
_WEIGHTS = ".safetensors"
_RANGE_NOT_SATISFIABLE = 416
_Headers = dict[str, str]


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What to fetch, as a user says it.

    Attributes:
        source: A repository of the hub, ``owner/name``, or the URL of a file.
        file: One file of the repository; a diffusers folder or its only safetensors file if left open.
        revision: A branch, tag or commit of it.
        variant: Of a folder's weights, such as ``fp16``; the plain ones if left open.
        sha256: What the file's hash has to be.
        name: What to call it here; as there if left open.
    """

    source: str
    file: str | None = None
    revision: str | None = None
    variant: str | None = None
    sha256: str | None = None
    name: str | None = None


@dataclass(frozen=True)
class RemoteFile:
    """A file to fetch.

    Attributes:
        name: Its path within the repository, or its name.
        url: Where it is.
        size_bytes: None if it isn't told before.
        sha256: What it is known to hash to.
    """

    name: str
    url: str
    size_bytes: int | None = None
    sha256: str | None = None


def fetch(wanted: Wanted, folder: Path, *, endpoint: str | None = None) -> Path:
    """Fetch a model into a folder.

    Args:
        endpoint: The hub's URL, if it isn't the usual one.

    Returns:
        The file, or the folder of a diffusers repository.

    Raises:
        GraphEngineError: if it can't be found or fetched, isn't what its checksum says, is no safetensors file, doesn't
            fit on the disk, or something else has its name.
    """
    url = urlsplit(wanted.source)
    repository = _on_the_hub(wanted, endpoint)
    if repository is None:
        name = unquote(PurePosixPath(url.path).name)
        return _fetch_one(RemoteFile(name, wanted.source), wanted, folder, {})
    with _plain_errors(wanted.source):
        from huggingface_hub import get_token

        files = _files_of(repository, endpoint)
        token = get_token()
    headers = {"authorization": f"Bearer {token}"} if token else {}
    if len(files) == 1:
        return _fetch_one(files[0], repository, folder, headers)
    return _fetch_folder(files, repository, folder, headers)


def _fetch_one(file: RemoteFile, wanted: Wanted, folder: Path, headers: _Headers) -> Path:
    name = wanted.name or PurePosixPath(file.name).name
    if not name.endswith(_WEIGHTS):
        raise GraphEngineError(
            f"{wanted.source}: {name!r} is no safetensors file; others can run any code when they are opened\n"
            "  Look for a .safetensors file of the same model."
        )
    target = _place(folder, name)
    checksums = {each.lower() for each in (wanted.sha256, file.sha256) if each}
    if len(checksums) > 1:
        raise GraphEngineError(
            f"{wanted.source}: the hub has it with the SHA-256 {file.sha256}, not {wanted.sha256}\n"
            "  Check the hash, or choose another revision."
        )
    partial = target.with_name(f".{name}.partial")
    _complete(file, partial, next(iter(checksums), None), headers)
    partial.replace(target)
    return target


def _fetch_folder(files: Sequence[RemoteFile], wanted: Wanted, folder: Path, headers: _Headers) -> Path:
    if wanted.sha256:
        raise GraphEngineError(
            f"{wanted.source}: a folder of {len(files)} files has no single hash\n  Leave it open, or name one file."
        )
    target = _place(folder, wanted.name or wanted.source.rpartition("/")[2])
    partial = target.with_name(f".{target.name}.partial")
    _check_room(folder, sum(file.size_bytes or 0 for file in files))
    for file in files:
        _complete(file, partial / _safe(file.name), file.sha256, headers)
    partial.replace(target)
    return target


def _complete(file: RemoteFile, partial: Path, sha256: str | None, headers: _Headers) -> None:
    """Fetch what is missing of a file, and prove that it is what it should be; what isn't doesn't stay."""
    from graphengine.diffusion.model_files import read_header

    partial.parent.mkdir(parents=True, exist_ok=True)
    there = partial.stat().st_size if partial.exists() else 0
    _check_room(partial.parent, max(0, (file.size_bytes or 0) - there))
    try:
        with _plain_errors(file.url):
            _download(file, partial, there, headers)
    finally:
        if partial.exists() and partial.stat().st_size == 0 and file.size_bytes != 0:
            partial.unlink()
    try:
        _check(file, partial, sha256)
        if partial.name.removesuffix(".partial").endswith(_WEIGHTS):
            read_header(partial)
    except GraphEngineError:
        partial.unlink()
        raise


def _download(file: RemoteFile, partial: Path, there: int, headers: _Headers) -> None:
    from huggingface_hub.errors import HfHubHTTPError
    from huggingface_hub.file_download import http_get

    if file.size_bytes is not None and there > file.size_bytes:
        partial.unlink()
        there = 0
    with partial.open("ab") as opened:
        try:
            http_get(
                file.url, opened, resume_size=there, headers=dict(headers), expected_size=file.size_bytes,
                displayed_filename=file.name,
            )  # fmt: skip
        except HfHubHTTPError as error:
            if not there or error.response.status_code != _RANGE_NOT_SATISFIABLE:  # else nothing was missing
                raise


def _check(file: RemoteFile, path: Path, sha256: str | None) -> None:
    size = path.stat().st_size
    if file.size_bytes is not None and size != file.size_bytes:
        raise GraphEngineError(f"{file.url}: {size:,} bytes came of {file.size_bytes:,}\n  Fetch it again.")
    if sha256 is None:
        return
    with path.open("rb") as opened:
        found = file_digest(opened, "sha256").hexdigest()
    if found != sha256.lower():
        raise GraphEngineError(
            f"{file.url}: what came has the SHA-256 {found}, not {sha256}\n"
            "  It was removed. Fetch it again, or find out whether the file has changed."
        )


def _on_the_hub(wanted: Wanted, endpoint: str | None) -> Wanted | None:
    """Read the URL of a hub's file as one of its repository, which knows its hash; None for other URLs."""
    if "://" not in wanted.source:
        return wanted
    from huggingface_hub.constants import ENDPOINT

    hub = endpoint or ENDPOINT
    if not wanted.source.startswith(f"{hub}/"):
        return None
    parts = urlsplit(wanted.source.removeprefix(hub)).path.strip("/").split("/")
    if len(parts) < 5 or parts[2] not in ("resolve", "blob"):
        return None
    return Wanted(
        source="/".join(parts[:2]), file=unquote("/".join(parts[4:])), revision=unquote(parts[3]),
        sha256=wanted.sha256, name=wanted.name,
    )  # fmt: skip


def _files_of(wanted: Wanted, endpoint: str | None) -> list[RemoteFile]:
    """Choose a repository's files."""
    from huggingface_hub import HfApi, hf_hub_url

    info = HfApi(endpoint=endpoint).model_info(wanted.source, revision=wanted.revision, files_metadata=True)
    every = {each.rfilename: each for each in info.siblings or ()}
    names = _chosen(wanted, list(every))
    return [
        RemoteFile(
            name=name,
            url=hf_hub_url(wanted.source, name, revision=info.sha, endpoint=endpoint),
            size_bytes=every[name].size,
            sha256=None if (lfs := every[name].lfs) is None else lfs.sha256,
        )
        for name in names
    ]


def _chosen(wanted: Wanted, names: Sequence[str]) -> list[str]:
    if wanted.file is not None:
        if wanted.file not in names:
            raise GraphEngineError(f"{wanted.source}: it has no file {wanted.file!r}\n  {_offer(names)}")
        return [wanted.file]
    if "model_index.json" in names:
        weights = [name for name in names if "/" in name and name.endswith(_WEIGHTS) and _is_of(name, wanted.variant)]
        if not weights:
            variant = f" of the variant {wanted.variant!r}" if wanted.variant else ""
            raise GraphEngineError(f"{wanted.source}: it has no safetensors weights{variant}\n  {_offer(names)}")
        texts = [name for name in names if name.endswith(_TEXTS) and ("/" in name or name == "model_index.json")]
        return sorted([*weights, *texts])
    single = [name for name in names if name.endswith(_WEIGHTS)]
    if len(single) == 1:
        return single
    how_many = f"{len(single)} safetensors files" if single else "no safetensors file"
    raise GraphEngineError(f"{wanted.source}: it has {how_many} and no model_index.json\n  {_offer(names)}")


def _is_of(name: str, variant: str | None) -> bool:
    """Tell by the middle of a weight file's name: ``model.fp16.safetensors`` is of the variant fp16."""
    stem = PurePosixPath(name).name.removesuffix(_WEIGHTS)
    base, _, tag = stem.partition(".")
    return tag.partition("-0")[0] == (variant or "") and bool(base)


def _offer(names: Sequence[str]) -> str:
    single = [name for name in names if name.endswith(_WEIGHTS)]
    if not single:
        return "Choose a repository with safetensors files."
    more = f" and {len(single) - 8} more" if len(single) > 8 else ""
    return f"Name one with --file: {', '.join(single[:8])}{more}."


def _place(folder: Path, name: str) -> Path:
    target = folder / _safe(name)
    if target.exists():
        raise GraphEngineError(f"{target}: this exists already\n  Remove it first, or choose another --name.")
    folder.mkdir(parents=True, exist_ok=True)
    return target


def _safe(name: str) -> str:
    parts = PurePosixPath(name).parts
    if not parts or any(part in ("..", "/") or "\\" in part or ":" in part or "\0" in part for part in parts):
        raise GraphEngineError(f"{name!r} is no name of a file\n  Choose another with --name.")
    return str(PurePosixPath(*parts))


def _check_room(folder: Path, wanted_bytes: int) -> None:
    place = folder
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    if wanted_bytes > free:
        raise GraphEngineError(
            f"{folder}: {wanted_bytes / 1e9:.1f} GB are to come, {free / 1e9:.1f} GB are free\n  Free some space."
        )


@contextmanager
def _plain_errors(source: str) -> Iterator[None]:
    """Say what the network or the hub refused in plain words."""
    import httpx2  # what huggingface_hub is built on
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
    )

    try:
        yield
    except OfflineModeIsEnabled as error:
        raise _failed(source, "HF_HUB_OFFLINE is set", "Unset it to fetch something, or copy the file here.") from error
    except GatedRepoError as error:
        raise _failed(source, "its owner lets in who asked only", "Ask there; then 'hf auth login'.") from error
    except RepositoryNotFoundError as error:
        reason = "there is none of that name, or it is private"
        raise _failed(source, reason, "Check the name, or log in with 'hf auth login'.") from error
    except HFValidationError as error:
        raise _failed(source, "neither a repository's name nor a URL", "Write owner/name, or https://…") from error
    except HfHubHTTPError as error:
        reason = f"the server answers {error.response.status_code}"
        raise _failed(source, reason, "Check the name, or try again later.") from error
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
        remedy = "What came is kept; the same command goes on from there."
        raise _failed(source, str(error) or type(error).__name__, remedy) from error


def _failed(source: str, reason: str, remedy: str) -> GraphEngineError:
    return GraphEngineError(f"{source}: can't be fetched: {reason}\n  {remedy}")
