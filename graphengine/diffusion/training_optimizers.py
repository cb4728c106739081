"""Optimizers and learning rates by name: torch's, those of packages that may be installed, and any other's class."""

from __future__ import annotations

import importlib
import inspect
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib.metadata import packages_distributions
from typing import Any

import torch
from diffusers.optimization import get_scheduler
from torch import Tensor, nn
from torch.optim import SGD, Adafactor, Adam, AdamW, Optimizer

from graphengine.errors import InputError
from graphengine.training_types import OptimizerRecipe, Recipe

_PACKAGES = {"prodigy": ("prodigyopt", "Prodigy"), "adamw_8bit": ("bitsandbytes.optim", "AdamW8bit")}
"""What is imported where it is installed: module and class."""


class Lion(Optimizer):
    """Step by the sign of an average of gradients, with decoupled decay.

    Source: Chen et al. 2023, arXiv:2302.06675, algorithm 2.
    """

    def __init__(
        self,
        params: Iterable[nn.Parameter] | Iterable[dict[str, Any]],  # Any: a group's settings
        lr: float,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]  # torch's is overloaded
        loss = None if closure is None else closure()
        for group in self.param_groups:
            beta1, beta2 = group["betas"]
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                average = state.setdefault("average", torch.zeros_like(parameter))
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
                parameter.add_(average.lerp(parameter.grad, 1 - beta1).sign_(), alpha=-group["lr"])
                average.lerp_(parameter.grad, 1 - beta2)
        return loss


def make_optimizer(modules: Mapping[str, nn.Module], recipe: Recipe) -> Optimizer:
    """Make a recipe's optimizer for what requires gradients; text encoders and words may have a rate of their own.

    Raises:
        InputError: if its package isn't installed, or its settings don't fit it.
    """
    groups: dict[float, list[nn.Parameter]] = {}
    for name, module in modules.items():
        is_text = name.startswith(("text_encoder", "word")) and recipe.text_encoder_rate > 0
        if parameters := [each for each in module.parameters() if each.requires_grad]:
            groups.setdefault(recipe.text_encoder_rate if is_text else recipe.learning_rate, []).extend(parameters)
    options = recipe.optimizer_options or OptimizerRecipe()
    given = [{"params": parameters, "lr": rate} for rate, parameters in groups.items()]
    betas = (options.beta1, options.beta2)
    decay = recipe.weight_decay
    match recipe.optimizer:
        case "adamw":
            return AdamW(given, lr=recipe.learning_rate, betas=betas, eps=options.eps, weight_decay=decay, fused=True)
        case "adam":
            return Adam(given, lr=recipe.learning_rate, betas=betas, eps=options.eps, weight_decay=decay, fused=True)
        case "sgd":
            momentum, nesterov = options.momentum, options.nesterov and options.momentum > 0
            return SGD(given, recipe.learning_rate, momentum=momentum, nesterov=nesterov, weight_decay=decay)
        case "adafactor":
            return Adafactor(given, lr=recipe.learning_rate, weight_decay=decay)
        case "lion":
            return Lion(given, lr=recipe.learning_rate, betas=betas, weight_decay=decay)
        case "prodigy" | "adamw_8bit":
            kind = _installed(recipe.optimizer)
            return kind(given, lr=recipe.learning_rate, betas=betas, eps=options.eps, weight_decay=decay)
        case "custom":
            return _custom(given, recipe, options)


def make_schedule(optimizer: Optimizer, recipe: Recipe, steps: int) -> Any:  # Any: diffusers is untyped
    """Make the learning rate's course over the steps."""
    options = recipe.optimizer_options or OptimizerRecipe()
    return get_scheduler(
        "constant_with_warmup" if recipe.lr_schedule == "constant" else recipe.lr_schedule,
        optimizer,
        num_warmup_steps=recipe.warmup_steps,
        num_training_steps=steps,
        num_cycles=options.restarts,
        power=options.power,
    )


def optimizer_state(optimizer: Optimizer) -> tuple[dict[str, Tensor], dict[str, object]]:
    """Give what an optimizer remembers: tensors by ``parameter's number/name``, and the rest as JSON knows it.

    What is nested, as 8-bit optimizers have it, gets longer names; what parameters share is there for each.
    """
    state = optimizer.state_dict()
    tensors: dict[str, Tensor] = {}
    plain: dict[str, dict[str, object]] = {}
    places: set[int] = set()
    for index, values in state["state"].items():
        for key, value in _flat(values):
            if not isinstance(value, Tensor):
                plain.setdefault(str(index), {})[key] = value
                continue
            tensors[f"{index}/{key}"] = value.clone() if value.data_ptr() in places else value
            places.add(value.data_ptr())
    groups = [{key: value for key, value in group.items() if key != "params"} for group in state["param_groups"]]
    return tensors, {"groups": groups, "optimizer": plain}


def restore_optimizer(
    optimizer: Optimizer, tensors: Mapping[str, Tensor], saved: Mapping[str, Any]
) -> None:  # Any: JSON
    """Let an optimizer of the same parameters remember what ``optimizer_state`` gave."""
    state: dict[int, dict[str, Any]] = {}  # Any: tensors, and what JSON knows
    for name, tensor in tensors.items():
        index, _, key = name.partition("/")
        _put(state.setdefault(int(index), {}), key, tensor)
    for index, values in saved.get("optimizer", {}).items():
        for key, value in values.items():
            _put(state.setdefault(int(index), {}), key, value)
    fresh = optimizer.state_dict()["param_groups"]
    groups = [group | values for group, values in zip(fresh, saved["groups"], strict=True)]
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def _flat(values: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:  # Any: as above
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{above}{key}/")
        else:
            yield above + key, value


def _put(values: dict[str, Any], key: str, value: object) -> None:  # Any: as above
    first, _, rest = key.partition("/")
    if rest:
        _put(values.setdefault(first, {}), rest, value)
    else:
        values[first] = value


def _installed(name: str) -> Callable[..., Optimizer]:
    module, kind = _PACKAGES[name]
    try:
        found: Callable[..., Optimizer] = getattr(importlib.import_module(module), kind)
    except ImportError as error:
        package = module.partition(".")[0]
        raise InputError(
            "recipe", f"its optimizer {name} needs {package}, which isn't there ({error}).", f"pip install {package}"
        ) from error
    return found


def _custom(given: Sequence[Mapping[str, Any]], recipe: Recipe, options: OptimizerRecipe) -> Optimizer:  # Any: a group
    kind = _class_named(options.custom_class)
    settings = _parsed(options.custom_options)
    parameters = inspect.signature(kind).parameters
    if "weight_decay" in parameters:
        settings = {"weight_decay": recipe.weight_decay} | settings
    groups = [dict(group) for group in given]
    try:
        return kind(groups, **({"lr": recipe.learning_rate} | settings))
    except (TypeError, ValueError) as error:
        raise InputError(
            "recipe", f"{options.custom_class} doesn't take these options: {error}.", "Correct custom_options."
        ) from error


def _class_named(dotted: str) -> type[Optimizer]:
    """Import an optimizer of an installed package; nothing else is imported for a workflow's sake."""
    module, _, name = dotted.rpartition(".")
    try:
        if not module or module.partition(".")[0] not in packages_distributions():
            raise ImportError("no installed package has it")
        kind = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise InputError(
            "recipe",
            f"its optimizer {dotted!r} can't be imported: {error}.",
            "Give an installed package's class in full, such as torch.optim.RAdam, as custom_class of OptimizerRecipe.",
        ) from error
    if not (isinstance(kind, type) and issubclass(kind, Optimizer)):
        raise InputError("recipe", f"{dotted!r} is no optimizer of torch's kind.", "Give a torch.optim.Optimizer.")
    return kind


def _parsed(text: str) -> dict[str, Any]:  # Any: JSON
    try:
        settings = json.loads(text or "{}")
    except ValueError as error:
        raise InputError("recipe", f"custom_options isn't JSON: {error}.", 'Write {"eps": 1e-6}, say.') from error
    if not isinstance(settings, dict):
        raise InputError("recipe", "custom_options is no JSON object.", 'Write {"eps": 1e-6}, say.')
    return settings
