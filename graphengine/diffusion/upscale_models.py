"""Open models that enlarge pictures, and enlarge with them.

What a network is like is read off its weights' names and shapes. Files of ESRGAN's kind come in three spellings:

    conv_first.weight   body.0.rdb1.conv1.weight            conv_body   conv_up1  conv_hr  conv_last     BasicSR
    conv_first.weight   RRDB_trunk.0.RDB1.conv1.weight      trunk_conv  upconv1   HRconv   conv_last     before it
    model.0.weight      model.1.sub.0.RDB1.conv1.0.weight   model.1.sub.23  model.3  model.8  model.10   the first

Only safetensors files are read, as everywhere. Other architectures are refused by what is known here.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor

from graphengine.diffusion.model_files import PICKLE_SUFFIXES, pickle_error, read_header
from graphengine.diffusion.tiling import Tiles, in_tiles
from graphengine.diffusion.upscale_networks import CompactNet, RRDBNet
from graphengine.errors import ModelFileError
from graphengine.types import Image, UpscaleModel

_SPELLINGS = (
    (r"RRDB_trunk\.", "body."),
    (r"model\.1\.sub\.(\d+)\.RDB", r"body.\1.RDB"),
    (r"\.RDB(\d)\.conv(\d)\.(?:0\.)?", r".rdb\1.conv\2."),
    (r"^trunk_conv\.", "conv_body."),
    (r"^model\.1\.sub\.\d+\.(weight|bias)", r"conv_body.\1"),
    (r"^model\.0\.", "conv_first."),
    (r"^HRconv\.", "conv_hr."),
)


def load(path: Path) -> UpscaleModel:
    """Open a model of the kind of ESRGAN (RRDBNet) or of the small models of Real-ESRGAN.

    Raises:
        ModelFileError: if the file is damaged, a pickle, or of an architecture that isn't known.
    """
    if path.suffix in PICKLE_SUFFIXES:
        raise pickle_error(path)
    read_header(path)
    weights = _renamed({re.sub(r"^(params_ema|params)\.", "", name): each for name, each in load_file(path).items()})
    with torch.device("meta"):
        network = _network_for(weights)
    if network is None:
        raise ModelFileError(
            f"{path}: an upscaling model of an unknown kind\n"
            "  Known are ESRGAN (RRDBNet) with its relatives, and Real-ESRGAN's small models (SRVGGNetCompact)."
        )
    try:
        network.load_state_dict({name: weight.float() for name, weight in weights.items()}, assign=True)
    except RuntimeError as error:
        raise ModelFileError(f"{path}: weights are missing, or don't fit each other\n  {_brief(error)}") from error
    scale = network.scale if isinstance(network, CompactNet) else 2 ** len(network.ups) // network.shrink
    return UpscaleModel(network.eval().requires_grad_(False), scale, path.name)


def upscale(
    model: UpscaleModel,
    image: Image,
    *,
    device: torch.device | str = "cpu",
    tiles: Tiles | None = None,
    before_tile: Callable[[], None] = lambda: None,
) -> Image:
    """Enlarge pictures one after the other, tile by tile.

    Args:
        tiles: Of the pictures that go in; a tile's side a multiple of 4.
        before_tile: Called before each; an exception it raises ends the work.

    Returns:
        float32 [B, s H, s W, 3] on the CPU, clamped to 0…1.
    """
    tiles = tiles or Tiles(512, 32)
    height, width = image.shape[1:3]
    shrink = model.network.shrink if isinstance(model.network, RRDBNet) else 1

    def enlarged(part: Tensor) -> Tensor:
        before_tile()
        result: Tensor = model.network(part.to(device))
        return result

    pictures = []
    with torch.no_grad():
        for picture in image:
            planes = picture.permute(2, 0, 1).contiguous()[None]  # [1, 3, H, W]
            padded = F.pad(planes, (0, -width % shrink, 0, -height % shrink), mode="replicate")
            whole = in_tiles(padded, enlarged, tile=tiles.size, overlap=tiles.overlap)
            whole = whole[..., : height * model.scale, : width * model.scale]
            pictures.append(whole.clamp(0, 1).permute(0, 2, 3, 1))
    return Image(torch.cat(pictures).contiguous())


def _renamed(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Give ESRGAN's weights the names of ``RRDBNet``."""
    renamed = {}
    for name, weight in weights.items():
        for pattern, replacement in _SPELLINGS:
            name = re.sub(pattern, replacement, name)
        name = re.sub(r"^(?:conv_up|upconv)(\d)\.", lambda found: f"ups.{int(found[1]) - 1}.", name)
        renamed[name] = weight
    # in the oldest spelling what follows the body is only numbered: doublings, then two convolutions
    numbers = sorted({int(found[1]) for name in renamed if (found := re.match(r"model\.(\d+)\.", name))})
    named = dict(zip(numbers[-2:], ("conv_hr", "conv_last"), strict=False))
    named |= {number: f"ups.{place}" for place, number in enumerate(numbers[:-2])}
    return {
        re.sub(r"^model\.(\d+)\.", lambda found: f"{named[int(found[1])]}.", name): each
        for name, each in renamed.items()
    }


def _network_for(weights: Mapping[str, Tensor]) -> RRDBNet | CompactNet | None:
    """Build the network that these weights are of; None if none is known."""
    first = weights.get("conv_first.weight")
    growth = weights.get("body.0.rdb1.conv1.weight")
    if first is not None and growth is not None and first.ndim == growth.ndim == 4:
        return RRDBNet(
            features=first.shape[0],
            growth=growth.shape[0],
            blocks=_count(weights, r"body\.(\d+)\."),
            doublings=_count(weights, r"ups\.(\d+)\."),
            shrink=math.isqrt(first.shape[1] // 3),
        )
    last = _count(weights, r"body\.(\d+)\.") - 1
    first, slopes, after = (weights.get(f"body.{number}.weight") for number in (0, 1, last))
    if first is None or slopes is None or after is None or [first.ndim, slopes.ndim, after.ndim] != [4, 1, 4]:
        return None
    return CompactNet(features=first.shape[0], layers=last // 2 - 1, scale=math.isqrt(after.shape[0] // 3))


def _brief(error: RuntimeError) -> str:
    """Give what torch says of the first weights, on one line."""
    text = " ".join(str(error).split())
    return text if len(text) < 300 else f"{text[:300]} …"


def _count(weights: Mapping[str, Tensor], pattern: str) -> int:
    """Give one more than the largest number that names have there; 0 for none."""
    return max((int(found[1]) + 1 for name in weights if (found := re.match(pattern, name))), default=0)
