"""A picture is brought, painted on and drawn over; a training shows its loss."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from tests.server.running import Server, workflow
from tests.web.conftest import violations
from tests.web.editing import document, node, open_workflow, panel, result, run, training

pytestmark = pytest.mark.browser

INPAINT = workflow(
    {
        "picture": ("LoadImage", {}),
        "checkpoint": ("LoadCheckpoint", {}),
        "encode": ("VAEEncode", {"pixels": {"$link": "picture.image"}, "vae": {"$link": "checkpoint.vae"}}),
        "masked": ("SetLatentNoiseMask", {"samples": {"$link": "encode.latent"}, "mask": {"$link": "picture.mask"}}),
        "text": ("CLIPEncode", {"clip": {"$link": "checkpoint.clip"}, "text": "a red circle"}),
        "sample": (
            "KSampler",
            {
                "model": {"$link": "checkpoint.model"},
                "positive": {"$link": "text.conditioning"},
                "negative": {"$link": "text.conditioning"},
                "latent_image": {"$link": "masked.latent"},
                "steps": 3,
                "cfg": 1.0,
            },
        ),
        "decode": ("VAEDecode", {"samples": {"$link": "sample.latent"}, "vae": {"$link": "checkpoint.vae"}}),
        "save": ("SaveImage", {"images": {"$link": "decode.image"}}),
    }
)


def test_a_painted_mask_is_drawn_into(page: Page, tmp_path: Path) -> None:
    picture = tmp_path / "mauve.png"
    Image.new("RGB", (128, 128), (180, 150, 200)).save(picture)
    open_workflow(page, INPAINT, "Inpaint")
    field = node(page, "picture").get_by_role("group", name="image")
    with page.expect_file_chooser() as chooser:
        field.get_by_role("button", name="Drop, paste or choose a picture").click()
    chooser.value.set_files(picture)
    expect(field.get_by_role("img", name=picture.name)).to_be_visible()

    field.get_by_role("button", name="Paint a mask").click()
    painter = page.get_by_role("dialog", name="Mask of")
    surface = painter.get_by_role("application", name="Picture to paint on.")
    box = surface.bounding_box()
    assert box is not None
    middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.move(middle[0] - 60, middle[1])
    page.mouse.down()
    page.mouse.move(middle[0] + 60, middle[1] + 20, steps=5)
    page.mouse.up()
    expect(painter.get_by_role("button", name="Undo")).to_be_enabled()
    painter.get_by_role("button", name="Save mask").click()
    expect(painter).to_be_hidden()
    expect(field.get_by_role("img", name="mauve-mask.png")).to_be_visible()
    assert "mask" in document(page)["nodes"]["picture"]["inputs"]["image"]

    run(page)

    expect(result(page)).to_be_visible()


def test_a_training_shows_its_loss(page: Page, server: Server) -> None:
    open_workflow(page, training(steps=100_000, channels="8, 8, 8, 8", batch_size=1), "Training")
    plots = panel(page, "Plots")
    expect(plots).to_contain_text("Training shows its loss here while it runs.")

    run(page)

    expect(plots.get_by_role("img", name="loss by step")).to_be_visible()
    newest = plots.get_by_role("listitem").filter(has_text="Training · train")
    expect(newest).to_contain_text("at step")
    before = newest.inner_text()
    expect(newest).not_to_have_text(before, use_inner_text=True)  # it goes on
    page.get_by_role("button", name="Cancel", exact=True).click()
    expect(page.get_by_role("button", name="Cancel", exact=True)).to_be_hidden()

    assert violations(page) == []
    plots.get_by_label("Log scale").check()
    plots.locator(".u-over").hover(position={"x": 2, "y": 20})
    expect(newest).to_contain_text(re.compile("at step [12]$"))
