"""Adapters equal what PEFT and diffusers make of the same files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import StableDiffusionPipeline
from torch import Tensor

from graphengine.diffusion import checkpoints, lora_files
from graphengine.diffusion.adapters import with_lora, with_model_lora
from tests.diffusion.tiny_checkpoint import tiny_clip, tiny_model, tiny_vae
from tests.diffusion.tiny_lora import Roles, dotted, in_tensors, kohya, lora, written

peft: Any = pytest.importorskip("peft", reason="the reference of these tests is PEFT; it comes with the extra 'dev'")

LINEAR = ["to_q", "to_k", "to_v", "to_out.0", "ff.net.2"]
CONVOLUTIONS = ["conv1", "conv_shortcut", "conv_in"]
CONFIGS: dict[str, tuple[str, dict[str, Any]]] = {  # Any: options of their own types
    "LoRA": ("LoraConfig", {"r": 2, "lora_alpha": 3}),
    "LoRA, rank-stabilised": ("LoraConfig", {"r": 4, "lora_alpha": 3, "use_rslora": True}),
    "LoRA, patterns": ("LoraConfig", {"r": 2, "rank_pattern": {"to_q": 4}, "alpha_pattern": {"to_k": 5}}),
    "LoRA, biases": ("LoraConfig", {"r": 2, "lora_alpha": 3, "lora_bias": True, "target_modules": CONVOLUTIONS}),
    "DoRA": ("LoraConfig", {"r": 2, "lora_alpha": 3, "use_dora": True}),
    "LoHa": ("LoHaConfig", {"r": 2, "alpha": 3}),
    "LoHa with cores": ("LoHaConfig", {"r": 2, "alpha": 3, "use_effective_conv2d": True}),
    "LoKr": ("LoKrConfig", {"r": 2, "alpha": 3}),
    "LoKr, both decomposed": ("LoKrConfig", {"r": 1, "alpha": 3, "decompose_both": True}),
    "LoKr with cores": ("LoKrConfig", {"r": 1, "alpha": 3, "use_effective_conv2d": True}),
}


def stirred(network: Any) -> None:
    """Give an adapter random values: most begin as no change."""
    torch.manual_seed(3)
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            scale = 0.3 if "magnitude" not in name else 0.05
            parameter.data += torch.randn_like(parameter) * scale


# PEFT takes the biases of its own layers for weights that were cut apart.
@pytest.mark.filterwarnings("ignore:Adapter 'default'. .* have invalid shape")
@pytest.mark.parametrize("kind", CONFIGS)
def test_weights_equal_those_that_peft_merges(kind: str, tmp_path: Path) -> None:
    name, options = CONFIGS[kind]
    config = getattr(peft, name)(**{"target_modules": LINEAR + CONVOLUTIONS} | options)
    model = tiny_model()
    theirs = peft.get_peft_model(tiny_model().network, config)
    stirred(theirs)
    theirs.save_pretrained(tmp_path)

    ours, notices = with_model_lora(model, lora_files.read(tmp_path), strength=1, source="peft")

    merged: dict[str, Tensor] = theirs.merge_and_unload().state_dict()
    state, base = ours.network.state_dict(), model.network.state_dict()
    assert notices == []
    assert all(torch.allclose(state[each], merged[each], atol=1e-5) for each in merged)
    assert not torch.allclose(state["conv_in.weight"], base["conv_in.weight"], atol=1e-2)


def with_alpha(weight: Tensor) -> Roles:
    return lora(weight) | {"alpha": torch.tensor(1.5)}


def as_saved(weight: Tensor) -> Roles:
    roles = lora(weight)
    return {"lora_A.weight": roles["lora_down.weight"], "lora_B.weight": roles["lora_up.weight"]}


@pytest.mark.parametrize("kind", ["kohya", "diffusers"])
def test_networks_answer_as_in_diffusers_pipeline(kind: str, tmp_path: Path) -> None:
    model, clip = tiny_model(), tiny_clip()
    (encoder,) = clip.encoders
    checkpoints.save(tmp_path / "tiny", model=model, clip=clip, vae=tiny_vae())
    if kind == "diffusers":
        tensors = in_tensors(model.network, dotted("unet"), as_saved)
        tensors |= in_tensors(encoder.network, dotted("text_encoder.text_model"), as_saved)
    else:
        tensors = in_tensors(model.network, kohya("lora_unet"), with_alpha)
        tensors |= in_tensors(encoder.network, kohya("lora_te_text_model"), with_alpha)
    path = written(tmp_path / "a.safetensors", tensors)
    pipeline: Any = StableDiffusionPipeline.from_pretrained(
        tmp_path / "tiny", local_files_only=True, requires_safety_checker=False
    )
    pipeline.load_lora_weights(str(path.parent), weight_name=path.name, local_files_only=True)

    ours, our_clip, notices = with_lora(
        model, clip, lora_files.read(path), strength_model=1, strength_clip=1, source="a"
    )

    torch.manual_seed(0)
    x, prompt, tokens = torch.randn(2, 4, 4, 4), torch.randn(2, 8, 16), torch.randint(0, 26, (1, 8))
    with torch.no_grad():
        for network, theirs, given in (
            (ours.network, pipeline.unet, (x, torch.tensor(7), prompt)),
            (our_clip.encoders[0].network, pipeline.text_encoder, (tokens,)),
        ):
            assert torch.allclose(network(*given)[0], theirs(*given)[0], atol=1e-5)
    assert notices == []
