"""Networks larger than the device, whose layers come as they are computed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from graphengine.config import Settings
from graphengine.core.registry import Registry
from graphengine.diffusion import conditioning, sampling, vae
from graphengine.engine import Engine
from graphengine.engine.layer_by_layer import layers_of, visiting
from graphengine.errors import GraphEngineError
from graphengine.types import Latent
from graphengine_nodes import pack
from tests.diffusion.tiny_checkpoint import tiny_clip, tiny_model, tiny_vae
from tests.diffusion.tiny_flow import tiny_flow_clip, tiny_flow_model
from tests.drawn import drawn
from tests.engine.played_device import GPU, MIB, Device, Layers, Part, layered, part

X = torch.ones(1, 512)


def bare(module: nn.Module) -> bool:
    """Say that nothing of a hook is left."""
    return not any({"forward", "_hf_hook", "_old_forward", "to"} & vars(each).keys() for each in module.modules())


def test_a_network_larger_than_the_device_is_computed_layer_by_layer() -> None:
    device, large = Device(2.5), layered("large", 4)
    weights = list(large.network.parameters())
    expected = large.network(X)
    for _ in range(2):
        with device.memory.loaded([large], GPU):
            assert device.memory.resident_names(GPU) == ["Part 'large'"]
            assert torch.equal(large.network(X), expected)
        assert device.used_mib == 0
    assert device.visits == 2 * 3  # one of the four had room to stay
    assert device.peak_mib == 2
    assert [id(weight) for weight in large.network.parameters()] == [id(weight) for weight in weights]
    assert bare(large.network)


def test_room_for_the_work_is_left() -> None:
    device, model = Device(4), layered("model", 4)
    with device.memory.loaded([model], GPU):
        assert device.on_it == {"model"}
    with device.memory.loaded([model], GPU, work_bytes=2 * MIB):
        model.network(X)
        assert device.used_mib == 1
    assert device.visits == 3
    with device.memory.loaded([model], GPU, work_bytes=9 * MIB):  # which doesn't fit in any case
        assert device.on_it == {"model"}


def test_others_leave_before_a_network_is_divided() -> None:
    device, other, model = Device(5), part("other", 2), layered("model", 4)
    for each in (other, model):
        with device.memory.loaded([each], GPU):
            pass
    assert device.on_it == {"model"}
    assert device.visits == 0


@pytest.mark.parametrize("is_model_first", [True, False])
def test_the_smallest_network_that_will_do_is_divided(is_model_first: bool) -> None:
    device, model, control, tiny = Device(6), layered("model", 4), layered("control", 3), layered("tiny", 1)
    values = [model, control, tiny] if is_model_first else [tiny, control, model]
    with device.memory.loaded(values, GPU):
        for each in values:
            each.network(X)
        assert device.on_it == {"model", "tiny"}
    assert device.visits == 3
    assert device.on_it == {"model", "tiny"}, "they wait for the next time"


def test_the_layers_of_several_networks_come_in_turn() -> None:
    device, a, b = Device(2), layered("a", 4), layered("b", 3)
    with device.memory.loaded([a, b], GPU):
        b.network(a.network(X))
    assert device.visits == 7 - 1
    assert device.peak_mib == 2


def test_what_an_outer_block_holds_whole_is_not_divided_by_an_inner_one() -> None:
    device, a, b = Device(5), layered("a", 4), layered("b", 3)
    with device.memory.loaded([a], GPU):
        with device.memory.loaded([a, b], GPU):
            b.network(a.network(X))
        assert device.on_it == {"a"}
        assert device.visits == 3


def test_a_network_may_be_divided_by_blocks_within_each_other() -> None:
    device, a = Device(2), layered("a", 4)
    with device.memory.loaded([a], GPU):
        with device.memory.loaded([a], GPU):
            a.network(X)
        a.network(X)
    assert device.peak_mib == 2
    assert device.used_mib == 0
    assert bare(a.network)


def test_layers_that_networks_share_come_for_each() -> None:
    """
    base    [1][2][3][4]
    tuned   [1][2][3][·]     as a network with a LoRA shares all but what that changes
    """
    device, base, tuned = Device(2), Layers("base", 4), Layers("tuned", 4)
    for number in range(3):
        tuned[number] = base[number]
    expected = base(X), tuned(X)
    with device.memory.loaded([Part(base, "base"), Part(tuned, "tuned")], GPU):
        assert torch.equal(base(X), expected[0])
        assert torch.equal(tuned(X), expected[1])
    assert bare(base)
    assert bare(tuned)


def test_a_layer_that_fails_leaves_the_network_as_it_was() -> None:
    device, model = Device(2), layered("model", 4)
    with pytest.raises(RuntimeError, match="shapes"), device.memory.loaded([model], GPU):
        model.network(torch.ones(1, 3))
    assert bare(model.network)
    assert device.used_mib == 0


def test_a_device_that_does_not_tell_is_tried_first() -> None:
    device, model = Device(2), layered("model", 4)
    device.says_free = False
    with device.memory.loaded([model], GPU):
        model.network(X)
    assert device.moves[:2] == [("model", GPU), ("model", "cpu")]
    assert device.visits == 4


@pytest.mark.parametrize("claims_mib", [1, 2], ids=["for all", "for a part"])
def test_on_a_device_with_less_room_than_it_says_all_layers_visit(claims_mib: float) -> None:
    device, model = Device(3 if claims_mib == 1 else 1), layered("model", 4)
    device.claims_mib = claims_mib
    with device.memory.loaded([model], GPU):
        assert torch.isfinite(model.network(X)).all()
    assert device.visits == 4
    assert device.used_mib == 0


def test_a_layer_that_is_too_large_by_itself_is_refused() -> None:
    device, model = Device(0.5), layered("model", 4)
    with pytest.raises(GraphEngineError, match="Part 'model' doesn't fit"), device.memory.loaded([model], GPU):
        pass
    assert bare(model.network)


def test_pictures_made_layer_by_layer_are_the_same_to_the_last_bit() -> None:
    model, clip, autoencoder = tiny_model(), tiny_clip(), tiny_vae()

    def picture() -> Tensor:
        prompt = conditioning.encode(clip, "red")
        latent = sampling.sample(
            model, Latent(torch.zeros(1, 4, 4, 4)), seed=1, steps=2, cfg=2, sampler_name="euler", scheduler="normal",
            positive=prompt, negative=prompt,
        )  # fmt: skip
        return vae.decode(autoencoder, latent)

    expected, device = picture(), Device(0.05)
    with device.memory.loaded([model, clip, autoencoder], GPU):
        assert torch.equal(picture(), expected)
    assert device.visits > 100
    assert device.peak_mib <= 0.05


def test_a_run_keeps_to_the_budget_of_its_settings(tmp_path: Path) -> None:
    """ "cpu:0" is a device of its own for the engine, though weights needn't go anywhere to be there."""
    nodes = {
        "load": ("LoadCheckpoint", {"precision": "float32"}),
        "prompt": ("CLIPEncode", {"text": "a red star", "clip": "@load.clip"}),
        "blank": ("EmptyLatent", {"width": 32, "height": 32, "model": "@load.model"}),
        "sample": (
            "KSampler",
            {"model": "@load.model", "positive": "@prompt.conditioning", "negative": "@prompt.conditioning",
             "latent_image": "@blank.latent", "steps": 1, "cfg": 1.0},
        ),
        "picture": ("VAEDecode", {"samples": "@sample.latent", "vae": "@load.vae"}),
    }  # fmt: skip
    pictures = {}
    for device, budget in (("cpu", None), ("cpu:0", 2 * MIB)):
        settings = Settings(data=tmp_path / "data", output=tmp_path / "out", device=device, disk_cache_bytes=0)
        engine = Engine(Registry([pack]), replace(settings, device_bytes=budget))
        outputs = {"image": {"from": "picture.image"}}
        pictures[device] = engine.run(drawn(nodes, outputs=outputs)).outputs["image"]
        assert engine.memory()["models"] == []
    assert torch.equal(pictures["cpu"], pictures["cpu:0"])


class OneDevice(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch has no types there
    """Refuses to compute with tensors of several devices, as real ones do; "meta" plays one."""

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],  # Any: an operator of torch
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if "copy" not in str(func):
            given = [each for each in tree_leaves((args, kwargs)) if isinstance(each, Tensor)]
            places = {each.device.type for each in given if each.ndim}
            assert len(places) <= 1, f"{func} of tensors on {places}"
        return func(*args, **(kwargs or {}))


def on_meta(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.zeros(*shape, dtype=dtype, device="meta")


def read(network: Any) -> Tensor:  # Any: transformers' networks are untyped
    output = network(on_meta(1, 7, dtype=torch.int64), attention_mask=None, output_hidden_states=True)
    states: Tensor = output.hidden_states[-1]
    return states


NETWORKS: dict[str, tuple[Callable[[], nn.Module], Callable[[Any], Tensor]]] = {  # Any: diffusers' are untyped
    "UNet": (
        lambda: tiny_model().network,
        lambda unet: unet(on_meta(2, 4, 8, 8), torch.tensor(1.0), on_meta(2, 8, 16), return_dict=False)[0],
    ),
    "SD3": (
        lambda: tiny_flow_model().network,
        lambda net: net(
            on_meta(2, 4, 8, 8), on_meta(2, 5, 64), on_meta(2, 48), on_meta(2), return_dict=False
        )[0],
    ),
    "VAE encoder": (lambda: tiny_vae().autoencoder, lambda net: net.encode(on_meta(1, 3, 8, 8)).latent_dist.mean),
    "VAE decoder": (lambda: tiny_vae().autoencoder, lambda net: net.decode(on_meta(1, 4, 4, 4)).sample),
    "CLIP": (lambda: tiny_flow_clip().encoders[1].network, read),
    "T5": (lambda: tiny_flow_clip().encoders[2].network, read),
}  # fmt: skip


@pytest.mark.parametrize(("make", "compute"), NETWORKS.values(), ids=NETWORKS)
def test_every_layer_of_each_kind_of_network_comes_to_where_it_is_computed(
    make: Callable[[], nn.Module],
    compute: Callable[[Any], Tensor],  # Any: as above
) -> None:
    network = make()
    layers = layers_of(network)
    with torch.no_grad(), OneDevice():  # type: ignore[no-untyped-call]  # as above
        with visiting(network, layers, "meta", lambda tensor, device: tensor.to(device)):
            assert network.to("meta") is network
            assert compute(network).device.type == "meta"
        with (
            visiting(network, layers[::2], "meta", lambda tensor, device: tensor.to(device)),
            pytest.raises(AssertionError, match="tensors on"),
        ):
            compute(network)
    assert {weight.device.type for weight in network.parameters()} == {"cpu"}
    assert bare(network)
