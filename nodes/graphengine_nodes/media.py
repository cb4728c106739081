"""Save what pipelines make besides pictures, open it again, and take it apart: video, sound, shapes, numbers."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field

from graphengine import Blocked, Context, FilesIn, InputError, Widget, node
from graphengine.media_types import Array, Audio, Mesh, Video
from graphengine.types import Image
from graphengine_nodes.inputs import FileNamePrefix, check_prefix

VideoFormat = Literal["auto", "mp4", "webp", "gif"]


class VideoParts(NamedTuple):
    """What a video is made of.

    Attributes:
        images: Its frames as a batch; those of several videos follow each other.
        audio: Its sound; nothing if it is silent.
        fps: Frames in a second.
    """

    images: Image
    audio: Audio
    fps: float


@node("CreateVideo", category="video")
def create_video(
    images: Image,
    fps: Annotated[float, Field(gt=0, le=240), Widget("number", step=1)] = 24.0,
    audio: Audio | None = None,
) -> Video:
    """Make a video of a batch of pictures.

    Args:
        images: Its frames, in their order.
        fps: Frames in a second.
        audio: What is heard meanwhile; left open, nothing.
    """
    return Video(images.unsqueeze(0), fps, audio)


@node("GetVideoComponents", category="video")
def get_video_components(video: Video) -> VideoParts:
    """Take a video apart into its frames and its sound.

    Args:
        video: What to take apart.
    """
    sound: Any = video.audio if video.audio is not None else Blocked("the video is silent.")  # Any: or no sound
    return VideoParts(Image(video.frames.flatten(0, 1)), sound, video.fps)


@node("SaveVideo", category="video", output_node=True)
def save_video(
    ctx: Context,
    video: Video,
    filename_prefix: FileNamePrefix = "video",
    format: VideoFormat = "auto",
    quality: Annotated[int, Field(ge=1, le=100), Widget("slider", advanced=True)] = 80,
) -> Video:
    """Save video, and pass it on; several of a batch in a file each.

    Args:
        video: What to save.
        filename_prefix: The files' first word; a number follows. "trip/day" saves in a folder of its own.
        format: mp4 needs ffmpeg; webp and gif are animated pictures without sound. auto takes mp4 if it can.
        quality: Of mp4 and webp; a webp of 100 keeps every pixel.
    """
    from graphengine.diffusion import video_files

    _check_encoder(format)
    encoder = video_files.find_encoder() if format in ("auto", "mp4") else None
    if encoder is None and video.audio is not None:
        ctx.warn("the video is saved without its sound, which only mp4 has; SaveAudio saves it.")
    suffix = ".mp4" if encoder is not None else ".gif" if format == "gif" else ".webp"
    for number in ctx.progress(range(len(video.frames))):
        one = video_files.item(video, number)
        write = partial(video_files.save, one, encoder=encoder, suffix=suffix, quality=quality)
        ctx.outputs.write_file(write, filename_prefix, suffix)
    return video


save_video.check(check_prefix)


@save_video.check
def _check_encoder(format: VideoFormat) -> None:
    """Refuse a kind of video that nothing here can write."""
    from graphengine.video_encoder import find_encoder

    if format == "mp4" and find_encoder() is None:
        raise InputError(
            "format",
            "mp4 needs ffmpeg, which isn't there.",
            "Install ffmpeg, or 'pip install imageio-ffmpeg', where the worker runs; or choose webp or gif.",
        )


@node("SaveAudio", category="audio", output_node=True)
def save_audio(ctx: Context, audio: Audio, filename_prefix: FileNamePrefix = "audio") -> Audio:
    """Save sound as WAV with 16 bits, and pass it on; several pieces of a batch in a file each.

    Args:
        audio: What to save; what is louder than full scale is cut off.
        filename_prefix: The files' first word; a number follows. "trip/day" saves in a folder of its own.
    """
    from graphengine.diffusion import media_files

    for piece in ctx.progress(list(audio.waveform)):
        write = partial(media_files.save_sound, piece, audio.sample_rate)
        ctx.outputs.write_file(write, filename_prefix, ".wav")
    return audio


save_audio.check(check_prefix)


@node("LoadAudio", category="audio")
def load_audio(audio: Annotated[Path, FilesIn("input")]) -> Audio:
    """Open a WAV file from the input folder.

    Args:
        audio: The file, with PCM samples of 8, 16, 24 or 32 bits.
    """
    from graphengine.diffusion import media_files

    return media_files.load_sound(audio)


@node("SaveMesh", category="shapes", output_node=True)
def save_mesh(ctx: Context, mesh: Mesh, filename_prefix: FileNamePrefix = "shape") -> Mesh:
    """Save a shape as PLY, with its colours, and pass it on.

    Args:
        mesh: What to save.
        filename_prefix: The file's first word; a number follows. "trip/day" saves in a folder of its own.
    """
    from graphengine.diffusion import media_files

    ctx.outputs.write_file(partial(media_files.save_mesh, mesh), filename_prefix, ".ply")
    return mesh


save_mesh.check(check_prefix)


@node("SaveArray", category="arrays", output_node=True)
def save_array(ctx: Context, array: Array, filename_prefix: FileNamePrefix = "array") -> Array:
    """Save numbers, such as embeddings, as NumPy's .npy, and pass them on.

    Args:
        array: What to save.
        filename_prefix: The file's first word; a number follows. "trip/day" saves in a folder of its own.
    """
    from graphengine.diffusion import media_files

    ctx.outputs.write_file(partial(media_files.save_array, array), filename_prefix, ".npy")
    return array


save_array.check(check_prefix)


@node("LoadArray", category="arrays")
def load_array(array: Annotated[Path, FilesIn("input")]) -> Array:
    """Open numbers that SaveArray or NumPy saved.

    Args:
        array: A .npy file in the input folder; objects, which are pickles, are refused.
    """
    from graphengine.diffusion import media_files

    return media_files.load_array(array)
