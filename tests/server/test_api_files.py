"""Pictures by name: the shipped ones, one's own, and nothing else."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image as pillow

from tests.server.running import Server
from tests.server.test_api_assets import picture, upload

SHIPPED = "/files/input/inputs/blue_square.png"


def test_shipped_picture_is_given_by_the_name_that_its_workflow_has(server: Server) -> None:
    reply = server.ask("GET", SHIPPED)
    assert (reply.status, reply.headers["content-type"]) == (200, "image/png")
    assert reply.body.startswith(b"\x89PNG")
    assert "sandbox" in reply.headers["content-security-policy"]
    assert reply.headers["x-content-type-options"] == "nosniff"


def test_small_picture_fits_its_square(server: Server) -> None:
    name = upload(server, picture(61, side=700), "wide.png").json["input"]
    reply = server.ask("GET", f"/files/input/{name}?size=128")
    assert reply.headers["content-type"] == "image/webp"
    with pillow.open(io.BytesIO(reply.body)) as small:
        assert small.size == (128, 64)
    assert server.ask("GET", f"{SHIPPED}?size=300").code == "bad_parameter"


def test_another_picture_under_the_same_name_is_seen(server: Server) -> None:
    path = server.data / "input" / "changing.png"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(picture(62))
    first = server.ask("GET", "/files/input/changing.png")
    again = server.ask("GET", "/files/input/changing.png", headers={"If-None-Match": first.headers["etag"]})
    assert (first.body, again.status) == (picture(62), 304)
    path.write_bytes(picture(63, side=60))
    assert server.ask("GET", "/files/input/changing.png").body == picture(63, side=60)
    assert "no-cache" in first.headers["cache-control"]


@pytest.mark.parametrize(
    ("address", "code"),
    [
        ("/files/checkpoints/model.safetensors", "unknown_kind"),
        ("/files/input/nothing.png", "file_not_found"),
        ("/files/input/uploads", "file_not_found"),
        ("/files/input/..%2f..%2ftokens.json", "file_not_found"),
        ("/files/input/%2fetc%2fpasswd", "file_not_found"),
        ("/files/input/a%00b.png", "file_not_found"),
        ("/files/input/notes.txt", "no_picture"),
        ("/files/input/inpaint.json", "no_picture"),
    ],
)
def test_nothing_but_pictures_is_given(server: Server, address: str, code: str) -> None:
    notes = server.data / "input" / "notes.txt"
    notes.parent.mkdir(exist_ok=True)
    notes.write_text("mine")
    assert server.ask("GET", address).code == code


def test_page_that_is_named_as_a_picture_is_only_shown_as_one(server: Server) -> None:
    folder = server.data / "input"
    folder.mkdir(exist_ok=True)
    for name in ("page.png", "drawing.svg"):
        Path(folder / name).write_text("<script>alert(1)</script>")
    page, drawing = (server.ask("GET", f"/files/input/{name}") for name in ("page.png", "drawing.svg"))
    assert page.headers["content-type"] == "image/png"
    assert drawing.headers["content-disposition"].startswith("attachment")
    assert server.ask("GET", "/files/input/page.png?size=128").code == "upload_refused"


def test_nobody_is_shown_anothers_upload(guarded: Server) -> None:
    name = upload(guarded, picture(64), "mine.png", as_="anna").json["input"]
    assert guarded.ask("GET", f"/files/input/{name}", as_="anna").body == picture(64)
    for address in (name, f"{name}?size=128", f"uploads/ben/..%2f..%2f{name}"):
        assert guarded.ask("GET", f"/files/input/{address}", as_="ben").code == "file_not_found"
    assert guarded.ask("GET", SHIPPED, as_="ben").status == 200
    assert guarded.ask("GET", SHIPPED).code == "token_required"
