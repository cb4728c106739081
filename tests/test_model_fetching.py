"""Fetching models, from a stub of the hub on this machine."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from safetensors.torch import save

from graphengine.config import Settings
from graphengine.errors import GraphEngineError
from graphengine.model_fetching import Wanted, fetch
from graphengine.model_listing import ModelHashes, list_models

WEIGHTS = save({"weight": torch.arange(2000.0)})
OTHER_WEIGHTS = save({"weight": torch.zeros(10)})


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@dataclass
class Hub:
    """What the stub serves, and what it was asked for."""

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    claims: dict[str, str] = field(default_factory=dict)
    asked: list[tuple[str, str | None]] = field(default_factory=list)

    def info(self) -> dict[str, Any]:  # Any: JSON values
        siblings = []
        for name, content in self.files.items():
            each: dict[str, Any] = {"rfilename": name, "size": len(content), "blobId": "0"}
            if name.endswith(".safetensors"):
                sha256 = self.claims.get(name, digest(content))
                each["lfs"] = {"size": len(content), "sha256": sha256, "pointerSize": 1}
            siblings.append(each)
        return {"id": "me/tiny", "modelId": "me/tiny", "sha": "c0ffee", "siblings": siblings, "tags": []}


class _Handler(BaseHTTPRequestHandler):
    hub: ClassVar[Hub]

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        self.hub.asked.append((path, self.headers.get("Range")))
        if path.startswith("/api/models/me/tiny"):
            self._send(200, json.dumps(self.hub.info()).encode())
        elif path.startswith("/me/tiny/resolve/c0ffee/") and path.split("/", 5)[5] in self.hub.files:
            self._send_file(self.hub.files[path.split("/", 5)[5]])
        elif path == "/elsewhere/a.safetensors":
            self._send_file(WEIGHTS)
        elif path == "/elsewhere/page.safetensors":
            self._send(200, b"<html>please log in</html>")
        else:
            self._send(404, b"", {"X-Error-Code": "RepoNotFound"})

    def _send_file(self, content: bytes) -> None:
        asked = self.headers.get("Range")
        if not asked:
            self._send(200, content)
            return
        first = int(asked.removeprefix("bytes=").partition("-")[0])
        if first >= len(content):
            self._send(416, b"")
        else:
            self._send(206, content[first:], {"Content-Range": f"bytes {first}-{len(content) - 1}/{len(content)}"})

    def _send(self, status: int, content: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Stay quiet."""


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    hub = Hub()
    handler = type("Handler", (_Handler,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    yield hub
    server.shutdown()
    server.server_close()
    thread.join()


FOLDER = {
    "model_index.json": b"{}",
    "unet/config.json": b"{}",
    "unet/diffusion_pytorch_model.safetensors": WEIGHTS,
    "unet/diffusion_pytorch_model.fp16.safetensors": OTHER_WEIGHTS,
    "unet/diffusion_pytorch_model.bin": b"pickle",
    "tokenizer/merges.txt": b"a b",
    "whole.safetensors": OTHER_WEIGHTS,
    "README.md": b"read me",
}


def names_in(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_the_only_weights_of_a_repository_come_and_are_checked(hub: Hub, tmp_path: Path) -> None:
    hub.files = {"a.safetensors": WEIGHTS, "README.md": b""}
    path = fetch(Wanted(source="me/tiny", sha256=digest(WEIGHTS).upper()), tmp_path, endpoint=hub.url)
    assert path == tmp_path / "a.safetensors"
    assert path.read_bytes() == WEIGHTS
    assert names_in(tmp_path) == {"a.safetensors"}


def test_a_folder_comes_without_what_is_not_read(hub: Hub, tmp_path: Path) -> None:
    hub.files = dict(FOLDER)
    path = fetch(Wanted(source="me/tiny"), tmp_path, endpoint=hub.url)
    assert path == tmp_path / "tiny"
    assert names_in(path) == {
        "model_index.json", "unet/config.json", "unet/diffusion_pytorch_model.safetensors", "tokenizer/merges.txt",
    }  # fmt: skip
    half = fetch(Wanted(source="me/tiny", variant="fp16", name="half"), tmp_path, endpoint=hub.url)
    assert "unet/diffusion_pytorch_model.fp16.safetensors" in names_in(half)
    assert "unet/diffusion_pytorch_model.safetensors" not in names_in(half)


def test_one_file_comes_by_its_name_or_by_the_url_of_its_page(hub: Hub, tmp_path: Path) -> None:
    hub.files = dict(FOLDER)
    first = fetch(Wanted(source="me/tiny", file="whole.safetensors"), tmp_path, endpoint=hub.url)
    page = f"{hub.url}/me/tiny/blob/main/whole.safetensors"
    second = fetch(Wanted(source=page, name="again.safetensors"), tmp_path, endpoint=hub.url)
    assert first.read_bytes() == second.read_bytes() == OTHER_WEIGHTS


def test_what_was_broken_off_goes_on_where_it_stopped(hub: Hub, tmp_path: Path) -> None:
    hub.files = {"a.safetensors": WEIGHTS}
    (tmp_path / ".a.safetensors.partial").write_bytes(WEIGHTS[:3000])
    path = fetch(Wanted(source="me/tiny"), tmp_path, endpoint=hub.url)
    assert path.read_bytes() == WEIGHTS
    assert hub.asked[-1][1] == "bytes=3000-"


def test_what_had_come_completely_is_only_checked(hub: Hub, tmp_path: Path) -> None:
    (tmp_path / ".a.safetensors.partial").write_bytes(WEIGHTS)
    path = fetch(Wanted(source=f"{hub.url}/elsewhere/a.safetensors"), tmp_path)
    assert path.read_bytes() == WEIGHTS


def test_any_url_of_weights_will_do(hub: Hub, tmp_path: Path) -> None:
    wanted = Wanted(source=f"{hub.url}/elsewhere/a.safetensors?token=1", sha256=digest(WEIGHTS))
    assert fetch(wanted, tmp_path).read_bytes() == WEIGHTS


def test_a_file_with_another_hash_does_not_stay(hub: Hub, tmp_path: Path) -> None:
    with pytest.raises(GraphEngineError, match="what came has the SHA-256"):
        fetch(Wanted(source=f"{hub.url}/elsewhere/a.safetensors", sha256="0" * 64), tmp_path)
    hub.files, hub.claims = {"a.safetensors": WEIGHTS}, {"a.safetensors": "1" * 64}
    with pytest.raises(GraphEngineError, match="what came has the SHA-256"):
        fetch(Wanted(source="me/tiny"), tmp_path, endpoint=hub.url)
    with pytest.raises(GraphEngineError, match="the hub has it with the SHA-256 111"):
        fetch(Wanted(source="me/tiny", sha256="0" * 64), tmp_path, endpoint=hub.url)
    assert names_in(tmp_path) == set()


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (Wanted(source="me/gone"), "there is none of that name, or it is private"),
        (
            Wanted(source="me/tiny", file="b.safetensors"),
            "it has no file 'b.safetensors'\n  Name one with --file: a.saf",
        ),
        (Wanted(source="me/tiny", file="old.ckpt"), "'old.ckpt' is no safetensors file"),
        (Wanted(source="me/tiny"), "it has 2 safetensors files and no model_index.json"),
        (Wanted(source="me/tiny", file="a.safetensors", name="../b.safetensors"), "is no name of a file"),
        (Wanted(source="what is this"), "neither a repository's name nor a URL"),
        (Wanted(source="{url}/elsewhere/page.safetensors"), "cut off|damaged"),
        (Wanted(source="{url}/elsewhere/gone.safetensors"), "can't be fetched"),
        (Wanted(source="http://127.0.0.1:9/a.ckpt"), "no safetensors file"),
    ],
    ids=str,
)
def test_refusals_say_what_to_do(hub: Hub, tmp_path: Path, wanted: Wanted, said: str) -> None:
    hub.files = {"a.safetensors": WEIGHTS, "b/c.safetensors": WEIGHTS, "old.ckpt": b"x"}
    wanted = Wanted(**{**vars(wanted), "source": wanted.source.replace("{url}", hub.url)})
    with pytest.raises(GraphEngineError, match=said) as caught:
        fetch(wanted, tmp_path, endpoint=hub.url)
    assert "\n  " in str(caught.value)
    assert names_in(tmp_path) == set()


def test_what_is_there_is_not_overwritten(hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "a.safetensors").write_text("mine")
    with pytest.raises(GraphEngineError, match="this exists already"):
        fetch(Wanted(source=f"{hub.url}/elsewhere/a.safetensors"), tmp_path)
    assert (tmp_path / "a.safetensors").read_text() == "mine"


def test_names_that_lead_out_of_the_folder_are_refused(hub: Hub, tmp_path: Path) -> None:
    hub.files = {"model_index.json": b"{}", "unet/../../../evil.safetensors": WEIGHTS, "unet/m.safetensors": WEIGHTS}
    with pytest.raises(GraphEngineError, match="is no name of a file"):
        fetch(Wanted(source="me/tiny"), tmp_path / "in", endpoint=hub.url)
    assert "evil.safetensors" not in {Path(name).name for name in names_in(tmp_path)}


def test_models_are_listed_with_family_size_and_known_hash(tmp_path: Path) -> None:
    settings = Settings.for_user(data=tmp_path)
    lora = tmp_path / "models" / "loras" / "style.safetensors"
    lora.parent.mkdir(parents=True)
    lora.write_bytes(WEIGHTS)
    hashes = ModelHashes(tmp_path / "hashes.json")
    listed = {model.name: model for model in list_models(settings, hashes)}
    assert (listed["style.safetensors"].kind, listed["style.safetensors"].size_bytes) == ("loras", len(WEIGHTS))
    assert listed["style.safetensors"].sha256 is None
    assert listed["embedded"].size_bytes > 10_000_000
    assert hashes.compute(lora) == digest(WEIGHTS)
    again = {model.name: model for model in list_models(settings, ModelHashes(tmp_path / "hashes.json"), ["loras"])}
    assert again["style.safetensors"].sha256 == digest(WEIGHTS)
    lora.write_bytes(OTHER_WEIGHTS)
    assert ModelHashes(tmp_path / "hashes.json").known(lora) is None


def test_the_commands_fetch_and_list(hub: Hub, tmp_path: Path) -> None:
    hub.files = {"a.safetensors": WEIGHTS}
    code = "import sys; from graphengine.cli import main; sys.exit(main(sys.argv[1:]) or ('torch' in sys.modules) * 9)"

    def run(*arguments: str) -> list[dict[str, Any]]:  # Any: JSON values
        done = subprocess.run(
            [sys.executable, "-c", code, "models", *arguments, "--data", str(tmp_path), "--json"],
            capture_output=True, text=True, env=os.environ | {"HF_ENDPOINT": hub.url}, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    (fetched,) = run("get", "me/tiny", "--kind", "loras")
    assert fetched["sha256"] == digest(WEIGHTS)
    listed = {model["name"]: model["sha256"] for model in run("list", "--kind", "loras")}
    assert listed["a.safetensors"] == digest(WEIGHTS)
