from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from graphengine.diffusion import lora_files
from graphengine.diffusion.lora_names import split_name
from graphengine.errors import ModelFileError
from tests.diffusion.bad_files import DAMAGES, edited, refused, without
from tests.diffusion.tiny_checkpoint import tiny_model
from tests.diffusion.tiny_lora import in_tensors, kohya, written

TO_Q = "down_blocks_1_attentions_0_transformer_blocks_0_attn1_to_q"
DOTTED = "down_blocks.1.attentions.0.transformer_blocks.0.attn1"
NAMES = {
    f"lora_unet_{TO_Q}.lora_up.weight": ("denoiser", TO_Q, "up"),
    f"lora_unet_{TO_Q}.lora_mid.weight": ("denoiser", TO_Q, "mid"),
    f"lora_unet_{TO_Q}.alpha": ("denoiser", TO_Q, "alpha"),
    f"lora_unet_{TO_Q}.dora_scale": ("denoiser", TO_Q, "dora_scale"),
    f"lora_unet_{TO_Q}.hada_w1_a": ("denoiser", TO_Q, "hada_w1_a"),
    f"lycoris_{TO_Q}.lokr_w2": ("denoiser", TO_Q, "lokr_w2"),
    f"lora_unet_{TO_Q}.diff_b": ("denoiser", TO_Q, "diff_b"),
    f"unet.{DOTTED}.to_q.lora_A.weight": ("denoiser", TO_Q, "down"),
    f"unet.{DOTTED}.to_q.lora_B.weight": ("denoiser", TO_Q, "up"),
    f"unet.{DOTTED}.to_q.lora_B.bias": ("denoiser", TO_Q, "up_bias"),
    f"unet.{DOTTED}.to_q.lora_magnitude_vector": ("denoiser", TO_Q, "lora_magnitude_vector"),
    f"unet.{DOTTED}.to_q.lora.down.weight": ("denoiser", TO_Q, "down"),
    f"unet.{DOTTED}.processor.to_q_lora.down.weight": ("denoiser", TO_Q, "down"),
    f"{DOTTED}.processor.to_out_lora.up.weight": ("denoiser", TO_Q.replace("to_q", "to_out_0"), "up"),
    f"base_model.model.{DOTTED}.to_q.lora_A.default.weight": ("denoiser", TO_Q, "down"),
    f"base_model.model.{DOTTED}.to_q.lora_magnitude_vector.default.weight": ("denoiser", TO_Q, "lora_magnitude_vector"),
    "diffusion_model.input_blocks.4.1.proj_in.lora_A.weight": ("denoiser", "input_blocks_4_1_proj_in", "down"),
    "transformer.transformer_blocks.0.attn.to_q.lora_A.weight": (
        "denoiser", "transformer_blocks_0_attn_to_q", "down"),
    "lora_te_text_model_encoder_layers_0_mlp_fc1.lora_up.weight": (
        "text_encoder", "text_model_encoder_layers_0_mlp_fc1", "up"),
    "lora_te1_text_model_encoder_layers_0_mlp_fc1.alpha": (
        "text_encoder", "text_model_encoder_layers_0_mlp_fc1", "alpha"),
    "lora_te2_text_projection.lora_up.weight": ("text_encoder_2", "text_projection", "up"),
    "text_encoder_2.text_model.encoder.layers.0.self_attn.q_proj.lora_linear_layer.up.weight": (
        "text_encoder_2", "text_model_encoder_layers_0_self_attn_q_proj", "up"),
    "text_encoder.text_model.encoder.layers.0.self_attn.to_out_lora.up.weight": (
        "text_encoder", "text_model_encoder_layers_0_self_attn_out_proj", "up"),
    "base_model.model.text_model.encoder.layers.0.self_attn.q_proj.lora_A.weight": (
        "text_encoder", "text_model_encoder_layers_0_self_attn_q_proj", "down"),
    "unet.conv_in.weight": None,
    "bundle_emb.cat.string_to_param.*": None,
    f"oft_unet_{TO_Q}.oft_blocks": ("denoiser", TO_Q, "oft_blocks"),
    f"lycoris_{TO_Q}.rescale": ("denoiser", TO_Q, "rescale"),
    "unet.conv_in.oft_R.weight": None,
}  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_each_programs_names_are_understood(name: str) -> None:
    assert split_name(name) == NAMES[name]


@pytest.fixture
def lora(tmp_path: Path) -> Path:
    return written(tmp_path / "mine.safetensors", in_tensors(tiny_model().network, kohya("lora_unet")))


UP, DOWN = f"lora_unet_{TO_Q}.lora_up.weight", f"lora_unet_{TO_Q}.lora_down.weight"
REFUSED = DAMAGES | {
    "no down": (without(DOWN), f"layer '{TO_Q}': it has no 'down', only 'up'"),
    "no up": (without(UP), f"layer '{TO_Q}': it has no 'up', only 'down'"),
    "half a LoHa": (
        edited(lambda tensors: tensors.update({"lora_unet_conv_in.hada_w1_a": torch.ones(2, 2)})), "no 'hada_w1_b'"),
    "two kinds in one": (
        edited(lambda tensors: tensors.update({f"lora_unet_{TO_Q}.lokr_w1": torch.ones(2, 2)})), "lokr_w1 beside"),
    "ranks differ": (edited(lambda tensors: tensors.update({UP: torch.ones(16, 3)})), "ranks 3 and 2"),
    "no matrix": (edited(lambda tensors: tensors.update({UP: torch.ones(16)})), "don't fit each other"),
    "alpha of two numbers": (
        edited(lambda tensors: tensors.update({f"lora_unet_{TO_Q}.alpha": torch.ones(2)})), "don't fit each other"),
    "NaN": (edited(lambda tensors: tensors[UP].fill_(float("nan"))), "hold NaN or infinite"),
    "infinite": (edited(lambda tensors: tensors[DOWN][0].fill_(float("inf"))), "hold NaN or infinite"),
    "PEFT's OFT": (
        edited(lambda tensors: tensors.update({"unet.conv_in.oft_R.weight": torch.ones(1)})), "kind OFT in PEFT's"),
    "OFT of no squares": (
        edited(lambda tensors: tensors.update({"lora_unet_conv_in.oft_blocks": torch.ones(2, 2, 3)})),
        "'conv_in': .*blocks of"),
    "OFT of no blocks": (
        edited(lambda tensors: tensors.update({"lora_unet_conv_in.oft_blocks": torch.ones(2)})), "don't fit each"),
    "BOFT of too few rows": (
        edited(lambda tensors: tensors.update({"lora_unet_conv_in.oft_blocks": torch.ones(3, 2, 2, 2)})), "blocks of"),
    "unknown names": (edited(lambda tensors: tensors.update({"odd": torch.ones(1)})), "that no LoRA has.*'odd'"),
    "a checkpoint": (lambda path: save_file({"unet.conv_in.weight": torch.ones(2)}, path), "no LoRA: .*conv_in"),
    "no tensors": (lambda path: save_file({}, path), "is empty"),
    "metadata not JSON": (
        lambda path: save_file(load_file(path), path, {"lora_adapter_metadata": "{"}), "isn't JSON"),
}  # fmt: skip


@pytest.mark.parametrize("damage", REFUSED)
def test_bad_files_are_refused_by_name_with_a_remedy(lora: Path, damage: str) -> None:
    spoil, message = REFUSED[damage]
    spoil(lora)
    refused(lora_files.read, lora, message)


def test_folders_hold_their_adapter_under_its_programs_name(lora: Path, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    with pytest.raises(ModelFileError, match=r"no adapter here\n.*pytorch_lora_weights"):
        lora_files.read(folder)
    lora.rename(folder / "pytorch_lora_weights.safetensors")
    assert lora_files.read(folder).changes.keys() == {"denoiser"}


def test_embeddings_in_a_lora_are_named(lora: Path) -> None:
    edited(lambda tensors: tensors.update({"bundle_emb.cat.string_to_param.x": torch.ones(2)}))(lora)
    assert lora_files.read(lora).notices == ("the embeddings in it aren't used: cat",)
