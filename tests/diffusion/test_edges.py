from __future__ import annotations

import torch

from graphengine.diffusion import edges
from graphengine.diffusion.masks import draw
from graphengine.types import Image, Mask


def grey(mask: Mask) -> Image:
    return Image(mask[..., None].repeat(1, 1, 1, 3))


def test_the_edge_of_a_disc_is_a_thin_closed_line() -> None:
    disc = draw("ellipse", "8,8,48,48", 64, 64)
    found = edges.canny(grey(disc), low=0.4, high=0.8)[0, ..., 0]
    assert set(found.flatten().tolist()) == {0.0, 1.0}
    rows, columns = found.nonzero(as_tuple=True)
    distances = torch.hypot(rows + 0.5 - 32, columns + 0.5 - 32)
    assert (distances - 24).abs().max() < 1.5
    angles = torch.atan2(rows - 31.5, columns - 31.5).sort().values
    assert angles.diff().max() < 0.08  # nowhere a gap of more than two pixels
    assert 2 * 24 * 2.5 < len(rows) < 2 * 24 * 4  # one pixel thick, π times the diameter


def test_an_edge_has_the_same_place_in_every_direction() -> None:
    half = torch.zeros(1, 16, 16)
    half[..., 8:] = 1
    upright = edges.canny(grey(Mask(half)), low=0.4, high=0.8)[0, ..., 0]
    lying = edges.canny(grey(Mask(half.transpose(1, 2))), low=0.4, high=0.8)[0, ..., 0]
    assert upright.sum() == 16
    assert len(set(upright.nonzero()[:, 1].tolist())) == 1
    assert torch.equal(upright, lying.T)


def test_weak_edges_are_kept_only_where_they_go_on_from_strong_ones() -> None:
    """Two steps from black, above strong and below weak, as one line; beside it a weak step by itself."""
    step = torch.zeros(1, 20, 32)
    step[:, :10, 8:16], step[:, 10:, 8:16] = 0.6, 0.25
    step[:, 10:, 24:] = 0.25
    found = edges.canny(grey(Mask(step)), low=0.4, high=1.0)[0, ..., 0]
    assert found[14:18, 6:10].sum() >= 4
    assert not found[12:, 21:].any()
    assert edges.canny(grey(Mask(step)), low=0.4, high=0.4)[0, 14:18, 21:28, 0].any()


def test_flat_pictures_have_no_lines() -> None:
    for value in (0.0, 0.3, 1.0):
        flat = Image(torch.full((2, 12, 12, 3), value))
        assert not edges.canny(flat, low=0.01, high=0.01).any()
        assert not edges.line_art(flat).any()


def test_a_dark_line_is_drawn_where_it_is_and_a_light_one_is_not() -> None:
    picture = torch.full((1, 24, 24), 0.8)
    picture[..., 6], picture[..., 17] = 0.2, 1.0
    lines = edges.line_art(grey(Mask(picture)))[0, 12, :, 0]
    assert lines[6] > 0.9
    assert lines[17] == 0
    assert lines[9:14].max() == 0
    assert edges.line_art(grey(Mask(picture)), detail=1.0)[0, 12, 6, 0] < lines[6]
