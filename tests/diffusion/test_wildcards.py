from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from graphengine.config import Settings
from graphengine.diffusion.wildcards import expand, lines_in
from graphengine.errors import InputError

LINES = {"colours": ["red", "{light|dark} blue"], "a/b": ["nested"], "circle": ["x __circle__"]}


def drawn(text: str, seed: int = 0) -> str:
    return expand(text, seed, LINES.__getitem__)


def frequencies(text: str, draws: int = 2000) -> dict[str, float]:
    return {choice: count / draws for choice, count in Counter(drawn(text, seed) for seed in range(draws)).items()}


def test_choices_are_equally_likely() -> None:
    shares = frequencies("a {red|green|} star")
    assert set(shares) == {"a red star", "a green star", "a  star"}
    assert all(0.29 < share < 0.38 for share in shares.values())


def test_weights_make_choices_likelier() -> None:
    shares = frequencies("{3::a|1::b|0::c}")
    assert set(shares) == {"a", "b"}
    assert 0.72 < shares["a"] < 0.78


def test_choices_lie_within_choices_and_files() -> None:
    assert set(frequencies("{a {b|c}|d}", 200)) == {"a b", "a c", "d"}
    assert set(frequencies("__colours__!", 200)) == {"red!", "light blue!", "dark blue!"}
    assert drawn("__a/b__ __a/b__") == "nested nested"


def test_the_same_seed_draws_the_same() -> None:
    """Recorded: pictures made with a seed have to be made again by later versions."""
    text = "{a|b|c|d|e|f} {1|2|3|4|5|6} __colours__"
    assert [drawn(text, seed) for seed in range(4)] == [drawn(text, seed) for seed in range(4)]
    assert drawn(text, 0) != drawn(text, 1)
    assert [drawn("{a|b|c|d|e|f} {1|2|3|4|5|6}", seed) for seed in range(4)] == ["f 5", "a 6", "f 6", "b 4"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (r"\{a\|b\}", "{a|b}"),
        (r"{a\|b\}}", "a|b}"),
        ("a | b", "a | b"),
        ("{a|b", "{a|b"),
        ("a}{b}", "a}b"),
        ("(a:1.2) [b:c:0.5] \\(", "(a:1.2) [b:c:0.5] \\("),
        ("_a_ ____ __ a __", "_a_ ____ __ a __"),
        ("{}", ""),
        ("{x::a}", "x::a"),
    ],
)
def test_what_is_no_choice_stays(text: str, expected: str) -> None:
    assert drawn(text) == expected


@given(
    st.text(st.sampled_from("{}|\\a_ :3"), max_size=60).filter(lambda text: "__" not in text and "{{" not in text),
    st.integers(0, 2**64 - 1),
)
@example("{" * 3000, 0)
@example("_" * 100_000, 0)
@example("}" * 3000, 0)
def test_any_text_is_drawn(text: str, seed: int) -> None:
    assert len(drawn(text, seed)) <= len(text)


@given(st.text().filter(lambda text: not set(text) & set("{}|\\") and "__" not in text))
def test_text_without_choices_stays(text: str) -> None:
    assert drawn(text) == text


def test_circles_and_floods_are_refused() -> None:
    with pytest.raises(InputError, match="within more than 40"):
        drawn("{" * 3000 + "a" + "}" * 3000)
    with pytest.raises(InputError, match="circle"):
        drawn("__circle__")
    with pytest.raises(InputError, match="grows beyond 100,000"):
        expand("__0__", 0, lambda name: [f"__{int(name) + 1}__" * 9] if int(name) < 30 else ["x"])


def test_files_are_read_from_the_wildcards_folder(tmp_path: Path) -> None:
    folder = tmp_path / "wildcards"
    folder.mkdir()
    (folder / "colours.txt").write_text("# warm\n red \n\n", encoding="utf-8")
    (folder / "empty.txt").write_text("# nothing\n", encoding="utf-8")
    (folder / "broken.txt").write_bytes(b"\xff\xfe")
    (tmp_path / "secret.txt").write_text("secret", encoding="utf-8")
    read = lines_in(Settings(data=tmp_path, output=tmp_path, roots=(tmp_path,)))
    assert expand("a __colours__ star", 0, read) == "a red star"
    for name, message in (
        ("size", "no wildcard file 'size'; there are: broken, colours, empty"),
        ("x/../../secret", "no wildcard file"),
        ("empty", "holds no line"),
        ("broken", "can't be read"),
    ):
        with pytest.raises(InputError, match=message):
            expand(f"__{name}__", 0, read)
