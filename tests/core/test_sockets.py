"""Which socket types fit which, and how lists and type variables are written."""

from __future__ import annotations

import pytest

from graphengine.core import sockets


@pytest.mark.parametrize(
    ("wanted", "given"),
    [
        ("IMAGE", "IMAGE"), ("FLOAT", "INT"), ("*", "IMAGE"), ("IMAGE", "*"), ("*", "[IMAGE]"),
        ("IMAGE|MASK", "MASK"), ("MASK|IMAGE", "IMAGE|MASK"), ("FLOAT|STRING", "INT|STRING"),
        ("[IMAGE]", "[IMAGE]"), ("[FLOAT]", "[INT]"), ("[*]", "[IMAGE]"), ("[IMAGE]", "[*]"), ("[IMAGE]", "*"),
        ("[IMAGE|MASK]", "[MASK]"),
    ],
)  # fmt: skip
def test_fits(wanted: str, given: str) -> None:
    assert sockets.accepts(wanted, given)


@pytest.mark.parametrize(
    ("wanted", "given"),
    [
        ("IMAGE", "MASK"), ("INT", "FLOAT"), ("IMAGE", "IMAGE|MASK"), ("IMAGE", "[IMAGE]"), ("[IMAGE]", "IMAGE"),
        ("[INT]", "[FLOAT]"), ("[IMAGE]", "[IMAGE|MASK]"), ("[IMAGE]|MASK", "IMAGE"),
    ],
)  # fmt: skip
def test_does_not_fit(wanted: str, given: str) -> None:
    assert not sockets.accepts(wanted, given)


def test_a_list_type_is_that_of_its_items_in_brackets() -> None:
    assert sockets.list_of("IMAGE|MASK") == "[IMAGE|MASK]"
    assert sockets.item_type("[IMAGE|MASK]") == "IMAGE|MASK"
    assert sockets.is_list("[$T]")
    assert not sockets.is_list("$T")


def test_a_list_of_a_union_is_no_union() -> None:
    assert sockets.members("IMAGE|MASK") == ("IMAGE", "MASK")
    assert sockets.members("[IMAGE|MASK]") == ("[IMAGE|MASK]",)


@pytest.mark.parametrize("name", ["INT", "FLOAT|MASK", "*", "[INT]", "[*]"])
def test_takes_literals(name: str) -> None:
    assert sockets.is_scalar(name)


@pytest.mark.parametrize("name", ["IMAGE", "IMAGE|MASK", "[IMAGE]", "$T"])
def test_takes_links_only(name: str) -> None:
    assert not sockets.is_scalar(name)


@pytest.mark.parametrize(
    ("name", "bound", "resolved"),
    [
        ("$T", {"$T": "IMAGE"}, "IMAGE"),
        ("$T", {}, "*"),
        ("IMAGE", {"$T": "MASK"}, "IMAGE"),
        ("[$T]", {"$T": "IMAGE"}, "[IMAGE]"),
        ("[$T]", {}, "[*]"),
        ("$T", {"$T": "[IMAGE]"}, "[IMAGE]"),
        ("[$T]", {"$T": "[IMAGE]"}, "[IMAGE]"),  # lists don't nest
    ],
)
def test_a_type_variable_becomes_what_it_was_bound_to(name: str, bound: dict[str, str], resolved: str) -> None:
    assert sockets.resolve(name, bound) == resolved
