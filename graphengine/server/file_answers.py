"""Answers that are files of users: shown if they are pictures, and never run as pages."""

from __future__ import annotations

import asyncio
from pathlib import Path
from urllib.parse import quote

from aiohttp import web

from graphengine.server.calls import Refused

__all__ = ["send_file"]

_PLAYED = ("video/mp4", "audio/wav", "audio/x-wav")
_SHOWN = frozenset({"image/png", "image/jpeg", "image/webp", "image/gif", "image/bmp", *_PLAYED})
"""What a browser may show; everything else is saved, so that no file of a user's is run as a page."""

_SANDBOX = "sandbox; default-src 'none'; img-src 'self'; style-src 'unsafe-inline'"


async def send_file(request: web.Request, path: Path, media_type: str, name: str, *, cached: str) -> web.StreamResponse:
    """Answer with a file, or the part of it that the request's range asks for.

    Args:
        name: Under which a browser saves it.
        cached: How long a browser may keep it, as ``Cache-Control`` has it.

    Raises:
        Refused: the file has no such range.
    """
    await asyncio.to_thread(_refuse_bad_range, request, path)
    shown = "inline" if media_type in _SHOWN else "attachment"
    headers = {
        "Content-Type": media_type if media_type in _SHOWN else "application/octet-stream",
        "Content-Disposition": f"{shown}; filename*=UTF-8''{quote(name)}",
        "Content-Security-Policy": _SANDBOX,
        "Cache-Control": cached,
    }
    return web.FileResponse(path, headers=headers)


def _refuse_bad_range(request: web.Request, path: Path) -> None:
    """Refuse a range that the file doesn't have, before aiohttp does so without a word."""
    try:
        start = request.http_range.start
    except ValueError:
        start = 2**62
    size = path.stat().st_size
    if start is not None and start >= max(size, 1):
        message = f"the file has {size} bytes, and no such range."
        raise Refused(416, "bad_range", message, "Ask for 'bytes=FIRST-LAST'.")
