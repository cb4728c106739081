"""Fill networks from a safetensors file, without copying what needn't be.

A network is made without weights first, and each weight becomes a view of the mapped file, where its format is the
wanted one: nothing is read until it is computed with.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from graphengine.config import Precision
from graphengine.diffusion.families import Header
from graphengine.diffusion.model_files import PICKLE_SUFFIXES, pickle_error, read_header, read_header_and_metadata
from graphengine.diffusion.original_names import Places, read_weight
from graphengine.diffusion.precision import STORED, weights_dtype
from graphengine.diffusion.sharing import Share, network_key, unshared
from graphengine.errors import ModelFileError
from graphengine.types import Family


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Map all tensors of a safetensors file.

    Raises:
        ModelFileError: if it is missing, damaged or a pickle.
    """
    read_header(path)
    try:
        with safe_open(path, "pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping
    except (SafetensorError, OSError) as error:
        raise _unopened(path, error) from error


class WeightsFile:
    """A safetensors file whose header was read and found sound.

    Args:
        path: The file.
        precision: In which format weights are wanted.
        device: Where the networks will run, which ``auto`` goes by.
        share: Whether and how networks that are opened again are the same ones.

    Raises:
        ModelFileError: if it is missing, damaged or a pickle.
    """

    def __init__(
        self,
        path: Path,
        *,
        precision: Precision = "auto",
        device: torch.device | str = "cpu",
        share: Share = unshared,
    ) -> None:
        if path.suffix in PICKLE_SUFFIXES:
            raise pickle_error(path)
        self.path = path
        self.header, self.metadata = read_header_and_metadata(path)
        self._precision, self._device, self._share = precision, device, share

    def has(self, prefix: str) -> bool:
        """Tell whether a tensor's name begins so."""
        return any(name.startswith(prefix) for name in self.header)

    def shape(self, name: str) -> tuple[int, ...]:
        """Give a tensor's shape; nothing if there is none of that name."""
        return self.header[name].shape if name in self.header else ()

    def tensor(self, name: str) -> Tensor:
        """Read one tensor."""
        with safe_open(self.path, "pt") as file:
            tensor: Tensor = file.get_tensor(name)
            return tensor

    def network(
        self,
        make: Callable[[], nn.Module],
        places_of: Callable[[list[str]], Places],
        *,
        family: Family | None,
        is_vae: bool = False,
    ) -> nn.Module:
        """Make a network, frozen and in eval mode; its buffers stay without values.

        Args:
            make: Makes it, called where tensors get no values.
            places_of: Gives the places of its weights by their names.
            family: What it is one of.
            is_vae: Whether it is an autoencoder.

        Raises:
            ModelFileError: if a weight is missing or has another shape.
        """
        with torch.device("meta"), _Unfilled():
            network = make()
        shapes = {name: weight.shape for name, weight in network.state_dict().items()}
        places = places_of(list(shapes))
        _check_all_there(self.path, places, self.header)
        stored = _stored_dtype(self.path, places, self.header)
        dtype = weights_dtype(self._precision, self._device, family, stored, vae=is_vae)

        def filled() -> nn.Module:
            network.load_state_dict(self._weights(places, shapes, dtype), assign=True)
            return network.eval().requires_grad_(False)

        config = getattr(network, "config", None)
        built = (type(network).__name__, str(config), sorted(places.items()))
        return self._share(network_key(self.path, dtype, *built), filled)

    def _weights(self, places: Places, shapes: Mapping[str, torch.Size], dtype: torch.dtype) -> dict[str, Tensor]:
        try:
            with safe_open(self.path, "pt") as file:
                return {
                    name: read_weight(place, file.get_tensor(place.name), shapes[name]).to(dtype)
                    for name, place in places.items()
                }
        except ValueError as error:
            raise ModelFileError(
                f"{self.path}: wrong architecture: {error}, which doesn't fit the others\n"
                "  The file is damaged, or a variant of its family which can't be read."
            ) from error
        except (SafetensorError, OSError) as error:
            raise _unopened(self.path, error) from error


def _unopened(path: Path, error: Exception) -> ModelFileError:
    return ModelFileError(f"{path}: can't be opened: {error}\n  Download or copy it again.")


class _Unfilled(TorchFunctionMode):
    """Leaves out filling new weights with random numbers, a third of the time that a network without weights takes."""

    def __torch_function__(
        self,
        func: Callable[..., Any],  # Any: a function of torch
        types: Collection[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        given = kwargs or {}
        if func in _FILLING or getattr(func, "__module__", "") == "torch.nn.init":
            return args[0] if args else given["tensor"]
        return func(*args, **given)


_FILLING = frozenset({Tensor.uniform_, Tensor.normal_, Tensor.zero_, Tensor.fill_})


def _check_all_there(path: Path, places: Places, header: Header) -> None:
    missing = sorted({place.name for place in places.values()} - header.keys())
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise ModelFileError(
            f"{path}: wrong architecture: the file lacks {missing[0]!r}{more}\n"
            "  It is incomplete, or a variant of its family which can't be read, such as a distilled one."
        )


def _stored_dtype(path: Path, places: Places, header: Header) -> torch.dtype:
    """Tell in which format most of a network's weights are."""
    sizes: Counter[str] = Counter()
    for name in {place.name for place in places.values()}:
        sizes[header[name].dtype] += header[name].end - header[name].begin
    unknown = sizes.keys() - STORED.keys()
    if unknown:
        raise ModelFileError(
            f"{path}: weights of the type {min(unknown)} can't be used\n"
            "  Choose a file with weights in float32, float16 or bfloat16."
        )
    return STORED[sizes.most_common(1)[0][0]]
