"""What node authors and embedders import."""

from __future__ import annotations

import importlib
import pkgutil
import subprocess
import sys

import pytest

import graphengine


def test_every_public_name_is_there() -> None:
    for name in graphengine.__all__:
        assert getattr(graphengine, name).__name__ == name
    with pytest.raises(AttributeError, match="has no attribute 'Comfy'"):
        graphengine.Comfy  # noqa: B018 - the access is the test


@pytest.mark.parametrize("package", ["core", "authoring", "commands", "engine"])
def test_every_module_names_what_is_public(package: str) -> None:
    root = importlib.import_module(f"graphengine.{package}")
    for found in pkgutil.iter_modules(root.__path__, f"{root.__name__}."):
        module = importlib.import_module(found.name)
        assert module.__all__, found.name
        for name in module.__all__:
            assert hasattr(module, name), f"{found.name}.{name}"


def test_importing_loads_nothing_heavy() -> None:
    code = (
        "import sys, graphengine, graphengine.types, graphengine.training_types\n"
        "graphengine.node, graphengine.NodePack, graphengine.Workflow.load('text_to_image'), graphengine.run\n"
        "print(sorted({'torch', 'diffusers', 'transformers', 'aiohttp', 'numpy', 'networkx'} & set(sys.modules)))\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n"
