"""Inputs and outputs of a node that runs a diffusers pipeline, from the pipeline's signature.

    annotation                          socket
    bool, int, float, str, Literal      the same; the first of several that is one
    list[int], tuple[int, int]          a list of these
    pictures (PIL, PipelineImageInput)  IMAGE; MASK where the name says mask; VIDEO or IMAGE where it says video, frames
    tensors                             AUDIO, LATENT, IMAGE or VIDEO where the name says so, else ARRAY
    dict, lists in lists                a text, written as JSON

What a workflow can't say is left out: callbacks, generators (there is a seed instead), classes of a pipeline's own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

from graphengine.core.definition import InputDefinition, OutputDefinition, Sockets, WidgetDefinition
from graphengine.core.literals import check_literal
from graphengine.diffusion.pipeline_sources import Parameter, PipelineSource, read_pipeline
from graphengine.errors import InputError

__all__ = ["COUNTS", "FRAMES", "JSON_PATTERN", "OUTPUT_NAMES", "makes_meshes", "socket_type", "sockets_of"]

COUNTS = ("num_images_per_prompt", "num_videos_per_prompt", "num_waveforms_per_prompt", "batch_size")
"""Parameters that say how many results are made at once."""

FRAMES = "VIDEO|IMAGE"
"""What takes pictures in a row."""

JSON_PATTERN = r"^\s*([\[{][\s\S]*[\]}])?\s*$"

OUTPUT_NAMES = {
    "images": ("images", "IMAGE"),
    "image": ("images", "IMAGE"),
    "rgb": ("images", "IMAGE"),
    "depth": ("depth", "IMAGE"),
    "prediction": ("images", "IMAGE"),
    "frames": ("video", "VIDEO"),
    "video": ("video", "VIDEO"),
    "audios": ("audio", "AUDIO"),
    "audio": ("audio", "AUDIO"),
    "sound": ("audio", "AUDIO"),
    "text": ("text", "[STRING]"),
    "texts": ("text", "[STRING]"),
    "revised_prompts": ("revised_prompts", "[STRING]"),
}
"""Fields of what pipelines return: the output that each becomes, and its type."""

_OUTPUT_DOCS = {
    "IMAGE": "The pictures that it made.",
    "VIDEO": "The video that it made.",
    "AUDIO": "The sound that it made.",
    "MESH": "The shape that it made.",
    "ARRAY": "Numbers for another pipeline, or to be saved.",
    "[STRING]": "What it wrote.",
}
_NOT_SHOWN = re.compile(r"^_|callback|^(return_dict|output_type|generator|seed|debug|initial_audio_sampling_rate)$")
_MAIN = re.compile(
    r"^(prompt|negative_prompt|lyrics|height|width|num_frames|num_inference_steps|guidance_scale|strength|true_cfg_scale"
    r"|image_guidance_scale|controlnet_conditioning_scale|audio_length_in_s|audio_duration|audio_end_in_s|duration|fps"
    r"|frame_rate|batch_size|num_(images|videos|waveforms)_per_prompt|class_labels)$"
)
_NEEDED_PICTURES = ("image", "mask_image", "original_image", "control_image", "control_mask", "video")
_PICTURE = re.compile(r"\bImage\b|Pipeline(Image|Mask)Input")
_TENSOR = re.compile(r"Tensor|ndarray")
_TEXTS = re.compile(r"prompt|lyrics|instruction|caption|transcription")
_SCALARS = (("bool", "BOOLEAN"), ("float", "FLOAT"), ("int", "INT"), ("str", "STRING"))
_LIST = re.compile(r"^(list|tuple|Iterable|Sequence)\[(?P<item>bool|int|float|str)\b")
_LONGEST_DOC = 400


@cache
def sockets_of(name: str) -> Sockets | None:
    """Give the sockets of a pipeline by its class; None if diffusers has none of this name.

    Raises:
        InputError: it needs something that no workflow can give.
    """
    source = read_pipeline(name)
    if source is None:
        return None
    names = {each.name for each in source.parameters}
    inputs = [_input(each, names) for each in source.parameters if not _NOT_SHOWN.search(each.name)]
    known = [each for each in inputs if each is not None]
    order = sorted(known, key=lambda each: (not each.required, each.widget is not None and _is_advanced(each.widget)))
    outputs = tuple(_outputs(source))
    mesh = (_MESH,) if source.makes_meshes else ()
    return Sockets(inputs=(*order, *mesh), outputs=outputs, doc=source.doc)


def makes_meshes(name: str) -> bool:
    """Tell whether a pipeline makes meshes."""
    source = read_pipeline(name)
    return source is not None and source.makes_meshes


_MESH = InputDefinition(
    name="shape",
    type="STRING",
    required=False,
    default="video",
    choices=("video", "mesh"),
    doc="What to make of it: a video that turns around it, or a mesh to save.",
)


def socket_type(parameter: Parameter) -> str | None:
    """Give the type of the input that a parameter becomes; ``JSON`` for a text of that kind, None for none."""
    name, hints = parameter.name, parameter.hints
    if any(_PICTURE.search(hint) for hint in hints) and not re.search(r"latents|embeds", name):
        return _picture_type(name)
    if not hints:
        return {bool: "BOOLEAN", int: "INT", float: "FLOAT", str: "STRING"}.get(type(parameter.default))
    for hint in hints:
        if hint.startswith("Literal["):
            return "STRING"
    for scalar, socket in _SCALARS:
        if scalar in hints:
            return socket
    for hint in hints:
        if item := _LIST.match(hint):
            return f"[{dict(_SCALARS)[item['item']]}]"
    if any(_TENSOR.search(hint) or _PICTURE.search(hint) for hint in hints):
        return _tensor_type(name)
    if "list" in hints and isinstance(parameter.default, list) and parameter.default:
        return f"[{dict(_SCALARS).get(type(parameter.default[0]).__name__, 'STRING')}]"
    if any(re.match(r"^(dict|list\[(list|dict)|tuple\[tuple)\b", hint) for hint in hints):
        return "JSON"
    return None


def _picture_type(name: str) -> str:
    if re.search(r"video|frames", name):
        return FRAMES
    return "MASK" if "mask" in name else "IMAGE"


def _tensor_type(name: str) -> str:
    if re.search(r"audio|waveform", name) and not re.search(r"latents|codes|rate|embeds", name):
        return "AUDIO"
    if name.endswith("latents"):
        return "LATENT|ARRAY"
    if re.search(r"(^|_)image$", name):
        return "IMAGE"
    if name == "video" or name.endswith("_video"):
        return FRAMES
    return "MASK" if name == "mask" else "ARRAY"


def _input(parameter: Parameter, names: set[str]) -> InputDefinition | None:
    type_name = socket_type(parameter)
    if type_name is None:
        if not parameter.has_default:
            message = f"this pipeline needs {parameter.name!r} ({' or '.join(parameter.hints)}), which no node gives."
            raise InputError("pipeline", message, "Choose another pipeline, or write a node for this one.")
        return None
    facts: dict[str, Any] = {"name": parameter.name, "doc": _shortened(parameter.doc)}  # Any: a definition's fields
    facts |= {"type": "STRING", "pattern": JSON_PATTERN} if type_name == "JSON" else {"type": type_name}
    facts |= _limits(parameter.name, facts["type"])
    facts["choices"] = _choices(parameter)
    unless = _instead(parameter, names)
    required = not parameter.has_default or bool(unless) or _is_needed_picture(parameter, type_name)
    facts |= {"required": required, "unless": unless, "widget": _widget(parameter.name, type_name, required=required)}
    definition = InputDefinition(**facts)
    return definition if required else definition.model_copy(update={"default": _default(definition, parameter)})


def _instead(parameter: Parameter, names: set[str]) -> tuple[str, ...]:
    """Name what may be given in place of a prompt that the pipeline otherwise insists on."""
    is_prompt = parameter.name == "prompt" and parameter.default is None and parameter.has_default
    if not is_prompt or parameter.takes_none:
        return ()
    return tuple(sorted(each for each in names if re.fullmatch(r"prompt_embeds(_\w+)?", each) and "mask" not in each))


def _is_needed_picture(parameter: Parameter, type_name: str) -> bool:
    """Tell whether a picture has to be given, although it has a default: None, which isn't among what it may be."""
    return (
        parameter.name in _NEEDED_PICTURES
        and type_name in ("IMAGE", "MASK", FRAMES)
        and parameter.has_default
        and parameter.default is None
        and not parameter.takes_none
        and bool(parameter.doc)
        and "optional" not in f"{parameter.kind} {parameter.doc[:80]}".lower()
    )


def _limits(name: str, type_name: str) -> dict[str, Any]:  # Any: a definition's fields
    if type_name == "INT":
        if name.endswith("inference_steps"):
            return {"minimum": 1, "maximum": 10_000}
        if name in ("height", "width"):
            return {"minimum": 1, "maximum": 16_384}
        if name in COUNTS or name in ("num_frames", "video_length", "fps", "max_sequence_length", "decode_chunk_size"):
            return {"minimum": 1, "maximum": 65_536}
        if name == "clip_skip":
            return {"minimum": 0, "maximum": 24}
    if type_name == "FLOAT":
        if name == "strength":
            return {"minimum": 0, "maximum": 1}
        if name in ("frame_rate", "fps", "audio_length_in_s", "audio_duration", "duration"):
            return {"exclusive_minimum": 0, "maximum": 100_000}
    return {}


def _choices(parameter: Parameter) -> tuple[str, ...] | None:
    for hint in parameter.hints:
        if hint.startswith("Literal["):
            return tuple(re.findall(r"['\"]([^'\"]+)['\"]", hint))
    return None


def _widget(name: str, type_name: str, *, required: bool) -> WidgetDefinition | None:
    kind = "plain"
    if type_name in ("STRING", "JSON") and (type_name == "JSON" or _TEXTS.search(name)):
        kind = "textarea"
    advanced = not required and not _MAIN.match(name)
    if kind == "textarea" or advanced:
        return WidgetDefinition(kind=kind, hints={"advanced": True} if advanced else {})
    return None


def _is_advanced(widget: WidgetDefinition) -> bool:
    return bool(widget.hints.get("advanced"))


def _default(definition: InputDefinition, parameter: Parameter) -> Any:  # Any: of the input's type
    """Give a default that its own limits allow; None leaves it to the pipeline."""
    value = parameter.default
    if isinstance(value, tuple):
        value = list(value)
    if value is None or definition.pattern is not None or definition.type.strip("[]") not in dict(_SCALARS).values():
        return None
    if isinstance(value, list) != (definition.type[0] == "["):
        return None
    coerced, problem = check_literal(definition, value)
    return coerced if problem is None else None


def _outputs(source: PipelineSource) -> Iterator[OutputDefinition]:
    given: set[str] = set()
    for field, annotation in source.outputs.items():
        name, type_name = OUTPUT_NAMES.get(field, (field, "ARRAY" if _TENSOR.search(annotation) else ""))
        if source.makes_meshes and field == "images":
            name, type_name = "video", "VIDEO"
        if type_name and name not in given:
            given.add(name)
            yield OutputDefinition(name=name, type=type_name, doc=_OUTPUT_DOCS[type_name])
    if not given:
        yield OutputDefinition(name="images", type="IMAGE", doc=_OUTPUT_DOCS["IMAGE"])
    if source.makes_meshes:
        yield OutputDefinition(name="mesh", type="[MESH]", doc=_OUTPUT_DOCS["MESH"])


def _shortened(text: str) -> str:
    """Keep the first sentences of a long text."""
    if len(text) <= _LONGEST_DOC:
        return text
    cut = text[:_LONGEST_DOC]
    end = cut.rfind(". ")
    return cut[: end + 1] if end > 0 else f"{cut.rsplit(' ', 1)[0]} …"
