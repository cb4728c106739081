"""Saving, opening and taking apart video, sound, shapes and numbers."""

from __future__ import annotations

import json
import stat
import wave
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from PIL import Image as pillow

from graphengine import Blocked, InputError
from graphengine.authoring.testing import FakeContext, run_node
from graphengine.errors import GraphEngineError, ModelFileError
from graphengine.media_types import Array, Audio, Mesh, Video
from graphengine.types import Image
from graphengine_nodes import media


def _video(count: int = 1, *, sound: bool = False, height: int = 4) -> Video:
    frames = torch.linspace(0, 1, 3).reshape(1, 3, 1, 1, 1).expand(count, 3, height, 6, 3).contiguous()
    return Video(frames, 10.0, _tone(count) if sound else None)


def _tone(count: int = 1, channels: int = 2) -> Audio:
    return Audio(torch.linspace(-1, 1, 100).expand(count, channels, 100).contiguous(), 1000)


@pytest.mark.parametrize("kind", ["webp", "gif"])
def test_a_video_becomes_an_animation(kind: str) -> None:
    ctx = FakeContext()
    video = _video(2)
    assert run_node(media.save_video, ctx=ctx, video=video, format=kind, quality=100) is video
    first, _ = ctx.outputs.files
    with pillow.open(first) as picture:
        assert (getattr(picture, "n_frames", 1), picture.size, picture.format) == (3, (6, 4), kind.upper())
        levels = []
        for number in range(3):
            picture.seek(number)
            picture.load()
            assert picture.info["duration"] == 100
            levels.append(numpy.asarray(picture.convert("RGB"))[0, 0, 0])
    assert levels == [0, 128, 255]


@pytest.fixture
def ffmpeg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put a program on the PATH that stands for ffmpeg: it writes down what it was given."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "ffmpeg"
    program.write_text(
        "#!/usr/bin/env python3\n"
        "import json, sys\n"
        "frames = sys.stdin.buffer.read()\n"
        "if frames[:1] == b'\\xff': sys.exit('Unknown encoder libx264')\n"
        "sounds = [open(each, 'rb').read(4).decode() for each in sys.argv if each.endswith('.wav')]\n"
        "json.dump([sys.argv[1:], len(frames), frames[-1], sounds], open(sys.argv[-1], 'w'))\n"
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin:/usr/local/bin")
    return program


def test_a_video_becomes_mp4_where_there_is_ffmpeg(ffmpeg: Path) -> None:
    ctx = FakeContext()
    run_node(media.save_video, ctx=ctx, video=_video(sound=True), filename_prefix="clip")
    (path,) = ctx.outputs.files
    command, size, last, sounds = json.loads(path.read_text())
    assert path.name == "clip_00001.mp4"
    assert (size, last, sounds) == (3 * 4 * 6 * 3, 255, ["RIFF"])
    assert command[command.index("-s") + 1] == "6x4"
    assert command[command.index("-r") + 1] == "10"
    assert ctx.warnings == []


def test_what_ffmpeg_says_is_told_and_nothing_is_left(ffmpeg: Path) -> None:
    ctx = FakeContext()
    white = Video(torch.ones(1, 1, 2, 2, 3), 8.0)
    with pytest.raises(GraphEngineError, match="Unknown encoder libx264") as caught:
        run_node(media.save_video, ctx=ctx, video=white)
    assert "save as webp or gif" in str(caught.value)
    assert ctx.outputs.files == []


def test_without_ffmpeg_mp4_is_refused_and_auto_takes_webp(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    ctx = FakeContext()
    run_node(media.save_video, ctx=ctx, video=_video(sound=True))
    assert [path.suffix for path in ctx.outputs.files] == [".webp"]
    assert ctx.warnings == ["the video is saved without its sound, which only mp4 has; SaveAudio saves it."]
    with pytest.raises(InputError, match="needs ffmpeg"):
        run_node(media.save_video, ctx=FakeContext(), video=_video(), format="mp4")


def test_a_video_comes_apart_and_together() -> None:
    images = Image(torch.rand(3, 4, 6, 3))
    video = run_node(media.create_video, images=images, fps=12, audio=_tone())
    parts = run_node(media.get_video_components, video=video)
    assert torch.equal(parts.images, images)
    assert (parts.fps, parts.audio) == (12.0, video.audio)
    assert isinstance(run_node(media.get_video_components, video=_video()).audio, Blocked)


def test_sound_is_saved_as_wav_and_opened_again() -> None:
    ctx = FakeContext()
    audio = _tone(count=2)
    run_node(media.save_audio, ctx=ctx, audio=audio)
    assert len(ctx.outputs.files) == 2
    with wave.open(str(ctx.outputs.files[0])) as sound:
        assert sound.getparams()[:4] == (2, 2, 1000, 100)  # channels, bytes, rate, samples
    again = run_node(media.load_audio, audio=ctx.outputs.files[0])
    assert (again.sample_rate, again.waveform.shape) == (1000, (1, 2, 100))
    assert torch.allclose(again.waveform[0], audio.waveform[0], atol=2 / 32768)


@pytest.mark.parametrize("width", [1, 2, 3, 4])
def test_samples_of_any_width_are_read(tmp_path: Path, width: int) -> None:
    half = {1: bytes([192]), 2: b"\x00\x40", 3: b"\x00\x00\x40", 4: b"\x00\x00\x00\x40"}[width]
    silence = {1: bytes([128])}.get(width, bytes(width))
    with wave.open(str(tmp_path / "tone.wav"), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(width)
        sound.setframerate(8000)
        sound.writeframes(half + silence)
    assert run_node(media.load_audio, audio=tmp_path / "tone.wav").waveform.tolist() == [[[0.5, 0.0]]]


@pytest.mark.parametrize("content", [b"", b"RIFF", b"ID3 an mp3"], ids=["empty", "cut off", "mp3"])
def test_what_is_no_wav_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "tone.wav").write_bytes(content)
    with pytest.raises(ModelFileError, match="no sound that can be read"):
        run_node(media.load_audio, audio=tmp_path / "tone.wav")


def test_numbers_are_saved_and_opened_again() -> None:
    ctx = FakeContext()
    array = Array(torch.rand(2, 3, 5))
    run_node(media.save_array, ctx=ctx, array=array)
    (path,) = ctx.outputs.files
    assert numpy.array_equal(numpy.load(path), array.numpy())
    assert torch.equal(run_node(media.load_array, array=path), array)


def test_pickled_objects_are_no_numbers(tmp_path: Path) -> None:
    objects: Any = numpy.array([{"a": 1}], dtype=object)  # Any: numpy's stubs
    numpy.save(tmp_path / "bad.npy", objects, allow_pickle=True)
    with pytest.raises(ModelFileError, match="no numbers"):
        run_node(media.load_array, array=tmp_path / "bad.npy")


@pytest.mark.parametrize("coloured", [True, False])
def test_a_shape_is_saved_as_ply(coloured: bool) -> None:
    corners = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0]])
    mesh = Mesh(corners, torch.tensor([[0, 1, 2]]), torch.eye(3) if coloured else None)
    ctx = FakeContext()
    run_node(media.save_mesh, ctx=ctx, mesh=mesh)
    content = ctx.outputs.files[0].read_bytes()
    header, _, rest = content.partition(b"end_header\n")
    assert (b"element vertex 3" in header, b"property uchar red" in header) == (True, coloured)
    vertex = 12 + 3 * coloured
    assert len(rest) == 3 * vertex + 13
    assert numpy.frombuffer(rest[vertex : vertex + 12], "<f4").tolist() == [1, 0, 0]
    assert rest[3 * vertex] == 3
    assert numpy.frombuffer(rest[3 * vertex + 1 :], "<i4").tolist() == [0, 1, 2]
    if coloured:
        assert list(rest[12:15]) == [255, 0, 0]
