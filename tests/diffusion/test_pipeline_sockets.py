"""What a pipeline's signature becomes: read from its source, without importing diffusers."""

from __future__ import annotations

import subprocess
import sys

import pytest

from graphengine.core.definition import InputDefinition, Sockets
from graphengine.diffusion.pipeline_sockets import socket_type, sockets_of
from graphengine.diffusion.pipeline_sources import Parameter, has_class, read_pipeline


def _sockets(name: str) -> Sockets:
    found = sockets_of(name)
    assert found is not None
    return found


def _inputs(name: str) -> dict[str, InputDefinition]:
    return {each.name: each for each in _sockets(name).inputs}


def test_text_to_image() -> None:
    inputs = _inputs("StableDiffusionPipeline")
    assert not {"generator", "callback_on_step_end", "output_type", "return_dict", "self"} & inputs.keys()
    prompt, steps = inputs["prompt"], inputs["num_inference_steps"]
    assert (prompt.type, prompt.required, prompt.unless) == ("STRING", True, ("prompt_embeds",))
    assert (steps.type, steps.default, steps.minimum) == ("INT", 50, 1)
    assert "denoising steps" in steps.doc
    assert (inputs["guidance_scale"].type, inputs["guidance_scale"].default) == ("FLOAT", 7.5)
    assert (inputs["height"].required, inputs["height"].default) == (False, None)
    assert inputs["latents"].type == "LATENT|ARRAY"
    assert inputs["cross_attention_kwargs"].pattern
    assert [(each.name, each.type) for each in _sockets("StableDiffusionPipeline").outputs] == [("images", "IMAGE")]


def test_pictures_that_a_pipeline_insists_on_are_required() -> None:
    inputs = _inputs("StableDiffusionInpaintPipeline")
    assert (inputs["image"].type, inputs["image"].required) == ("IMAGE", True)
    assert (inputs["mask_image"].type, inputs["mask_image"].required) == ("MASK", True)
    assert (inputs["ip_adapter_image"].type, inputs["ip_adapter_image"].required) == ("IMAGE", False)
    assert inputs["masked_image_latents"].type == "LATENT|ARRAY"
    assert (inputs["strength"].minimum, inputs["strength"].maximum) == (0, 1)


@pytest.mark.parametrize(
    ("name", "outputs"),
    [
        ("WanVideoToVideoPipeline", [("video", "VIDEO")]),
        ("StableAudioPipeline", [("audio", "AUDIO")]),
        ("LTX2Pipeline", [("video", "VIDEO"), ("audio", "AUDIO")]),
        ("KandinskyV22PriorPipeline", [("image_embeds", "ARRAY"), ("negative_image_embeds", "ARRAY")]),
        ("ShapEPipeline", [("video", "VIDEO"), ("mesh", "[MESH]")]),
        ("DanceDiffusionPipeline", [("audio", "AUDIO")]),
    ],
)
def test_outputs_are_the_fields_of_what_it_returns(name: str, outputs: list[tuple[str, str]]) -> None:
    assert [(each.name, each.type) for each in _sockets(name).outputs] == outputs


def test_what_is_no_pipeline_is_not_known() -> None:
    assert sockets_of("DiffusionPipeline") is None
    assert sockets_of("NobodysPipeline") is None
    assert read_pipeline("os; import sys") is None
    assert (has_class("UNet2DModel"), has_class("UNet9D")) == (True, False)


def _parameter(name: str, *hints: str, default: object = None) -> Parameter:
    return Parameter(name, hints, takes_none=False, has_default=True, default=default)


@pytest.mark.parametrize(
    ("parameter", "type_name"),
    [
        (_parameter("eta", "float"), "FLOAT"),
        (_parameter("conditioning_scale", "float", "list[float]", "torch.Tensor"), "FLOAT"),
        (_parameter("clean", default=False), "BOOLEAN"),
        (_parameter("sigmas", "list[float]"), "[FLOAT]"),
        (_parameter("target_size", "tuple[int, int]"), "[INT]"),
        (_parameter("keep", "Literal['first', 'last']"), "STRING"),
        (_parameter("sizes", "list", default=[16, 2]), "[INT]"),
        (_parameter("control_mask", "PipelineImageInput"), "MASK"),
        (_parameter("video", "list[PIL.Image.Image]"), "VIDEO|IMAGE"),
        (_parameter("last_image", "torch.Tensor"), "IMAGE"),
        (_parameter("src_audio", "torch.Tensor"), "AUDIO"),
        (_parameter("audio_latents", "torch.Tensor"), "LATENT|ARRAY"),
        (_parameter("prompt_embeds", "torch.Tensor"), "ARRAY"),
        (_parameter("boxes", "list[list[float]]"), "JSON"),
        (_parameter("kwargs", "dict[str, Any]"), "JSON"),
        (_parameter("conditions", "LTX2VideoCondition"), None),
        (_parameter("callback", "Callable[[int], None]"), None),
    ],
    ids=lambda each: each.name if isinstance(each, Parameter) else str(each),
)
def test_a_hint_and_a_name_make_a_socket(parameter: Parameter, type_name: str | None) -> None:
    assert socket_type(parameter) == type_name


def test_reading_loads_no_torch() -> None:
    code = (
        "import sys\n"
        "from graphengine.diffusion.pipeline_sockets import sockets_of\n"
        "sockets_of('DDPMPipeline')\n"
        "print(sorted({'torch', 'diffusers', 'transformers', 'numpy'} & set(sys.modules)))\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n"
