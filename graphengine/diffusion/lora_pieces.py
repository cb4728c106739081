"""Changes of layers that a file has whole and a network in pieces.

The program that Stable Diffusion 3 was first run with has one layer for what diffusers has three of, and scale and
shift of some normalisations in the other order:

    joint_blocks.0.x_block.attn.qkv          transformer_blocks.0.attn.to_q, .to_k, .to_v     a third of its rows each
    joint_blocks.0.context_block.attn.qkv    transformer_blocks.0.attn.add_q_proj, …
    joint_blocks.0.x_block.mlp.fc1           transformer_blocks.0.ff.net.0.proj
    final_layer.adaLN_modulation.1           norm_out.linear                                  its halves exchanged

Source of the first names: github.com/Stability-AI/sd3-ref.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from graphengine.diffusion.lora_updates import Decomposed, Difference, Hadamard, LowRank, Rotation, Update

__all__ = ["Piece", "piece_of", "sd3_pieces"]


class Piece(NamedTuple):
    """Some rows of a file's layer that are a layer of the network.

    Attributes:
        layer: The network's.
        rows: Which parts of the rows, in order.
        of: How many parts of one size there are.
    """

    layer: str
    rows: tuple[int, ...] = (0,)
    of: int = 1


_QKV = (("to_q", "add_q_proj"), ("to_k", "add_k_proj"), ("to_v", "add_v_proj"))
_BESIDE_BLOCKS = {
    "x_embedder.proj": "pos_embed.proj",
    "context_embedder": "context_embedder",
    "t_embedder.mlp.0": "time_text_embed.timestep_embedder.linear_1",
    "t_embedder.mlp.2": "time_text_embed.timestep_embedder.linear_2",
    "y_embedder.mlp.0": "time_text_embed.text_embedder.linear_1",
    "y_embedder.mlp.2": "time_text_embed.text_embedder.linear_2",
    "final_layer.linear": "proj_out",
}


def sd3_pieces(layers: int) -> dict[str, tuple[Piece, ...]]:
    """Give the pieces of the original layers of an ``SD3Transformer2DModel``, by their names.

    Args:
        layers: How many blocks it has.
    """
    pieces: dict[str, tuple[Piece, ...]] = {name: (Piece(layer),) for name, layer in _BESIDE_BLOCKS.items()}
    pieces["final_layer.adaLN_modulation.1"] = (Piece("norm_out.linear", (1, 0), 2),)
    for number in range(layers):
        block = f"transformer_blocks.{number}."
        for side, (kind, suffix) in enumerate((("x_block", ""), ("context_block", "_context"))):
            original = f"joint_blocks.{number}.{kind}."
            qkv = [names[side] for names in _QKV]
            pieces[f"{original}attn.qkv"] = tuple(Piece(f"{block}attn.{each}", (i,), 3) for i, each in enumerate(qkv))
            pieces[f"{original}attn.proj"] = (Piece(f"{block}attn.{('to_out.0', 'to_add_out')[side]}"),)
            pieces[f"{original}mlp.fc1"] = (Piece(f"{block}ff{suffix}.net.0.proj"),)
            pieces[f"{original}mlp.fc2"] = (Piece(f"{block}ff{suffix}.net.2"),)
            is_last = side == 1 and number == layers - 1  # of which only scale and shift are left
            exchanged = ((1, 0), 2) if is_last else ((0,), 1)
            pieces[f"{original}adaLN_modulation.1"] = (Piece(f"{block}norm1{suffix}.linear", *exchanged),)
        second = f"joint_blocks.{number}.x_block.attn2."
        pieces[f"{second}qkv"] = tuple(Piece(f"{block}attn2.{each}", (i,), 3) for i, (each, _) in enumerate(_QKV))
        pieces[f"{second}proj"] = (Piece(f"{block}attn2.to_out.0"),)
    return pieces


def piece_of(change: Update, piece: Piece) -> Update:
    """Give the change of a piece of the layer that a change is for.

    Raises:
        ValueError: if it can't be divided.
    """
    if piece.of == 1:
        return change
    match change:
        case LowRank():
            return LowRank(_rows(change.up, piece), change.down, change.core, change.scale)
        case Hadamard(cores=None):
            first, second = ((_rows(rows, piece), columns) for rows, columns in (change.first, change.second))
            return Hadamard(first, second, None, change.scale)
        case Difference():
            return Difference(_rows(change.values, piece))
        case Decomposed(by_input=False):
            return Decomposed(piece_of(change.change, piece), _rows(change.magnitude, piece))
        case Decomposed() | Rotation():
            raise ValueError("it depends on all rows of a layer that is divided here")
    return _Rows(change, piece)


@dataclass(frozen=True, eq=False)
class _Rows:
    """Some rows of a change that has to be computed whole."""

    change: Update
    piece: Piece

    @property
    def size(self) -> tuple[int, int | None]:
        rows, values = self.change.size
        if rows % self.piece.of:
            raise ValueError(f"{rows} rows in {self.piece.of} parts")
        return rows // self.piece.of * len(self.piece.rows), values

    def add_to(self, weight: Tensor, strength: float) -> None:
        whole = weight.new_zeros(self.change.size[0], weight[0].numel())
        self.change.add_to(whole, strength)
        weight.view(len(weight), -1).add_(_rows(whole, self.piece))


def _rows(tensor: Tensor, piece: Piece) -> Tensor:
    if len(tensor) % piece.of:
        raise ValueError(f"{len(tensor)} rows in {piece.of} parts")
    parts = tensor.chunk(piece.of)
    return torch.cat([parts[number] for number in piece.rows])
