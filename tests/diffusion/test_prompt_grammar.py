from __future__ import annotations

from math import inf

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from graphengine.diffusion.prompt_grammar import (
    DEEPEST,
    Break,
    LearnedWord,
    Prompt,
    Scheduled,
    Text,
    Weighted,
    parse,
    write,
)
from graphengine.diffusion.prompt_readings import Piece, Reading, count_readings, readings

# Rich in what has a meaning, so that most examples hit it.
PROMPTS = st.lists(
    st.sampled_from([*"()[]:\\ab .,|{}1", "0.5", "1.2", ":1.2)", ":0.5]", ":8]", " BREAK ", "embedding:", "red star"])
).map("".join) | st.text(max_size=30)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ()),
        ("a red star", (Text("a red star"),)),
        ("a (red) star", (Text("a "), Weighted((Text("red"),), 1.1), Text(" star"))),
        ("(red star:1.3)", (Weighted((Text("red star"),), 1.3),)),
        ("(red : +.5 )", (Weighted((Text("red "),), 0.5),)),
        ("(red:-1)", (Weighted((Text("red"),), -1.0),)),
        ("[red]", (Weighted((Text("red"),), 1 / 1.1),)),
        ("((a:1.5) b:2)", (Weighted((Weighted((Text("a"),), 1.5), Text(" b")), 2.0),)),
        ("[star:heart:0.5]", (Scheduled((Text("star"),), (Text("heart"),), 0.5),)),
        ("[star::8]", (Scheduled((Text("star"),), (), 8.0),)),
        ("[:heart:8]", (Scheduled((), (Text("heart"),), 8.0),)),
        ("[heart:8]", (Scheduled((), (Text("heart"),), 8.0),)),
        ("[(a):b c:0.3]", (Scheduled((Weighted((Text("a"),), 1.1),), (Text("b c"),), 0.3),)),
        ("a BREAK b", (Text("a "), Break(), Text(" b"))),
        ("(a BREAK b:2)", (Weighted((Text("a "), Break(), Text(" b")), 2.0),)),
        ("x, embedding:my-word.v2, y", (Text("x, "), LearnedWord("my-word.v2"), Text(", y"))),
        ("(embedding:w:1.2)", (Weighted((LearnedWord("w"),), 1.2),)),
        ("embedding:sub/w.", (LearnedWord("sub/w"), Text("."))),
        (r"a \(b\) \[c\] 3\:2 \\", (Text("a (b) [c] 3:2 \\"),)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_grammar(text: str, expected: Prompt) -> None:
    assert parse(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a (red star", (Text("a (red star"),)),
        ("a star :)", (Text("a star :)"),)),
        ("([a", (Text("([a"),)),
        ("(a [b) c]", (Weighted((Text("a [b"),), 1.1), Text(" c]"))),
        ("(((a)", (Text("(("), Weighted((Text("a"),), 1.1))),
        ("(a:b)", (Weighted((Text("a:b"),), 1.1),)),
        ("(a:)", (Weighted((Text("a:"),), 1.1),)),
        ("(a:1.2", (Text("(a:1.2"),)),
        ("[a:b:c:0.5]", (Weighted((Text("a:b:c:0.5"),), 1 / 1.1),)),
        ("[a:b:-1]", (Weighted((Text("a:b:-1"),), 1 / 1.1),)),
        ("[0.5]", (Weighted((Text("0.5"),), 1 / 1.1),)),
        ("(a:1" + "0" * 400 + ")", (Weighted((Text("a:1" + "0" * 400),), 1.1),)),
        ("BREAKFAST, a BREAKDOWN, break", (Text("BREAKFAST, a BREAKDOWN, break"),)),
        ("embedding: a, reembedding:b", (Text("embedding: a, reembedding:b"),)),
        (r"C:\path\new", (Text(r"C:\path\new"),)),
        ("{a|b} __c__", (Text("{a|b} __c__"),)),
        ("()", (Weighted((), 1.1),)),
    ],
    ids=lambda value: value[:30] if isinstance(value, str) else "",
)
def test_what_is_not_well_formed_is_text(text: str, expected: Prompt) -> None:
    assert parse(text) == expected


@given(PROMPTS)
@example("(" * 5000 + "a" + ")" * 5000)
@example("[" * 5000 + ")" * 5000)
@settings(max_examples=300)
def test_any_text_is_a_prompt_that_can_be_spelled(text: str) -> None:
    prompt = parse(text)
    assert parse(write(prompt)) == prompt
    assert len(readings([prompt])) == count_readings([prompt]) > 0


@given(st.text(st.characters(exclude_characters="()[]:\\")).filter(lambda text: "BREAK" not in text))
def test_text_without_special_characters_stays_as_it_is(text: str) -> None:
    assert readings([parse(text)]) == [Reading((((Piece(text),) if text else (),),))]


def test_nesting_ends_where_the_limit_is() -> None:
    depth = DEEPEST + 5
    prompt = parse("(" * depth + "a" + ")" * depth)
    for _level in range(DEEPEST):
        (part,) = prompt
        assert isinstance(part, Weighted)
        prompt = part.parts
    assert prompt == (Text("(((((a)))))"),)


def weights(text: str) -> list[tuple[str, float]]:
    (reading,) = readings([parse(text)])
    return [(str(piece.words), piece.weight) for group in reading.texts[0] for piece in group]


def test_weights_within_weights_multiply() -> None:
    assert weights("((a:1.5) b:2) c") == [("a", 3.0), (" b", 2.0), (" c", 1.0)]
    assert weights("((a))") == [("a", 1.1 * 1.1)]
    assert weights("[a]") == [("a", 1 / 1.1)]


def test_neighbours_that_count_alike_are_read_as_one() -> None:
    assert weights("a (re:1)d") == [("a red", 1.0)]


def test_breaks_make_groups() -> None:
    (reading,) = readings([parse("a BREAK (b BREAK c:2)")])
    assert reading.texts[0] == ((Piece("a "),), (Piece(" "), Piece("b ", 2.0)), (Piece(" c", 2.0),))


def said(text: str) -> list[tuple[object, str]]:
    return [(each.steps, "".join(str(piece.words) for piece in each.texts[0][0])) for each in readings([parse(text)])]


def test_schedules_say_what_counts_when() -> None:
    assert said("[cat:dog:0.5]s") == [(((0, 0.5),), "cats"), (((0.5, inf),), "dogs")]
    assert said("[cat::8]") == [(((0, 8),), "cat"), (((8, inf),), "")]
    assert said("[a:[b:c:0.75]:0.25]") == [
        (((0, 0.25),), "a"),
        (((0.25, 0.75),), "b"),
        (((0.75, inf),), "c"),
    ]
    assert said("[a:b:0]") == [((), "b")]


def test_shares_and_numbers_of_steps_are_read_in_pairs() -> None:
    assert said("[a:b:0.5][c:d:8]") == [
        (((0, 0.5), (0, 8)), "ac"),
        (((0, 0.5), (8, inf)), "ad"),
        (((0.5, inf), (0, 8)), "bc"),
        (((0.5, inf), (8, inf)), "bd"),
    ]
