"""The command line: exit codes, settings, output for people and for programs."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from graphengine.cli import main
from graphengine.core.events import AnyEvent, Event
from graphengine.core.schema import workflow_schema
from graphengine.core.workflow import parse_workflow
from tests.command_line import PACKS, Run, written
from tests.drawn import document

SUM = document(
    {
        "one": ("Number", {"value": 1}),
        "sum": ("Add", {"a": "@one.number", "b": 2}),
        "out": ("Show", {"value": "@sum.sum"}),
    },
    inputs={"first": {"type": "FLOAT", "default": 1, "to": ["one.value"]}},
    outputs={"total": {"from": "sum.sum"}},
)
SAY = document(
    {"say": ("ReadText", {"path": "hello"})},
    inputs={"prompt": {"type": "STRING", "default": "hi", "to": ["say.path"]}},
    outputs={"said": {"from": "say.text"}},
)


# Running


def test_a_workflow_runs_and_shows_its_outputs(run: Run) -> None:
    code, out, _ = run("run", SUM)
    assert (code, out) == (0, "total: 3.0\n")


@pytest.mark.parametrize(
    ("settings", "total"),
    [(["first=5"], 7.0), (["first=5.5", "sum.b=0.5"], 6.0), (["one.value=10"], 12.0), (["first=1e2"], 102.0)],
)
def test_settings_reach_declared_and_node_inputs(run: Run, settings: list[str], total: float) -> None:
    flags = [word for each in settings for word in ("--set", each)]
    assert run("run", SUM, *flags)[:2] == (0, f"total: {total}\n")


@pytest.mark.parametrize("text", ["7", "true", "null", '"quoted"', "[1]", "a=b", "", "two\nlines", "灯台"])
@pytest.mark.parametrize("name", ["prompt", "say.path"])
def test_a_text_stays_a_text(run: Run, name: str, text: str) -> None:
    assert run("run", SAY, "--set", f"{name}={text}")[:2] == (0, f"said: {text}\n")


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("frist=5", "input 'frist': there is no declared input 'frist'.\n    Did you mean 'first'?"),
        ("first", "--set 'first' has no '='.\n    Write --set NAME=VALUE."),
        ("nodee.b=1", "input 'nodee.b': there is no node 'nodee'."),
        ("sum.c=1", "node 'sum' (Add), input 'c': it has no such input."),
        ("first=x", "'x' is not a number."),
        ("first=NaN", "'NaN' is not a number."),
        ("first=Infinity", "'Infinity' is not a number."),
        ("first=1e999", "inf is not a number."),
        ("first=" + "9" * 5000, "is not a number."),
        ("sum.b=" + "[" * 5000, "is not a number."),
        ('sum.b={"$link": "gone.x"}', "linked to 'gone.x', but there is no node 'gone'."),
    ],
)
def test_a_wrong_setting_ends_with_2(run: Run, setting: str, message: str) -> None:
    code, out, err = run("run", SUM, "--set", setting)
    assert (code, out) == (2, "")
    assert message in err
    assert "Traceback" not in err


def test_targets_run_alone(run: Run) -> None:
    code, out, _ = run("run", SUM, "--targets", "one, out", "--json")
    events = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert [each["node"] for each in events if each["type"] == "node_finished"] == ["one", "sum", "out"]
    code, out, _ = run("run", SUM, "--targets", "one", "--json")
    assert [json.loads(line)["node"] for line in out.splitlines() if "node_finished" in line] == ["one"]
    code, _, err = run("run", SUM, "--targets", "won")
    assert code == 2
    assert "There is no node 'won' to run." in err


def test_events_are_json_lines(run: Run) -> None:
    code, out, err = run("run", SUM, "--json")
    assert (code, err) == (0, "")
    events = [TypeAdapter[Event](AnyEvent).validate_json(line) for line in out.splitlines()]
    assert [event.number for event in events] == list(range(1, 9))
    assert '"state":"done"' in out.splitlines()[-1]


def test_a_failing_node_ends_with_1_and_shows_its_own_code(run: Run) -> None:
    fail = document({"f": ("Fail", {"message": "no luck"}), "out": ("Show", {"value": "@f.value"})})
    code, out, err = run("run", fail)
    assert (code, out) == (1, "")
    assert err.startswith("Traceback (most recent call last):\n")
    assert "raise RuntimeError(message)" in err
    assert "executor.py" not in err
    assert err.endswith(
        "node 'f' (Fail) failed: RuntimeError: no luck\n  It was given:\n    value: 0.0\n    message: 'no luck'\n"
    )
    code, out, err = run("run", fail, "--json")
    assert (code, err) == (1, "")
    assert [json.loads(line)["type"] for line in out.splitlines()[-2:]] == ["node_failed", "job_finished"]


def test_a_refused_input_ends_with_1_and_without_traceback(run: Run) -> None:
    code, _, err = run("run", document({"r": "Refuse"}), packs=("interruptible",))
    assert code == 1
    assert err.startswith("node 'r' (Refuse) failed: input 'width': 3 is odd.\n  Choose an even one.\n")


def test_what_nodes_and_packs_print_is_no_json(run: Run, tmp_path: Path) -> None:
    pack = tmp_path / "chatty.py"
    pack.write_text(CHATTY, encoding="utf-8")
    doc = document({"say": ("chatty.Say", {"text": "a"})}, outputs={"said": {"from": "say.said"}})
    for command in ("run", "plan"):
        code, out, err = run(command, doc, "--pack", pack, "--json")
        assert code == 0, err
        assert all(isinstance(json.loads(line), dict) for line in out.splitlines())
        assert "loading" in err
        assert "checking" in err
    assert "saying a" in run("run", doc, "--pack", pack, "--json", "--no-cache")[2]
    assert "saying a" in run("run", doc, "--pack", pack, "--no-cache")[1]


CHATTY = """
from graphengine import node

print("loading")

@node("chatty.Say", category="test", outputs="said")
def say(text: str) -> str:
    '''Say something.

    Args:
        text: What to say.
    '''
    print("saying", text)
    return text

@say.check
def _(text: str) -> None:
    print("checking")
"""


def test_a_blocked_output_is_printed_with_its_reason(run: Run, tmp_path: Path) -> None:
    pack = tmp_path / "blocking.py"
    pack.write_text(BLOCKING, encoding="utf-8")
    doc = document(
        {"gate": "blocking.Gate", "sum": ("Add", {"a": "@gate.value"})}, outputs={"total": {"from": "sum.sum"}}
    )
    code, out, err = run("run", doc, "--pack", pack)
    assert (code, out, err) == (0, "total: blocked: the gate is shut\n", "")
    out = run("run", doc, "--pack", pack, "--json")[1]
    assert [json.loads(line)["node"] for line in out.splitlines() if '"node_skipped"' in line] == ["sum"]


BLOCKING = '''
from graphengine import Blocked, node

@node("blocking.Gate", category="test", outputs="value")
def gate() -> float:
    """Let nothing through."""
    return Blocked("the gate is shut")
'''


def test_titles_on_a_terminal_are_no_markup(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("TERM", "xterm"), ("TTY_COMPATIBLE", "1"), ("TTY_INTERACTIVE", "1"), ("COLUMNS", "120")):
        monkeypatch.setenv(name, value)
    doc = document({"s": ("Slow", {"parts": 300}), "out": ("Show", {"value": "@s.value"})})
    doc["nodes"]["s"]["title"] = "[/red] my [bold]title"
    code, _, err = run("run", doc)
    assert code == 0
    assert "[/red] my [bold]title" in err


def test_several_runs_have_a_bar_of_their_own(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("TERM", "xterm"), ("TTY_COMPATIBLE", "1"), ("TTY_INTERACTIVE", "1"), ("COLUMNS", "120")):
        monkeypatch.setenv(name, value)
    doc = document({"s": ("Slow", {"parts": 200}), "out": ("Show", {"value": "@s.value"})})
    code, _, err = run("run", doc, "--sweep", "s.value=1,2")
    assert code == 0
    assert "runs" in err
    assert "s.value=2" in err


def test_a_log_gets_no_bars(run: Run) -> None:
    assert run("run", SUM) == (0, "total: 3.0\n", "")


# Files


def test_a_workflow_comes_from_standard_input(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.TextIOWrapper(io.BytesIO(json.dumps(SUM).encode()))
    monkeypatch.setattr(sys, "stdin", stream)
    assert run("run", "-")[:2] == (0, "total: 3.0\n")


def test_a_picture_runs_the_workflow_that_made_it(run: Run, tmp_path: Path) -> None:
    """The settings are in the picture as well, so it comes out the same."""
    doc = document({"p": "Paint"}, inputs={"level": {"type": "FLOAT", "default": 0.1, "to": ["p.level"]}})
    code, out, _ = run("run", doc, "--set", "level=0.75", "--out", tmp_path / "a", packs=("interruptible",))
    first = Path(out.strip())
    assert (code, first) == (0, tmp_path / "a" / "paint_00001.png")
    code, out, _ = run("run", first, "--out", tmp_path / "b", packs=("interruptible",))
    second = Path(out.strip())
    assert (code, second) == (0, tmp_path / "b" / "paint_00001.png")
    assert second.read_bytes() == first.read_bytes()
    code, out, _ = run("run", doc, "--no-metadata", "--out", tmp_path / "c", packs=("interruptible",))
    code, _, err = run("run", out.strip(), packs=("interruptible",))
    assert code == 2
    assert "the picture carries no workflow" in err


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("missing.json", None, "there is no file 'missing.json'. Give a path, or the name of a shipped workflow."),
        ("bad.json", b"{", "bad.json: it is not valid JSON: "),
        ("empty.json", b"", "empty.json: the file is empty."),
        ("picture.png", b"\x89PNG\r\n\x1a\nrest", "the picture can't be read"),
        ("model.bin", b"\x80\x02\xff", "model.bin: it is not a text file."),
        ("comfy.json", b'{"3": {"class_type": "X"}}', "comfy.json: it is a ComfyUI prompt"),
        ("next.json", b'{"format": "graphengine", "version": 9}', "it is in format version 9"),
    ],
    ids=lambda each: each if isinstance(each, str) and "." in each[:9] else "",
)
@pytest.mark.parametrize("command", ["run", "check"])
def test_a_file_that_is_no_workflow_ends_with_2(
    run: Run, tmp_path: Path, command: str, name: str, content: bytes | None, message: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    code, out, err = run(command, name)
    assert (code, out) == (2, "")
    assert message in err
    code, out, err = run(command, name, "--json")
    assert (code, err) == (2, "")
    assert message in json.loads(out)["message"]


def test_shipped_workflows_are_found_by_name(run: Run) -> None:
    shipped = sorted((Path(__file__).parent.parent / "workflows").glob("*.json"))
    assert shipped
    for name in (shipped[0].name, shipped[0].stem):
        _, out, _ = run("check", name, "--json")
        assert json.loads(out)["type"] == "problems"


# check


def test_check_finds_everything_and_ends_with_2(run: Run) -> None:
    doc = document({"a": ("Add", {"bb": 1}), "b": "Addd", "u": ("Uneven", {"low": 2, "high": 1})})
    code, out, err = run("check", doc)
    assert (code, out) == (2, "")
    assert err.splitlines()[0].endswith("workflow.json: 4 problems")
    code, out, err = run("check", doc, "--json")
    assert (code, err) == (2, "")
    assert sorted(each["code"] for each in json.loads(out)["problems"]) == [
        "missing_input",
        "refused",
        "unknown_input",
        "unknown_node",
    ]


def test_check_of_a_sound_workflow_ends_with_0(run: Run) -> None:
    assert run("check", SUM)[0] == 0
    code, out, _ = run("check", SUM, "--json")
    assert (code, json.loads(out)) == (0, {"type": "problems", "problems": []})


def test_warnings_are_shown_and_stop_nothing(run: Run) -> None:
    doc = {**SUM, "nodes": {**SUM["nodes"], "odd": {"type": "Addd"}}}
    code, out, err = run("run", doc)
    assert (code, out) == (0, "total: 3.0\n")
    assert err.startswith("warning: node 'odd' (Addd): there is no node 'Addd'.\n")
    code, out, err = run("run", doc, "--json")
    first = json.loads(out.splitlines()[0])
    assert (code, err, first["type"], first["problems"][0]["warning"]) == (0, "", "problems", True)
    assert run("check", doc)[0] == 0
    assert run("run", doc, "--targets", "odd")[0] == 2


# nodes and schema


def test_nodes_are_listed_and_described(run: Run) -> None:
    code, out, _ = run("nodes")
    assert code == 0
    assert "Add two numbers." in out
    code, out, _ = run("nodes", "Choose")
    assert code == 0
    assert [line.split() for line in out.splitlines() if "size" in line] == [["size", "INT", "=", "8"]]
    code, out, _ = run("nodes", "Choose", "--json")
    assert json.loads(out)["id"] == "Choose"
    code, out, _ = run("nodes", "--json")
    assert "Choose" in [each["id"] for each in json.loads(out)]


def test_an_unknown_node_is_met_with_the_nearest(run: Run) -> None:
    code, out, err = run("nodes", "Ad")
    assert (code, out, err) == (2, "", "there is no node 'Ad'. Did you mean 'Add'?\n")


def test_a_pack_that_fails_is_reported_and_the_rest_works(run: Run, tmp_path: Path) -> None:
    code, out, err = run("run", SUM, packs=("failing", "arithmetic"))
    assert (code, out) == (0, "total: 3.0\n")
    assert "pack 'failing' failed to load: ImportError: libmissing is not installed (failing.py, line 3)" in err
    code, _, err = run("nodes", packs=("failing",))
    assert code == 0
    assert "libmissing is not installed" in err
    code, _, err = run("check", document({"x": "failing.Node"}), packs=("failing",))
    assert code == 2
    assert "Pack 'failing' failed to load: ImportError: libmissing" in err


def test_the_schema_is_printed(run: Run) -> None:
    assert run("schema")[:2] == (0, workflow_schema())


@pytest.mark.parametrize("arguments", [[], ["paint"], ["run"], ["run", "a.json", "--nonsense"]])
def test_a_wrong_command_ends_with_2(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2


# Processes


def graphengine(*words: str, **options: Any) -> subprocess.Popen[str]:  # Any: Popen's own
    command = [sys.executable, "-m", "graphengine", *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


@contextmanager
def heeded(number: signal.Signals) -> Iterator[None]:
    """Have processes that are started within the block heed a signal, though nohup or a shell's & has it ignored."""
    before = signal.signal(number, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(number, before)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for another process")
@pytest.mark.parametrize(
    ("number", "again"),
    [
        ("SIGINT", "Ctrl-C again"),
        pytest.param("SIGTERM", "the same again", marks=pytest.mark.slow),
        pytest.param("SIGHUP", "the same again", marks=pytest.mark.slow),
    ],
)
def test_ctrl_c_ends_with_130_and_whole_files(tmp_path: Path, number: str, again: str) -> None:
    workflow = written(tmp_path, document({"e": "Endless"}))
    out = tmp_path / "out"
    with heeded(signal.Signals[number]):
        process = graphengine(
            *("run", workflow, "--json", "--out", str(out), "--data", str(tmp_path)),
            *("--pack", str(PACKS / "interruptible.py")),
        )
    assert process.stdout is not None
    for line in process.stdout:
        if '"node_showed"' in line:
            break
    time.sleep(0.05)
    process.send_signal(signal.Signals[number])
    rest, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert json.loads(rest.splitlines()[-1])["state"] == "cancelled"
    assert err.splitlines() == [f"Stopping after this step ({again} stops at once).", "Stopped."]
    files = list(out.iterdir())
    assert files
    assert all(file.suffix == ".txt" and file.read_text() == "whole\n" * 2000 for file in files)


def test_a_reader_that_has_gone_ends_the_command_quietly(tmp_path: Path) -> None:
    with graphengine("schema") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(timeout=60) == 1


QUIET = """
import sys
from graphengine.cli import main
try:
    code = main(sys.argv[1:])
except SystemExit as end:
    code = end.code
heavy = sorted({"torch", "diffusers", "transformers", "aiohttp", "numpy"} & set(sys.modules))
sys.exit(f"loaded {heavy}" if heavy else code)
"""


@pytest.mark.parametrize(
    "command", [["--help"], ["run", "--help"], ["schema"], ["check"], ["nodes"], ["nodes", "KSampler"]]
)
def test_commands_that_only_look_load_nothing_heavy(
    tmp_path_factory: pytest.TempPathFactory, command: list[str]
) -> None:
    shared = tmp_path_factory.getbasetemp() / "definitions of these tests"
    if command[0] in ("check", "nodes"):
        command = [*command, "--data", str(shared)]
    if command[0] == "check":
        shared.mkdir(exist_ok=True)
        doc = document({"e": "EmptyLatent"}, outputs={"latent": {"from": "e.latent"}})
        command.insert(1, written(shared, doc))
    ran = subprocess.run([sys.executable, "-c", QUIET, *command], capture_output=True, text=True, check=False)
    assert "loaded" not in ran.stderr
    assert ran.returncode == 0, ran.stderr


def test_a_saved_workflow_is_what_the_schema_describes(run: Run) -> None:
    assert parse_workflow(json.dumps(SUM)).dump().startswith('{\n  "format": "graphengine",\n')
