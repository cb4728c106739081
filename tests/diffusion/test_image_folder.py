"""A folder of pictures as a dataset, and tables of captions."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as Picture

from graphengine.diffusion.image_folder import image_folder, image_table, of_one_size
from graphengine.diffusion.known_hashes import KnownHashes
from graphengine.errors import InputError
from tests.diffusion.picture_files import flat, folder_dataset, halves, picture, save


def test_pictures_come_in_the_order_of_their_names_with_captions(tmp_path: Path) -> None:
    save(tmp_path / "b.png", halves(4, 4))
    save(tmp_path / "a" / "z.JPG", halves(4, 4))
    save(tmp_path / "c.png", halves(4, 4))
    (tmp_path / "b.txt").write_text("two\n halves ", encoding="utf-8-sig")
    (tmp_path / "c.caption").write_text("three")
    (tmp_path / "notes.md").write_text("not a picture")
    folder = folder_dataset(tmp_path, size=4)

    assert folder.length == 3
    assert "captions" in folder.fields
    assert folder.examples([0, 1, 2, 0], ["captions"]).captions == ["", "two halves", "three", ""]


def test_an_empty_caption_keeps_its_place_so_that_captions_and_pictures_match(tmp_path: Path) -> None:
    for number, caption in enumerate(["zero", "", None, "three"]):
        save(tmp_path / f"{number}.png", flat(4, 4, 50 * number))
        if caption is not None:
            (tmp_path / f"{number}.txt").write_text(caption)
    source, notices = image_folder(tmp_path)
    examples = of_one_size(source, 4).examples([3, 0, 1, 2], ["images", "captions"])

    assert examples.captions == ["three", "zero", "", ""]
    assert examples.images is not None
    assert ((examples.images[:, 0, 0, 0] + 1) * 127.5).round().tolist() == [150, 0, 50, 100]
    assert notices == ["Without a caption, and trained with the empty one: 1.png, 2.png."]


def test_cover_cuts_the_sides_and_contain_shows_all(tmp_path: Path) -> None:
    """A wide picture, its outer quarters green."""
    pixels = halves(8, 16)
    pixels[:, :4] = pixels[:, 12:] = (0, 255, 0)
    save(tmp_path / "wide.png", pixels)

    cover = picture(folder_dataset(tmp_path, size=8))
    assert cover.shape == (3, 8, 8)
    torch.testing.assert_close(cover, torch.from_numpy(halves(8, 8)).permute(2, 0, 1) / 127.5 - 1)

    contain = picture(folder_dataset(tmp_path, size=8, fit="contain"))
    assert torch.all(contain[:, :2] == 1)
    assert torch.all(contain[:, 6:] == 1)
    assert contain[1, 2:6, 0].mean() > 0.5  # the green quarters are there
    assert contain[1, 2:6, 7].mean() > 0.5


def test_pad_shows_all_undistorted_and_its_border_does_not_count(tmp_path: Path) -> None:
    save(tmp_path / "wide.png", halves(8, 16))
    examples = folder_dataset(tmp_path, size=8, fit="pad").examples([0], ["images", "mask"])

    assert examples.mask is not None
    assert examples.mask.shape == (1, 1, 8, 8)
    assert examples.mask[0, 0, :, 0].tolist() == [0, 0, 1, 1, 1, 1, 0, 0]
    assert examples.images is not None
    assert (examples.images[0, 0, 2:6, :3] > 0.9).all()  # red on the left
    assert (examples.images[0, 2, 2:6, 5:] > 0.9).all()


def test_exif_rotation_and_transparency_are_honoured(tmp_path: Path) -> None:
    exif = Picture.Exif()
    exif[0x0112] = 3  # upside down: red is on the right when shown
    save(tmp_path / "a.png", halves(8, 8), exif=exif)
    save(tmp_path / "b.png", np.zeros((8, 8, 4), dtype=np.uint8))
    folder = folder_dataset(tmp_path)

    assert picture(folder, 0)[0, 0].tolist() == [-1] * 4 + [1] * 4
    assert torch.all(picture(folder, 1) == 1)


@pytest.mark.parametrize("ending", ["png", "jpg", "webp", "tiff"])
def test_a_turned_picture_has_its_turned_size(tmp_path: Path, ending: str) -> None:
    exif = Picture.Exif()
    exif[0x0112] = 6
    save(tmp_path / f"a.{ending}", flat(4, 12, 9), exif=exif)
    source, _notices = image_folder(tmp_path)
    assert source.sizes.tolist() == [[4, 12]]
    assert source.decode(0, (4, 12)).colours.size == (4, 12)


def test_repeats_and_captions_come_from_folders_names(tmp_path: Path) -> None:
    save(tmp_path / "3_ginger cat" / "a.png", flat(4, 4, 0))
    save(tmp_path / "3_ginger cat" / "b.png", flat(4, 4, 10))
    save(tmp_path / "1_dog" / "c.png", flat(4, 4, 20))
    save(tmp_path / "other" / "d.png", flat(4, 4, 30))
    (tmp_path / "3_ginger cat" / "b.txt").write_text("b itself")
    source, _notices = image_folder(tmp_path, repeats=True)
    dataset = of_one_size(source, 4)

    assert dataset.length == 8
    told = dataset.examples(range(8), ["captions"]).captions
    assert told == ["dog", *["ginger cat"] * 3, *["b itself"] * 3, ""]
    assert folder_dataset(tmp_path).length == 4


def test_captions_come_from_the_nearest_table(tmp_path: Path) -> None:
    for name in ("a.png", "sub/b.png", "sub/c.png", "sub/d.png"):
        save(tmp_path / name, flat(4, 4, 0))
    (tmp_path / "metadata.csv").write_text('file_name,text\na.png,"an a, with a comma"\nsub/b.png,far\nsub/c.png,c\n')
    (tmp_path / "sub" / "metadata.jsonl").write_text('{"file_name": "b.png", "text": "near"}\n\n')
    (tmp_path / "sub" / "c.txt").write_text("beside")
    told = folder_dataset(tmp_path).examples(range(4), ["captions"]).captions
    assert told == ["an a, with a comma", "near", "beside", ""]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("list.jsonl", '{"image": "b.png", "prompt": "bee"}\n{"image": "x/a.png", "prompt": ["ay", "other"]}\n'),
        ("list.tsv", "caption\tpath\nbee\tb.png\nay\tx/a.png\n"),
        ("meta.json", '{"b": {"tags": "bee"}, "x/a": {"caption": "ay"}}'),
        ("captions.json", '{"b.png": "bee", "x/a.png": "ay"}'),
    ],
)
def test_tables_of_many_kinds_list_pictures(tmp_path: Path, name: str, content: str) -> None:
    save(tmp_path / "b.png", flat(4, 6, 0))
    save(tmp_path / "x" / "a.png", flat(4, 4, 0))
    save(tmp_path / "unlisted.png", flat(4, 4, 0))
    (tmp_path / name).write_text(content)
    source, _notices = image_table(tmp_path / name)
    assert source.captions == ["bee", "ay"]
    assert source.sizes.tolist() == [[6, 4], [4, 4]]


def test_all_that_is_wrong_with_a_table_is_told_at_once(tmp_path: Path) -> None:
    rows = ['{"file_name": "a.png", "text": "a"}', "{", "[1]", '{"file_name": "a.png", "text": "b"}', '{"text": "c"}']
    (tmp_path / "metadata.jsonl").write_text("\n".join(rows))
    with pytest.raises(InputError) as caught:
        image_table(tmp_path / "metadata.jsonl")
    for part in ("line 2: no JSON", "line 3: list where", "line 4: 'a.png' comes twice", "line 5: no file name"):
        assert part in str(caught.value)

    (tmp_path / "metadata.jsonl").write_text(json.dumps({"file_name": "../secret.png", "text": ""}))
    with pytest.raises(InputError, match="not below the table's folder"):
        image_table(tmp_path / "metadata.jsonl")
    (tmp_path / "metadata.jsonl").write_text("")
    with pytest.raises(InputError, match="has no rows"):
        image_table(tmp_path / "metadata.jsonl")


def test_masks_are_those_of_the_same_name_or_what_is_not_transparent(tmp_path: Path) -> None:
    clear = np.zeros((8, 8, 4), dtype=np.uint8)
    clear[:, :4, 3] = 255
    save(tmp_path / "a.png", clear)
    save(tmp_path / "b.png", flat(8, 8, 50))
    mask = np.zeros((8, 8), dtype=np.uint8)
    mask[:4] = 255
    save(tmp_path / "masks" / "b.jpg", mask)

    told = of_one_size(image_folder(tmp_path, masks=tmp_path / "masks")[0], 8)
    assert told.length == 2  # masks are no pictures
    drawn = told.examples([0, 1], ["mask"]).mask
    assert drawn is not None
    assert drawn[0].min() == 1
    assert [round(value) for value in drawn[1, 0, :, 0].tolist()] == [1] * 4 + [0] * 4

    alpha = of_one_size(image_folder(tmp_path, alpha_masks=True)[0], 8).examples([0, 2], ["mask"]).mask
    assert alpha is not None
    assert alpha[0, 0, 0].tolist() == [1] * 4 + [0] * 4
    assert "mask" not in folder_dataset(tmp_path).fields

    save(tmp_path / "others" / "c.png", mask)
    with pytest.raises(InputError, match="holds no mask with a picture's name"):
        image_folder(tmp_path / "masks", masks=tmp_path / "others")


def test_the_digest_follows_content_captions_masks_and_settings(tmp_path: Path) -> None:
    save(tmp_path / "a.png", halves(4, 4))
    digests = [folder_dataset(tmp_path, size=4).digest, folder_dataset(tmp_path, size=4).digest]
    assert digests[0] == digests[1]
    digests.append(folder_dataset(tmp_path, size=8).digest)
    digests.append(folder_dataset(tmp_path, size=8, fit="pad").digest)
    digests.append(of_one_size(image_folder(tmp_path, alpha_masks=True)[0], 4).digest)
    (tmp_path / "a.txt").write_text("hello")
    digests.append(folder_dataset(tmp_path, size=4).digest)
    save(tmp_path / "a.png", halves(6, 4))
    digests.append(folder_dataset(tmp_path, size=4).digest)
    assert len(set(digests)) == 6


def test_all_damaged_files_are_named_at_once_or_left_out(tmp_path: Path) -> None:
    save(tmp_path / "good.png", halves(4, 4))
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "text.png").write_bytes(b"not a picture")
    (tmp_path / "none.gif").write_bytes(b"")
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    for ending in ("png", "jpg", "webp", "bmp", "gif"):
        path = tmp_path / f"cut.{ending}"
        save(path, noise)
        path.write_bytes(path.read_bytes()[:-200])

    with pytest.raises(InputError, match="these files can't be read") as caught:
        image_folder(tmp_path)
    for name in ("sub/text.png", "none.gif (it is empty)", "cut.png", "cut.jpg", "cut.webp", "cut.bmp", "cut.gif"):
        assert name in str(caught.value)

    source, notices = image_folder(tmp_path, unreadable="skip")
    assert source.names == ["good.png"]
    assert notices[0].startswith("Unreadable, and left out: cut.bmp (")


def test_bad_folders_and_captions_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not a folder"):
        image_folder(tmp_path / "missing")
    with pytest.raises(InputError, match="holds no pictures"):
        image_folder(tmp_path)
    for name in ("a", "b"):
        save(tmp_path / f"{name}.png", flat(4, 4, 0))
        (tmp_path / f"{name}.txt").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(InputError, match=r"a\.txt .*b\.txt"):
        image_folder(tmp_path)
    (tmp_path / "c.png").write_bytes(b"")
    for name in ("a", "b"):
        (tmp_path / f"{name}.png").unlink()
    with pytest.raises(InputError, match="these files can't be read"):
        image_folder(tmp_path, unreadable="skip")


def test_animations_and_inks_are_used_with_a_notice(tmp_path: Path) -> None:
    first, second = Picture.new("RGB", (8, 8), "red"), Picture.new("RGB", (8, 8), "blue")
    first.save(tmp_path / "moving.gif", save_all=True, append_images=[second])
    Picture.new("CMYK", (8, 8), (0, 0, 0, 0)).save(tmp_path / "inks.jpg")
    source, notices = image_folder(tmp_path)
    dataset = of_one_size(source, 8)

    assert "Animated, of which the first frame is used: moving.gif." in notices
    assert any("CMYK" in notice and "inks.jpg" in notice for notice in notices)
    assert picture(dataset, 0).min() == 1  # no ink is white
    assert picture(dataset, 1)[:, 0, 0].tolist() == [1, -1, -1]


def test_a_picture_that_goes_away_is_named(tmp_path: Path) -> None:
    save(tmp_path / "a.png", halves(4, 4))
    dataset = folder_dataset(tmp_path)
    (tmp_path / "a.png").unlink()
    with pytest.raises(InputError, match=r"a\.png can't be read"):
        dataset.examples([0], ["images"])


def test_one_grey_picture_is_a_dataset(tmp_path: Path) -> None:
    Picture.new("L", (3, 3), 255).save(tmp_path / "a.png")
    folder = folder_dataset(tmp_path, size=4)
    assert "captions" not in folder.fields
    images = folder.examples([0] * 5, ["images"]).images
    assert images is not None
    assert images.shape == (5, 3, 4, 4)
    assert torch.all(images == 1)


def test_deep_grey_keeps_its_brightness(tmp_path: Path) -> None:
    Picture.fromarray(np.full((4, 4), 40000, dtype=np.uint16)).save(tmp_path / "a.png")
    assert picture(folder_dataset(tmp_path, size=4))[0, 0, 0].item() == pytest.approx(40000 / 65535 * 2 - 1, abs=0.01)


def test_unchanged_files_are_read_once_and_changed_ones_again(tmp_path: Path) -> None:
    known = tmp_path / "state" / "hashes.sqlite"
    pictures = tmp_path / "pictures"
    save(pictures / "a.png", halves(4, 4))

    def digest() -> str:
        return of_one_size(image_folder(pictures, known=KnownHashes(known))[0], 4).digest

    first = digest()
    assert first == folder_dataset(pictures, size=4).digest
    with closing(sqlite3.connect(known, isolation_level=None)) as database:
        database.execute("UPDATE files SET hash = 'remembered'")
    assert digest() != first  # the file itself was not read

    save(pictures / "a.png", halves(6, 4))
    changed = digest()
    assert changed == folder_dataset(pictures, size=4).digest
    known.write_bytes(b"no database")
    assert digest() == changed
