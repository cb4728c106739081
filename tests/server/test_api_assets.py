"""Files over HTTP: what jobs wrote, what users brought, small pictures, and what a browser may keep."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image as pillow

from tests.server.running import Json, Reply, Server, one_node, running, workflow


def picture(shade: int, kind: str = "PNG", side: int = 48) -> bytes:
    buffer = io.BytesIO()
    pillow.new("RGB", (side, side // 2), (shade, 20, 30)).save(buffer, kind)
    return buffer.getvalue()


def upload(server: Server, content: bytes, name: str = "a picture.png", *, as_: str | None = None) -> Reply:
    head = f'--limit\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'
    return server.ask(
        "POST",
        "/assets",
        raw=head.encode() + content + b"\r\n--limit--\r\n",
        headers={"Content-Type": "multipart/form-data; boundary=limit"},
        as_=as_,
    )


def painted(server: Server, level: float) -> Json:
    job = server.end_of(server.submit(one_node("t.Paint", level=level)))
    (output,) = job["outputs"]
    return output


def test_upload_is_what_load_image_loads(server: Server) -> None:
    reply = upload(server, picture(1))
    assert reply.status == 201
    asset = reply.json
    assert (asset["name"], asset["media_type"], asset["source"]) == ("a picture.png", "image/png", "upload")
    nodes = {
        "load": ("LoadImage", {"image": asset["input"]}),
        "save": ("t.SaveCopy", {"image": {"$link": "load.image"}}),
    }
    job = server.end_of(server.submit(workflow(nodes)))
    assert job["state"] == "done", job["error"]
    copy = server.ask("GET", f"/assets/{job['outputs'][0]['asset']}")
    with pillow.open(io.BytesIO(copy.body)) as opened:
        assert opened.convert("RGB").getpixel((0, 0)) == (1, 20, 30)


def test_uploads_are_among_the_files_that_inputs_may_name(server: Server) -> None:
    asset = upload(server, picture(2)).json
    assert asset["input"] in server.ask("GET", "/files/input").json["names"]
    assert "uploads" not in server.ask("GET", "/files/input").json["names"]
    assert server.ask("GET", "/files/odd").code == "unknown_kind"


def test_upload_is_given_back_by_its_hash(server: Server) -> None:
    content = picture(3, "JPEG")
    asset = upload(server, content, "p.exe").json
    assert asset["name"] == "p.jpg"
    reply = server.ask("GET", f"/assets/{asset['asset']}")
    assert reply.body == content
    assert reply.headers["content-type"] == "image/jpeg"
    assert "sandbox" in reply.headers["content-security-policy"]
    assert reply.headers["x-content-type-options"] == "nosniff"


def test_what_no_browser_may_show_is_only_saved(server: Server) -> None:
    job = server.end_of(server.submit(one_node("t.Say", text="<script>alert(1)</script>", name="page.html")))
    reply = server.ask("GET", f"/assets/{job['outputs'][0]['asset']}")
    assert reply.headers["content-type"] == "application/octet-stream"
    assert reply.headers["content-disposition"].startswith("attachment")


def test_assets_are_listed_in_pages(server: Server) -> None:
    mine = [painted(server, level)["asset"] for level in (0.11, 0.12, 0.13)]
    found: list[str] = []
    query = ""
    while not set(mine) <= set(found):
        page = server.ask("GET", f"/assets?limit=2{query}").json
        found += [each["asset"] for each in page["assets"]]
        if page["next"] is None:
            break
        query = f"&before={page['next']}"
    assert [each for each in found if each in mine] == mine[::-1]


def test_thumbnail_fits_its_square(server: Server) -> None:
    asset = upload(server, picture(4, side=1000)).json["asset"]
    for side in (128, 256, 512):
        reply = server.ask("GET", f"/assets/{asset}/thumbnail?side={side}")
        assert reply.headers["content-type"] == "image/webp"
        with pillow.open(io.BytesIO(reply.body)) as small:
            assert small.size == (side, side // 2)
    assert server.ask("GET", f"/assets/{asset}/thumbnail?side=300").code == "bad_parameter"
    words = server.end_of(server.submit(one_node("t.Say", text="no picture")))["outputs"][0]["asset"]
    assert server.ask("GET", f"/assets/{words}/thumbnail").code == "no_picture"


def test_known_file_isnt_sent_again(server: Server) -> None:
    asset = upload(server, picture(5)).json["asset"]
    etag = server.ask("GET", f"/assets/{asset}").headers["etag"]
    again = server.ask("GET", f"/assets/{asset}", headers={"If-None-Match": etag})
    assert (again.status, again.body) == (304, b"")


def test_part_of_a_file_is_given(server: Server) -> None:
    content = picture(6)
    asset = upload(server, content).json["asset"]
    reply = server.ask("GET", f"/assets/{asset}", headers={"Range": "bytes=2-5"})
    assert (reply.status, reply.body) == (206, content[2:6])
    for wrong in ("bytes=999999-", "bytes=5-2", "lines=1", "bytes=-"):
        reply = server.ask("GET", f"/assets/{asset}", headers={"Range": wrong})
        assert (reply.status, reply.code) == (416, "bad_range"), wrong


def test_deleted_file_is_gone(server: Server) -> None:
    output = painted(server, 0.21)
    job = next(each for each in server.ask("GET", "/assets").json["assets"] if each["asset"] == output["asset"])["job"]
    (written,) = server.data.glob(f"output/*/*-{job[-8:]}/{output['path']}")
    assert server.ask("DELETE", f"/assets/{output['asset']}").status == 204
    assert server.ask("GET", f"/assets/{output['asset']}").code == "unknown_asset"
    assert not written.exists()
    brought = upload(server, picture(7)).json
    assert server.ask("DELETE", f"/assets/{brought['asset']}").status == 204
    assert not list(server.data.glob(f"input*/{brought['input']}"))


def test_file_that_was_removed_by_hand_is_gone_and_can_be_forgotten(server: Server) -> None:
    asset = upload(server, picture(8)).json
    Path(next(server.data.glob(f"input*/{asset['input']}"))).unlink()
    assert server.ask("GET", f"/assets/{asset['asset']}").status == 410
    assert server.ask("GET", f"/assets/{asset['asset']}").code == "gone"
    assert server.ask("DELETE", f"/assets/{asset['asset']}").status == 204
    assert server.ask("GET", f"/assets/{asset['asset']}").code == "unknown_asset"


def test_preview_of_a_finished_job_is_given(server: Server) -> None:
    nodes = {"paint": ("t.Paint", {"level": 0.3}), "show": ("PreviewImage", {"images": {"$link": "paint.image"}})}
    job = server.end_of(server.submit(workflow(nodes)))
    shown = next(output for output in job["outputs"] if output["temporary"])
    reply = server.ask("GET", f"/assets/{shown['asset']}")
    assert reply.body.startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("content", "code"),
    [(b"words", "upload_refused"), (b"", "upload_refused"), (picture(9)[:60], "upload_refused")],
    ids=["words", "empty", "cut off"],
)
def test_only_pictures_and_tensors_are_taken(server: Server, content: bytes, code: str) -> None:
    reply = upload(server, content)
    assert (reply.status, reply.code) == (415, code)


def test_form_without_a_file_is_refused(server: Server) -> None:
    other = b'--limit\r\nContent-Disposition: form-data; name="other"\r\n\r\nx\r\n--limit--\r\n'
    kind = {"Content-Type": "multipart/form-data; boundary=limit"}
    assert server.ask("POST", "/assets", raw=other, headers=kind).code == "no_file"
    assert server.ask("POST", "/assets", {"file": "x"}).code == "not_a_form"


def test_files_of_a_pruned_job_stay_and_are_no_assets(tmp_path: Path) -> None:
    with running(tmp_path) as server:
        output = painted(server, 0.41)
        (written,) = server.data.glob(f"output/*/*/{output['path']}")
        brought = upload(server, picture(10)).json
        assert server.ask("POST", "/jobs/prune", {"keep": 0}).json["removed"] == 1
        assert written.is_file()
        assert [each["asset"] for each in server.ask("GET", "/assets").json["assets"]] == [brought["asset"]]
        for path in (f"/assets/{output['asset']}", f"/assets/{output['asset']}/thumbnail"):
            assert server.ask("GET", path).code == "unknown_asset"
        again = painted(server, 0.41)
        assert again["asset"] == output["asset"]
        assert server.ask("GET", f"/assets/{output['asset']}").body == written.read_bytes()
