from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from graphengine.authoring.testing import FakeContext
from graphengine.diffusion import conditioning
from graphengine.errors import Cancelled, InputError
from graphengine_nodes.latents import add_noise, empty_latent
from graphengine_nodes.previewing import model_preview
from graphengine_nodes.sampling import ksampler
from tests.diffusion.tiny_checkpoint import tiny_clip, tiny_model, tiny_vae
from tests.nodes.running import Run

PROMPT = conditioning.encode(tiny_clip(), "red")
NOTHING = conditioning.encode(tiny_clip(), "")


def test_same_seed_gives_the_same_latent_and_progress_is_reported(tmp_path: Path) -> None:
    run, model, blank = Run(tmp_path), tiny_model(), empty_latent(32, 32)

    first = ksampler(run.context, model, 5, 3, positive=PROMPT, negative=NOTHING, latent_image=blank)
    again = ksampler(run.context, model, 5, 3, positive=PROMPT, negative=NOTHING, latent_image=blank)
    other = ksampler(run.context, model, 6, 3, positive=PROMPT, negative=NOTHING, latent_image=blank)

    assert torch.isfinite(first.samples).all()
    assert torch.equal(first.samples, again.samples)
    assert not torch.equal(first.samples, other.samples)
    assert run.progress[:3] == [(1, 3), (2, 3), (3, 3)]
    assert blank.samples.abs().max() == 0


def test_noise_of_its_own_node_equals_the_samplers(tmp_path: Path) -> None:
    run, model, blank = Run(tmp_path), tiny_model(), empty_latent(32, 32)
    whole = ksampler(run.context, model, 5, 3, positive=PROMPT, negative=NOTHING, latent_image=blank)
    noisy = add_noise(model, blank, 5, 3)
    parts = ksampler(run.context, model, 5, 3, positive=PROMPT, negative=NOTHING, latent_image=noisy, add_noise=False)
    assert torch.equal(whole.samples, parts.samples)


def test_every_advanced_input_reaches_the_sampler(tmp_path: Path) -> None:
    """
    0 ── first, with leftover noise ── 2 ── second, without new noise ── 4      equals one run of 4
    """
    run, model, blank = Run(tmp_path), tiny_model(), empty_latent(32, 32)
    whole = ksampler(run.context, model, 5, 4, positive=PROMPT, negative=NOTHING, latent_image=blank)
    first = ksampler(
        run.context, model, 5, 4, positive=PROMPT, negative=NOTHING, latent_image=blank,
        end_at_step=2, return_with_leftover_noise=True,
    )  # fmt: skip
    second = ksampler(
        run.context, model, 5, 4, positive=PROMPT, negative=NOTHING, latent_image=first,
        add_noise=False, start_at_step=2,
    )  # fmt: skip
    torch.testing.assert_close(second.samples, whole.samples)


def test_each_step_is_shown_for_a_model_that_tells_how_its_latents_look() -> None:
    shown, unknown = FakeContext(), FakeContext()
    model = replace(tiny_model(), latent_rgb=((0.3, 0.3, 0.3),) * 5)
    for ctx, shape in ((shown, model), (unknown, tiny_model())):
        ksampler(ctx, shape, 5, 3, positive=PROMPT, negative=NOTHING, latent_image=empty_latent(32, 32))
    assert [tuple(picture.shape) for picture in shown.previews] == [(8, 8, 3)] * 3
    assert not torch.equal(shown.previews[0], shown.previews[2])
    assert unknown.previews == []


def test_stopping_takes_effect_between_steps(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.services.cancel.set()
    with pytest.raises(Cancelled):
        ksampler(
            run.context, tiny_model(), positive=PROMPT, negative=NOTHING, latent_image=empty_latent(32, 32), steps=1000
        )


@pytest.mark.parametrize(
    ("steps", "start", "end", "blamed"),
    [(20, 20, None, "start_at_step"), (20, 5, 5, "start_at_step"), (20, 0, 21, "end_at_step")],
)
def test_steps_that_leave_nothing_to_do_are_refused_early(steps: int, start: int, end: int | None, blamed: str) -> None:
    (check,) = ksampler.checks
    check(steps=20, start_at_step=0, end_at_step=None)
    with pytest.raises(InputError) as caught:
        check(steps=steps, start_at_step=start, end_at_step=end)
    assert caught.value.input == blamed


def test_inputs_have_their_public_names_and_order() -> None:
    names = [each.name for each in ksampler.definition.inputs]
    assert names[:10] == (
        "model seed steps cfg sampler_name scheduler positive negative latent_image denoise".split()  # noqa: SIM905
    )
    assert names[10:] == ["add_noise", "start_at_step", "end_at_step", "return_with_leftover_noise"]


def test_a_sampler_shows_its_steps_by_the_autoencoder_that_is_chosen() -> None:
    context, vae = FakeContext(), tiny_vae()
    model = model_preview(tiny_model(), "vae", vae)
    ksampler(context, model, 5, 2, positive=PROMPT, negative=NOTHING, latent_image=empty_latent(32, 32))
    assert [each.shape for each in context.previews] == [(8, 8, 3)] * 2
    (check,) = model_preview.checks
    check("colors", None)
    with pytest.raises(InputError, match="nothing is linked"):
        check("vae", None)
