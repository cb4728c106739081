"""Write and read files of sound, shapes and numbers: PCM in WAV, binary PLY, NumPy's ``.npy`` without pickles."""

from __future__ import annotations

import io
import wave
from pathlib import Path
from typing import Any

import numpy
import torch
from torch import Tensor

from graphengine.errors import ModelFileError
from graphengine.media_types import Array, Audio, Mesh

__all__ = ["load_array", "load_sound", "save_array", "save_mesh", "save_sound"]

_FULL_SCALE = 32767


def save_sound(waveform: Tensor, sample_rate: int, path: Path) -> None:
    """Write ``[C, T]`` in -1…1 as WAV with 16 bits; what is louder is cut off."""
    samples = (waveform.clamp(-1, 1) * _FULL_SCALE).round().to(torch.int16)
    with path.open("wb") as file, wave.open(file, "wb") as sound:
        sound.setnchannels(samples.shape[0])
        sound.setsampwidth(2)
        sound.setframerate(sample_rate)
        sound.writeframes(samples.T.contiguous().numpy().astype("<i2").tobytes())


def load_sound(path: Path) -> Audio:
    """Read a WAV file of PCM samples of 8, 16, 24 or 32 bits.

    Raises:
        ModelFileError: it is none.
    """
    try:
        with wave.open(str(path), "rb") as sound:
            width, channels, rate = sound.getsampwidth(), sound.getnchannels(), sound.getframerate()
            content = sound.readframes(sound.getnframes())
    except (wave.Error, EOFError, OSError) as error:
        raise ModelFileError(
            f"{path}: no sound that can be read: {error}\n  Save it as WAV with PCM samples of 16 or 24 bits."
        ) from error
    whole = len(content) // (width * channels) * width * channels
    samples = _samples(content[:whole], width).reshape(-1, channels).T
    return Audio(torch.from_numpy(numpy.ascontiguousarray(samples)).unsqueeze(0), rate)


def _samples(content: bytes, width: int) -> Any:  # Any: a numpy array of float32
    if width == 1:  # without a sign
        return (numpy.frombuffer(content, numpy.uint8).astype(numpy.float32) - 128) / 128
    if width == 3:
        padded = numpy.zeros((len(content) // 3, 4), numpy.uint8)
        padded[:, 1:] = numpy.frombuffer(content, numpy.uint8).reshape(-1, 3)
        return padded.view("<i4").reshape(-1).astype(numpy.float32) / 2**31
    return numpy.frombuffer(content, f"<i{width}").astype(numpy.float32) / 2.0 ** (8 * width - 1)


def save_mesh(mesh: Mesh, path: Path) -> None:
    """Write a shape as binary PLY, with its colours if it has any."""
    corners: list[tuple[str, str]] = [("x", "<f4"), ("y", "<f4"), ("z", "<f4")]
    names = ["x", "y", "z"]
    columns = [mesh.vertices.float().numpy()]
    if mesh.colors is not None:
        corners += [(name, "u1") for name in ("red", "green", "blue")]
        columns.append(mesh.colors.mul(255).round().clamp(0, 255).numpy())
    names = [name for name, _ in corners]
    vertices = numpy.empty(len(mesh.vertices), dtype=corners)
    for name, values in zip(names, numpy.concatenate(columns, axis=1).T, strict=True):
        vertices[name] = values
    faces = numpy.empty(len(mesh.faces), dtype=[("count", "u1"), ("corners", "<i4", (3,))])
    faces["count"], faces["corners"] = 3, mesh.faces.numpy()
    kinds = {"<f4": "float", "u1": "uchar"}
    header = [
        "ply",
        "format binary_little_endian 1.0",
        f"element vertex {len(vertices)}",
        *(f"property {kinds[kind]} {name}" for name, kind in corners),
        f"element face {len(faces)}",
        "property list uchar int vertex_indices",
        "end_header",
    ]
    path.write_bytes("\n".join([*header, ""]).encode() + vertices.tobytes() + faces.tobytes())


def save_array(array: Tensor, path: Path) -> None:
    """Write numbers as NumPy's ``.npy``; bfloat16, which it lacks, as float32."""
    plain = array.float() if array.dtype == torch.bfloat16 else array
    content = io.BytesIO()
    numpy.save(content, plain.contiguous().numpy(), allow_pickle=False)
    path.write_bytes(content.getvalue())


def load_array(path: Path) -> Array:
    """Read NumPy's ``.npy``.

    Raises:
        ModelFileError: it is none, or holds objects, which are pickles.
    """
    try:
        with path.open("rb") as file:
            found = numpy.lib.format.read_array(file, allow_pickle=False)
        return Array(torch.from_numpy(numpy.ascontiguousarray(found)))
    except (ValueError, TypeError, EOFError, OSError) as error:
        raise ModelFileError(
            f"{path}: no numbers that can be read: {error}\n  Save it with numpy.save, as numbers and not as objects."
        ) from error
