"""Write video: H.264 in MP4 where there is an ffmpeg, else an animated WebP or GIF by Pillow."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image as pillow
from torch import Tensor

from graphengine.diffusion.media_files import save_sound
from graphengine.errors import GraphEngineError, InputError
from graphengine.media_types import Audio, Video
from graphengine.video_encoder import find_encoder

__all__ = ["find_encoder", "item", "save"]

_GIF_TICK_MS = 10  # what a GIF counts time in
_LONGEST_WORD = 400  # of an encoder's complaint


def item(video: Video, number: int) -> Video:
    """Give one video of a batch, with its sound, or the sound that all of them have."""
    sound = video.audio
    if sound is not None and len(sound.waveform) == len(video.frames):
        sound = Audio(sound.waveform[number : number + 1], sound.sample_rate)
    return Video(video.frames[number : number + 1], video.fps, sound)


def save(video: Video, path: Path, *, encoder: str | None, suffix: str, quality: int) -> None:
    """Write the first video of a batch.

    Args:
        encoder: The ffmpeg that writes MP4.
        suffix: ``.mp4``, ``.webp`` or ``.gif``.
        quality: 1…100; a WebP of 100 is lossless, a GIF has none.

    Raises:
        GraphEngineError: it can't be written.
    """
    frames = video.frames[0]
    if suffix == ".mp4":
        assert encoder is not None, "mp4 was refused without one"
        _save_mp4(frames, video.fps, path, encoder=encoder, quality=quality, audio=video.audio)
    else:
        _save_animation(frames, video.fps, path, file_format=suffix[1:], quality=quality)


def _save_animation(frames: Tensor, fps: float, path: Path, *, file_format: str, quality: int) -> None:
    """Write ``[F, H, W, 3]`` in 0…1 as an animated WebP or GIF that repeats.

    Args:
        quality: 1…100, of a WebP; 100 is lossless.
    """
    first, *others = [pillow.fromarray(each) for each in _bytes(frames)]
    options: dict[str, Any] = {"save_all": True, "append_images": others, "loop": 0}  # Any: the encoder's own
    if file_format == "gif":
        ticks = max(2, round(1000 / fps / _GIF_TICK_MS))  # browsers slow shorter ones down
        options["duration"] = ticks * _GIF_TICK_MS
    else:
        options |= {"duration": round(1000 / fps), "quality": quality, "lossless": quality == 100}
    try:
        first.save(path, format=file_format, **options)
    except ValueError as error:  # of its sides: WebP ends at 16,383 pixels
        raise InputError("format", f"the video can't be saved as {file_format}: {error}.", "Scale it down.") from error


def _save_mp4(frames: Tensor, fps: float, path: Path, *, encoder: str, quality: int, audio: Audio | None) -> None:
    """Have an ffmpeg write ``[F, H, W, 3]`` in 0…1 as H.264, with the first piece of a sound.

    Args:
        encoder: The ffmpeg to run.
        quality: 1…100, by which x264's constant rate factor is 51…1.

    Raises:
        GraphEngineError: it can't; with what it says.
    """
    count, height, width, _ = frames.shape
    factor = round(51 - quality / 2)
    with tempfile.TemporaryDirectory() as folder:
        sound: list[str] = []
        if audio is not None:
            save_sound(audio.waveform[0], audio.sample_rate, Path(folder, "sound.wav"))
            sound = ["-i", str(Path(folder, "sound.wav")), "-c:a", "aac"]
        command = [
            *(encoder, "-hide_banner", "-loglevel", "error", "-y"),
            *("-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", f"{fps:g}", "-i", "-"),
            *sound,
            *("-c:v", "libx264", "-crf", str(factor), "-pix_fmt", "yuv420p"),
            *("-vf", "pad=ceil(iw/2)*2:ceil(ih/2)*2"),  # yuv420p halves the sides
            *("-movflags", "+faststart", "-t", f"{count / fps:.6f}", "-f", "mp4", str(path)),
        ]
        ran = subprocess.run(command, input=_bytes(frames).tobytes(), capture_output=True, check=False)
    if ran.returncode != 0:
        said = ran.stderr.decode(errors="replace").strip()[-_LONGEST_WORD:]
        raise GraphEngineError(
            f"{encoder} can't write the video (exit code {ran.returncode}): {said}\n"
            "  Install an ffmpeg with libx264, or save as webp or gif."
        )


def _bytes(pictures: Tensor) -> Any:  # Any: a numpy array of uint8
    return pictures.mul(255).round().clamp(0, 255).byte().contiguous().numpy()
