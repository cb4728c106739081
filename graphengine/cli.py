"""The command line. It composes everything else, and nothing else composes.

Nothing is imported here that ``--help`` doesn't need; each command imports what it uses.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

__all__ = ["main"]

DONE, FAILED, INVALID, INTERRUPTED = 0, 1, 2, 130

_EXIT_CODES = """exit codes: 0 done, 1 a node failed, 2 the workflow or a file is invalid, 130 interrupted"""
_MIGRATE_EXIT_CODES = """exit codes: 0 done, 1 --check found something to change, 2 a file is invalid"""

_TOKEN_FILE = "a file with the token that lets one in (default: the environment's GRAPHENGINE_TOKEN)"

_PRECISIONS = ("auto", "file", "float32", "bfloat16", "float16")
_DEVICE_MEMORY = "use no more of it: larger models are computed layer by layer (default: all there is)"
_PRECISION = "of loaded weights, where a node leaves it open (default: auto, what suits the device)"

Command = Callable[[argparse.Namespace], int]
Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; the exit code says how it went."""
    options = _parser().parse_args(arguments)
    from graphengine.commands.reports import report_error, report_problems
    from graphengine.errors import Cancelled, GraphEngineError, InvalidWorkflow

    try:
        code = _command(*options.command)(options)
        sys.stdout.flush()  # a reader that has gone is noticed here, not when the interpreter ends
        return code
    except InvalidWorkflow as error:
        report_problems(error.problems, str(error), as_json=options.json)
        return INVALID
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader has gone, e.g. 'head'
        return FAILED
    except (GraphEngineError, OSError) as error:
        report_error(error, as_json=options.json)
        return INVALID
    except (Cancelled, KeyboardInterrupt):
        sys.stderr.write("Stopped.\n")
        return INTERRUPTED


def _command(module: str, name: str) -> Command:
    """Import a command."""
    # Imports make hardly any garbage, and looking for it takes a tenth of their time.
    gc.disable()
    try:
        command: Command = getattr(importlib.import_module(f"graphengine.commands.{module}"), name)
    finally:
        gc.enable()
    return command


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="graphengine", description="Run node graphs for diffusion models.")
    parser.add_argument("--version", action="version", version=f"graphengine {_version()}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    shared, settings, here = _shared_options(), _settings(), _options_of_a_run()

    run = commands.add_parser("run", parents=[shared, settings, here], help="run a workflow", epilog=_EXIT_CODES)
    run.add_argument("file", help="a workflow, a PNG made by one, the name of a shipped one, or - for standard input")
    run.add_argument("--out", type=Path, metavar="DIR", help="where to save (default: ./output)")
    run.add_argument("--no-metadata", action="store_true", help="save pictures without their workflow")
    many = run.add_mutually_exclusive_group()
    many.add_argument("--batch", type=Path, metavar="FILE", help="run once for each line, a JSON object of settings")
    many.add_argument(
        "--sweep",
        action="append",
        default=[],
        metavar="NAME=A,B,C",
        help="run all combinations of these values (steps=10..30:10 counts), and lay the pictures out on one sheet",
    )
    run.add_argument("--server", action=_Remotely, metavar="URL", help="run there, and save here what it writes")
    run.add_argument("--token-file", action=_Remotely, type=Path, metavar="FILE", help=_TOKEN_FILE)
    run.set_defaults(command=("run", "run"))

    check = commands.add_parser("check", parents=[shared], help="find all problems of a workflow", epilog=_EXIT_CODES)
    check.add_argument("file", help="as for run")
    check.set_defaults(command=("look", "check"))

    plan = commands.add_parser(
        "plan", parents=[shared, settings, here], help="say what a run would do", epilog=_EXIT_CODES
    )
    plan.add_argument("file", help="as for run")
    plan.set_defaults(command=("look", "plan"))

    why = commands.add_parser(
        "why", parents=[shared, settings, here], help="say why a node runs again", epilog=_EXIT_CODES
    )
    why.add_argument("node", help="the node's id in the workflow")
    why.add_argument("file", help="as for run")
    why.set_defaults(command=("look", "why"))

    migrate = commands.add_parser(
        "migrate", parents=[shared], help="bring files to the installed nodes", epilog=_MIGRATE_EXIT_CODES
    )
    migrate.add_argument("files", nargs="+", type=Path, metavar="FILE", help="workflow files")
    migrate.add_argument("--check", action="store_true", help="only say what would change")
    migrate.add_argument("--out", type=Path, metavar="DIR", help="write there instead of over the files")
    migrate.set_defaults(command=("migrate", "migrate"))

    nodes = commands.add_parser("nodes", parents=[shared], help="list nodes, or describe one")
    nodes.add_argument("name", nargs="?", help="the node to describe")
    nodes.set_defaults(command=("look", "nodes"))

    new_pack = commands.add_parser("new-pack", help="write the files of a new node pack")
    new_pack.add_argument("name", metavar="NAME", help="of the pack, its module and its nodes' prefix: my_nodes")
    new_pack.add_argument("--dir", type=Path, default=Path(), metavar="DIR", help="where to make its folder")
    new_pack.add_argument("--json", action="store_true", help="print JSON for programs")
    new_pack.set_defaults(command=("new_pack", "new_pack"))

    _add_serve(commands)
    _add_job_commands(commands, settings)
    _add_token_commands(commands)
    _add_model_commands(commands)

    schema = commands.add_parser("schema", help="print the JSON Schema of workflow files")
    schema.add_argument("--api", action="store_true", help="print the OpenAPI description of the server instead")
    schema.set_defaults(command=("look", "schema"), json=True)
    return parser


def _add_serve(commands: Commands) -> None:
    serve = commands.add_parser("serve", help="serve the queue and the API")
    serve.add_argument("--host", default="127.0.0.1", help="address to listen on; others need a token")
    serve.add_argument("--port", type=int, default=8188, help="0 takes a free one (default: 8188)")
    serve.add_argument("--data", type=Path, metavar="DIR", help="folder for queue, workflows, models and inputs")
    serve.add_argument("--out", type=Path, metavar="DIR", help="where jobs save (default: output in the data folder)")
    serve.add_argument("--devices", default="cpu", metavar="A,B", help="a worker each: cpu (default), mps, cuda:0, …")
    serve.add_argument("--precision", choices=_PRECISIONS, default="auto", help=_PRECISION)
    serve.add_argument("--device-memory", type=_gib, metavar="GIB", help=f"{_DEVICE_MEMORY}, of each device")
    serve.add_argument("--pack", action="append", default=[], type=Path, metavar="PATH", help="load nodes from a file")
    serve.add_argument("--reload-packs", action="store_true", help="load packs again when their files change")
    serve.add_argument("--token-file", type=Path, metavar="FILE", help="default: tokens.json in the data folder")
    serve.add_argument("--require-token", action="store_true", help="also from this machine")
    serve.add_argument("--allow-host", action="append", default=[], metavar="NAME", help="a name it is called by")
    serve.add_argument("--allow-origin", action="append", default=[], metavar="URL", help="whose pages may use it")
    serve.add_argument("--tls-cert", type=Path, metavar="FILE", help="serve https with this certificate")
    serve.add_argument("--tls-key", type=Path, metavar="FILE", help="the certificate's key, unless it is in its file")
    serve.add_argument("--grace", type=float, default=30.0, metavar="S", help="seconds for jobs to finish at the end")
    serve.add_argument("--cancel-grace", type=float, default=4.0, metavar="S", help="before a cancelled job is killed")
    serve.add_argument("--stuck-timeout", type=float, metavar="S", help="kill a worker that is silent so long (never)")
    serve.set_defaults(command=("serve", "serve"), json=False)


def _add_job_commands(commands: Commands, settings: argparse.ArgumentParser) -> None:
    asking = _options_of_a_client()
    submit = commands.add_parser(
        "submit", parents=[asking, settings], help="queue a workflow on a server", epilog=_EXIT_CODES
    )
    submit.add_argument("file", help="as for run")
    submit.add_argument("--name", help="what to call the job (default: as the workflow)")
    submit.add_argument("--priority", type=int, default=0, metavar="N", help="-100 to 100; higher ones go first")
    submit.add_argument("--wait", action="store_true", help="show the run, and end as it does")
    submit.set_defaults(command=("remote", "submit"))

    jobs = commands.add_parser("jobs", parents=[asking], help="list a server's jobs, the newest first")
    states = ("queued", "running", "done", "failed", "cancelled", "poison")
    jobs.add_argument("--state", action="append", default=[], choices=states, help="only these; may be given again")
    jobs.add_argument("--text", default="", help="only jobs whose name contains it")
    jobs.add_argument("--limit", type=int, default=50, metavar="N", help="no more than these (default: 50)")
    jobs.set_defaults(command=("remote", "jobs"))

    watch = commands.add_parser("watch", parents=[asking], help="show a job's run", epilog=_EXIT_CODES)
    watch.add_argument("job", metavar="JOB", help="its id")
    watch.set_defaults(command=("remote", "watch"))

    cancel = commands.add_parser("cancel", parents=[asking], help="stop jobs")
    cancel.add_argument("jobs", nargs="+", metavar="JOB", help="their ids")
    cancel.set_defaults(command=("remote", "cancel"))

    logs = commands.add_parser("logs", parents=[asking], help="print what a job's nodes printed")
    logs.add_argument("job", metavar="JOB", help="its id")
    logs.set_defaults(command=("remote", "logs"))


def _add_token_commands(commands: Commands) -> None:
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--data", type=Path, metavar="DIR", help="the server's data folder")
    shared.add_argument("--json", action="store_true", help="print JSON for programs")
    token = commands.add_parser("token", help="make, list and revoke what lets people and programs use a server")
    actions = token.add_subparsers(required=True, metavar="ACTION")

    create = actions.add_parser("create", parents=[shared], help="make a token and print it")
    create.add_argument("name", metavar="NAME", help="by which it is revoked")
    create.add_argument("--owner", help="whose jobs and files are seen and made with it (default: NAME)")
    create.set_defaults(command=("tokens", "create_token"))

    listed = actions.add_parser("list", parents=[shared], help="list tokens")
    listed.set_defaults(command=("tokens", "list_tokens"))

    revoke = actions.add_parser("revoke", parents=[shared], help="make a token worthless")
    revoke.add_argument("name", metavar="NAME", help="the token's")
    revoke.set_defaults(command=("tokens", "revoke_token"))


def _add_model_commands(commands: Commands) -> None:
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--data", type=Path, metavar="DIR", help="the data folder, with models in it")
    shared.add_argument("--json", action="store_true", help="print JSON for programs")
    models = commands.add_parser("models", help="list models, and fetch others")
    actions = models.add_subparsers(required=True, metavar="ACTION")

    listed = actions.add_parser("list", parents=[shared], help="list models with their family, size and hash")
    listed.add_argument("--kind", help="only these: checkpoints, loras, …")
    listed.add_argument("--hash", action="store_true", help="compute hashes that aren't known yet")
    listed.set_defaults(command=("models", "list_all"))

    get = actions.add_parser("get", parents=[shared], help="fetch a model; goes on where it stopped")
    get.add_argument("source", metavar="REPO|URL", help="owner/name on the Hugging Face hub, or a file's URL")
    get.add_argument("--sha256", metavar="HASH", help="refuse a file with another")
    get.add_argument("--kind", default="checkpoints", help="what it is: checkpoints (default), loras, vae, …")
    get.add_argument("--file", metavar="NAME", help="one file of the repository")
    get.add_argument("--revision", metavar="REV", help="a branch, tag or commit of it")
    get.add_argument("--variant", metavar="NAME", help="of a diffusers folder's weights, such as fp16")
    get.add_argument("--name", metavar="NAME", help="what to call it here")
    get.set_defaults(command=("models", "get_model"))


def _shared_options() -> argparse.ArgumentParser:
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument(
        "--pack", action="append", default=[], type=Path, metavar="PATH", help="load nodes from a file or folder"
    )
    shared.add_argument("--data", type=Path, metavar="DIR", help="folder for models, inputs and saved state")
    shared.add_argument("--json", action="store_true", help="print JSON for programs")
    return shared


def _settings() -> argparse.ArgumentParser:
    settings = argparse.ArgumentParser(add_help=False)
    settings.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        dest="settings",
        help="set a declared input (prompt=…) or a node's input (sampler.steps=30)",
    )
    settings.add_argument("--targets", metavar="A,B", help="run only what these nodes need")
    return settings


def _gib(text: str) -> int:
    """Read an amount of memory in GiB, as bytes."""
    try:
        amount = float(text)
    except ValueError:
        amount = 0.0
    if not 0 < amount < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is no amount of memory. Give GiB, such as 8 or 5.5.")
    return int(amount * 1024**3)


def _options_of_a_run() -> argparse.ArgumentParser:
    here = argparse.ArgumentParser(add_help=False)
    here.add_argument("--device", help="cpu (default), cuda, cuda:1, mps")
    here.add_argument("--precision", choices=_PRECISIONS, help=_PRECISION)
    here.add_argument("--device-memory", type=_gib, metavar="GIB", help=_DEVICE_MEMORY)
    here.add_argument("--no-cache", action="store_true", help="neither read nor keep results on disk")
    return here


def _options_of_a_client() -> argparse.ArgumentParser:
    asking = argparse.ArgumentParser(add_help=False)
    asking.add_argument(
        "--server",
        metavar="URL",
        help="where it listens (default: the environment's GRAPHENGINE_SERVER, or http://127.0.0.1:8188)",
    )
    asking.add_argument("--token-file", type=Path, metavar="FILE", help=_TOKEN_FILE)
    asking.add_argument("--json", action="store_true", help="print JSON for programs")
    return asking


class _Remotely(argparse.Action):
    """An option that makes a run one on a server."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,  # Any: what the option's type made of the text
        option_string: str | None = None,
    ) -> None:
        setattr(namespace, self.dest, values)
        namespace.command = ("remote", "run")


def _version() -> str:
    from importlib.metadata import version

    return version("graphengine")
