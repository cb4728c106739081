"""Nodes that take the sockets of what is chosen at them, and results that are no pictures."""

from __future__ import annotations

import json
import struct
import wave
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.server.running import Server, workflow
from tests.web.editing import node, open_workflow, run, socket

pytestmark = pytest.mark.browser


def _pipeline(folder: Path, class_name: str) -> None:
    """Write what is looked at before a pipeline is opened."""
    header = json.dumps({"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
    files = {
        "model_index.json": {
            "_class_name": class_name,
            "unet": ["diffusers", "UNet2DModel"],
            "scheduler": ["diffusers", "DDPMScheduler"],
        },
        "unet/config.json": {"_class_name": "UNet2DModel"},
        "scheduler/scheduler_config.json": {"_class_name": "DDPMScheduler"},
    }
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(json.dumps(content))
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(struct.pack("<Q", len(header)) + header + bytes(4))


def test_a_pipeline_brings_its_inputs_and_outputs(page: Page, server: Server) -> None:
    folder = server.data / "models" / "pipelines"
    _pipeline(folder / "shapes", "DDPMPipeline")
    _pipeline(folder / "strange", "NobodysPipeline")
    save = {"images": {"$link": "run.images"}}
    open_workflow(page, workflow({"run": ("DiffusersPipeline", {}), "save": ("SaveImage", save)}))
    card = node(page, "run")
    expect(card.get_by_text("num_inference_steps")).to_have_count(0)
    card.get_by_label("pipeline", exact=True).click()
    page.get_by_role("option", name="shapes").click()
    expect(card.get_by_label("num_inference_steps", exact=True)).to_have_value("1000")
    expect(socket(page, "run.images", "Output")).to_be_visible()
    card.get_by_label("pipeline", exact=True).click()
    page.get_by_role("option", name="strange").click()
    expect(card.get_by_text("num_inference_steps")).to_have_count(0)
    page.get_by_role("button", name="problem").click()
    expect(page.get_by_role("list", name="Problems").get_by_text("'NobodysPipeline'")).to_be_visible()


def test_sound_is_played_and_saved(page: Page, server: Server) -> None:
    folder = server.data / "input"
    folder.mkdir(exist_ok=True)
    with wave.open(str(folder / "tone.wav"), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(bytes(16000))
    save = {"audio": {"$link": "load.audio"}, "filename_prefix": "tone"}
    open_workflow(page, workflow({"load": ("LoadAudio", {"audio": "tone.wav"}), "save": ("SaveAudio", save)}))
    run(page)
    files = page.get_by_role("region", name="Result").get_by_role("list", name="Files of the result")
    player = files.get_by_label("Play tone_00001.wav")
    expect(player).to_be_visible()
    page.wait_for_function("() => document.querySelector('.media audio').duration === 1")
    with page.expect_download() as download:
        files.get_by_role("link", name="tone_00001.wav").click()
    with wave.open(str(download.value.path())) as saved:
        assert saved.getnframes() == 8000
