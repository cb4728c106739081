"""Networks on a device of a limited size, played by the CPU: who stays, who goes, and what is said when none can."""

from __future__ import annotations

import gc
from collections.abc import Collection
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from graphengine.engine.device_memory import DeviceMemory
from graphengine.engine.devices import check_device, move_weights
from graphengine.errors import GraphEngineError
from graphengine.types import Clip, TextEncoder, Vae
from tests.engine.played_device import GPU, MIB, Device, Part, Weights, part


def test_networks_stay_for_the_next_time() -> None:
    device, a = Device(10), part("a")
    for _ in range(2):
        with device.memory.loaded([a], GPU):
            assert device.on_it == {"a"}
    assert device.moves == [("a", GPU)]
    assert device.memory.resident_names(GPU) == ["Part 'a'"]


def test_the_least_recently_used_goes_first() -> None:
    device, a, b, c = Device(2), part("a"), part("b"), part("c")
    for each in (a, b, a, c):
        with device.memory.loaded([each], GPU):
            pass
    assert device.on_it == {"a", "c"}
    assert device.moves[-2:] == [("b", "cpu"), ("c", GPU)]


def test_what_an_outer_block_holds_stays() -> None:
    device, a, b, c = Device(2), part("a"), part("b"), part("c")
    with device.memory.loaded([a], GPU):
        with device.memory.loaded([b], GPU):
            pass
        with device.memory.loaded([c], GPU):
            assert device.on_it == {"a", "c"}
    with device.memory.loaded([b], GPU):  # nobody holds 'a' any more
        assert device.on_it == {"c", "b"}


def test_a_block_may_hold_the_same_network_twice() -> None:
    device, a, b = Device(1), part("a"), part("b")
    with device.memory.loaded([a, a], GPU):
        with device.memory.loaded([a], GPU):
            pass
        with pytest.raises(GraphEngineError), device.memory.loaded([b], GPU):
            pass
    with device.memory.loaded([b], GPU):
        assert device.on_it == {"b"}


def test_what_fits_nowhere_is_said_with_what_holds_the_room() -> None:
    device, a, b = Device(300), part("a", 200), part("b", 200)
    message = (
        r"Part 'b' doesn't fit on cuda:0: it takes 0\.2 GiB, 0\.3 GiB are free, in use are Part 'a' \(0\.2 GiB\)\. "
    )
    with (
        device.memory.loaded([a], GPU),
        pytest.raises(GraphEngineError, match=message) as failure,
        device.memory.loaded([b], GPU),
    ):
        pytest.fail("it was loaded")
    assert "out of memory" in str(failure.value.__cause__)
    assert device.moves[-1] == ("b", "cpu")


def test_a_full_device_that_does_not_tell_is_emptied_once() -> None:
    device, a, b, big = Device(3), part("a"), part("b"), part("big", 3)
    device.says_free = False
    for each in (a, b):
        with device.memory.loaded([each], GPU):
            pass
    with device.memory.loaded([big], GPU):
        assert device.on_it == {"big"}
    assert device.moves[2:] == [("big", GPU), ("big", "cpu"), ("a", "cpu"), ("b", "cpu"), ("big", GPU)]


def test_other_failures_of_a_move_are_not_taken_for_a_full_device() -> None:
    def broken(module: nn.Module, device: str, weights: Collection[int]) -> None:
        if device != "cpu":
            raise RuntimeError("the driver is gone")

    memory = DeviceMemory(free_bytes=lambda device: None, move=broken)
    with pytest.raises(RuntimeError, match="the driver is gone"), memory.loaded([part("a")], GPU):
        pass
    assert memory.resident_names(GPU) == []


def test_a_failed_block_holds_nothing() -> None:
    device, a, big = Device(1), part("a"), part("big", 5)
    with pytest.raises(GraphEngineError), device.memory.loaded([a, big], GPU):
        pass
    device.memory.make_room(1 * MIB, GPU)
    assert device.on_it == set()


def test_room_is_made_for_the_work_and_for_the_networks_that_come() -> None:
    device, a, b, model = Device(10), part("a", 4), part("b", 3), part("model", 3)
    for each in (a, b):
        with device.memory.loaded([each], GPU):
            pass
    device.memory.make_room(4 * MIB, GPU, [model, "text", 7])
    assert device.on_it == {"b"}


def test_making_room_spares_what_the_work_needs() -> None:
    device, a, b = Device(10), part("a", 4), part("b", 4)
    for each in (a, b):
        with device.memory.loaded([each], GPU):
            pass
    device.memory.make_room(100 * MIB, GPU, [a])
    assert device.on_it == {"a"}


def test_networks_with_common_weights_move_together() -> None:
    base = part("base")
    tuned = Part(Weights("tuned", 0, *base.network.parameters()), "tuned")
    device, other = Device(2), part("other", 2)
    with device.memory.loaded([base, tuned], GPU):
        pass
    with device.memory.loaded([tuned], GPU):
        device.memory.make_room(2 * MIB, GPU)
        assert device.on_it == {"base", "tuned"}
    with device.memory.loaded([other], GPU):
        assert device.on_it == {"other"}


def test_weights_that_networks_share_take_room_once() -> None:
    """
    base    [shared 2][own 3]
    tuned   [shared 2][own 3]     fits beside base where 8 do, not where 10 would be needed
    """
    shared = nn.Parameter(torch.empty(2 * MIB // 4))
    base, tuned = (Part(Weights(name, 3, shared), name) for name in ("base", "tuned"))
    device = Device(8)
    for each in (base, tuned):
        with device.memory.loaded([each], GPU):
            pass
    assert device.on_it == {"base", "tuned"}


def test_what_a_network_in_use_shares_stays_when_others_leave() -> None:
    shared = nn.Parameter(torch.empty(2 * MIB // 4))
    base, tuned, other = (
        Part(Weights("base", 3, shared), "base"),
        Part(Weights("tuned", 3, shared), "tuned"),
        part("c", 2),
    )
    device = Device(7)
    with device.memory.loaded([base], GPU):
        pass
    with device.memory.loaded([tuned], GPU):  # for which base's own weights leave, and what they share needn't come
        assert device.on_it == {"tuned"}
        assert device.moves == [("base", GPU), ("base", "cpu"), ("tuned", GPU)]
        with device.memory.loaded([other], GPU):
            assert device.on_it == {"tuned", "c"}
        with pytest.raises(GraphEngineError, match="Part 'base' doesn't fit"), device.memory.loaded([base], GPU):
            pass
        assert "tuned" in device.on_it


def test_of_a_budget_no_more_is_used_however_large_the_device() -> None:
    device, a, b, big = Device(100, budget_mib=3), part("a", 2), part("b", 1), part("big", 4)
    for each in (a, b, a):
        with device.memory.loaded([each], GPU):
            pass
    assert device.on_it == {"a", "b"}
    device.memory.make_room(1 * MIB, GPU, [b])
    assert device.on_it == {"a", "b"} - {"a"}
    message = r"Part 'big' doesn't fit on cuda:0: it takes 4\.0 MiB, .* 3\.0 MiB may be used"
    with pytest.raises(GraphEngineError, match=message), device.memory.loaded([big], GPU):
        pass


def test_a_budget_holds_where_the_device_does_not_tell_what_is_free() -> None:
    device, a, b = Device(100, budget_mib=1), part("a"), part("b")
    device.says_free = False
    for each in (a, b):
        with device.memory.loaded([each], GPU):
            assert device.used_mib == 1


@pytest.mark.gpu
def test_only_the_weights_that_leave_are_moved() -> None:
    network = Weights("a", 1, nn.Parameter(torch.zeros(4)))
    own, shared = network.parameters()
    move_weights(network, GPU, {id(own), id(shared)})
    assert (own.device.type, shared.device.type) == ("cuda", "cuda")
    move_weights(network, "cpu", {id(own)})
    assert (own.device.type, shared.device.type) == ("cpu", "cuda")


def test_a_network_that_nobody_has_any_more_is_forgotten() -> None:
    device, a = Device(10), part("a")
    with device.memory.loaded([a], GPU):
        pass
    del a
    gc.collect()
    assert device.memory.resident_names(GPU) == []


def test_on_the_cpu_nothing_is_done() -> None:
    device, a = Device(0), part("a")
    device.memory.make_room(10**12, "cpu")
    with device.memory.loaded([a], "cpu"):
        assert device.moves == []


def test_networks_are_found_in_values_and_moved_for_real() -> None:
    layer, first, second = (nn.Linear(2, 2) for _ in range(3))
    tokenizer: Any = None  # Any: no network, and so of no interest here
    clip = Clip((TextEncoder(first, tokenizer), TextEncoder(second, tokenizer)), source="two")
    memory = DeviceMemory(free_bytes=lambda device: None)
    with memory.loaded([Vae(layer, "tiny"), layer, clip, SimpleNamespace(network=nn.Linear(1, 1)), None], "cpu:0"):
        assert memory.resident_names("cpu:0") == ["Vae 'tiny'", "Clip 'two'", "Clip 'two'"]
    assert layer.weight.device == torch.device("cpu")


@pytest.mark.parametrize("device", ["gpu9", "cuda:77", ""])
def test_a_device_that_is_not_there_is_refused_with_those_that_are(device: str) -> None:
    with pytest.raises(GraphEngineError, match=f"there is no device '{device}' for torch .*It has cpu"):
        check_device(device)


def test_the_processor_is_always_there() -> None:
    check_device("cpu")
