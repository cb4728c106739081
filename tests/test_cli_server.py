"""Commands that ask a server, against a real one: what they print, how they end, what Ctrl-C leaves."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from PIL import Image
from pydantic import TypeAdapter

from graphengine.cli import main
from graphengine.client import Client
from graphengine.core.events import AnyEvent, Event
from graphengine.core.job import Job, JobState
from graphengine.server.tokens import TokenStore
from tests.command_line import Result, Run, written
from tests.drawn import document
from tests.server.running import PACK, Server, running

SUM = document(
    {"one": ("t.Number", {"value": 1}), "sum": ("t.Add", {"a": "@one.number", "b": 2})},
    inputs={"first": {"type": "FLOAT", "default": 1, "to": ["one.value"]}},
    outputs={"total": {"from": "sum.sum"}},
)
SAY = document(
    {"say": ("t.Say", {"text": "hello"})},
    inputs={"prompt": {"type": "STRING", "default": "hi", "to": ["say.text"]}},
    outputs={"said": {"from": "say.text"}},
)
PAINT = document({"p": ("t.Paint", {"level": 0.5})}, inputs={"level": {"type": "FLOAT", "to": ["p.level"]}})
FAIL = document({"f": ("t.Fail", {"message": "no luck"})})
BROKEN = document({"n": ("t.Numbr", {}), "a": ("t.Add", {"a": "x"})}, outputs={"a": {"from": "a.sum"}})
SLOW = document({"s": ("t.Slow", {"seconds": 60})})

OPTIONS = ("--cancel-grace", "0.5", "--require-token")
Ask = Callable[..., Result]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("server"), *OPTIONS, owners=("anna",)) as started:
        yield started


@pytest.fixture
def client(server: Server) -> Client:
    return Client(f"http://{server.host}:{server.port}", server.tokens["anna"])


@pytest.fixture(autouse=True)
def environment(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAPHENGINE_SERVER", f"http://{server.host}:{server.port}/")
    monkeypatch.setenv("GRAPHENGINE_TOKEN", server.tokens["anna"])


@pytest.fixture
def ask(tmp_path: Path, client: Client, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Ask:
    """Run a command in process, in an empty folder; a dict among the arguments becomes a workflow file."""
    monkeypatch.chdir(tmp_path)

    def ask(*arguments: Any) -> Result:  # Any: texts, paths, documents
        words = [written(tmp_path, each) if isinstance(each, dict) else str(each) for each in arguments]
        code = main([*words, "--server", client.url] if words[0] == "run" and "--server" not in words else words)
        out, err = capsys.readouterr()
        return code, out, err

    return ask


# Running there


def test_a_run_there_prints_what_a_run_here_prints(ask: Ask) -> None:
    code, out, err = ask("run", SUM, "--set", "first=5")
    assert (code, out) == (0, "total: 7.0\n")
    assert re.fullmatch(r"Job [0-9a-f]{28} at\s+http://\S+\n", err)


@pytest.mark.parametrize("text", ["7", "null", "[1]", "a=b", "灯台"])
@pytest.mark.parametrize("name", ["prompt", "say.text"])
def test_a_text_stays_a_text(ask: Ask, name: str, text: str) -> None:
    code, out, _ = ask("run", SAY, "--set", f"{name}={text}")
    assert (code, out.splitlines()[1]) == (0, f"said: {text}")


def test_pictures_arrive_under_the_next_number(ask: Ask, tmp_path: Path) -> None:
    for level, number in ((0.5, 1), (0.7, 2), (0.5, 1)):
        code, out, _ = ask("run", PAINT, "--out", tmp_path / "here", "--set", f"level={level}")
        assert (code, out) == (0, f"{tmp_path / 'here' / f'painted_{number:05d}.png'}\n")
    with Image.open(tmp_path / "here" / "painted_00002.png") as picture:
        assert picture.getpixel((0, 0)) == (178, 178, 178)
    assert len(list((tmp_path / "here").iterdir())) == 2
    code, out, _ = ask("run", tmp_path / "here" / "painted_00002.png")
    assert (code, out) == (0, f"{tmp_path / 'output' / 'painted_00001.png'}\n")


def test_events_are_those_of_a_run_here(ask: Ask, tmp_path: Path) -> None:
    code, out, err = ask("run", document({"s": ("t.Slow", {"seconds": 0.1}), "t": ("t.Say", {"text": "a"})}), "--json")
    queued, *lines = out.splitlines()
    assert (code, err, json.loads(queued)["type"]) == (0, "", "job_queued")
    events = [TypeAdapter[Event](AnyEvent).validate_json(line) for line in lines]
    assert [event.number for event in events] == list(range(1, len(events) + 1))
    seen = [json.loads(line) for line in lines]
    assert [seen[0]["type"], *(each["type"] for each in seen[-2:])] == ["job_started", "node_showed", "job_finished"]
    assert seen[-1]["state"] == "done"
    assert Path(seen[-2]["path"]).read_text() == "a"


def test_a_failing_node_ends_with_1_and_shows_its_own_code(ask: Ask) -> None:
    code, out, err = ask("run", FAIL)
    assert (code, out) == (1, "")
    assert "raise RuntimeError(message)" in err
    assert err.endswith("node 'f' (t.Fail) failed: RuntimeError: no luck\n  It was given:\n    message: 'no luck'\n")
    code, out, err = ask("run", FAIL, "--json")
    assert (code, err) == (1, "")
    assert [json.loads(line)["type"] for line in out.splitlines()[-2:]] == ["node_failed", "job_finished"]


def test_what_was_saved_before_a_failure_arrives(ask: Ask, tmp_path: Path) -> None:
    doc = document({"s": ("t.Say", {"text": "kept"}), "f": ("t.Fail", {"message": "@s.text"})})
    code, out, _ = ask("run", doc)
    assert (code, out) == (1, f"{tmp_path / 'output' / 'said.txt'}\n")
    assert (tmp_path / "output" / "said.txt").read_text() == "kept"


def test_problems_are_listed_as_check_lists_them(ask: Ask, tmp_path: Path) -> None:
    code, out, listed = ask("check", BROKEN, "--pack", PACK, "--data", tmp_path / "data")
    assert (code, out) == (2, "")
    assert "'t.Numbr'" in listed
    assert ask("run", BROKEN) == (2, "", listed)
    assert ask("submit", BROKEN) == (2, "", listed)
    code, out, err = ask("run", BROKEN, "--json")
    assert (code, err, json.loads(out)["type"]) == (2, "", "problems")


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("frist=5", "Did you mean 'first'?"),
        ("first", "--set 'first' has no '='."),
        ("sum.c=1", "node 'sum' (t.Add), input 'c': it has no such input."),
        ("first=x", "'x' is not a number."),
        ("first=1e999", "can't be sent as JSON"),
    ],
)
def test_a_wrong_setting_ends_with_2(ask: Ask, setting: str, message: str) -> None:
    code, out, err = ask("run", SUM, "--set", setting)
    assert (code, out) == (2, "")
    assert message in err
    assert "Traceback" not in err


def test_options_of_a_run_here_are_refused(ask: Ask, tmp_path: Path) -> None:
    flags = ["--device", "cpu", "--no-cache", "--no-metadata", "--pack", PACK, "--data", tmp_path]
    code, out, err = ask("run", SUM, *flags, "--sweep", "first=1,2")
    assert (code, out) == (2, "")
    for flag in ("--device", "--no-cache", "--no-metadata", "--pack", "--data", "--sweep"):
        assert f"{flag} says how to run here, and --server sends the run away." in err
    assert "--batch says" in ask("run", SUM, "--batch", "lines.jsonl")[2]


def test_a_token_for_no_server_is_refused(run: Run) -> None:
    code, out, err = run("run", SUM, "--token-file", "token.txt", packs=())
    assert (code, out) == (2, "")
    assert "--token-file is for a server, and the run is here." in err


# Jobs


def test_a_job_is_submitted_and_watched(ask: Ask, client: Client) -> None:
    code, out, err = ask("submit", SUM, "--set", "sum.b=9", "--name", "nine", "--priority", "4", "--targets", "sum")
    job = client.wait(out.strip())
    assert (code, err, job.name, job.priority, job.targets) == (0, "", "nine", 4, ("sum",))
    assert ask("watch", job.id) == (0, "total: 10.0\n", "")
    code, out, _ = ask("watch", job.id, "--json")
    assert [json.loads(line)["type"] for line in out.splitlines()][-1] == "job_finished"


def test_submitting_can_wait_for_the_end(ask: Ask) -> None:
    code, out, _ = ask("submit", SAY, "--wait")
    assert code == 0
    assert out.splitlines()[1:] == ["said.txt", "said: hi"]
    assert ask("submit", FAIL, "--wait")[0] == 1
    code, out, _ = ask("submit", SUM, "--wait", "--json")
    assert [json.loads(line)["type"] for line in out.splitlines()][:2] == ["job", "job_started"]


def test_jobs_are_listed(ask: Ask, client: Client) -> None:
    done = client.wait(client.submit(SUM, name="for the list").job.id)
    failed = client.wait(client.submit(FAIL, name="for the list").job.id)
    code, out, _ = ask("jobs", "--text", "for the list")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()] == [failed.id, done.id]
    assert re.fullmatch(r"\S+  [\d-]+ [\d:]+  done       +\d+\.\d s  for the list", out.splitlines()[1])
    assert done.id in ask("jobs", "--text", "for the list", "--state", "done", "--limit", "1")[1]
    code, out, _ = ask("jobs", "--text", "for the list", "--state", "failed", "--json")
    assert Job.model_validate(json.loads(out)["job"]).id == failed.id


def test_all_states_can_be_asked_for(ask: Ask) -> None:
    for state in get_args(JobState):
        assert ask("jobs", "--state", state)[0] == 0


def test_jobs_are_cancelled_and_those_that_cannot_be_are_told(ask: Ask, client: Client) -> None:
    first, second = (client.submit(SLOW).job.id for _ in range(2))
    code, out, err = ask("cancel", first, "nobody", second)
    assert code == 2
    assert [line.split()[0] for line in out.splitlines()] == [first, second]
    assert "nobody" in err
    assert {client.wait(each).state for each in (first, second)} == {"cancelled"}
    assert ask("watch", first) == (130, "", "Stopped.\n")


def test_logs_are_printed(ask: Ask, client: Client) -> None:
    job = client.wait(client.submit(SAY, inputs={"prompt": "hear, hear"}).job.id)
    code, out, _ = ask("logs", job.id)
    assert code == 0
    assert "hear, hear\n" in out
    assert "hear, hear" in json.loads(ask("logs", job.id, "--json")[1])["text"]


def test_an_unknown_job_ends_with_2(ask: Ask) -> None:
    for command in ("watch", "logs", "cancel"):
        code, out, err = ask(command, "nobody")
        assert (code, out) == (2, "")
        assert "nobody" in err
    assert json.loads(ask("watch", "nobody", "--json")[1])["type"] == "error"


# Servers and tokens


def test_a_wrong_address_is_told_with_a_remedy(ask: Ask) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        unused = f"http://127.0.0.1:{listener.getsockname()[1]}"
    code, out, err = ask("run", SUM, "--server", unused)
    assert (code, out) == (2, "")
    said = f"graphengine: can't reach a server at {unused}: Connection refused.\n  Start one with 'graphengine serve'"
    assert said in err
    assert "Write it like http://127.0.0.1:8188" in ask("jobs", "--server", "here")[2]


def test_tokens_are_made_listed_and_revoked(ask: Ask, tmp_path: Path) -> None:
    code, secret, err = ask("token", "create", "anna", "--owner", "a-team", "--data", tmp_path)
    assert (code, "not shown again" in err) == (0, True)
    assert TokenStore(tmp_path / "tokens.json").owner_of(secret.strip()) == "a-team"
    made = json.loads(ask("token", "create", "ben", "--data", tmp_path, "--json")[1])
    assert (made["name"], made["owner"]) == ("ben", "ben")
    code, out, _ = ask("token", "list", "--data", tmp_path)
    assert [line.split()[0] for line in out.splitlines()] == ["anna", "ben"]
    assert secret.strip() not in out
    assert [
        json.loads(line)["owner"] for line in ask("token", "list", "--data", tmp_path, "--json")[1].splitlines()
    ] == [*("a-team", "ben")]
    assert ask("token", "revoke", "anna", "--data", tmp_path)[0] == 0
    assert TokenStore(tmp_path / "tokens.json").owner_of(secret.strip()) is None
    code, out, err = ask("token", "revoke", "anna", "--data", tmp_path)
    assert (code, out, "There are: ben." in err) == (2, "", True)


def test_a_token_comes_from_a_file_or_the_environment(
    ask: Ask, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "token.txt"
    assert ask("jobs", "--limit", 1)[0] == 0
    monkeypatch.delenv("GRAPHENGINE_TOKEN")
    code, out, err = ask("jobs")
    assert (code, out) == (2, "")
    assert "requires a token.\n  Give one that is valid with --token-file FILE or as GRAPHENGINE_TOKEN." in err
    file.write_text(f"{server.tokens['anna']}\n")
    assert ask("jobs", "--limit", 1, "--token-file", file)[0] == 0
    file.write_text("gek_wrong")
    code, _, err = ask("jobs", "--token-file", file)
    assert (code, "requires a token" in err, "gek_wrong" in err) == (2, True, False)
    file.write_text("\n")
    assert "holds no token" in ask("jobs", "--token-file", file)[2]


# Processes


def graphengine(*words: str) -> subprocess.Popen[str]:
    # what runs in the background of a shell ignores Ctrl-C, and so would what it starts
    hear = "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler)"
    command = [sys.executable, "-c", f"{hear}; from graphengine.cli import main; sys.exit(main())", *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def interrupted_at_progress(*words: str) -> tuple[int, list[str], str]:
    """Start a command, press Ctrl-C as soon as its node has made progress, and wait for its end."""
    with graphengine(*words) as process:
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line)
            if '"node_progress"' in line:
                break
        process.send_signal(signal.SIGINT)
        rest, err = process.communicate(timeout=30)
        return process.returncode, lines + rest.splitlines(), err


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for another process")
def test_ctrl_c_cancels_a_run_and_leaves_a_submitted_job(client: Client, tmp_path: Path) -> None:
    workflow = written(tmp_path, SLOW)
    code, lines, err = interrupted_at_progress("run", workflow, "--json", "--server", client.url)
    assert (code, err) == (130, "Stopping the job (Ctrl-C again leaves at once).\nStopped.\n")
    assert json.loads(lines[-1])["state"] == "cancelled"
    assert client.job(json.loads(lines[0])["job"]).state == "cancelled"

    code, lines, err = interrupted_at_progress("submit", workflow, "--wait", "--json", "--server", client.url)
    job = json.loads(lines[0])["job"]["id"]
    assert (code, err) == (130, f"The job goes on; 'graphengine cancel {job}' stops it.\n")
    assert client.job(job).state == "running"
    client.cancel(job)
    assert client.wait(job).state == "cancelled"


QUIET = """
import sys
from graphengine.cli import main
code = main(sys.argv[1:])
heavy = sorted({"torch", "diffusers", "transformers", "aiohttp", "numpy"} & set(sys.modules))
sys.exit(f"loaded {heavy}" if heavy else code)
"""


def test_asking_a_server_loads_nothing_heavy(client: Client, tmp_path: Path) -> None:
    words = ["run", written(tmp_path, SAY), "--set", "say.text=a", "--server", client.url, "--out", str(tmp_path)]
    ran = subprocess.run([sys.executable, "-c", QUIET, *words], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout) == (0, f"{tmp_path / 'said.txt'}\nsaid: a\n"), ran.stderr
