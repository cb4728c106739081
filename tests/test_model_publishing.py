"""Giving models to the hub, to a stub of it on this machine."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

from graphengine.authoring.testing import FakeContext
from graphengine.errors import GraphEngineError, InputError
from graphengine.model_publishing import publish
from graphengine_nodes.publishing import push_to_hub

TOKEN = "hf_secret"


pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # huggingface_hub's own


@dataclass
class Hub:
    """What the stub was told.

    Attributes:
        refuses: With which status it answers whoever wants to write.
        made: What each repository was asked to be.
        large: The bytes of large files, by their hash.
        commits: The files of each commit: their bytes, or the hash of a large one.
        tokens: Who asked.
    """

    url: str = ""
    refuses: int = 0
    made: list[dict[str, Any]] = field(default_factory=list)  # Any: JSON values
    large: dict[str, bytes] = field(default_factory=dict)
    commits: list[dict[str, bytes | str]] = field(default_factory=list)
    tokens: set[str | None] = field(default_factory=set)


class _Handler(BaseHTTPRequestHandler):
    hub: ClassVar[Hub]

    def do_POST(self) -> None:
        body = self._body()
        self.hub.tokens.add(self.headers.get("Authorization"))
        match self.path.partition("?")[0]:
            case path if self.hub.refuses and not path.startswith("/large"):
                self._send(self.hub.refuses, {"error": f"not with {TOKEN}"})
            case "/api/repos/create":
                self.hub.made.append(json.loads(body))
                self._send(200, {"url": f"{self.hub.url}/me/tiny"})
            case "/api/models/me/tiny/preupload/main":
                files = [each["path"] for each in json.loads(body)["files"]]
                modes = {name: "lfs" if name.endswith(".safetensors") else "regular" for name in files}
                told = [{"path": name, "uploadMode": mode, "shouldIgnore": False} for name, mode in modes.items()]
                self._send(200, {"files": told})
            case "/me/tiny.git/info/lfs/objects/batch":
                objects = [
                    {**each, "actions": {"upload": {"href": f"{self.hub.url}/large/{each['oid']}"}}}
                    for each in json.loads(body)["objects"]
                ]
                self._send(200, {"transfer": "basic", "objects": objects})
            case "/api/models/me/tiny/commit/main":
                self.hub.commits.append(dict(_committed(json.loads(line)) for line in body.splitlines()[1:]))
                self._send(200, {"commitUrl": f"{self.hub.url}/me/tiny/commit/1", "commitOid": "1"})
            case "/api/validate-yaml":
                self._send(200, {"errors": [], "warnings": []})
            case _:
                self._send(404, {})

    def do_PUT(self) -> None:
        self.hub.large[self.path.rpartition("/")[2]] = self._body()
        self._send(200, {})

    def do_GET(self) -> None:
        self._send(200, {"id": "me/tiny", "sha": "0", "siblings": [], "tags": []})

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _send(self, status: int, content: object) -> None:
        told = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(told)))
        self.end_headers()
        self.wfile.write(told)

    def log_message(self, format: str, *args: object) -> None:
        """Stay quiet."""


def _committed(line: dict[str, Any]) -> tuple[str, bytes | str]:  # Any: JSON values
    value = line["value"]
    return value["path"], value["oid"] if line["key"] == "lfsFile" else base64.b64decode(value["content"])


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    for name, value in {"HF_HUB_OFFLINE": False, "HF_HUB_DISABLE_XET": True, "ENDPOINT": hub.url}.items():
        monkeypatch.setattr(f"huggingface_hub.constants.{name}", value)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    yield hub
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """What a node saved in the output folder."""
    folder = tmp_path / "output" / "digits"
    (folder / "unet").mkdir(parents=True)
    (folder / "unet" / "weights.safetensors").write_bytes(b"many numbers")
    (folder / "README.md").write_text("---\nlicense: mit\n---\n# Digits\n")
    (folder / ".draft.1.partial").write_bytes(b"half")
    return folder


def test_a_folder_goes_into_a_private_repository(hub: Hub, saved: Path, tmp_path: Path) -> None:
    context = FakeContext(tmp_path)
    url = push_to_hub(context, str(saved), " me/tiny ", push=True)
    assert url == f"{hub.url}/me/tiny"
    (made,) = hub.made
    assert (made["name"], made["organization"], made["visibility"]) == ("tiny", "me", "private")
    (commit,) = hub.commits
    assert set(commit) == {"README.md", "unet/weights.safetensors"}
    assert commit["README.md"] == (saved / "README.md").read_bytes()
    assert hub.large[str(commit["unet/weights.safetensors"])] == b"many numbers"
    assert hub.tokens >= {f"Bearer {TOKEN}"}


def test_a_file_goes_by_itself_and_a_repository_can_be_public(hub: Hub, saved: Path) -> None:
    publish(saved / "unet" / "weights.safetensors", "me/tiny", private=False)
    assert hub.made[0].get("visibility", "public") == "public"
    assert [set(commit) for commit in hub.commits] == [{"weights.safetensors"}]


def test_nothing_leaves_the_machine_unless_it_is_asked_for(hub: Hub, saved: Path, tmp_path: Path) -> None:
    context = FakeContext(tmp_path)
    assert push_to_hub(context, str(saved), "me/tiny") == ""
    assert context.warnings == ["Nothing was uploaded: push is off."]
    with pytest.raises(InputError, match="is not in the output folder"):
        push_to_hub(context, __file__, "me/tiny", push=True)
    with pytest.raises(InputError, match="is not in the output folder"):
        push_to_hub(context, str(tmp_path / "output" / ".." / "data"), "me/tiny", push=True)
    with pytest.raises(InputError, match="there is nothing at"):
        push_to_hub(context, str(tmp_path / "output" / "gone"), "me/tiny", push=True)
    assert not hub.tokens


def test_offline_or_without_a_token_the_hub_is_not_asked(
    hub: Hub, saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match="HF_HUB_OFFLINE is set"):
        publish(saved, "me/tiny")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "none"))
    with pytest.raises(InputError, match=r"no token of the Hugging Face hub(?s:.*)hf auth login"):
        publish(saved, "me/tiny")
    assert not hub.tokens


@pytest.mark.parametrize(
    ("status", "said"), [(403, "the token may not write there"), (500, "the hub answers 500")], ids=["not yours", "ill"]
)
def test_refusals_say_what_to_do_and_no_token(hub: Hub, saved: Path, status: int, said: str) -> None:
    hub.refuses = status
    with pytest.raises(GraphEngineError, match=f"me/tiny: can't be uploaded: {said}") as caught:
        publish(saved, "me/tiny")
    assert TOKEN not in str(caught.value)
    assert not hub.commits


def test_a_hub_that_can_not_be_reached_is_named(hub: Hub, saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(GraphEngineError, match="Check the network"):
        publish(saved, "me/tiny", endpoint="http://127.0.0.1:1")
