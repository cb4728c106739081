"""The socket vocabulary of what pipelines make besides pictures: video, sound, shapes, plain numbers.

Shapes use fixed letters: B batch, F frames, C channels, H W picture size in pixels, T samples. As in
``graphengine.types``, values are immutable by convention, and importing this loads no torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NewType

if TYPE_CHECKING:
    from torch import Tensor
else:
    Tensor = object  # NewType wants a class at import; torch stays unloaded

__all__ = ["Array", "Audio", "Mesh", "Video"]

Array = NewType("Array", Tensor)
"""Numbers of any shape, on the CPU: embeddings, masks of tokens, what one pipeline gives another."""


@dataclass(frozen=True)
class Audio:
    """Sound, one or more pieces of the same length.

    Attributes:
        waveform: float32 ``[B, C, T]`` in -1…1, on the CPU; C is 1 for mono, 2 for stereo.
        sample_rate: Samples in a second.
    """

    waveform: Tensor
    sample_rate: int

    @property
    def seconds(self) -> float:
        """How long a piece is."""
        return float(self.waveform.shape[-1] / self.sample_rate)


@dataclass(frozen=True)
class Video:
    """Moving pictures, one or more of the same length.

    Attributes:
        frames: float32 ``[B, F, H, W, 3]`` in 0…1, on the CPU.
        fps: Frames in a second.
        audio: What is heard meanwhile, with as many pieces; None for silence.
    """

    frames: Tensor
    fps: float
    audio: Audio | None = None


@dataclass(frozen=True)
class Mesh:
    """A shape made of triangles.

    Attributes:
        vertices: float32 ``[V, 3]``.
        faces: int64 ``[F, 3]``, numbers of vertices, counter-clockwise as seen from outside.
        colors: float32 ``[V, 3]`` in 0…1, or None.
    """

    vertices: Tensor
    faces: Tensor
    colors: Tensor | None = None
