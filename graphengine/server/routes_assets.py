"""Files: what jobs wrote and what users brought, by the hash of their bytes.

What isn't known answers 404: that never was, was deleted here, or was written by a job that was pruned. What is known
and no longer on disk, as somebody removed it there, answers 410.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import file_digest
from pathlib import Path
from typing import Any, Literal

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from graphengine.core.job import JobOutput
from graphengine.jobs.store import Asset, UnknownJob
from graphengine.server.calls import Call, NoParameters, Refused, Route
from graphengine.server.file_answers import send_file
from graphengine.server.services import Services
from graphengine.server.uploads import Upload

__all__ = ["ROUTES"]

_CACHED = "private, max-age=31536000, immutable"  # the address has a hash of what is in the file


class AssetAnswer(BaseModel):
    """A file.

    Attributes:
        input: What an input that takes a file names it by; only of uploads.
    """

    model_config = ConfigDict(frozen=True)

    asset: str
    name: str
    media_type: str
    size_bytes: int
    source: str
    created: float
    job: str | None = None
    input: str | None = None


class AssetList(BaseModel):
    """Files, the newest first; ``next`` as ``before`` gives the page after them."""

    model_config = ConfigDict(frozen=True)

    assets: list[AssetAnswer]
    next: float | None = None


class AssetQuery(BaseModel):
    """Which files to list."""

    model_config = ConfigDict(extra="forbid")

    before: float | None = Field(default=None, ge=0)
    limit: int = Field(default=50, ge=1, le=500)


class ThumbnailQuery(BaseModel):
    """How large a thumbnail is to be."""

    model_config = ConfigDict(extra="forbid")

    side: Literal["128", "256", "512"] = "256"


async def upload_asset(call: Call[NoParameters, None]) -> AssetAnswer:
    """Bring a picture or a .safetensors file, as the field ``file`` of a multipart form.

    What it is, its content decides, never its name. The answer's ``input`` is what a workflow's LoadImage names it by.
    """
    if not call.request.content_type.startswith("multipart/"):
        raise Refused(415, "not_a_form", "the body is no form.", "Send multipart/form-data with a field 'file'.")
    with _broken_forms_refused():
        reader = await call.request.multipart()
        part = await reader.next()
        while part is not None and getattr(part, "name", None) != "file":
            await part.release()
            part = await reader.next()
    if part is not None:
        return await _remember(call, await _take(call, part))
    raise Refused(422, "no_file", "the form has no field 'file'.", "Add the file as the field 'file'.")


async def list_assets(call: Call[AssetQuery, None]) -> AssetList:
    """List files, the newest first."""
    query = call.query
    found = await call.services.store.read(
        lambda store: store.assets(call.owner, before=query.before, limit=query.limit)
    )
    listed = [_answer(each) for each in found]
    return AssetList(assets=listed, next=found[-1].created if len(found) == query.limit else None)


async def get_asset(call: Call[NoParameters, None]) -> web.StreamResponse:
    """Give a file's bytes."""
    asset = await _asset(call)
    return await send_file(call.request, await _path(call, asset), asset.media_type, asset.name, cached=_CACHED)


async def get_thumbnail(call: Call[ThumbnailQuery, None]) -> web.StreamResponse:
    """Give a small picture of a picture, as WebP."""
    asset = await _asset(call)
    if not asset.media_type.startswith("image/"):
        raise Refused(415, "no_picture", f"{asset.name} is no picture.", "Thumbnails are made of pictures only.")
    path = await _path(call, asset)
    small = await asyncio.to_thread(call.services.thumbnails.get, path, asset.asset, int(call.query.side))
    return await send_file(call.request, small, "image/webp", f"{Path(asset.name).stem}.webp", cached=_CACHED)


async def delete_asset(call: Call[NoParameters, None]) -> None:
    """Delete a file."""
    asset = await _asset(call)
    try:
        path = await _path(call, asset)
    except Refused:  # somebody else deleted it: there is only the record to forget
        path = None
    await call.services.store.write(lambda store: store.remove_asset(asset.asset, asset.owner, asset.source))
    if path is None:
        return
    if asset.source == "upload":
        await asyncio.to_thread(call.services.uploads.delete, path)
    else:
        await asyncio.to_thread(path.unlink, missing_ok=True)


@contextmanager
def _broken_forms_refused() -> Iterator[None]:
    """Turn what aiohttp raises for broken forms, which is nearly anything, into a refusal."""
    try:
        yield
    except (ValueError, AssertionError, RuntimeError, TypeError, LookupError) as error:
        raise Refused(400, "bad_form", f"the form can't be read: {error}.", "Send it as RFC 7578 has it.") from error


async def _take(call: Call[Any, Any], part: Any) -> Upload:  # Any: any route's models; aiohttp's part
    """Write what comes in to a draft, and keep it if its content is acceptable."""
    draft = await asyncio.to_thread(call.services.uploads.begin)
    try:
        while chunk := await _chunk(part):
            await asyncio.to_thread(draft.write, chunk)
        return await asyncio.to_thread(call.services.uploads.keep, draft, part.filename or "", call.as_owner)
    finally:
        await asyncio.to_thread(draft.discard)


async def _chunk(part: Any) -> bytes:  # Any: as above
    with _broken_forms_refused():
        chunk: bytes = await part.read_chunk(256 * 1024)
    return chunk


async def _remember(call: Call[Any, Any], upload: Upload) -> AssetAnswer:  # Any: as above
    path = call.services.uploads.path(upload, call.as_owner)
    shown = path.relative_to(call.services.uploads.folder).as_posix()
    output = JobOutput(
        node="", path=shown, asset=upload.sha256, size_bytes=upload.size_bytes, media_type=upload.media_type
    )
    await call.services.store.write(
        lambda store: store.add_asset(call.as_owner, output, name=upload.name, source="upload")
    )
    asset = await call.services.store.read(lambda store: store.asset(upload.sha256, call.as_owner, "upload"))
    assert asset is not None
    return _answer(asset)


async def _asset(call: Call[Any, Any]) -> Asset:  # Any: as above
    asset = await call.services.store.read(lambda store: store.asset(call.path["asset"], call.owner))
    if asset is None:
        raise Refused(404, "unknown_asset", "there is no such file.", "List the files to see which there are.")
    return asset


async def _path(call: Call[Any, Any], asset: Asset) -> Path:  # Any: as above
    """Find a file, never outside the folders of outputs and uploads."""
    services = call.services
    if asset.source == "upload":
        root, path = services.uploads.folder, asset.path
    else:
        try:
            job = await services.store.read(lambda store: store.get(asset.job or ""))
        except UnknownJob:
            # it was pruned while this was asked
            raise Refused(410, "gone", "the job that wrote this file was forgotten.", "Run it again.") from None
        root, path = services.output, f"{job.folder}/{asset.path}"
    found = await asyncio.to_thread(lambda: _inside(root, path) or _temporary(services, asset))
    if found is None:
        raise Refused(410, "gone", f"the file {asset.name} was deleted.", "Run its job again.")
    return found


def _inside(root: Path, name: str) -> Path | None:
    path = (root / name).resolve()
    return path if path.is_relative_to(root.resolve()) and path.is_file() else None


def _temporary(services: Services, asset: Asset) -> Path | None:
    """Find a file that a job wrote to be seen once; all jobs share that folder, so its bytes have to be the asset's."""
    path = _inside(services.settings.data / "temporary", asset.path)
    if path is None or path.stat().st_size != asset.size_bytes:
        return None
    with path.open("rb") as file:
        return path if file_digest(file, "sha256").hexdigest() == asset.asset else None


def _answer(asset: Asset) -> AssetAnswer:
    return AssetAnswer(
        asset=asset.asset,
        name=asset.name,
        media_type=asset.media_type,
        size_bytes=asset.size_bytes,
        source=asset.source,
        created=asset.created,
        job=asset.job,
        input=f"uploads/{asset.path}" if asset.source == "upload" else None,
    )


ROUTES = (
    Route("POST", "/assets", upload_asset, "assets", answer=AssetAnswer, status=201, errors=(413, 415, 422, 507)),
    Route("GET", "/assets", list_assets, "assets", query=AssetQuery, answer=AssetList, errors=(422,)),
    Route("GET", "/assets/{asset}", get_asset, "assets", media_type="*/*", errors=(404, 410, 416)),
    Route(
        "GET",
        "/assets/{asset}/thumbnail",
        get_thumbnail,
        "assets",
        query=ThumbnailQuery,
        media_type="image/webp",
        errors=(404, 410, 415, 416, 422),
    ),
    Route("DELETE", "/assets/{asset}", delete_asset, "assets", status=204, errors=(404, 507)),
)
