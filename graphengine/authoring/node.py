"""Turn a typed function into a node: its signature is the schema.

    @node("Blur", category="image")
    def blur(image: Image, radius: Annotated[float, Field(ge=0)] = 2.0) -> Image:
        '''Blur a picture.

        Args:
            image: What to blur.
            radius: Standard deviation of the Gaussian, in pixels.
        '''

The result is still a plain callable. Nothing is registered anywhere; a NodePack lists its functions.
"""

from __future__ import annotations

import enum
import inspect
import re
import types
import typing
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, Generic, Literal, ParamSpec, TypeVar

from graphengine.authoring.annotations import read_input, socket_name, unwrap
from graphengine.authoring.context import Blocked, Context
from graphengine.authoring.docstrings import Docs, read_docstring
from graphengine.authoring.expansion import Expansion
from graphengine.core.definition import Body, InputDefinition, NodeDefinition, OutputDefinition, Sockets
from graphengine.errors import DefinitionError

__all__ = ["PRIVATE_MODULE", "NodeFunction", "node", "place_of"]

PRIVATE_MODULE = "graphengine_pack_{digest}_{name}"
"""What the modules of packs that are files or folders are called, so that two packs may both have a ``util.py``."""

_PRIVATE = re.compile(r"^graphengine_pack_[0-9a-f]{8}_")
P = ParamSpec("P")
R = TypeVar("R")
Inputs = dict[str, Any]  # Any: literals of a saved workflow, of any JSON type
Migration = Callable[[Inputs], Inputs]
Facts = Mapping[str, Any]  # Any: what is known of a socket's value before it exists, such as its width
Refine = Callable[[Mapping[str, Any], Mapping[str, Facts]], Mapping[str, Facts]]  # Any: literals of any type


class NodeFunction(Generic[P, R]):
    """A function with the definition read from its signature."""

    def __init__(
        self,
        function: Callable[P, R],
        definition: NodeDefinition,
        *,
        context_parameter: str | None,
        fingerprint: Callable[..., object] | None = None,
        wants: Callable[..., str | Collection[str]] | None = None,
        refine: Refine | None = None,
        memory: Callable[..., int] | None = None,
        sockets: Callable[..., Sockets] | None = None,
    ) -> None:
        self.function = function
        self.definition = definition
        self.context_parameter = context_parameter
        self.fingerprint = fingerprint
        self.wants = wants
        self.refine = refine
        self.memory = memory
        self.sockets = sockets
        self._enums = _enums_of(function)
        self.checks: list[Callable[..., None]] = []
        self.migrations: dict[int, Migration] = {}
        self.__doc__ = function.__doc__
        self.__name__ = function.__name__
        self.__module__ = function.__module__

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        for name, kind in self._enums.items():
            if isinstance(kwargs.get(name), bool | int | float | str):
                kwargs[name] = kind(kwargs[name])  # files hold the value, the function takes the member
        return self.function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<node {self.definition.id} ({self.__module__}.{self.__name__})>"

    def check(self, function: Callable[..., None]) -> Callable[..., None]:
        """Add a check across inputs; decorates a function whose parameters name the literals it reads.

        It runs before the workflow does and raises ``InputError(input, message, remedy)``. When one of its inputs is
        linked its value isn't known yet, and the check is made with the default left out: give such a parameter none.
        """
        _check_names(function, self.definition, place_of(function))
        self.checks.append(function)
        self.definition = self.definition.model_copy(update={"has_check": True})
        return function

    def migrate_from(self, version: int) -> Callable[[Migration], Migration]:
        """Add the step from a version of this node to the next one; it changes a saved node's inputs."""
        if not 1 <= version < self.definition.version:
            raise DefinitionError(
                f"{place_of(self.function)}: migrate_from({version}) is not below version={self.definition.version}."
            )

        def add(migration: Migration) -> Migration:
            self.migrations[version] = migration
            return migration

        return add


def node(
    id: str,
    *,
    version: int = 1,
    category: str,
    outputs: str | None = None,
    output_node: bool = False,
    device: Literal["cpu", "gpu"] = "cpu",
    cacheable: bool = True,
    fingerprint: Callable[..., object] | None = None,
    wants: Callable[..., str | Collection[str]] | None = None,
    refine: Refine | None = None,
    memory: Callable[..., int] | None = None,
    body: Body | None = None,
    sockets: Callable[..., Sockets] | None = None,
    devices: str = "",
    aliases: tuple[str, ...] = (),
    status: Literal["stable", "experimental", "deprecated"] = "stable",
    replaced_by: str | None = None,
) -> Callable[[Callable[P, R]], NodeFunction[P, R]]:
    """Make a function a node.

    Args:
        id: The node's ``type`` in files, PascalCase; packs other than the built-in one prefix theirs: ``mypack.Blur``.
        version: Raise it when saved workflows would change meaning, and add ``migrate_from`` in the same change.
        category: Where the library lists it, such as ``"image"`` or ``"image/colour"``.
        outputs: Name of a single output; without it, its type's name in lower case.
        output_node: It shows or saves something, so it runs although nobody reads its outputs.
        device: ``"gpu"`` for work that belongs on the accelerator.
        cacheable: False for a node whose result changes although its inputs don't.
        fingerprint: Called with the literals its parameters name; a changed result means the node must run again. One
            with a default is left out where its input is linked. If its first parameter is ``files``, it is given what
            finds files by kind and name: ``find_file`` and ``file_names``, as ``Settings`` has them.
        wants: Called with the plain inputs its parameters name; it names the lazy inputs to compute before the node
            is called. Without it each is computed on ``.get()``, which nests: chains of hundreds need ``wants``.
        refine: Called with the literals and with what is known of each linked input; it tells what is known of each
            output before the node runs, so that ``check`` finds models and latents that don't fit. None is not known;
            an output that it leaves out is known as far as the inputs of its type are. ``core.facts`` lists the names.
            It raises ``InputError`` where a literal, such as a file, doesn't fit what is known of the inputs.
        memory: Called with the inputs its parameters name; the bytes that the call needs on the accelerator, besides
            its inputs. Room is made before the call.
        body: For a node that runs a sub-graph: which sockets it takes over from there. Such a function takes the
            further inputs as ``**inputs``.
        sockets: For a node with further inputs and outputs that depend on what is chosen at it, such as a file: called
            with the literals its parameters name, before the workflow runs, it gives them, or refuses the choice by an
            ``InputError``. It must be quick: the editor asks it for each choice. Such a function takes the further
            inputs as ``**inputs`` and returns its outputs in a mapping; those left out are blocked.
        devices: The input, a whole number, that says on how many devices it works at once: a server runs such a job
            when so many are idle, and gives it these, in ``ctx.settings.devices``.
        aliases: Former ids; files that use them still load.

    Raises:
        DefinitionError: naming the file, the parameter and the remedy.
    """

    def decorate(function: Callable[P, R]) -> NodeFunction[P, R]:
        _check_identity(id, version, place_of(function))
        docs = read_docstring(inspect.getdoc(function) or "")
        inputs, variables, context_parameter, returned = _read_signature(
            function, docs, takes_more=body is not None or sockets is not None
        )
        definition = NodeDefinition(
            id=id,
            version=version,
            category=category,
            doc=docs.summary,
            inputs=inputs,
            outputs=_read_outputs(function, returned, outputs, variables) if sockets is None else (),
            variables=variables,
            output_node=output_node,
            device=device,
            cacheable=cacheable,
            has_fingerprint=fingerprint is not None,
            has_refine=refine is not None,
            has_wants=wants is not None,
            is_async=inspect.iscoroutinefunction(function),
            expands=_may_expand(returned),
            body=body,
            sockets_from=tuple(inspect.signature(sockets).parameters) if sockets is not None else (),
            devices_from=devices,
            aliases=aliases,
            status=status,
            replaced_by=replaced_by,
        )
        asking = (("fingerprint", fingerprint), ("wants", wants), ("memory", memory), ("sockets", sockets))
        for role, asked in asking:
            if asked is not None:
                given = ("files",) if role == "fingerprint" else ()
                _check_names(asked, definition, f"{place_of(function)}: {role}", given=given)
        _check_roles(definition, place_of(function), wants=wants, refine=refine)
        return NodeFunction(
            function,
            definition,
            context_parameter=context_parameter,
            fingerprint=fingerprint,
            wants=wants,
            refine=refine,
            memory=memory,
            sockets=sockets,
        )

    return decorate


def _read_signature(
    function: Callable[..., object], docs: Docs, *, takes_more: bool
) -> tuple[tuple[InputDefinition, ...], dict[str, str], str | None, Any]:  # Any: an annotation
    """Read parameters into inputs; give also the type variables, the Context parameter and the return annotation."""
    hints = _type_hints(function)
    variables: dict[str, str] = {}
    context_parameter: str | None = None
    inputs: list[InputDefinition] = []
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind is parameter.VAR_KEYWORD and takes_more:
            continue  # what the body's sockets add, or the node's own
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            stars = "*" if parameter.kind is parameter.VAR_POSITIONAL else "**"
            raise DefinitionError(
                f"{place_of(function)}: '{stars}{parameter.name}' can't be an input. Name each input."
            )
        if parameter.kind is parameter.POSITIONAL_ONLY:
            raise DefinitionError(
                f"{place_of(function)}: parameter {parameter.name!r} is positional only; inputs are given by name. "
                "Take the '/' out."
            )
        if parameter.name not in hints:
            raise DefinitionError(
                f"{place_of(function)}: parameter {parameter.name!r} has no type; the type is its socket. "
                f"Annotate it, e.g. '{parameter.name}: Image'."
            )
        if unwrap(hints[parameter.name])[0] is Context:
            context_parameter = parameter.name
            continue
        try:
            inputs.append(read_input(parameter, hints[parameter.name], docs.entries.get(parameter.name, ""), variables))
        except DefinitionError as error:
            raise DefinitionError(f"{place_of(function)}: parameter {parameter.name!r}: {error}") from None
    if "return" not in hints:
        raise DefinitionError(
            f"{place_of(function)}: the return type is missing; it names the outputs. Add '-> Image'."
        )
    return tuple(inputs), variables, context_parameter, hints["return"]


def _type_hints(function: Callable[..., object]) -> Mapping[str, Any]:  # Any: annotations are any object
    try:
        return typing.get_type_hints(function, include_extras=True)
    except NameError as error:
        raise DefinitionError(
            f"{place_of(function)}: {error}. Types of inputs and outputs are read when the node is defined, "
            "so import them at the top of the module, not under TYPE_CHECKING."
        ) from error


def _check_identity(id: str, version: int, place: str) -> None:
    if not id.strip() or id.startswith(("subgraph:", "file:")):
        raise DefinitionError(f"{place}: {id!r} can't be a node's id. Write it like 'mypack.Blur'.")
    if version < 1:
        raise DefinitionError(f"{place}: version={version!r} is below the first one. Begin with version=1.")


def _check_names(
    function: Callable[..., object], definition: NodeDefinition, place: str, *, given: Collection[str] = ()
) -> None:
    """Refuse a function whose parameters aren't all inputs of the node, or given besides."""
    for name in inspect.signature(function).parameters:
        if name not in definition.inputs_by_name and name not in given:
            known = ", ".join(definition.inputs_by_name) or "none"
            raise DefinitionError(f"{place}: {name!r} is no input of {definition.id}. Its inputs: {known}.")


def _check_roles(
    definition: NodeDefinition,
    place: str,
    *,
    wants: Callable[..., str | Collection[str]] | None,
    refine: Refine | None,
) -> None:
    lazy = sorted(definition.lazy_inputs)
    if wants is not None:
        named = [name for name in inspect.signature(wants).parameters if name in definition.lazy_inputs]
        if not lazy:
            raise DefinitionError(f"{place}: 'wants' has no input to name. Annotate one as Lazy, e.g. Lazy[Image].")
        if named:
            raise DefinitionError(
                f"{place}: 'wants' reads {named[0]!r}, which is lazy itself. Read plain inputs there."
            )
    elif lazy and definition.is_async:
        raise DefinitionError(
            f"{place}: an async node can't wait for its lazy input {lazy[0]!r}. "
            "Name the lazy inputs that it needs with wants=."
        )
    if definition.devices_from and definition.devices_from not in definition.inputs_by_name:
        known = ", ".join(definition.inputs_by_name) or "none"
        raise DefinitionError(f"{place}: devices: {definition.devices_from!r} is no input. Its inputs: {known}.")
    if refine is not None and len(inspect.signature(refine).parameters) != 2:
        raise DefinitionError(f"{place}: 'refine' takes two parameters, the literals and the facts of linked inputs.")
    if definition.body is not None and definition.body.input not in definition.inputs_by_name:
        raise DefinitionError(
            f"{place}: body names {definition.body.input!r}, which is no input. "
            f"Add '{definition.body.input}: Subgraph'."
        )


def _enums_of(function: Callable[..., object]) -> dict[str, type[enum.Enum]]:
    """Give the parameters whose choices are the members of an Enum."""
    found = {}
    for name, annotation in _type_hints(function).items():
        inner, _ = unwrap(annotation)
        if inspect.isclass(inner) and issubclass(inner, enum.Enum):
            found[name] = inner
    return found


def _read_outputs(
    function: Callable[..., object], returned: Any, name: str | None, variables: dict[str, str]
) -> tuple[OutputDefinition, ...]:
    returned = _value_type(returned)
    if returned is types.NoneType or returned is Expansion:
        return ()
    if returned is tuple or typing.get_origin(returned) is tuple:
        raise DefinitionError(
            f"{place_of(function)}: return type: a tuple doesn't name its outputs. Return a NamedTuple, whose fields "
            "do: 'class Parts(NamedTuple): image: Image; mask: Mask'."
        )
    try:
        if _is_named_tuple(returned):
            docs = read_docstring(inspect.getdoc(returned) or "")
            return tuple(
                OutputDefinition(
                    name=field, type=socket_name(_value_type(annotation), variables), doc=docs.entries.get(field, "")
                )
                for field, annotation in typing.get_type_hints(returned, include_extras=True).items()
            )
        socket = socket_name(returned, variables)
    except DefinitionError as error:
        raise DefinitionError(f"{place_of(function)}: return type: {error}") from None
    socket_item = socket.strip("[]")
    is_named = not socket_item.startswith(("$", "*")) and "|" not in socket_item
    default_name = socket_item.rsplit(".", 1)[-1].lower() if is_named else "value"
    return (OutputDefinition(name=name or default_name, type=socket),)


def _value_type(returned: Any) -> Any:  # Any: an annotation
    """Take Blocked and Expansion, which any node may return, out of ``Image | Blocked``."""
    if typing.get_origin(returned) not in (typing.Union, types.UnionType):
        return returned
    left = tuple(each for each in typing.get_args(returned) if each not in (Blocked, Expansion))
    return typing.Union[left] if left else Expansion  # noqa: UP007  # members known only here


def _may_expand(returned: Any) -> bool:  # Any: an annotation
    return returned is Expansion or Expansion in typing.get_args(returned)


def _is_named_tuple(annotation: object) -> bool:
    return inspect.isclass(annotation) and issubclass(annotation, tuple) and hasattr(annotation, "_fields")


def place_of(function: Callable[..., object]) -> str:
    """Say where a function is, for messages to its author: ``my_pack.blur.blur (blur.py, line 12)``."""
    name = f"{_PRIVATE.sub('', function.__module__)}.{getattr(function, '__name__', function)}"
    code = getattr(inspect.unwrap(function), "__code__", None)
    return f"{name} ({Path(code.co_filename).name}, line {code.co_firstlineno})" if code is not None else name
