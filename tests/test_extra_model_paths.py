from __future__ import annotations

from pathlib import Path

import pytest

from graphengine.config import Settings
from graphengine.errors import GraphEngineError
from graphengine.extra_model_paths import ExtraFolder, read_extra_model_paths


def put(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(path.name)
    return path


def settings(data: Path, text: str = "") -> Settings:
    data.mkdir(parents=True, exist_ok=True)
    if text:
        (data / "extra_model_paths.yaml").write_text(text)
    return Settings.for_user(data=data)


COMFYUI = """
# as ComfyUI ships it
comfyui:
    base_path: {base}
    # is_default: true
    checkpoints: models/checkpoints/
    text_encoders: |
        models/text_encoders/
        models/clip/  # legacy
    loras: ../loras
other:
    loras: near/loras
"""


def test_folders_are_those_of_the_file_relative_to_their_base(tmp_path: Path) -> None:
    file = tmp_path / "data" / "extra_model_paths.yaml"
    put(file).write_text(COMFYUI.format(base=tmp_path / "comfy"))
    base = tmp_path / "comfy" / "models"
    assert read_extra_model_paths(file) == (
        ExtraFolder("checkpoints", base / "checkpoints"),
        ExtraFolder("text_encoders", base / "text_encoders"),
        ExtraFolder("text_encoders", base / "clip"),
        ExtraFolder("loras", tmp_path / "loras"),
        ExtraFolder("loras", tmp_path / "data" / "near" / "loras"),
    )


def test_files_are_found_in_them_after_the_own_ones(tmp_path: Path) -> None:
    found = settings(tmp_path / "data", f"a:\n  base_path: {tmp_path}\n  checkpoints: far\n  text_encoders: texts\n")
    far, near = put(tmp_path / "far" / "a.safetensors"), put(tmp_path / "data/models/checkpoints/b.safetensors")
    text = put(tmp_path / "texts" / "t5.safetensors")
    assert found.find_file("checkpoints", "a.safetensors") == far
    assert found.find_file("checkpoints", "b.safetensors") == near
    assert found.find_file("clip", "t5.safetensors") == text
    assert {"a.safetensors", "b.safetensors", "embedded"} <= set(found.file_names("checkpoints"))
    own = put(tmp_path / "data/models/checkpoints/a.safetensors")
    assert found.find_file("checkpoints", "a.safetensors") == own
    assert found.find_file("checkpoints", "../texts/t5.safetensors") is None


def test_default_folders_come_before_the_own_ones(tmp_path: Path) -> None:
    found = settings(tmp_path / "data", f"a:\n  base_path: {tmp_path}\n  is_default: true\n  vae: far\n")
    far, _near = put(tmp_path / "far" / "a.safetensors"), put(tmp_path / "data/models/vae/a.safetensors")
    assert found.find_file("vae", "a.safetensors") == far


def test_links_to_models_elsewhere_are_followed_and_keep_their_names(tmp_path: Path) -> None:
    found = settings(tmp_path / "data")
    blob = put(tmp_path / "cache" / "blobs" / "0123abcd")
    link = tmp_path / "data" / "models" / "loras" / "style.safetensors"
    link.parent.mkdir(parents=True)
    link.symlink_to(blob)
    (tmp_path / "data" / "models" / "vae").symlink_to(tmp_path / "far")
    vae = put(tmp_path / "far" / "a.safetensors")
    assert found.find_file("loras", "style.safetensors") == link
    assert found.find_file("vae", "a.safetensors") == vae
    assert found.find_file("loras", "../../../cache/blobs/0123abcd") is None
    assert found.find_file("loras", str(blob)) is None


def test_both_names_of_a_kinds_folder_count(tmp_path: Path) -> None:
    found = settings(tmp_path)
    older, newer = put(tmp_path / "models/unet/a.safetensors"), put(tmp_path / "models/diffusion_models/b.safetensors")
    assert found.names_in_folders("unet") == ["a.safetensors", "b.safetensors"]
    assert (found.find_file("unet", "a.safetensors"), found.find_file("unet", "b.safetensors")) == (older, newer)


def test_models_in_subfolders_are_named_by_them_and_a_folder_that_is_a_model_is_one(tmp_path: Path) -> None:
    found = settings(tmp_path)
    put(tmp_path / "models/checkpoints/faces/a.safetensors")
    put(tmp_path / "models/checkpoints/faces/tiny/model_index.json")
    put(tmp_path / "models/checkpoints/faces/.cache/x")
    names = found.file_names("checkpoints")
    assert names == ["embedded", "faces/a.safetensors", "faces/tiny"]
    assert all(found.find_file("checkpoints", name) for name in names)
    put(tmp_path / "input/set/a.png")
    assert found.file_names("input") == ["set"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [1", "can't be read"),
        ("- a\n- b", "it holds no sections"),
        ("a: far", "section 'a' holds no folders"),
        ("a:\n  loras: [x]", "'loras' of section 'a' is"),
    ],
)
def test_a_file_of_another_form_is_refused_by_name(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(GraphEngineError, match=said) as caught:
        settings(tmp_path, text)
    assert str(caught.value).startswith(str(tmp_path / "extra_model_paths.yaml"))


def test_an_empty_file_changes_nothing(tmp_path: Path) -> None:
    assert settings(tmp_path, "# nothing\n").extra_folders == settings(tmp_path / "other").extra_folders == ()
