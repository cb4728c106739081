from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from graphengine.diffusion import latent_files
from graphengine.errors import InputError
from graphengine.types import Latent, Mask


def drawn() -> Latent:
    return Latent(torch.randn(2, 4, 3, 5), Mask(torch.rand(1, 24, 40)))


def test_a_latent_comes_back_bit_for_bit_with_its_mask(tmp_path: Path) -> None:
    latent = drawn()
    assert latent.noise_mask is not None
    latent_files.save(latent, tmp_path / "a.safetensors", workflow="{}")
    again = latent_files.load(tmp_path / "a.safetensors")
    assert torch.equal(again.samples, latent.samples)
    assert again.noise_mask is not None
    assert torch.equal(again.noise_mask, latent.noise_mask)
    with safe_open(tmp_path / "a.safetensors", framework="pt") as file:
        assert file.metadata()["graphengine"] == "{}"
    latent_files.save(Latent(latent.samples.transpose(2, 3)), tmp_path / "b.safetensors")
    turned = latent_files.load(tmp_path / "b.safetensors")
    assert torch.equal(turned.samples, latent.samples.transpose(2, 3))
    assert turned.noise_mask is None


def test_latents_of_comfyui_are_read_and_the_oldest_brought_to_the_models_units(tmp_path: Path) -> None:
    """Before its files said their version, they held latents as Stable Diffusion 1's autoencoder has them."""
    path, samples = tmp_path / "a.latent", torch.randn(1, 4, 2, 3)
    save_file({"latent_tensor": samples, "latent_format_version_0": torch.tensor([])}, path, {"prompt": "{}"})
    assert torch.equal(latent_files.load(path).samples, samples)
    save_file({"latent_tensor": samples.half()}, path)
    torch.testing.assert_close(latent_files.load(path).samples, samples.half().float() / 0.18215)


def test_other_files_are_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "odd.safetensors"
    for content in ({"samples": torch.zeros(1, 4, 2, 2)}, {"latent_tensor": torch.zeros(1), "more": torch.zeros(1)}):
        save_file(content, path)
        with pytest.raises(InputError, match="holds no latent, but something else"):
            latent_files.load(path)
    save_file({"latent_tensor": torch.zeros(1, 4, 1, 2, 2)}, path)
    with pytest.raises(InputError, match="odd shapes"):
        latent_files.load(path)
    save_file({"samples": torch.zeros(4)}, path, metadata={"kind": latent_files.KIND})
    with pytest.raises(InputError, match="odd shapes"):
        latent_files.load(path)
    path.write_bytes(b"\x80\x02pickle")
    with pytest.raises(InputError, match="can't be read"):
        latent_files.load(path)


def test_a_file_cut_off_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "half.safetensors"
    latent_files.save(drawn(), path)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(InputError, match="cut off") as caught:
        latent_files.load(path)
    assert caught.value.input == "latent"
