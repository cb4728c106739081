"""Read diffusers' pipelines from their source, without importing it: what they take, give and say of themselves.

Importing diffusers takes seconds and loads torch; a check of a workflow has neither. Their signatures, defaults and
docstrings are plain Python, which ``ast`` reads in some milliseconds.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

__all__ = ["Parameter", "PipelineSource", "has_class", "pipeline_modules", "pipeline_names", "read_pipeline"]

_ENTRY = re.compile(r"^(?P<name>\*{0,2}\w+)\s*(?P<kind>\(.*)?:\s*(?P<rest>.*)$")


@dataclass(frozen=True)
class Parameter:
    """A parameter of a pipeline's ``__call__``.

    Attributes:
        hints: What it may be, each alternative of its annotation: ``("str", "list[str]")``; without None.
        takes_none: None is one of them.
        has_default: Without one it has to be given.
        default: Its value, if it is known; None as well.
        doc: What its documentation says.
        kind: What its documentation says before that, of its type: "(`str`, *optional*)".
    """

    name: str
    hints: tuple[str, ...]
    takes_none: bool
    has_default: bool
    default: Any  # Any: a Python literal
    doc: str = ""
    kind: str = ""


@dataclass(frozen=True)
class PipelineSource:
    """A pipeline, as its source has it.

    Attributes:
        doc: Its docstring's first paragraph.
        outputs: The fields of what it returns: name -> annotation.
        module: Where its class is, for ``import_module``.
        needed_parts: The parts that it can't be made without.
        makes_meshes: Asked for it, it gives meshes.
    """

    name: str
    module: str
    doc: str
    parameters: tuple[Parameter, ...]
    outputs: Mapping[str, str]
    needed_parts: tuple[str, ...] = ()
    makes_meshes: bool = False


@dataclass(frozen=True)
class _Class:
    """A class in its module."""

    node: ast.ClassDef
    module: ast.Module
    path: Path


def pipeline_modules() -> frozenset[str]:
    """Name the modules of diffusers that pipelines are in, and classes of their own beside them."""
    folders = [*_pipelines().iterdir(), *(_pipelines() / "deprecated").glob("*")]
    return frozenset(path.name for path in folders if path.is_dir() and not path.name.startswith("_"))


@cache
def has_class(name: str) -> bool:
    """Tell whether diffusers offers a class of this name to its users."""
    text = (_pipelines().parent / "__init__.py").read_text(encoding="utf-8")
    return name.isidentifier() and f'"{name}"' in text


@cache
def read_pipeline(name: str) -> PipelineSource | None:
    """Read a pipeline; None if diffusers has none of this name.

    What it inherits is read from its bases.
    """
    found = _find_class(name) if name.isidentifier() and name != "DiffusionPipeline" else None
    call = _method(found, "__call__") if found is not None else None
    if found is None or call is None:
        return None
    function, home = call
    docs = _entries(ast.get_docstring(function) or "")
    text = (ast.get_docstring(found.node) or "").partition("\n\n")[0]
    return PipelineSource(
        name=name,
        module=".".join(("diffusers", "pipelines", *found.path.relative_to(_pipelines()).with_suffix("").parts)),
        doc=_plain_text(text),
        parameters=tuple(_parameters(function, home.module, docs)),
        outputs=_outputs(function, home.path),
        needed_parts=tuple(_needed_parts(found)),
        makes_meshes=any(isinstance(each, ast.Constant) and each.value == "mesh" for each in ast.walk(function)),
    )


def _pipelines() -> Path:
    spec = find_spec("diffusers")  # which finds a package without importing it
    assert spec is not None, "diffusers is a dependency"
    assert spec.origin is not None, "it is a package with a file"
    return Path(spec.origin).parent / "pipelines"


@cache
def _places() -> Mapping[str, tuple[Path, ...]]:
    """Give the files that each class is defined in."""
    places: dict[str, tuple[Path, ...]] = {}
    for path in sorted(_pipelines().rglob("*.py")):
        for name in re.findall(r"^class (\w+)", path.read_text(encoding="utf-8"), re.MULTILINE):
            places[name] = (*places.get(name, ()), path)
    return places


@lru_cache(maxsize=32)
def _module(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _find_class(name: str, near: Path | None = None) -> _Class | None:
    """Find a class by its name, best in a folder where its user is."""
    for path in sorted(_places().get(name, ()), key=lambda path: near is None or path.parent != near.parent):
        for node in _module(path).body:
            if isinstance(node, ast.ClassDef) and node.name == name:
                return _Class(node, _module(path), path)
    return None


def _method(found: _Class, name: str) -> tuple[ast.FunctionDef, _Class] | None:
    for each in _with_bases(found):
        for node in each.node.body:
            if isinstance(node, ast.FunctionDef) and node.name == name:
                return node, each
    return None


def _needed_parts(found: _Class) -> Iterator[str]:
    """Name what the constructor insists on, but for what the class calls optional."""
    init = _method(found, "__init__")
    if init is None:
        return
    arguments = init[0].args
    positional = arguments.args[1 : len(arguments.args) - len(arguments.defaults)]
    keywords = [each for each, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True) if not default]
    bases = reversed(list(_with_bases(found)))
    constants = {name: value for each in bases for name, value in _constants(each.node.body).items()}
    optional = _value(constants.get("_optional_components"), {}) or ()
    yield from (each.arg for each in [*positional, *keywords] if each.arg not in optional)


def _with_bases(found: _Class) -> Iterator[_Class]:
    """Give a class and its bases as far as they are in diffusers' pipelines, nearest first."""
    queue, seen = [found], {found.node.name}
    for each in queue:  # it grows on the way
        yield each
        for base in each.node.bases:
            name = base.id if isinstance(base, ast.Name) else ""
            inherited = _find_class(name, each.path) if name and name not in seen else None
            seen.add(name)
            if inherited is not None:
                queue.append(inherited)


def _parameters(
    function: ast.FunctionDef, module: ast.Module, docs: Mapping[str, tuple[str, str]]
) -> Iterator[Parameter]:
    constants = _constants(module.body)
    positional = function.args.args[1:]  # without self
    missing: list[ast.expr | None] = [None] * (len(positional) - len(function.args.defaults))
    defaults = [*missing, *function.args.defaults, *function.args.kw_defaults]
    for each, default in zip([*positional, *function.args.kwonlyargs], defaults, strict=True):
        hints = _alternatives(each.annotation)
        kind, doc = docs.get(each.arg, ("", ""))
        yield Parameter(
            name=each.arg,
            hints=tuple(hint for hint in hints if hint != "None"),
            takes_none="None" in hints,
            has_default=default is not None,
            default=_value(default, constants),
            doc=doc,
            kind=kind,
        )


def _alternatives(annotation: ast.expr | None) -> list[str]:
    """Give the members of a union, in the new style: ``Optional[List[int]]`` is ``list[int]`` and ``None``."""
    match annotation:
        case None:
            return []
        case ast.Constant(value=str(text)):
            return _alternatives(ast.parse(text, mode="eval").body)
        case ast.BinOp(op=ast.BitOr(), left=left, right=right):
            return [*_alternatives(left), *_alternatives(right)]
        case ast.Subscript(value=ast.Name(id="Optional"), slice=inner):
            return [*_alternatives(inner), "None"]
        case ast.Subscript(value=ast.Name(id="Union"), slice=ast.Tuple(elts=members)):
            return [each for member in members for each in _alternatives(member)]
    text = ast.unparse(annotation)
    return [re.sub(r"\b(List|Tuple|Dict)\b", lambda match: match[0].lower(), text)]


def _constants(body: Iterable[ast.stmt]) -> dict[str, ast.expr]:
    found = {}
    for node in body:
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            found[node.targets[0].id] = node.value
    return found


def _value(expression: ast.expr | None, constants: Mapping[str, ast.expr]) -> Any:  # Any: a Python literal
    """Read a default; None for one that isn't written out."""
    if isinstance(expression, ast.Name):
        expression = constants.get(expression.id)
    if expression is None:
        return None
    try:
        return ast.literal_eval(expression)
    except ValueError:
        return None


def _outputs(function: ast.FunctionDef, path: Path) -> Mapping[str, str]:
    """Give the fields of the records that a function returns, in their order."""
    names = [name for name in _returned(function) if name.endswith("Output")]
    fields: dict[str, str] = {}
    for name in dict.fromkeys(names):
        found = _find_class(name, path)
        if found is None:
            continue
        for each in reversed(list(_with_bases(found))):
            fields |= {
                node.target.id: ast.unparse(node.annotation)
                for node in each.node.body
                if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
            }
    return fields


def _returned(function: ast.FunctionDef) -> Iterator[str]:
    for node in ast.walk(function):
        if isinstance(node, ast.Return) and node.value is not None:
            calls = (each for each in ast.walk(node.value) if isinstance(each, ast.Call))
            yield from (each.func.id for each in calls if isinstance(each.func, ast.Name))
    yield from _alternatives(function.returns)


def _entries(docstring: str) -> dict[str, tuple[str, str]]:
    """Read the ``Args:`` of a docstring: name -> what it says of the type, and the text."""
    entries: dict[str, tuple[str, str]] = {}
    name, kind, lines = "", "", list[str]()
    lead: int | None = None
    for line in [*docstring.splitlines(), "Returns:"]:
        indent = len(line) - len(line.lstrip())
        lead = indent if lead is None and entries == {} and _is_entry(line) else lead
        begins = _is_entry(line) if indent == lead else None
        if begins or (line.strip() and indent < (lead or 0)) or line.startswith("Returns:"):
            if name:
                entries[name] = (kind, _plain_text(" ".join(lines)))
            name, kind, lines = (begins["name"], begins["kind"] or "", [begins["rest"]]) if begins else ("", "", [])
        elif name:
            lines.append(line.strip())
    return entries


def _is_entry(line: str) -> re.Match[str] | None:
    return _ENTRY.match(line.strip()) if "(" in line else None


def _plain_text(text: str) -> str:
    """Take the markup out of a documentation's text: links, directives, code."""
    text = re.sub(r"</?(Tip|tip)[^>]*>|\[\[open-in-colab\]\]|\br\"\"\"", "", text)
    text = re.sub(r"\[`?~?([^\]`]*)`?\]\([^)]*\)", r"\1", text)
    text = re.sub(r"\[`~?([^\]`]*)`\]", r"\1", text)
    return re.sub(r"\s+", " ", text.replace("`", "").replace("*optional*", "optional")).strip()


@cache
def pipeline_names() -> tuple[str, ...]:
    """Name all pipelines of diffusers."""
    return tuple(sorted(name for name in _places() if name.endswith("Pipeline") and name != "DiffusionPipeline"))
