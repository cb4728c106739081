"""What can be stored comes back exactly; what can't be is refused."""

from __future__ import annotations

import enum
import io
import math
import struct
import sys
import zlib
from collections import OrderedDict
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import pytest
import torch
from safetensors.torch import load

from graphengine.authoring.context import Blocked
from graphengine.engine.stored_values import NotStorable, pack, unpack
from graphengine.training_types import Recipe, Report
from graphengine.types import Conditioning, Latent, Model


class Pair(NamedTuple):
    left: object
    right: object = None


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True, slots=True)
class Slotted:
    part: object


@dataclass(frozen=True)
class Nothing:
    pass


@dataclass(frozen=True)
class Judging:
    """Its constructor would change the value a second time."""

    value: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "value", self.value + 1)


@dataclass
class Changing:
    value: int


@dataclass(frozen=True)
class Remembering:
    value: int

    @cached_property
    def double(self) -> int:
        return 2 * self.value


@dataclass(frozen=True)
class Word(str):
    value: int = 0


class Loose(tuple[int, ...]):
    pass


def stored(*values: object) -> bytes:
    return b"".join(bytes(chunk) for chunk in pack(values).chunks())


def read(content: bytes) -> list[Any]:  # Any: socket values
    return unpack(io.BytesIO(content), size=len(content), checksum=zlib.crc32(content))


def again(value: object) -> Any:  # Any: a socket value
    content = stored(value)
    assert len(content) == pack([value]).size
    (back,) = read(content)
    return back


# Plain values


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        False,
        0,
        1,
        -1,
        2**63,
        2**64 - 1,
        10**400,
        0.0,
        1.0,
        0.1,
        5e-324,
        1.7976931348623157e308,
        math.inf,
        -math.inf,
        "",
        "灯台 é 🗼\n\0",
        "\ud800 alone",
        b"",
        bytes(range(256)),
        [],
        (),
        {},
        [1, [2, (3,)], True],
        (1, 1.0, True, None),
        {"a": 1, 2: "b", (1, "x"): [None], None: {}},
        {"tensor": 0, "record": "os:system", "list": []},
        Pair(1, Pair("x")),
        Colour.BLUE,
        [Colour.RED],
        Slotted([1]),
        Nothing(),
        Blocked("no picture"),
        Recipe(learning_rate=1e-5),
        Report(2, [0.5, 0.25], (1e-4,), [math.inf], ["late"]),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_plain_values_come_back_as_they_were(value: object) -> None:
    back = again(value)
    assert back == value
    assert type(back) is type(value)
    assert repr(back) == repr(value)  # 1, 1.0 and True are equal; so are lists of them


def test_minus_zero_keeps_its_sign() -> None:
    assert math.copysign(1, again(-0.0)) == -1


@pytest.mark.parametrize("bits", [0x7FF8000000000000, 0xFFF8000000000000, 0x7FF8DEADBEEF0001])
def test_nan_keeps_its_bits(bits: int) -> None:
    (nan,) = struct.unpack("<d", struct.pack("<Q", bits))
    assert struct.pack("<d", again(nan)) == struct.pack("<d", nan)


def test_the_order_of_a_mapping_stays() -> None:
    assert list(again({"b": 1, "a": 2})) == ["b", "a"]


def test_a_constructor_does_not_judge_twice() -> None:
    assert again(Judging(1)) == Judging(1)
    assert again(Judging(1)).value == 2


# Tensors

DTYPES = [
    torch.bool,
    torch.uint8,
    torch.int8,
    torch.int16,
    torch.uint16,
    torch.int32,
    torch.int64,
    torch.float16,
    torch.bfloat16,
    torch.float32,
    torch.float64,
    torch.complex64,
    torch.float8_e4m3fn,
    torch.float8_e5m2,
]


def bits(tensor: torch.Tensor) -> bytes:
    return bytes(tensor.contiguous().reshape(-1).view(torch.uint8).numpy())


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", [(), (1,), (3,), (2, 3, 5), (0,), (2, 0, 3)], ids=str)
def test_tensors_come_back_bit_by_bit(dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    tensor = (torch.rand(shape) * 100).to(dtype)
    back = again(tensor)
    assert (back.dtype, back.shape, bits(back)) == (dtype, tensor.shape, bits(tensor))


def test_floats_keep_every_pattern_of_bits() -> None:
    patterns = torch.arange(2**16, dtype=torch.int32).to(torch.int16)
    for dtype in (torch.float16, torch.bfloat16):
        assert torch.equal(again(patterns.view(dtype)).view(torch.int16), patterns)


@pytest.mark.parametrize(
    "tensor",
    [
        torch.rand(2, 3, 4, 5).movedim(1, -1),
        torch.rand(2, 3, 4, 5).to(memory_format=torch.channels_last),
        torch.rand(4, 6).T,
    ],
    ids=["channels moved", "channels last", "transposed"],
)
def test_the_order_in_memory_survives(tensor: torch.Tensor) -> None:
    """Convolutions choose their algorithm, and so their rounding, by it."""
    back = again(tensor)
    assert torch.equal(back, tensor)
    assert back.stride() == tensor.stride()


@pytest.mark.parametrize(
    "tensor",
    [
        torch.arange(10.0)[::2],
        torch.rand(4, 6)[1:3, 2:4],
        torch.tensor([7.0]).expand(3, 1000),
        torch.rand(3, dtype=torch.complex64).conj(),
        torch.rand(3, dtype=torch.complex64).conj().imag,
    ],
    ids=["every second", "a window", "expanded", "conjugate", "negative"],
)
def test_views_are_stored_as_what_they_show(tensor: torch.Tensor) -> None:
    back = again(tensor)
    assert torch.equal(back, tensor)
    assert back.untyped_storage().nbytes() == tensor.numel() * tensor.element_size()


def test_a_tensor_that_occurs_twice_is_stored_once() -> None:
    tensor = torch.rand(1000)
    assert len(stored(tensor, [tensor])) < 5000
    first, (second,) = read(stored(tensor, [tensor]))
    assert torch.equal(first, second)


def test_tensors_that_come_back_have_memory_of_their_own() -> None:
    one, other = read(stored(torch.zeros(3, dtype=torch.uint8), torch.rand(4)))
    one.fill_(255)
    assert other.max() < 1
    assert other.untyped_storage().nbytes() == 16


def test_tensors_made_without_gradients_can_be_used_with_them() -> None:
    with torch.inference_mode():
        tensor = torch.rand(3)
    (again(tensor) * torch.rand(3, requires_grad=True)).sum().backward()


def test_latents_and_conditioning_are_stored() -> None:
    latent, conditioning = read(stored(Latent(torch.ones(1, 4, 2, 2)), Conditioning.of(torch.ones(1, 3, 8))))
    assert torch.equal(latent.samples, torch.ones(1, 4, 2, 2))
    assert latent.noise_mask is None
    assert type(conditioning) is Conditioning


def test_the_file_is_one_that_other_programs_read() -> None:
    tensors = load(stored(torch.arange(3), {"x": torch.ones(2, dtype=torch.bfloat16)}, "text"))
    assert torch.equal(tensors["0"], torch.arange(3))
    assert torch.equal(tensors["1"], torch.ones(2, dtype=torch.bfloat16))


# What can't be stored


def make_local() -> object:
    @dataclass(frozen=True)
    class Local:
        value: int = 1

    return Local()


def remembering() -> Remembering:
    value = Remembering(1)
    assert value.double == 2
    return value


@pytest.mark.parametrize(
    "value",
    [
        object(),
        print,
        Latent,
        {1, 2},
        Changing(1),
        make_local(),
        remembering(),
        Word(1),
        Loose((1,)),
        OrderedDict(a=1),
        torch.nn.Linear(1, 1),
        torch.nn.Parameter(torch.rand(2)),
        torch.rand(2, requires_grad=True),
        torch.rand(2).to_sparse(),
        torch.rand(2, device="meta"),
        torch.rand(2, dtype=torch.complex128),
        Model(torch.nn.Linear(1, 1), "epsilon", {}),
        io.BytesIO(),
        10**5000,
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_would_not_come_back_the_same_is_refused(value: object) -> None:
    for each in (value, [value], {"a": (value,)}, Slotted(value)):
        with pytest.raises(NotStorable):
            pack([each])


def test_a_value_within_itself_is_refused() -> None:
    ring: list[Any] = []  # Any: it holds itself
    ring.append(ring)
    with pytest.raises(NotStorable, match="nested"):
        pack([ring])


# What has changed since


def test_a_class_with_other_fields_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    content = stored(Slotted(1))

    @dataclass(frozen=True)
    class Changed:
        part: object
        more: object = None

    monkeypatch.setattr(sys.modules[__name__], "Slotted", Changed)
    with pytest.raises(NotStorable, match="other fields"):
        read(content)


@pytest.mark.parametrize(
    "name", ["no_such_module:Slotted", "os:system", "builtins:dict", f"{__name__}:Gone", f"{__name__}:Changing"]
)
def test_a_class_that_is_gone_or_is_no_record_is_refused(name: str) -> None:
    """The sizes within the file are put right, so that the name is what it fails by."""
    content = stored(Slotted(1))
    size = int.from_bytes(content[:8], "little")
    header = content[8:].replace(f"{__name__}:Slotted".encode(), name.encode()).strip()
    assert size > 0
    with pytest.raises(NotStorable, match=r"there is no|is no record"):
        read(len(header).to_bytes(8, "little") + header)


@pytest.mark.parametrize("position", range(0, 200, 7))
def test_a_flipped_bit_is_noticed_anywhere(position: int) -> None:
    content = bytearray(stored(Latent(torch.arange(4.0).view(1, 1, 2, 2)), [1, "x"]))
    checksum, size = zlib.crc32(content), len(content)
    content[position] ^= 4
    with pytest.raises(NotStorable):
        unpack(io.BytesIO(bytes(content)), size=size, checksum=checksum)


@pytest.mark.parametrize("keep", [0, 5, 8, 60, -1])
def test_a_file_that_ends_too_early_is_noticed(keep: int) -> None:
    content = stored(torch.arange(100.0))
    with pytest.raises(NotStorable):
        unpack(io.BytesIO(content[:keep]), size=len(content), checksum=zlib.crc32(content))
    with pytest.raises(NotStorable):
        read(content[:keep])
