"""Look at a diffusers pipeline's folder before anything of it is opened, and say all that is wrong with it.

    model_index.json   "_class_name": the pipeline; "unet": ["diffusers", "UNet2DModel"]: a part, the rest settings
    unet/ vae/ …       a folder for each part: a configuration, and weights if it is a network

Such folders may name classes of their own, in Python files beside them. These are refused, as are pickles: nothing of a
folder is ever run.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from graphengine.core.definition import Sockets
from graphengine.core.fingerprint import file_version
from graphengine.diffusion.model_files import find_weights, read_header, read_json
from graphengine.diffusion.pipeline_sockets import sockets_of
from graphengine.diffusion.pipeline_sources import has_class, pipeline_modules, pipeline_names, read_pipeline
from graphengine.errors import InputError, ModelFileError

__all__ = ["Part", "PipelineFolder", "look_at", "sockets_of_folder", "weights_stem"]

_LIBRARIES = ("diffusers", "transformers")
_UNUSABLE = re.compile(r"^(Onnx|ORT|Flax)")  # other programs' formats
_INDEX = "model_index.json"


@dataclass(frozen=True)
class Part:
    """A part of a pipeline.

    Attributes:
        library: ``diffusers``, ``transformers``, or the module of diffusers' pipelines that its class is in.
        is_network: It has weights.
    """

    name: str
    library: str
    class_name: str
    folder: Path
    is_network: bool


@dataclass(frozen=True)
class PipelineFolder:
    """A folder that was found sound.

    Attributes:
        class_name: The pipeline.
        parts: Those that it has; it may lack some that it can do without.
        settings: The rest of its configuration.
    """

    folder: Path
    class_name: str
    parts: tuple[Part, ...]
    settings: Mapping[str, Any]  # Any: JSON


def sockets_of_folder(pipeline: Path) -> Sockets:
    """Give the inputs and outputs of the pipeline in a folder.

    Raises:
        InputError: it can't be used; with all that is wrong.
    """
    try:
        found = look_at(pipeline)
    except ModelFileError as error:
        message, _, remedy = str(error).partition("\n")
        raise InputError("pipeline", message, remedy.strip()) from error
    sockets = sockets_of(found.class_name)
    assert sockets is not None, "a folder of an unknown class was refused"
    return sockets


def look_at(folder: Path) -> PipelineFolder:
    """Look a folder over.

    Raises:
        ModelFileError: it can't be used; with all that is wrong.
    """
    if not folder.is_dir():
        raise ModelFileError(
            f"{folder}: not a folder\n  Choose a folder that holds {_INDEX}, as diffusers' save_pretrained writes it."
        )
    return _look(folder, file_version(folder))


@lru_cache(maxsize=64)  # the editor asks at every edit
def _look(folder: Path, version: str) -> PipelineFolder:
    if not (folder / _INDEX).exists():
        raise ModelFileError(f"{folder}: not a pipeline: it has no {_INDEX}\n  {_wanted(folder)}")
    index = read_json(folder / _INDEX)
    class_name = index.get("_class_name")
    problems = _class_problems(class_name)
    parts = [
        Part(name, value[0], value[1], folder / name, _is_network(folder / name))
        for name, value in index.items()
        if _is_part(name, value) and all(isinstance(each, str) for each in value)
    ]
    for part in parts:
        problems += _part_problems(part)
    problems += [
        f"{name} is {value!r} in {_INDEX}, neither a library and a class nor null"
        for name, value in index.items()
        if _is_part(name, value) and value != [None, None] and not all(isinstance(each, str) for each in value)
    ]
    if not problems:
        problems += _missing_parts(str(class_name), [part.name for part in parts], index)
    if problems:
        raise ModelFileError(_all_of(folder, problems))
    settings = {name: value for name, value in index.items() if name[:1] != "_" and not _is_part(name, value)}
    return PipelineFolder(folder, str(class_name), tuple(parts), settings)


def weights_stem(part: Part) -> str:
    """Give the first word of the files with a network's weights, which differs between the libraries."""
    is_diffusers = "_class_name" in read_json(part.folder / "config.json")
    return "diffusion_pytorch_model" if is_diffusers else "model"


def _is_part(name: str, value: object) -> bool:
    return name[:1] != "_" and isinstance(value, list) and len(value) == 2


def _is_network(folder: Path) -> bool:
    """Tell networks, whose configuration is ``config.json``, from tokenizers, schedulers and processors."""
    others = ("tokenizer_config.json", "preprocessor_config.json", "scheduler_config.json", "processor_config.json")
    return (folder / "config.json").exists() and not any((folder / name).exists() for name in others)


def _class_problems(name: object) -> list[str]:
    if not isinstance(name, str):
        return [
            f"it brings code of its own ({name!r} as its class), which is never run. "
            "Choose a pipeline of diffusers' own."
        ]
    if _UNUSABLE.match(name):
        return [f"{name} is made for another program than PyTorch. Choose the PyTorch version of the pipeline."]
    try:
        known = sockets_of(name) is not None
    except InputError as error:
        return [f"{name}: {error.message} {error.remedy}"]
    if known:
        return []
    near = difflib.get_close_matches(name, pipeline_names(), n=1)
    guess = f"Did you mean {near[0]!r}? " if near else ""
    return [
        f"diffusers has no pipeline {name!r}. {guess}It may be made for a newer diffusers, or bring code of its own, "
        "which is never run."
    ]


def _missing_parts(name: str, parts: list[str], index: Mapping[str, object]) -> list[str]:
    source = read_pipeline(name)
    needed = source.needed_parts if source is not None else ()
    missing = [each for each in needed if each not in parts and index.get(each, [None]) in ([None], [None, None])]
    if not missing:
        return []
    return [
        f"{_INDEX} names no {', no '.join(missing)}, which {name} needs. "
        "Download or copy the pipeline again, completely."
    ]


def _part_problems(part: Part) -> list[str]:
    if part.library not in _LIBRARIES and part.library not in pipeline_modules():
        return [
            f"{part.name}: its class {part.class_name} comes from {part.library!r}, which is neither diffusers nor "
            "transformers; code that a folder brings is never run. Choose a pipeline without such parts."
        ]
    if _UNUSABLE.match(part.class_name):
        return [f"{part.name}: {part.class_name} is made for another program than PyTorch."]
    if part.library == "diffusers" and not has_class(part.class_name):
        return [f"{part.name}: diffusers has no {part.class_name!r}. It may be made for a newer diffusers."]
    if not part.folder.is_dir():
        return [f"{part.name}: its folder is missing. Download or copy the pipeline again, completely."]
    if not any(part.folder.iterdir()):
        return [f"{part.name}: its folder is empty. Download or copy the pipeline again, completely."]
    if part.class_name.startswith("Auto") and _names_own_code(part.folder):
        return [f"{part.name}: its configuration names code of its own ('auto_map'), which is never run."]
    return _weights_problems(part) if part.is_network else _said_by(lambda: _read_configurations(part.folder))


def _names_own_code(folder: Path) -> bool:
    configurations = [folder / "config.json", *folder.glob("*_config.json")]
    return any(b'"auto_map"' in path.read_bytes() for path in configurations if path.is_file())


def _weights_problems(part: Part) -> list[str]:
    def read() -> None:
        files, _variant = find_weights(part.folder, weights_stem(part))
        for file in files:
            read_header(file)

    return _said_by(read)


def _read_configurations(folder: Path) -> None:
    for path in sorted(folder.glob("*_config.json")):
        read_json(path)


def _said_by(look: Callable[[], None]) -> list[str]:
    try:
        look()
    except ModelFileError as error:
        return [" ".join(f"{line.strip().rstrip('.')}." for line in str(error).splitlines())]
    return []


def _all_of(folder: Path, problems: list[str]) -> str:
    if len(problems) == 1:
        return f"{folder}: {problems[0]}"
    return f"{folder}: {len(problems)} problems: " + " ".join(
        f"({number}) {text}" for number, text in enumerate(problems, 1)
    )


def _wanted(folder: Path) -> str:
    """Say which folder to choose: one within, if it is there."""
    inside = sorted(path.parent.name for path in folder.glob(f"*/{_INDEX}"))
    if inside:
        return f"Choose the folder within it: {', '.join(inside[:5])}."
    if (folder / "config.json").exists():
        return f"This is a part of a pipeline; choose the folder around it, with {_INDEX}."
    return f"Choose a folder that holds {_INDEX}, as diffusers' save_pretrained writes it."
