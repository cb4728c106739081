"""Whole pipelines of diffusers as one node: what it asks for, what it gives, what it refuses."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from PIL import Image as pillow

from graphengine.config import Settings
from graphengine.core.events import Event, NodeProgress
from graphengine.core.graph import check
from graphengine.core.registry import Registry
from graphengine.engine import Engine
from graphengine.engine.context import RunServices
from graphengine.errors import Cancelled, Problem
from graphengine.media_types import Audio, Video
from graphengine_nodes import pack
from tests.diffusion import tiny_pipelines
from tests.drawn import Seen, drawn


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root: Path = tmp_path_factory.mktemp("models")
    tiny_pipelines.save_unconditional(root / "pipelines" / "ddpm", "DDPM")
    tiny_pipelines.save_unconditional(root / "pipelines" / "ddim", "DDIM")
    tiny_pipelines.save_sound(root / "pipelines" / "sound")
    return root


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry([pack])


@pytest.fixture
def engine(models: Path, registry: Registry, tmp_path: Path) -> Engine:
    return Engine(registry, Settings(data=tmp_path / "data", output=tmp_path / "output", roots=(models,)))


def _problems(engine: Engine, registry: Registry, **inputs: object) -> list[Problem]:
    workflow = drawn({"run": ("DiffusersPipeline", inputs)}, outputs={"images": {"from": "run.images"}})
    return check(workflow, registry.definitions, engine.settings, function_of=registry.function)


def _outputs(engine: Engine, output: str, *, emit: Any = None, **inputs: object) -> Any:  # Any: a socket value
    workflow = drawn({"run": ("DiffusersPipeline", inputs)}, outputs={output: {"from": f"run.{output}"}})
    return engine.run(workflow, emit=emit or (lambda event: None)).outputs[output]


@pytest.mark.parametrize("kind", ["DDPM", "DDIM"])
def test_unconditional_pictures_are_the_pipelines_own(engine: Engine, models: Path, kind: str) -> None:
    folder = models / "pipelines" / kind.lower()
    images = _outputs(engine, "images", pipeline=kind.lower(), seed=5, num_inference_steps=2, batch_size=2)
    own = getattr(diffusers, f"{kind}Pipeline").from_pretrained(folder, local_files_only=True)
    own.unet.requires_grad_(False)  # as ours: with gradients torch takes another convolution, which rounds differently
    generators = [torch.Generator().manual_seed(seed) for seed in (5, 6)]
    expected = own(batch_size=2, num_inference_steps=2, generator=generators, output_type="np").images
    assert images.shape == (2, 8, 8, 3)
    assert torch.equal(images, torch.from_numpy(expected))


def test_sound_has_the_models_rate(engine: Engine, models: Path) -> None:
    audio = _outputs(engine, "audio", pipeline="sound", seed=1, num_inference_steps=2)
    own = diffusers.DanceDiffusionPipeline.from_pretrained(models / "pipelines" / "sound", local_files_only=True)
    expected = own(num_inference_steps=2, generator=torch.Generator().manual_seed(1)).audios
    assert isinstance(audio, Audio)
    assert (audio.sample_rate, audio.waveform.shape, audio.seconds) == (4000, (1, 2, 512), 0.128)
    assert torch.equal(audio.waveform, torch.from_numpy(expected))


@pytest.mark.slow
def test_video_is_the_pipelines_own(engine: Engine, models: Path) -> None:
    folder = tiny_pipelines.save_video(models / "pipelines" / "video")
    given: dict[str, Any] = {"prompt": "red", "num_frames": 2, "num_inference_steps": 2, "height": 16, "width": 16}
    video = _outputs(engine, "video", pipeline="video", seed=3, **given)
    own = diffusers.AnimateDiffPipeline.from_pretrained(folder, local_files_only=True)
    expected = own(**given, generator=torch.Generator().manual_seed(3), output_type="np").frames
    assert isinstance(video, Video)
    assert (video.frames.shape, video.fps) == ((1, 2, 16, 16, 3), 8.0)
    assert torch.equal(video.frames, torch.from_numpy(expected))


@pytest.mark.slow
def test_a_picture_is_changed_as_by_the_pipeline(engine: Engine, models: Path, tmp_path: Path) -> None:
    folder = tiny_pipelines.save_image_to_image(models / "pipelines" / "change")
    picture = pillow.effect_noise((16, 16), 80).convert("RGB")
    (tmp_path / "data" / "input").mkdir(parents=True)
    picture.save(tmp_path / "data" / "input" / "noise.png")
    given: dict[str, Any] = {"prompt": "red", "num_inference_steps": 4, "strength": 0.8, "num_images_per_prompt": 2}
    workflow = drawn(
        {
            "picture": ("LoadImage", {"image": "noise.png"}),
            "run": ("DiffusersPipeline", {"pipeline": "change", "seed": 3, "image": "@picture.image", **given}),
        },
        outputs={"images": {"from": "run.images"}},
    )
    settings = replace(engine.settings, roots=(models, tmp_path / "data"))
    images = Engine(Registry([pack]), settings).run(workflow).outputs["images"]
    own = diffusers.StableDiffusionImg2ImgPipeline.from_pretrained(folder, local_files_only=True)
    for part in (own.unet, own.vae, own.text_encoder):
        part.requires_grad_(False)
    generators = [torch.Generator().manual_seed(seed) for seed in (3, 4)]
    expected = own(**given, image=picture, generator=generators, output_type="np").images
    assert torch.equal(images, torch.from_numpy(expected))


def test_each_step_is_reported_and_stops_when_asked(engine: Engine) -> None:
    seen = Seen()
    _outputs(engine, "images", emit=seen.append, pipeline="ddpm", num_inference_steps=4)
    steps = [(each.done, each.total) for each in seen if isinstance(each, NodeProgress)]
    assert steps[-1] == (4, 4)
    services = RunServices(engine.settings)
    steps.clear()

    def stop(event: Event) -> None:
        if isinstance(event, NodeProgress):
            steps.append((event.done, event.total))
            services.cancel.set()

    workflow = drawn({"run": ("DiffusersPipeline", {"pipeline": "ddpm", "num_inference_steps": 20})})
    with pytest.raises(Cancelled):
        engine.run(workflow, targets=["run"], emit=stop, services=services)
    assert len(steps) < 3


def test_a_pipeline_is_opened_once(engine: Engine, models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from graphengine.diffusion import pipelines

    opened: list[Path] = []
    load = pipelines.load

    def counted(folder: Path, **options: Any) -> Any:  # Any: as the function's own
        opened.append(folder)
        return load(folder, **options)

    monkeypatch.setattr(pipelines, "load", counted)
    for seed in (1, 2):
        _outputs(engine, "images", pipeline="ddpm", seed=seed, num_inference_steps=1)
    assert opened == [models / "pipelines" / "ddpm"]
    config = models / "pipelines" / "ddpm" / "scheduler" / "scheduler_config.json"
    config.write_text(config.read_text() + "\n")
    _outputs(engine, "images", pipeline="ddpm", seed=1, num_inference_steps=1)
    assert len(opened) == 2


def test_its_inputs_are_those_of_the_pipeline(engine: Engine, registry: Registry) -> None:
    found = _problems(engine, registry, pipeline="ddpm", num_inference_stps=3, batch_size="many")
    assert sorted((each.code, each.input) for each in found) == [
        ("unknown_input", "num_inference_stps"),
        ("wrong_type", "batch_size"),
    ]
    assert any("Did you mean 'num_inference_steps'?" in each.remedy for each in found)
    (no_pictures,) = _problems(engine, registry, pipeline="sound")
    assert no_pictures.code == "dangling_link"


def _broken(models: Path, tmp_path: Path, change: Any) -> Path:  # Any: a function of the folder
    folder = tmp_path / "broken"
    shutil.copytree(models / "pipelines" / "ddpm", folder)
    change(folder)
    return folder


def _index(folder: Path, **changes: object) -> None:
    path = folder / "model_index.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def _pickled(folder: Path) -> None:
    (folder / "unet" / "diffusion_pytorch_model.safetensors").rename(folder / "unet" / "diffusion_pytorch_model.bin")


def _pointer(folder: Path) -> None:
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"
    (folder / "unet" / "diffusion_pytorch_model.safetensors").write_text(pointer)


def _auto_map(folder: Path) -> None:
    _index(folder, unet=["transformers", "AutoModel"])
    path = folder / "unet" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "auto_map": {"AutoModel": "mine.Mine"}}))


def _two_things(folder: Path) -> None:
    shutil.rmtree(folder / "scheduler")
    _pickled(folder)


BROKEN = {
    "no index": (lambda folder: (folder / "model_index.json").unlink(), ["no model_index.json"]),
    "unknown class": (lambda folder: _index(folder, _class_name="DDPMPipelin"), ["'DDPMPipelin'", "'DDPMPipeline'"]),
    "own class": (lambda folder: _index(folder, _class_name=["pipeline", "Mine"]), ["code of its own", "never run"]),
    "own part": (lambda folder: _index(folder, unet=["my_unet", "MyUNet"]), ["unet", "'my_unet'", "never run"]),
    "own code by its configuration": (_auto_map, ["unet", "'auto_map'", "never run"]),
    "unknown part": (lambda folder: _index(folder, unet=["diffusers", "UNet9D"]), ["unet", "'UNet9D'"]),
    "part not named": (lambda folder: _index(folder, scheduler=[None, None]), ["no scheduler", "DDPMPipeline needs"]),
    "part not there": (lambda folder: shutil.rmtree(folder / "scheduler"), ["scheduler", "folder is missing"]),
    "no weights": (lambda folder: next(folder.glob("unet/*.safetensors")).unlink(), ["no weights here"]),
    "pickle": (_pickled, ["this is a pickle", "safetensors"]),
    "pointer": (_pointer, ["git-lfs pointer", "git lfs pull"]),
    "no JSON": (lambda folder: (folder / "model_index.json").write_text("{"), ["model_index.json", "isn't JSON"]),
    "two things": (_two_things, ["2 problems", "this is a pickle", "folder is missing"]),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_folder_that_cannot_be_used_is_refused(registry: Registry, models: Path, tmp_path: Path, kind: str) -> None:
    change, said = BROKEN[kind]
    folder = _broken(models, tmp_path, change)
    settings = Settings(data=tmp_path / "data", output=tmp_path / "output", beside=(tmp_path,))
    workflow = drawn({"run": ("DiffusersPipeline", {"pipeline": folder.name, "num_inference_steps": 2})})
    (problem,) = check(workflow, registry.definitions, settings, targets=["run"], function_of=registry.function)
    assert (problem.code, problem.node, problem.input) == ("refused", "run", "pipeline")
    for part in said:
        assert part in f"{problem.message} {problem.remedy}"


def test_a_file_is_no_pipeline(registry: Registry, tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").touch()
    settings = Settings(data=tmp_path / "data", output=tmp_path / "output", beside=(tmp_path,))
    workflow = drawn({"run": ("DiffusersPipeline", {"pipeline": "model.safetensors"})})
    (problem,) = check(workflow, registry.definitions, settings, targets=["run"], function_of=registry.function)
    assert "not a folder" in problem.message
