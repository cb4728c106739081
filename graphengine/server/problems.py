"""What the server answers when it can't do what it was asked: problem details as RFC 9457 has them."""

from __future__ import annotations

import json

from aiohttp import web

__all__ = ["problem_response"]


def problem_response(
    status: int, code: str, title: str, detail: str = "", remedy: str = "", **extra: object
) -> web.Response:
    """Make the answer that says what is wrong and what to do.

    Args:
        status: The HTTP status.
        code: A stable name for programs, such as ``origin_refused``.
        title: What kind of problem it is; the same for every one of the code.
        detail: What is wrong this time, and where.
        remedy: What to do about it.
        extra: More for programs, as JSON has it. What is None or an empty text is left out; an empty list says
            something and stays.
    """
    known: dict[str, object] = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    members = known | {"code": code, "remedy": remedy} | extra
    given = {name: value for name, value in members.items() if value is not None and value != ""}
    return web.Response(status=status, body=json.dumps(given).encode(), content_type="application/problem+json")
