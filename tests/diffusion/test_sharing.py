"""Files that are opened several times, whole, in parts and in several formats: what can be shared is there once."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from graphengine.config import Settings
from graphengine.core.registry import Registry
from graphengine.diffusion import checkpoints, clip_vision, control_files, ip_adapter_files
from graphengine.engine import Engine
from graphengine_nodes import pack
from tests.diffusion.tiny_checkpoint import tiny_clip, tiny_model, tiny_vae
from tests.diffusion.tiny_control import controlnet, steered_model
from tests.diffusion.tiny_image_prompt import image_encoder, ip_adapter
from tests.drawn import drawn

T = TypeVar("T")


class Shared:
    """Keeps all that is made."""

    def __init__(self) -> None:
        self._made: dict[str, Any] = {}  # Any: whatever is made

    def __call__(self, key: str, factory: Callable[[], T], /) -> T:
        if key not in self._made:
            self._made[key] = factory()
        made: T = self._made[key]
        return made


def networks(path: Path, share: Shared, precision: Any) -> list[nn.Module]:  # Any: one of a few names
    model, clip, vae = checkpoints.load(path, precision=precision, share=share)
    return [model.network, clip.encoders[0].network, vae.autoencoder]


@pytest.fixture(scope="module", params=["file", "folder"])
def path(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tmp_path_factory.mktemp("sharing") / "tiny"
    if request.param == "folder":
        checkpoints.save(path, model=tiny_model(), clip=tiny_clip(), vae=tiny_vae())
        return path
    path = path.with_suffix(".safetensors")
    checkpoints.save_single_file(path, model=tiny_model(), clip=tiny_clip(), vae=tiny_vae(), dtype=torch.float32)
    return path


def test_formats_that_come_to_the_same_share_their_networks(path: Path) -> None:
    share = Shared()
    first, again, other = (networks(path, share, each) for each in ("file", "float32", "bfloat16"))
    assert all(one is two for one, two in zip(first, again, strict=True))
    assert not any(one is two for one, two in zip(first, other, strict=True))


def test_parts_share_with_the_whole(path: Path) -> None:
    share = Shared()
    model, clip, vae = checkpoints.load(path, precision="file", share=share)
    assert checkpoints.load_model(path, precision="file", share=share).network is model.network
    assert checkpoints.load_clip(path, precision="file", share=share).encoders[0].network is clip.encoders[0].network
    assert checkpoints.load_vae(path, precision="file", share=share).autoencoder is vae.autoencoder


def test_a_file_that_was_written_again_is_opened_again(path: Path) -> None:
    share = Shared()
    first = networks(path, share, "file")
    for file in [path] if path.is_file() else path.rglob("*.safetensors"):
        os.utime(file, ns=(1, file.stat().st_mtime_ns + 1_000_000))
    assert not any(one is two for one, two in zip(first, networks(path, share, "file"), strict=True))


def test_opening_again_puts_nothing_new_into_a_shared_network(path: Path) -> None:
    """It may be on another device by then."""
    share = Shared()
    first, again = ([id(each) for network in networks(path, share, "file") for each in network.buffers()] for _ in "ab")
    assert first == again


@pytest.mark.parametrize(
    ("read", "tensors"),
    [
        (control_files.read, lambda: controlnet().state_dict()),
        (ip_adapter_files.read, lambda: ip_adapter(steered_model().network)),
        (clip_vision.read, lambda: image_encoder().state_dict()),
    ],
    ids=["ControlNet", "IP-Adapter", "image encoder"],
)
def test_what_stands_beside_a_checkpoint_is_shared_too(tmp_path: Path, read: Any, tensors: Callable[[], Any]) -> None:
    path, share = tmp_path / "a.safetensors", Shared()
    save_file(tensors(), path)
    first, again, other = (read(path, precision=each, share=share).network for each in ("file", "float32", "bfloat16"))
    assert first is again
    assert first is not other


def test_autoencoders_that_scale_otherwise_are_others(tmp_path: Path) -> None:
    path, share = tmp_path / "vae.safetensors", Shared()
    checkpoints.save_vae_file(path, tiny_vae())
    content = path.read_bytes()
    path.write_bytes(content.replace(b"graphengine_part", b"graphengine_none"))  # else it says itself how it scales
    first, second = (checkpoints.load_vae(path, latents=each, share=share) for each in ("sd", "sd3"))
    assert first.autoencoder is not second.autoencoder


def test_nodes_of_a_run_open_a_file_once(tmp_path: Path) -> None:
    shipped = Settings(tmp_path, tmp_path).roots
    engine = Engine(Registry([pack]), Settings(data=tmp_path / "data", output=tmp_path / "out", roots=shipped))
    nodes = {"a": ("LoadCheckpoint", {"precision": "auto"}), "b": ("LoadCheckpoint", {"precision": "float32"})}
    outputs = {f"{node}{part}": {"from": f"{node}.{part}"} for node in nodes for part in ("model", "vae")}
    found = engine.run(drawn(nodes, outputs=outputs)).outputs
    assert found["amodel"].network is found["bmodel"].network
    assert found["avae"].autoencoder is found["bvae"].autoencoder
