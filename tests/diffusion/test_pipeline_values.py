"""Values of sockets as pipelines take them, and what pipelines give as values of sockets."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy
import pytest
import torch
from PIL import Image as pillow

from graphengine.diffusion.pipeline_sources import Parameter, PipelineSource
from graphengine.diffusion.pipeline_values import Seeds, arguments_of, outputs_of
from graphengine.errors import GraphEngineError, InputError
from graphengine.media_types import Audio, Video
from graphengine.types import Latent

PIPELINE: Any = SimpleNamespace(dtype=torch.bfloat16, device=torch.device("cpu"), components={})  # Any: of diffusers'
SEEDS = Seeds(2**64 - 1, lambda seed: torch.Generator().manual_seed(seed))


def _source(
    *parameters: tuple[str, str], outputs: dict[str, str] | None = None, meshes: bool = False
) -> PipelineSource:
    read = tuple(
        Parameter(name, tuple(hints.split(" | ")), takes_none=False, has_default=True, default=None)
        for name, hints in parameters
    )
    return PipelineSource("Test", "test", "", read, outputs or {}, makes_meshes=meshes)


def _argument(name: str, hints: str, value: object) -> Any:  # Any: whatever the pipeline takes
    return arguments_of(PIPELINE, _source((name, hints)), {name: value}, SEEDS)[name]


def test_pictures_and_masks_become_pillows() -> None:
    picture = torch.tensor([0.0, 0.5, 1.0]).expand(1, 4, 6, 3)
    given = _argument("image", "PipelineImageInput", picture)
    assert (given.size, given.mode, given.getpixel((0, 0))) == ((6, 4), "RGB", (0, 128, 255))
    assert len(_argument("image", "PipelineImageInput", picture.expand(2, 4, 6, 3))) == 2
    assert len(_argument("images", "list[PIL.Image.Image]", picture)) == 1
    mask = _argument("mask_image", "PIL.Image.Image", torch.ones(1, 4, 6))
    assert (mask.mode, mask.getpixel((5, 3))) == ("L", 255)
    assert _argument("last_image", "torch.Tensor", picture).shape == (1, 3, 4, 6)


def test_frames_come_from_videos_and_from_pictures() -> None:
    frames = torch.rand(1, 3, 4, 6, 3)
    for value in (Video(frames, 8.0), frames[0]):
        given = _argument("video", "list[PIL.Image.Image]", value)
        assert [each.size for each in given] == [(6, 4)] * 3


def test_numbers_keep_their_meaning() -> None:
    assert _argument("latents", "torch.Tensor", Latent(torch.ones(1, 4, 2, 2))).dtype == torch.bfloat16
    assert _argument("prompt_mask", "torch.Tensor", torch.ones(1, 4, dtype=torch.long)).dtype == torch.int64
    assert isinstance(_argument("ids", "list[torch.Tensor]", torch.ones(2)), list)
    assert _argument("target_size", "tuple[int, int]", [8, 9]) == (8, 9)
    assert _argument("kwargs", "dict[str, Any]", '{"scale": 0.5}') == {"scale": 0.5}
    with pytest.raises(InputError, match="no JSON"):
        _argument("kwargs", "dict[str, Any]", "{scale}")


def test_each_item_of_a_batch_has_its_seed() -> None:
    source = _source(("generator", "torch.Generator | list[torch.Generator]"), ("batch_size", "int"))
    generators = arguments_of(PIPELINE, source, {"batch_size": 2}, SEEDS)["generator"]
    assert [each.initial_seed() for each in generators] == [2**64 - 1, 0]
    (one,) = arguments_of(PIPELINE, source, {}, SEEDS).values()
    assert isinstance(one, torch.Generator)


@pytest.mark.parametrize(
    "given",
    [
        numpy.full((2, 4, 6, 3), 0.5, numpy.float32),
        torch.full((2, 3, 4, 6), 0.5),
        [pillow.new("RGB", (6, 4), (127, 127, 127))] * 2,
        numpy.full((2, 4, 6, 1), 0.5, numpy.float32),
        [numpy.full((4, 6, 4), 0.5, numpy.float32)] * 2,
        [torch.full((3, 4, 6), 0.5)] * 2,
    ],
    ids=["array", "tensor", "pillow", "grey", "with alpha", "list of tensors"],
)
def test_pictures_of_any_kind_are_pictures(given: Any) -> None:  # Any: of any library
    images = outputs_of(PIPELINE, _source(), SimpleNamespace(images=given), {})["images"]
    assert (images.shape, images.dtype) == ((2, 4, 6, 3), torch.float32)
    assert torch.allclose(images, torch.tensor(0.5), atol=0.003)


def test_videos_have_their_speed_and_sound() -> None:
    source = _source(("frame_rate", "float"), outputs={"frames": "torch.Tensor", "audio": "torch.Tensor"})
    pipeline: Any = SimpleNamespace(
        components={"vocoder": SimpleNamespace(config=SimpleNamespace(sampling_rate=16000))}
    )
    returned = SimpleNamespace(frames=torch.rand(1, 3, 3, 4, 6), audio=torch.zeros(1, 2, 100))
    outputs = outputs_of(pipeline, source, returned, {"frame_rate": 24.0})
    assert (outputs["video"].frames.shape, outputs["video"].fps) == ((1, 3, 4, 6, 3), 24.0)
    assert isinstance(outputs["audio"], Audio)
    assert (outputs["audio"].sample_rate, outputs["video"].audio) == (16000, outputs["audio"])
    silent = outputs_of(pipeline, source, SimpleNamespace(frames=[[pillow.new("RGB", (6, 4))] * 2], audio=None), {})
    assert (silent["video"].frames.shape, silent["video"].fps, silent["video"].audio) == ((1, 2, 4, 6, 3), 8.0, None)
    assert "audio" not in silent


def test_a_shape_is_a_mesh() -> None:
    corners, faces = torch.rand(3, 3), torch.tensor([[0, 1, 2]])
    made = SimpleNamespace(verts=corners, faces=faces, vertex_channels={each: torch.ones(3) for each in "RGB"})
    source = _source(outputs={"images": "list"}, meshes=True)
    (mesh,) = outputs_of(PIPELINE, source, SimpleNamespace(images=[made]), {"shape": "mesh"})["mesh"]
    assert torch.equal(mesh.vertices, corners)
    assert torch.equal(mesh.colors, torch.ones(3, 3))


def test_results_of_different_sizes_make_no_batch() -> None:
    pictures = [pillow.new("RGB", (6, 4)), pillow.new("RGB", (4, 4))]
    with pytest.raises(GraphEngineError, match="different sizes"):
        outputs_of(PIPELINE, _source(), SimpleNamespace(images=pictures), {})
