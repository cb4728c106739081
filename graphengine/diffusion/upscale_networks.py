"""Networks that enlarge pictures, ``[B, 3, H, W]`` in 0…1 to ``[B, 3, s H, s W]``, built to fit their weights.

RRDBNet       residual-in-residual dense blocks, then steps of doubling. Models for 2x and 1x shrink the picture first,
              its pixels becoming channels. Source: ESRGAN, Wang et al. 2018, arXiv:1809.00219, section 3.1; the
              shrinking as in Real-ESRGAN, Wang et al. 2021, arXiv:2107.10833.
CompactNet    plain convolutions, and the enlarged picture added at the end. Source: the small models of Real-ESRGAN.

Parameters have the names of BasicSR's files, ``conv_up1`` and so on being ``ups.0`` here.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_RESIDUAL_SCALE = 0.2
_SLOPE = 0.2  # of the leaky ReLUs


class RRDBNet(nn.Module):
    """The network of ESRGAN.

    Args:
        features: Channels between blocks.
        growth: Channels that each convolution of a dense block adds.
        blocks: Residual-in-residual blocks.
        doublings: Steps of nearest-neighbour doubling, each with a convolution after it.
        shrink: Pixels along a side that become channels first: 1, 2 or 4.
    """

    def __init__(self, *, features: int, growth: int, blocks: int, doublings: int, shrink: int = 1) -> None:
        super().__init__()
        self.shrink = shrink
        self.conv_first = _conv(3 * shrink**2, features)
        self.body = nn.Sequential(*(_ResidualBlock(features, growth) for _ in range(blocks)))
        self.conv_body = _conv(features, features)
        self.ups = nn.ModuleList(_conv(features, features) for _ in range(doublings))
        self.conv_hr = _conv(features, features)
        self.conv_last = _conv(features, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv_first(F.pixel_unshuffle(x, self.shrink))
        x = x + self.conv_body(self.body(x))
        for up in self.ups:
            x = _leaky(up(F.interpolate(x, scale_factor=2, mode="nearest")))
        enlarged: Tensor = self.conv_last(_leaky(self.conv_hr(x)))
        return enlarged


class CompactNet(nn.Module):
    """The small network of Real-ESRGAN.

    Args:
        features: Channels between convolutions.
        layers: Convolutions of that width, besides the first and the last.
        scale: Along a side.
    """

    def __init__(self, *, features: int, layers: int, scale: int) -> None:
        super().__init__()
        self.scale = scale
        parts: list[nn.Module] = [_conv(3, features), nn.PReLU(features)]
        for _ in range(layers):
            parts += [_conv(features, features), nn.PReLU(features)]
        self.body = nn.Sequential(*parts, _conv(features, 3 * scale**2))

    def forward(self, x: Tensor) -> Tensor:
        details: Tensor = F.pixel_shuffle(self.body(x), self.scale)
        return details + F.interpolate(x, scale_factor=self.scale, mode="nearest")


class _DenseBlock(nn.Module):
    """Five convolutions, each of which reads what came in and what all before it gave."""

    def __init__(self, features: int, growth: int) -> None:
        super().__init__()
        for number in range(4):
            self.add_module(f"conv{number + 1}", _conv(features + number * growth, growth))
        self.conv5 = _conv(features + 4 * growth, features)

    def forward(self, x: Tensor) -> Tensor:
        gathered = [x]
        for number in range(4):
            gathered.append(_leaky(self.get_submodule(f"conv{number + 1}")(torch.cat(gathered, 1))))
        result: Tensor = x + self.conv5(torch.cat(gathered, 1)) * _RESIDUAL_SCALE
        return result


class _ResidualBlock(nn.Module):
    """Three dense blocks around which the input goes."""

    def __init__(self, features: int, growth: int) -> None:
        super().__init__()
        self.rdb1, self.rdb2, self.rdb3 = (_DenseBlock(features, growth) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = x + self.rdb3(self.rdb2(self.rdb1(x))) * _RESIDUAL_SCALE
        return result


def _conv(before: int, after: int) -> nn.Conv2d:
    return nn.Conv2d(before, after, 3, padding=1)


def _leaky(x: Tensor) -> Tensor:
    return F.leaky_relu(x, _SLOPE)
