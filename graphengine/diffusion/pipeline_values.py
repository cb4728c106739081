"""Bring values of sockets to what a diffusers pipeline takes, and what it gives to values of sockets."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy
import torch
from PIL import Image as pillow
from torch import Tensor

from graphengine.diffusion.pipeline_sockets import COUNTS, FRAMES, OUTPUT_NAMES, socket_type
from graphengine.diffusion.pipeline_sources import Parameter, PipelineSource
from graphengine.errors import GraphEngineError, InputError
from graphengine.media_types import Audio, Mesh, Video
from graphengine.types import Latent

__all__ = ["DEFAULT_FPS", "Seeds", "arguments_of", "outputs_of"]

DEFAULT_FPS = 8.0
"""For pipelines that don't know how fast their frames follow each other, as in diffusers' examples."""

_SPEEDS = ("frame_rate", "fps", "target_fps")
_RATES = ("sampling_rate", "sample_rate", "output_sampling_rate")
_SOUNDS_FIRST = ("vocoder", "audio_vae", "vae", "unet")


@dataclass(frozen=True)
class Seeds:
    """Where a pipeline's random numbers come from."""

    seed: int
    generator: Callable[[int], torch.Generator]

    def generators(self, count: int) -> list[torch.Generator]:
        """Give one for each item of a batch."""
        return [self.generator((self.seed + item) % 2**64) for item in range(count)]


def arguments_of(
    pipeline: Any, source: PipelineSource, given: Mapping[str, Any], seeds: Seeds
) -> dict[str, Any]:  # Any: a diffusers pipeline, and values of any type
    """Give what to call a pipeline with.

    Raises:
        InputError: for a text that is no JSON.
    """
    arguments = {}
    for parameter in source.parameters:
        value = given.get(parameter.name)
        if value is not None:
            arguments[parameter.name] = _argument(pipeline, parameter, value)
    by_name = {parameter.name: parameter for parameter in source.parameters}
    if "output_type" in by_name and by_name["output_type"].default in ("pil", "np", "pt"):
        arguments["output_type"] = "mesh" if given.get("shape") == "mesh" else "np"
    if "generator" in by_name:
        arguments["generator"] = _generator(by_name["generator"], given, seeds)
    if "seed" in by_name:
        arguments["seed"] = seeds.seed
    for name in ("audio", "initial_audio_waveforms"):
        if isinstance(given.get(name), Audio) and "initial_audio_sampling_rate" in by_name:
            arguments["initial_audio_sampling_rate"] = given[name].sample_rate
    return arguments


def _generator(parameter: Parameter, given: Mapping[str, Any], seeds: Seeds) -> Any:  # Any: one or several
    if any("RandomState" in hint for hint in parameter.hints):
        return numpy.random.RandomState(seeds.seed % 2**32)
    count = prod(given.get(name) or 1 for name in COUNTS)
    several = any(hint.startswith("list[") for hint in parameter.hints)
    generators = seeds.generators(count if several else 1)
    return generators if len(generators) > 1 else generators[0]


def _argument(pipeline: Any, parameter: Parameter, value: Any) -> Any:  # Any: as above
    kind = socket_type(parameter)
    hints = parameter.hints
    takes_pictures = any("Image" in hint or "Mask" in hint for hint in hints)
    match kind:
        case "JSON":
            return _json(parameter.name, value) if value.strip() else None
        case "IMAGE" | "MASK" if takes_pictures:
            pictures = _pictures(value)
            return pictures[0] if len(pictures) == 1 and not _only_lists(hints) else pictures
        case "IMAGE":
            return value.movedim(-1, 1).to(pipeline.dtype)  # [B, 3, H, W]
        case "MASK":
            return value.unsqueeze(1).to(pipeline.dtype)  # [B, 1, H, W]
        case _ if kind == FRAMES:
            frames = value.frames if isinstance(value, Video) else value.unsqueeze(0)
            return _pictures(frames[0]) if takes_pictures else frames.movedim(-1, 2).to(pipeline.dtype)
        case "AUDIO":
            is_plain = all("ndarray" in hint for hint in hints)
            return value.waveform[0].mean(0).numpy() if is_plain else value.waveform.to(pipeline.dtype)
        case "LATENT|ARRAY" | "ARRAY":
            return _array(pipeline, hints, value.samples if isinstance(value, Latent) else value)
    return tuple(value) if isinstance(value, list) and any(hint.startswith("tuple") for hint in hints) else value


def _only_lists(hints: Sequence[str]) -> bool:
    return all(hint.startswith("list[") for hint in hints)


def _json(name: str, text: str) -> Any:  # Any: JSON
    try:
        return json.loads(text)
    except ValueError as error:
        raise InputError(name, f"this is no JSON: {error}.", 'Write it like {"scale": 0.5}.') from error


def _pictures(values: Tensor) -> list[pillow.Image]:
    """Make pictures of ``[B, H, W, 3]`` or masks of ``[B, H, W]``, in 0…1."""
    return [pillow.fromarray(each.mul(255).round().clamp(0, 255).byte().numpy()) for each in values]


def _array(pipeline: Any, hints: Sequence[str], value: Tensor) -> Any:  # Any: as above
    if all("ndarray" in hint for hint in hints):
        return value.numpy()
    tensor = value.to(pipeline.device, pipeline.dtype if value.is_floating_point() else value.dtype)
    return [tensor] if _only_lists(hints) else tensor


def outputs_of(
    pipeline: Any, source: PipelineSource, returned: Any, given: Mapping[str, Any]
) -> dict[str, Any]:  # Any: a diffusers pipeline, what it returned, and values of any type
    """Give a node's outputs, by name."""
    outputs: dict[str, Any] = {}
    for field in source.outputs or ("images",):
        value = getattr(returned, field, None)
        if value is None or (isinstance(value, list | tuple) and not value):
            continue
        name, kind = OUTPUT_NAMES.get(field, (field, "ARRAY"))
        if source.makes_meshes and field == "images":
            name, kind = ("mesh", "MESH") if given.get("shape") == "mesh" else ("video", "VIDEO")
        outputs[name] = _output(kind, value, pipeline, source, given)
    sound, video = outputs.get("audio"), outputs.get("video")
    if sound is not None and video is not None and len(sound.waveform) == len(video.frames):
        outputs["video"] = Video(video.frames, video.fps, sound)
    return outputs


def _output(
    kind: str, value: Any, pipeline: Any, source: PipelineSource, given: Mapping[str, Any]
) -> Any:  # Any: as above
    match kind:
        case "IMAGE":
            return _as_images(value)
        case "VIDEO":
            return Video(_as_frames(value), _speed(source, given))
        case "AUDIO":
            return Audio(_as_waveform(value), _sample_rate(pipeline))
        case "MESH":
            return [_as_mesh(each) for each in value]
        case "[STRING]":
            return list(_texts(value))
    return _tensor(value).float() if _tensor(value).is_floating_point() else _tensor(value)


def _tensor(value: Any) -> Tensor:  # Any: an array of any library, or several
    if isinstance(value, pillow.Image):
        value = numpy.asarray(value.convert("RGB"), dtype=numpy.float32) / 255
    if isinstance(value, list | tuple):
        items = [_tensor(each) for each in value]
        if len({item.shape for item in items}) > 1:
            sizes = ", ".join("×".join(map(str, item.shape)) for item in items[:4])
            raise GraphEngineError(f"the pipeline gave results of different sizes ({sizes}), which make no batch.")
        return torch.stack(items)
    return torch.as_tensor(numpy.ascontiguousarray(value) if isinstance(value, numpy.ndarray) else value).detach().cpu()


def _has_channels_first(value: Any) -> bool:  # Any: as above
    while isinstance(value, list | tuple):
        value = value[0]
    return isinstance(value, Tensor)


def _as_images(value: Any) -> Tensor:  # Any: as above
    """Make ``[B, H, W, 3]`` in 0…1 of pictures, or of depths without channels."""
    pictures = _tensor(value).float()
    if pictures.ndim == 2:
        pictures = pictures.unsqueeze(0)
    if pictures.ndim == 3:  # [B, H, W], or one picture with channels
        pictures = pictures.unsqueeze(0) if pictures.shape[-1] in (3, 4) else pictures.unsqueeze(-1)
    elif _has_channels_first(value):
        pictures = pictures.movedim(-3, -1)
    return _three_channels(pictures)


def _as_frames(value: Any) -> Tensor:  # Any: as above
    """Make ``[B, F, H, W, 3]`` in 0…1 of videos, or of one."""
    frames = _tensor(value).float()
    if frames.ndim == 4:
        frames = frames.unsqueeze(0)
    return _three_channels(frames.movedim(-3, -1) if _has_channels_first(value) else frames)


def _three_channels(pictures: Tensor) -> Tensor:
    if pictures.numel() and pictures.min() < 0:  # directions, such as those of surfaces
        pictures = (pictures + 1) / 2
    if pictures.shape[-1] == 1:
        pictures = pictures.expand(*pictures.shape[:-1], 3)
    return pictures[..., :3].clamp(0, 1).contiguous()


def _as_waveform(value: Any) -> Tensor:  # Any: as above
    """Make ``[B, C, T]`` of sounds, of which some pipelines give ``[B, T]`` or ``[T]``."""
    waveform = _tensor(value).float()
    if waveform.ndim == 1:
        waveform = waveform[None, None]
    elif waveform.ndim == 2:
        waveform = waveform.unsqueeze(1)
    return waveform.clamp(-1, 1).contiguous()


def _as_mesh(value: Any) -> Mesh:  # Any: a MeshDecoderOutput
    channels = getattr(value, "vertex_channels", None) or {}
    colors = [channels[name] for name in "RGB" if name in channels]
    return Mesh(
        vertices=value.verts.detach().cpu().float(),
        faces=value.faces.detach().cpu().long(),
        colors=torch.stack(colors, dim=-1).detach().cpu().float().clamp(0, 1) if len(colors) == 3 else None,
    )


def _texts(value: Any) -> Iterator[str]:  # Any: texts, lists of texts
    if isinstance(value, str):
        yield value
    else:
        for each in value:
            yield from _texts(each)


def _speed(source: PipelineSource, given: Mapping[str, Any]) -> float:
    defaults = {parameter.name: parameter.default for parameter in source.parameters}
    speeds = [given.get(name) or defaults.get(name) for name in _SPEEDS if name in defaults]
    return next((float(speed) for speed in speeds if isinstance(speed, int | float)), DEFAULT_FPS)


def _sample_rate(pipeline: Any) -> int:  # Any: a diffusers pipeline
    """Find how many samples a second a pipeline makes: the part that makes them knows.

    Raises:
        GraphEngineError: if none says.
    """
    parts = dict(pipeline.components)
    names = [*(name for name in _SOUNDS_FIRST if name in parts), *(name for name in parts if name not in _SOUNDS_FIRST)]
    for part in [*(parts[name] for name in names), pipeline]:
        for place in (getattr(part, "config", None), part):  # a part tells of its configuration only with a warning
            for name in _RATES:
                rate = getattr(place, name, None)
                if isinstance(rate, int) and rate > 0:
                    return rate
        if callable(tell := getattr(part, "get_sample_rate", None)):
            return int(tell())
    raise GraphEngineError(f"{type(pipeline).__name__} doesn't say how many samples a second it makes.")
