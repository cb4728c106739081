"""One device's process of a training: ``python -m graphengine.diffusion.training_process``, see ``training_group``.

It is told what to do by lines on its standard input, and ends when that closes. What it says are lines of JSON on its
standard output; what anything prints goes to standard error.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from graphengine.errors import GraphEngineError, InputError
from graphengine.orphans import end_with_parent

__all__ = ["main"]

_LONGEST_WAIT = timedelta(minutes=30)  # for the others within a step
_NOT_SENT = ("so_far",)

Say = Callable[[Mapping[str, Any]], None]  # Any: JSON


def main() -> None:
    """Train one device's share, as told."""
    for each in (signal.SIGINT, signal.SIGTERM):  # they are for the process that started this one, and tells it to stop
        signal.signal(each, signal.SIG_IGN)
    end_with_parent(int(sys.argv[2]))
    say = _take_over_output()
    code = 1
    try:
        _train(json.loads(sys.argv[1]), say)
        code = 0
    except InputError as error:
        say({"error": "InputError", "arguments": [error.input, error.message, error.remedy]})
    except GraphEngineError as error:
        say({"error": _kind(error), "arguments": [str(error)]})
    except BaseException as error:  # a border: the process that started this one tells the user
        traceback.print_exc()
        say({"error": "", "arguments": [f"{type(error).__name__}: {error}"]})
    sys.stderr.flush()
    os._exit(code)  # what waits for a process that has ended may never return


def _train(given: Mapping[str, Any], say: Say) -> None:  # Any: JSON
    words = _words()
    import torch

    from graphengine.diffusion.training import take_steps
    from graphengine.diffusion.training_devices import Share, device_of
    from graphengine.diffusion.training_handover import take_over
    from graphengine.diffusion.training_state import FollowedFolder, StateFolder

    folder, share = Path(given["folder"]), Share(given["rank"], len(given["devices"]))
    device = device_of(share.rank, given["devices"])
    asked = take_over(folder)
    if share.rank > 0:
        asked = replace(asked, held_out=None)
    _join_group(folder, share.rank, share.count, device)
    task, run = asked.begin(device, share)
    kind = FollowedFolder if share.rank > 0 else StateFolder
    states = kind(Path(given["place"]), run.identity, asked.recipe.keep_checkpoints) if given["place"] else None
    outcomes = StateFolder(folder / "outcome", run.identity, keep=1)
    with closing(take_steps(asked, task, run, states)) as steps:
        for word in words:
            if word == "step":
                result = next(steps, None)
                sent = {name: each for name, each in vars(result).items() if name not in _NOT_SENT} if result else None
                say({"over": result is None, "result": sent})
            elif word == "give":
                failure = outcomes.save(run.outcome())
                if failure is not None:
                    raise GraphEngineError(failure)
                say({})
            else:
                break
    run.close()
    torch.distributed.destroy_process_group()
    say({})


def _join_group(folder: Path, rank: int, count: int, device: Any) -> None:  # Any: torch is not loaded yet
    """Meet the other processes, by a file; nothing listens where other machines could reach it."""
    import torch

    if device.type == "cuda":
        torch.cuda.set_device(device)
    torch.distributed.init_process_group(
        "nccl" if device.type == "cuda" else "gloo",
        store=torch.distributed.FileStore(str(folder / "meeting"), count),  # type: ignore[attr-defined]  # it is there
        rank=rank,
        world_size=count,
        timeout=_LONGEST_WAIT,
    )


def _take_over_output() -> Say:
    """Keep standard output for what is said, and send what is printed to standard error."""
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    lock = threading.Lock()

    def say(what: Mapping[str, Any]) -> None:  # Any: JSON
        with lock:
            channel.write(json.dumps(what) + "\n")
            channel.flush()

    return say


def _words() -> Iterator[str]:
    """Give what is said on standard input, and end this process at its end, whatever it does then."""
    heard: queue.SimpleQueue[str] = queue.SimpleQueue()

    def listen() -> None:
        for line in sys.stdin:
            heard.put(line.strip())
        os._exit(1)

    threading.Thread(target=listen, name="words", daemon=True).start()
    return iter(heard.get, "")


def _kind(error: GraphEngineError) -> str:
    from graphengine.diffusion.training_group import KNOWN

    return next((each.__name__ for each in type(error).__mro__ if each.__name__ in KNOWN), "")


if __name__ == "__main__":
    main()
