from __future__ import annotations

import gc
import json
import weakref
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from graphengine.core.on_demand import held
from graphengine.diffusion import lora_files
from graphengine.diffusion.adapters import with_lora, with_model_lora
from graphengine.diffusion.original_names import unet_places
from graphengine.engine.sizes import sizes_of
from graphengine.errors import InputError
from graphengine.types import Clip, Model, TextEncoder
from tests.diffusion.tiny_checkpoint import tiny_clip, tiny_model
from tests.diffusion.tiny_lora import Roles, dotted, in_tensors, kohya, layers, lora, random, written

Weights = dict[str, Tensor]


def weights(network: nn.Module) -> Weights:
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def same(one: Weights, other: Weights) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def applied(model: Model, path: Path, strength: float = 1.0) -> Model:
    changed, notices = with_model_lora(model, lora_files.read(path), strength=strength, source=path.name)
    assert notices == []
    return changed


def product(roles: Roles) -> Tensor:
    up, down = roles["lora_up.weight"], roles["lora_down.weight"]
    return up.flatten(1) @ down.flatten(1)


def expected(network: nn.Module, change: Callable[[str, Tensor], Tensor]) -> Weights:
    result = weights(network)
    for layer, module in layers(network):
        result[f"{layer}.weight"] = module.weight + change(layer, module.weight).view(module.weight.shape)
    return result


def close(network: nn.Module, wanted: Weights) -> bool:
    state = network.state_dict()
    return all(torch.allclose(state[name], wanted[name], atol=1e-5) for name in wanted)


# What is computed


def test_a_lora_adds_alpha_over_rank_of_its_product(tmp_path: Path) -> None:
    model = tiny_model()

    def with_alpha(weight: Tensor) -> Roles:
        return lora(weight) | {"alpha": torch.tensor(1.0)}

    tensors = in_tensors(model.network, kohya("lora_unet"), with_alpha)
    changed = applied(model, written(tmp_path / "a.safetensors", tensors), strength=0.8)

    def change(layer: str, weight: Tensor) -> Tensor:
        name = kohya("lora_unet")
        return (
            0.8 * 0.5 * product({role: tensors[name(layer, role)] for role in ("lora_up.weight", "lora_down.weight")})
        )

    assert close(changed.network, expected(model.network, change))


@pytest.mark.parametrize(
    "name",
    [kohya("lora_unet"), kohya("lycoris"), dotted("unet"), dotted("diffusion_model"), dotted("base_model.model.unet")],
    ids=["kohya", "lycoris", "diffusers", "comfyui", "peft"],
)
def test_all_programs_names_mean_the_same(tmp_path: Path, name: Callable[[str, str], str]) -> None:
    model = tiny_model()
    tensors = in_tensors(model.network, kohya("lora_unet"))
    same_tensors = in_tensors(model.network, name)
    one = applied(model, written(tmp_path / "a.safetensors", tensors))
    other = applied(model, written(tmp_path / "b.safetensors", same_tensors))
    assert same(weights(one.network), weights(other.network))
    assert not same(weights(one.network), weights(model.network))


def test_the_original_programs_numbering_is_understood(tmp_path: Path) -> None:
    model = tiny_model()
    tensors = in_tensors(model.network, kohya("lora_unet"))

    def original(layer: str, role: str) -> str:
        config: Any = model.network.config  # Any: diffusers' configuration, untyped
        (place,) = unet_places([f"{layer}.weight"], config, prefix="").values()
        return kohya("lora_unet")(place.name.removesuffix(".weight"), role)

    renamed = in_tensors(model.network, original)
    one = applied(model, written(tmp_path / "a.safetensors", tensors))
    other = applied(model, written(tmp_path / "b.safetensors", renamed))
    assert any("input_blocks_3_1" in name for name in renamed)
    assert same(weights(one.network), weights(other.network))


def test_text_encoders_are_changed_under_any_version_of_their_names(tmp_path: Path) -> None:
    model, clip = tiny_model(), tiny_clip()
    (encoder,) = clip.encoders
    plain = in_tensors(encoder.network, kohya("lora_te"))
    nested = {name.replace("lora_te_", "lora_te1_text_model_"): tensor for name, tensor in plain.items()}
    results = []
    for number, tensors in enumerate((plain, nested)):
        file = lora_files.read(written(tmp_path / f"{number}.safetensors", tensors))
        unchanged, changed, notices = with_lora(model, clip, file, strength_model=1, strength_clip=0.5, source="faces")
        assert unchanged is model
        assert notices == []
        results.append(weights(changed.encoders[0].network))
    assert same(*results)
    assert not same(results[0], weights(encoder.network))


def test_the_second_text_encoder_has_changes_of_its_own(tmp_path: Path) -> None:
    first, second = tiny_clip().encoders[0], tiny_clip(width=32).encoders[0]
    clip = Clip((first, second))
    tensors = in_tensors(first.network, kohya("lora_te1")) | in_tensors(second.network, kohya("lora_te2"))
    file = lora_files.read(written(tmp_path / "a.safetensors", tensors))
    _model, both, _notices = with_lora(tiny_model(), clip, file, strength_model=1, strength_clip=1, source="a")
    for before, after in zip(clip.encoders, both.encoders, strict=True):
        assert not same(weights(before.network), weights(after.network))
        assert (after.tokenizer, after.pooled) == (before.tokenizer, before.pooled)
    _model, one, notices = with_lora(tiny_model(), Clip((first,)), file, strength_model=1, strength_clip=1, source="a")
    assert same(weights(one.encoders[0].network), weights(both.encoders[0].network))
    assert len(notices) == 1
    assert "text_encoder_2" in notices[0]


def test_convolutions_with_and_without_a_core_change_as_their_branches_would(tmp_path: Path) -> None:
    """The change merged equals the small convolutions run beside the large one."""
    model = tiny_model()
    torch.manual_seed(3)
    conv: Any = model.network.get_submodule("down_blocks.0.resnets.0.conv1")
    x, out, inside = torch.randn(1, 8, 6, 6), conv.out_channels, conv.in_channels
    up, down, core, thin = random(out, 2, 1, 1), random(2, inside, 3, 3), random(2, 2, 3, 3), random(2, inside, 1, 1)
    name = "lora_unet_down_blocks_0_resnets_0_conv1"
    plain = {f"{name}.lora_up.weight": up, f"{name}.lora_down.weight": down}
    cored = {f"{name}.lora_up.weight": up, f"{name}.lora_down.weight": thin, f"{name}.lora_mid.weight": core}
    convolve = nn.functional.conv2d
    wanted = [
        convolve(convolve(x, down, padding=1), up),
        convolve(convolve(convolve(x, thin), core, padding=1), up),
    ]
    for tensors, branch in zip((plain, cored), wanted, strict=True):
        changed: Any = applied(model, written(tmp_path / "a.safetensors", tensors)).network
        result = changed.get_submodule("down_blocks.0.resnets.0.conv1")(x)
        assert torch.allclose(result, conv(x) + branch, atol=1e-5)


def test_whole_differences_of_weights_biases_and_norms_are_added(tmp_path: Path) -> None:
    model = tiny_model()
    state = model.network.state_dict()
    torch.manual_seed(0)
    tensors = {
        "lora_unet_conv_in.diff": random(*state["conv_in.weight"].shape),
        "lora_unet_conv_in.diff_b": random(*state["conv_in.bias"].shape),
        "lora_unet_conv_norm_out.w_norm": random(*state["conv_norm_out.weight"].shape),
        "lora_unet_conv_norm_out.b_norm": random(*state["conv_norm_out.bias"].shape),
    }
    changed = applied(model, written(tmp_path / "a.safetensors", tensors), strength=0.5).network.state_dict()
    for parameter, difference in zip(
        ("conv_in.weight", "conv_in.bias", "conv_norm_out.weight", "conv_norm_out.bias"), tensors.values(), strict=True
    ):
        assert torch.allclose(changed[parameter], state[parameter] + 0.5 * difference, atol=1e-6)


def test_half_precision_weights_are_rounded_once(tmp_path: Path) -> None:
    model = replace(tiny_model(), network=tiny_model().network.to(torch.bfloat16))
    tensors = in_tensors(model.network, kohya("lora_unet"), lambda weight: lora(weight.float()))
    path = written(tmp_path / "a.safetensors", {name: tensor.half() for name, tensor in tensors.items()})
    changed = applied(applied(model, path, 0.5), path, 0.25)
    name = kohya("lora_unet")
    for layer, module in layers(model.network):
        roles = {role: tensors[name(layer, role)].half().float() for role in ("lora_up.weight", "lora_down.weight")}
        wanted = (module.weight.float().flatten(1) + 0.75 * product(roles)).to(torch.bfloat16)
        result = changed.network.get_parameter(f"{layer}.weight")
        assert result.dtype == torch.bfloat16
        assert torch.allclose(result.flatten(1), wanted, rtol=0.008)  # one unit in the last place


def test_lengths_of_columns_are_kept_where_a_dora_gives_those(tmp_path: Path) -> None:
    model = tiny_model()

    def roles_of(weight: Tensor) -> Roles:
        return lora(weight) | {"dora_scale": random(1, weight.shape[1])}

    tensors = in_tensors(model.network, kohya("lora_unet"), roles_of)
    changed = applied(model, written(tmp_path / "a.safetensors", tensors))
    for layer, _module in layers(model.network):
        lengths = changed.network.get_parameter(f"{layer}.weight").norm(dim=0)
        assert torch.allclose(lengths, tensors[kohya("lora_unet")(layer, "dora_scale")][0].abs(), atol=1e-5)


def test_stacked_loras_add_up_and_a_dora_counts_in_its_order(tmp_path: Path) -> None:
    model = tiny_model()
    one = written(tmp_path / "1.safetensors", in_tensors(model.network, kohya("lora_unet"), seed=1))
    two = written(tmp_path / "2.safetensors", in_tensors(model.network, kohya("lora_unet"), seed=2))
    forth, back = applied(applied(model, one, 0.5), two, 2), applied(applied(model, two, 2), one, 0.5)
    assert close(forth.network, weights(back.network))
    lone = weights(applied(model, one, 0.5).network)
    second = weights(applied(model, two, 2).network)
    base = weights(model.network)
    assert close(forth.network, {name: lone[name] + second[name] - base[name] for name in base})

    def of_unit_length(weight: Tensor) -> Roles:
        return lora(weight) | {"dora_scale": torch.ones(weight.shape[0], 1)}

    last = written(tmp_path / "3.safetensors", in_tensors(model.network, kohya("lora_unet"), of_unit_length, seed=3))
    normed, free = applied(applied(model, one), last), applied(applied(model, last), one)
    for layer, _module in layers(model.network):
        lengths = [each.network.get_parameter(f"{layer}.weight").norm(dim=1) for each in (normed, free)]
        assert torch.allclose(lengths[0], torch.ones_like(lengths[0]), atol=1e-5)
        assert not torch.allclose(lengths[1], torch.ones_like(lengths[1]), atol=1e-2)


def test_alphas_in_diffusers_own_metadata_count(tmp_path: Path) -> None:
    model = tiny_model()
    tensors = in_tensors(model.network, dotted("unet"))
    layer = next(name for name, _module in layers(model.network))
    told = {"unet.r": 2, "unet.lora_alpha": 4, "unet.alpha_pattern": {layer: 1}}
    path = written(tmp_path / "a.safetensors", tensors, {"lora_adapter_metadata": json.dumps(told)})
    changed = applied(model, path)

    def change(name: str, weight: Tensor) -> Tensor:
        roles = {role: tensors[f"unet.{name}.{role}"] for role in ("lora_up.weight", "lora_down.weight")}
        return product(roles) * (0.5 if name == layer else 2)

    assert close(changed.network, expected(model.network, change))


# What stays as it was


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return written(tmp_path / "a.safetensors", in_tensors(tiny_model().network, kohya("lora_unet")))


def test_a_strength_of_zero_changes_nothing(path: Path) -> None:
    model = tiny_model()
    assert applied(model, path, 0.0) is model


def test_the_base_is_never_written_to_and_shares_what_is_not_changed(path: Path) -> None:
    model = tiny_model()
    before, versions = weights(model.network), [each._version for each in model.network.parameters()]
    changed = applied(model, path)
    adapted = dict(changed.network.named_parameters())
    assert same(weights(model.network), before)
    assert [each._version for each in model.network.parameters()] == versions
    for name, parameter in model.network.named_parameters():
        is_changed = any(name == f"{layer}.weight" for layer, _module in layers(model.network))
        assert (adapted[name] is parameter) != is_changed
    assert type(changed.network) is type(model.network)
    assert not changed.network.training


def test_two_models_of_one_base_are_right_side_by_side(path: Path, tmp_path: Path) -> None:
    model = tiny_model()
    other = written(tmp_path / "b.safetensors", in_tensors(model.network, kohya("lora_unet"), seed=5))
    one, two = applied(model, path), applied(model, other)
    wanted = [weights(each.network) for each in (one, two)]
    networks = one.network, two.network
    assert not same(*wanted)
    assert [same(weights(network), each) for network, each in zip(networks, wanted, strict=True)] == [True, True]
    assert same(weights(one.network), wanted[0])


def test_of_one_bases_networks_only_the_last_one_read_is_kept(path: Path) -> None:
    model = tiny_model()
    one, two = applied(model, path), applied(model, path, 0.5)
    assert one.network is one.network
    first = weakref.ref(one.network)
    two.network.eval()
    gc.collect()
    assert first() is None
    second = weakref.ref(two.network)
    del two
    gc.collect()
    assert second() is None


def test_what_adapters_change_counts_once_for_all_models_of_one_base(path: Path, tmp_path: Path) -> None:
    model = tiny_model()
    other = written(tmp_path / "other.safetensors", in_tensors(model.network, kohya("lora_unet"), lora, seed=9))
    one, two = applied(model, path), applied(model, other)
    before = sizes_of(one)
    assert len(one.network.state_dict()) > 0  # which makes it
    assert sizes_of(one).weights == before.weights
    changed = sum(
        weight.nbytes
        for weight, base in zip(one.network.parameters(), model.network.parameters(), strict=True)
        if weight is not base
    )
    assert changed > 0
    assert sum(before.weights.values()) == sum(sizes_of(model).weights.values()) + changed
    assert sizes_of([one, two]).weights == before.weights


def test_models_between_two_adapters_are_never_made(path: Path) -> None:
    model = applied(applied(applied(tiny_model(), path), path, 0.5), path, 2.0)
    on_demand: Any = held(model, "network")
    assert len(on_demand.adapters) == 3
    assert on_demand._merged == []
    assert on_demand.base is not model.network


def test_a_replaced_field_leaves_the_adapters_in_place(path: Path) -> None:
    model = applied(tiny_model(), path)
    other = replace(model, prediction="v_prediction")
    assert held(other, "network") is held(model, "network")
    trained = replace(model, network=tiny_model().network)
    assert isinstance(held(trained, "network"), nn.Module)


# What doesn't fit


def test_layers_that_are_not_there_are_named(path: Path, tmp_path: Path) -> None:
    tensors = in_tensors(tiny_model().network, kohya("lora_unet"))
    for role in ("lora_up.weight", "lora_down.weight"):
        tensors[f"lora_unet_down_blocks_7_proj_in.{role}"] = torch.ones(2, 2)
    file = lora_files.read(written(tmp_path / "more.safetensors", tensors))
    changed, notices = with_model_lora(tiny_model(), file, strength=1, source="more")
    assert notices == ["more: left out, for layers that this model doesn't have: down_blocks_7_proj_in"]
    assert same(weights(changed.network), weights(applied(tiny_model(), path).network))


@pytest.mark.parametrize(
    ("width", "this", "made_for"),
    [
        (768, "Stable Diffusion 1", "Stable Diffusion XL"),
        (1024, "Stable Diffusion 2", "Stable Diffusion XL"),
        (16, "a family whose prompts have 16 features", "Stable Diffusion XL"),
    ],
)
def test_a_lora_of_another_family_is_refused_by_name(tmp_path: Path, width: int, this: str, made_for: str) -> None:
    tensors = in_tensors(tiny_model(width=2048).network, kohya("lora_unet"))
    file = lora_files.read(written(tmp_path / "xl.safetensors", tensors))
    with pytest.raises(InputError, match=f"'xl' doesn't fit: it is made for {made_for}, this model is of {this}"):
        with_model_lora(tiny_model(width=width), file, strength=1, source="xl")


def test_a_lora_of_which_nothing_is_there_is_refused(tmp_path: Path) -> None:
    tensors = {f"lora_unet_joint_blocks_0_x.lora_{role}.weight": torch.ones(2, 2) for role in ("up", "down")}
    file = lora_files.read(written(tmp_path / "other.safetensors", tensors))
    with pytest.raises(InputError, match="none of its 1 layers is there, such as 'joint_blocks_0_x'"):
        with_model_lora(tiny_model(), file, strength=1, source="other")


def test_a_lora_of_text_encoders_alone_does_nothing_for_the_model(tmp_path: Path) -> None:
    encoder: TextEncoder = tiny_clip().encoders[0]
    file = lora_files.read(written(tmp_path / "te.safetensors", in_tensors(encoder.network, kohya("lora_te"))))
    model = tiny_model()
    changed, notices = with_model_lora(model, file, strength=1, source="te")
    assert changed is model
    assert notices == ["te: it has nothing for the model, only for text encoders"]
