"""The client against a real server: jobs, events over lost connections, files that arrive whole."""

from __future__ import annotations

import http.server
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from graphengine.client import Client, ServerError, ServerUnreachable
from graphengine.core.job import JobOutput
from graphengine.core.workflow import Workflow
from graphengine.downloads import find_download, path_of, save_download
from graphengine.errors import GraphEngineError
from tests.drawn import drawn
from tests.server.running import Server, running

SUM = drawn(
    {"one": ("t.Number", {"value": 1}), "sum": ("t.Add", {"a": "@one.number", "b": 2})},
    inputs={"first": {"type": "FLOAT", "default": 1, "to": ["one.value"]}},
    outputs={"total": {"from": "sum.sum"}},
)
OPTIONS = ("--cancel-grace", "0.5", "--require-token")
TRANSIENT = ("node_progress", "node_preview")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("server"), *OPTIONS, owners=("me",)) as started:
        yield started


@pytest.fixture
def client(server: Server) -> Client:
    return client_of(server)


def client_of(server: Server) -> Client:
    return Client(f"http://{server.host}:{server.port}", server.tokens.get("me"))


class Line:
    """A proxy before a server, which passes bytes on until it is cut; leaving its ``with`` closes it."""

    def __init__(self, port: int) -> None:
        self._server_port = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self.connections = 0

    def __enter__(self) -> Line:
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(timeout=10)
        self.cut()

    @property
    def url(self) -> str:
        """The address to use instead of the server's."""
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def cut(self) -> None:
        """End all connections at once."""
        while self._open:
            with suppress(OSError), self._open.pop() as each:
                each.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        with suppress(OSError):  # it was closed
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(("127.0.0.1", self._server_port))
                self.connections += 1
                self._open += [near, far]
                for one, other in ((near, far), (far, near)):
                    threading.Thread(target=self._pass_on, args=(one, other), daemon=True).start()

    def _pass_on(self, one: socket.socket, other: socket.socket) -> None:
        with suppress(OSError):  # either end has gone
            while data := one.recv(65536):
                other.sendall(data)
            other.shutdown(socket.SHUT_WR)


def slow(seconds: float) -> Workflow:
    return drawn({"s": ("t.Slow", {"seconds": seconds})})


def say(text: str, name: str = "said.txt") -> Workflow:
    return drawn({"s": ("t.Say", {"text": text, "name": name})})


def kept(events: list[dict[str, Any]]) -> list[int]:  # Any: JSON
    return [event["number"] for event in events if event["type"] not in TRANSIENT]


# Jobs


def test_a_job_runs_with_its_inputs(client: Client) -> None:
    submitted = client.submit(SUM, inputs={"first": 5}, name="five", priority=3)
    assert (submitted.is_new, submitted.warnings) == (True, [])
    job = client.wait(submitted.job.id)
    assert (job.state, dict(job.values), job.name, job.priority) == ("done", {"total": 7.0}, "five", 3)
    assert client.job(job.id).values == job.values
    assert client.workflow(job.id).inputs["first"].default == 5


def test_a_document_is_submitted_too_and_a_key_once(client: Client) -> None:
    document = SUM.model_dump(by_alias=True, exclude_defaults=True) | {"format": "graphengine", "version": 1}
    first = client.submit(document, idempotency_key="the same")
    second = client.submit(document, idempotency_key="the same")
    assert (first.job.id, first.is_new, second.is_new) == (second.job.id, True, False)


def test_what_is_wrong_is_told_at_once(client: Client) -> None:
    broken = drawn({"n": ("t.Numbr", {}), "a": ("t.Add", {"a": "x"})}, outputs={"a": {"from": "a.sum"}})
    with pytest.raises(ServerError) as caught:
        client.submit(broken, targets=["n", "a"])
    error = caught.value
    assert (error.status, error.code) == (422, "invalid_workflow")
    found = {problem.node: problem for problem in error.problems}
    assert {node: problem.code for node, problem in found.items()} == {"n": "unknown_node", "a": "wrong_type"}
    assert "Did you mean 't.Number'?" in found["n"].remedy


def test_warnings_come_with_the_job(client: Client) -> None:
    unused = drawn({"one": "t.Number", "n": "t.Numbr"}, outputs={"one": {"from": "one.number"}})
    (warning,) = client.submit(unused).warnings
    assert (warning.code, warning.warning) == ("unknown_node", True)


def test_an_infinite_number_is_not_sent(client: Client) -> None:
    with pytest.raises(GraphEngineError, match="can't be sent as JSON"):
        client.submit(SUM, inputs={"first": float("inf")})


def test_jobs_are_listed_page_by_page(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("graphengine.client._MOST_ON_A_PAGE", 2)
    ids = [client.wait(client.submit(SUM, name=f"listed {number}").job.id).id for number in range(5)]
    found = client.jobs(text="listed", states=["done", "failed"], limit=4)
    assert [job.id for job in found] == ids[:0:-1]
    assert len(client.jobs(text="listed")) == 5
    assert client.jobs(text="listed", states=["queued"]) == []


def test_a_job_is_cancelled_and_tried_again(client: Client) -> None:
    job = client.submit(slow(60)).job
    assert client.wait(job.id, 0.05).is_over is False
    client.cancel(job.id)
    assert client.wait(job.id).state == "cancelled"
    with pytest.raises(ServerError) as caught:
        client.cancel(job.id)
    assert (caught.value.status, caught.value.code) == (409, "wrong_state")
    again = client.retry(job.id)
    assert again.retry_of == job.id
    client.cancel(again.id)
    assert client.wait(again.id).state == "cancelled"


def test_a_failure_is_told_and_the_log_kept(client: Client) -> None:
    fails = drawn({"say": ("t.Say", {"text": "hear, hear"}), "f": ("t.Fail", {"message": "@say.text"})})
    job = client.wait(client.submit(fails).job.id)
    assert job.state == "failed"
    assert job.error is not None
    assert job.error.message == "RuntimeError: hear, hear"
    log = client.log(job.id)
    assert "hear, hear" in log.text
    assert not log.truncated


def test_an_unknown_job_has_its_remedy(client: Client) -> None:
    with pytest.raises(ServerError) as caught:
        client.job("../jobs")
    assert (caught.value.status, caught.value.code) == (404, "unknown_job")
    with pytest.raises(ServerError):
        list(client.events("nobody"))


def test_the_servers_nodes_are_described(client: Client) -> None:
    assert client.nodes().by_id["t.Say"].inputs_by_name["text"].type == "STRING"


# Events


def test_events_come_until_the_end(client: Client) -> None:
    job = client.submit(slow(0.1)).job
    events = list(client.events(job.id))
    assert kept(events) == list(range(1, events[-1]["number"] + 1))
    assert [event["type"] for event in events if event["type"] not in TRANSIENT] == [
        *("job_queued", "job_running", "job_started", "node_started", "node_finished", "job_ended")
    ]
    assert any(event["type"] == "node_progress" and event["total"] == 10 for event in events)
    assert kept(list(client.events(job.id, after=4))) == [5, 6]
    assert list(client.events(job.id, after=6)) == []


def test_a_cut_line_loses_and_doubles_nothing(server: Server) -> None:
    with Line(server.port) as line:
        client = Client(line.url, server.tokens["me"])
        job = client.submit(slow(1)).job
        events, cuts = [], 0
        for event in client.events(job.id):
            events.append(event)
            if event["type"] == "node_progress" and cuts < 3:
                line.cut()
                cuts += 1
        assert cuts == 3
        assert kept(events) == list(range(1, events[-1]["number"] + 1))
        assert events[-1]["state"] == "done"
        assert line.connections >= 5


def test_waiting_goes_on_over_a_cut_line(server: Server) -> None:
    with Line(server.port) as line:
        client = Client(line.url, server.tokens["me"])
        job = client.submit(slow(0.6)).job
        threading.Timer(0.2, line.cut).start()
        assert client.wait(job.id).state == "done"


@pytest.mark.slow
def test_a_restarted_server_is_found_again(tmp_path: Path) -> None:
    events: list[dict[str, Any]] = []  # Any: JSON
    with running(tmp_path, "--grace", "0") as server:
        client = client_of(server)
        job = client.submit(slow(0.5)).job
        following = client.events(job.id)
        while not events or events[-1]["type"] != "node_progress":
            events.append(next(following))
    reading = threading.Thread(target=lambda: events.extend(following))
    reading.start()
    with running(tmp_path, "--port", str(server.port)):
        reading.join(timeout=30)
    assert events[-1]["state"] == "done"
    assert [event["type"] for event in events].count("job_running") == 2


def test_a_server_that_is_gone_is_given_up(unused_url: str) -> None:
    client = Client(unused_url, retries=1)
    for ask in (lambda: list(client.events("job")), lambda: client.wait("job"), lambda: client.submit(SUM)):
        with pytest.raises(
            ServerUnreachable, match=r"can't reach a server at http://127.0.0.1:\d+: Connection refused"
        ):
            ask()


# Addresses and tokens


@pytest.fixture
def unused_url() -> str:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.parametrize(
    "url", ["", "localhost:8188", "ftp://host", "http://", "http://h:x", "http://a b", "http://h?x"]
)
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(GraphEngineError, match="Write it like http://"):
        Client(url)


def test_an_address_with_a_secret_is_refused_without_showing_it() -> None:
    with pytest.raises(GraphEngineError) as caught:
        Client("http://me:secret@host:1")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("token", ["two words", "line\r\nX-Header: 1", "tökén", ""])
def test_what_is_no_token_is_refused_without_showing_it(token: str) -> None:
    with pytest.raises(GraphEngineError, match="the token can't be one") as caught:
        Client("http://127.0.0.1:1", token)
    assert not token or token not in str(caught.value)


@pytest.mark.parametrize("wrong", [None, "gek_wrong"])
def test_a_token_is_needed_and_sent(client: Client, wrong: str | None) -> None:
    with pytest.raises(ServerError) as caught:
        Client(client.url, wrong).jobs()
    assert (caught.value.status, caught.value.code) == (401, "token_required")
    assert client.submit(SUM).job.owner == "me"


@contextmanager
def stranger(status: int, body: bytes, headers: dict[str, str]) -> Iterator[str]:
    """Serve one answer to everything."""

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *words: object) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("status", "body", "headers", "kind"),
    [
        (200, b"<html>", {}, ServerError),
        (200, b"[]", {}, ServerError),
        (200, b'{"job": {"id": 7}}', {}, ServerError),
        (404, b"<html>", {}, ServerError),
        (404, b'{"problems": 1}', {}, ServerError),
        (302, b"", {"Location": "http://127.0.0.1:1/"}, ServerError),
        (200, b"{", {"Content-Length": "50"}, ServerUnreachable),
    ],
)
def test_another_program_is_noticed(status: int, body: bytes, headers: dict[str, str], kind: type[Exception]) -> None:
    with stranger(status, body, headers) as url, pytest.raises(kind) as caught:
        Client(url, retries=0).job("x")
    assert isinstance(caught.value, ServerUnreachable) or "graphengine server" in str(caught.value)


def test_a_proxy_is_passed_by_on_this_machine(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with pytest.raises(ServerError):
        Client(client.url).jobs()
    with pytest.raises(ServerUnreachable):
        Client("http://nowhere.invalid").jobs()


# Files


def test_files_are_fetched(client: Client, tmp_path: Path) -> None:
    both = drawn({"p": ("t.Paint", {"level": 0.2}), "s": ("t.Say", {"text": "hello", "name": "deep/er.txt"})})
    job = client.wait(client.submit(both).job.id)
    fetched = client.download(job, tmp_path / "new")
    assert sorted(path.relative_to(tmp_path).as_posix() for path in fetched.values()) == [
        *("new/deep/er.txt", "new/painted_00001.png")
    ]
    assert all(sha256(path.read_bytes()).hexdigest() == output.asset for output, path in fetched.items())
    with Image.open(tmp_path / "new" / "painted_00001.png") as picture:
        assert picture.size == (64, 64)
    assert client.download(job, tmp_path / "new") == fetched
    assert len(list(tmp_path.rglob("*.*"))) == 2


def an_output(name: str, content: bytes) -> JobOutput:
    digest = sha256(content).hexdigest()
    return JobOutput(node="n", path=name, asset=digest, size_bytes=len(content), media_type="image/png")


def test_a_picture_takes_no_others_place_and_a_text_does(tmp_path: Path) -> None:
    for content in (b"one", b"two", b"three"):
        for name in ("p_00001.png", "text.txt"):
            assert save_download(an_output(name, content), tmp_path / name, [content]) is not None
    found = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert found == {"p_00001.png": b"one", "p_00002.png": b"two", "p_00003.png": b"three", "text.txt": b"three"}
    two = an_output("p_00001.png", b"two")
    assert find_download(two, tmp_path / "p_00001.png", []) == tmp_path / "p_00002.png"
    assert find_download(two, tmp_path / "p_00001.png", [tmp_path / "p_00002.png"]) is None


def test_a_file_that_is_not_whole_leaves_nothing(tmp_path: Path) -> None:
    def broken() -> Iterator[bytes]:
        yield b"hal"
        raise ServerUnreachable("lost.")

    output = an_output("text.txt", b"half")
    assert save_download(output, tmp_path / "text.txt", [b"hal"]) is None
    with pytest.raises(ServerUnreachable):
        save_download(output, tmp_path / "text.txt", broken())
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").touch()
    with pytest.raises(GraphEngineError, match=r"can't write text\.txt"):
        save_download(output, tmp_path / "file" / "text.txt", [b"half"])


@pytest.mark.parametrize("name", ["../x", "/etc/x", "a/../../x", ".", "", "a\0b"])
def test_no_file_leaves_its_folder(name: str, tmp_path: Path) -> None:
    with pytest.raises(GraphEngineError, match="outside"):
        path_of(an_output(name, b""), tmp_path)


def test_a_file_that_is_gone_is_told(client: Client, tmp_path: Path) -> None:
    job = client.wait(client.submit(say("gone")).job.id)
    missing = job.model_copy(update={"outputs": (job.outputs[0].model_copy(update={"asset": "0" * 64}),)})
    with pytest.raises(ServerError) as caught:
        client.download(missing, tmp_path)
    assert caught.value.code == "unknown_asset"
    assert list(tmp_path.iterdir()) == []


def test_importing_it_loads_nothing_heavy() -> None:
    code = "import sys, graphengine.client\nprint(sorted({'torch', 'aiohttp', 'numpy', 'rich'} & set(sys.modules)))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n"
