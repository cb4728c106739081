"""Model files that are cut off, damaged or lie about themselves, loaded by jobs of a real server."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from tests.faults.measured import Result, Scale
from tests.faults.processes import faulty_server, only_worker
from tests.server.running import Json, Server, workflow

__all__ = ["DAMAGES", "Loaded", "corrupt_files", "load_corrupt"]

_SECONDS = 2.0
_WEIGHTS = "unet/diffusion_pytorch_model.safetensors"
_MANY_TENSORS = (1_000_000, 150_000, 20_000)
_LARGEST = 2**64 - 1


class Loaded(NamedTuple):
    """What became of a damaged file.

    Attributes:
        kind: What was done to it.
        outcome: ``told`` of a clear error, ``loaded`` where the damage can't be seen, or what went wrong.
    """

    kind: str
    outcome: str
    seconds: float


def corrupt_files(folder: Path, scale: Scale) -> Result:
    """Row 8: many of them."""
    with faulty_server(folder) as server:
        tried = load_corrupt(server, scale.corrupt_files)
        starts = only_worker(server)["starts"]
    crashes = starts - 1
    unclear = [each for each in tried if each.outcome not in ("told", "loaded")]
    slowest = max(tried, key=lambda each: each.seconds)
    told = sum(each.outcome == "told" for each in tried)
    odd = f", such as {unclear[0].kind}: {unclear[0].outcome}" if unclear else ""
    return Result(
        f"{crashes} crashes, slowest {slowest.seconds:.2f} s ({slowest.kind}), {told:,} clear errors, "
        f"{len(tried) - told - len(unclear):,} loaded, {len(unclear)} unclear{odd} ({len(tried):,} files)",
        not crashes and not unclear and slowest.seconds <= _SECONDS,
    )


def load_corrupt(server: Server, count: int, kinds: Sequence[str] | None = None) -> list[Loaded]:
    """Damage a small checkpoint in so many ways, of these kinds in turn, and have a job load each."""
    from graphengine.diffusion import checkpoints
    from tests.diffusion.tiny_checkpoint import tiny_clip, tiny_model, tiny_vae

    kinds = kinds or list(DAMAGES)
    folder = server.data / "models" / "checkpoints"
    checkpoints.save(folder / "whole", model=tiny_model(), clip=tiny_clip(), vae=tiny_vae())
    assert _load(server, "whole").outcome == "loaded"  # torch and all that is loaded too
    whole = (folder / "whole" / _WEIGHTS).read_bytes()
    chance, tried = random.Random(8), []
    for number in range(count):
        kind = kinds[number % len(kinds)]
        name = f"broken{number}"
        shutil.copytree(folder / "whole", folder / name)
        (folder / name / _WEIGHTS).write_bytes(DAMAGES[kind](whole, chance))
        tried.append(_load(server, name)._replace(kind=kind))
        shutil.rmtree(folder / name)
    return tried


def _load(server: Server, name: str) -> Loaded:
    document = workflow({"load": ("LoadCheckpoint", {"ckpt_name": name})})
    reply = server.ask("POST", "/jobs", {"workflow": document, "targets": ["load"]})
    if reply.status != 201:
        return Loaded("", "told" if reply.code == "invalid_workflow" else f"{reply.status}", 0.0)
    job = server.end_of(reply.json["job"]["id"])
    return Loaded("", _outcome(job, name), job["finished"] - job["started"])


def _outcome(job: Json, name: str) -> str:
    if job["state"] == "done":
        return "loaded"
    error = job["error"]
    is_clear = error["code"] == "node_failed" and name in error["message"] and "\n" in error["message"]
    return "told" if is_clear else f"{job['state']}, {error['code']}: {error['message'][:100]}"


def _header(text: bytes, tensors: bytes = b"") -> bytes:
    return len(text).to_bytes(8, "little") + text + tensors


def _parts(whole: bytes) -> tuple[bytes, bytes]:
    """Give a file's header and its tensors."""
    end = 8 + int.from_bytes(whole[:8], "little")
    return whole[8:end], whole[end:]


def _cut(whole: bytes, chance: random.Random) -> bytes:
    return whole[: chance.randrange(len(whole))]


def _flip_in_header(whole: bytes, chance: random.Random) -> bytes:
    return _flipped(whole, chance.randrange(8 + len(_parts(whole)[0])), chance)


def _flip_in_tensors(whole: bytes, chance: random.Random) -> bytes:
    return _flipped(whole, chance.randrange(8 + len(_parts(whole)[0]), len(whole)), chance)


def _flipped(whole: bytes, place: int, chance: random.Random) -> bytes:
    return whole[:place] + bytes([whole[place] ^ (1 << chance.randrange(8))]) + whole[place + 1 :]


def _lie_about_length(whole: bytes, chance: random.Random) -> bytes:
    lengths = [0, 1, 2**31, 2**63, _LARGEST, len(whole), len(whole) - 8, chance.randrange(len(whole))]
    return chance.choice(lengths).to_bytes(8, "little") + whole[8:]


def _lie_about_a_tensor(whole: bytes, chance: random.Random) -> bytes:
    """Give one tensor another shape, type or place."""
    text, tensors = _parts(whole)
    header = json.loads(text)
    entry = header[chance.choice([name for name in header if name != "__metadata__"])]
    field, value = chance.choice(
        [
            ("shape", [2**62, 2]),
            ("shape", [-1]),
            ("shape", [1] * 10_000),
            ("shape", "large"),
            ("dtype", "F128"),
            ("dtype", None),
            ("data_offsets", [0, _LARGEST]),
            ("data_offsets", [5, 4]),
            ("data_offsets", [1.5, 2]),
            ("data_offsets", [0, 4]),
        ]
    )
    entry[field] = value
    return _header(json.dumps(header).encode(), tensors)


def _rename_a_tensor(whole: bytes, chance: random.Random) -> bytes:
    text, tensors = _parts(whole)
    header = json.loads(text)
    name = chance.choice([name for name in header if name != "__metadata__"])
    header[chance.choice(["", "x" * 100_000, "\ud800", name + "x"])] = header.pop(name)
    return _header(json.dumps(header).encode(), tensors)


def _odd_header(whole: bytes, chance: random.Random) -> bytes:
    texts = [
        b"[" * 100_000,
        b'{"a":' * 50_000,
        b"[]",
        b"5",
        b"",
        b"{}",
        b"\xff" * 100,
        b'{"a": 1' + b"0" * 100_000 + b"}",
    ]
    return _header(chance.choice(texts), _parts(whole)[1])


def _other_kind(whole: bytes, chance: random.Random) -> bytes:
    kinds = [
        b"",
        b"\0" * 1000,
        b"PK\x03\x04" + bytes(100),
        b"\x80\x02}q\x00.",
        b"version https://git-lfs.github.com/spec/v1\n",
    ]
    return chance.choice([*kinds, b"<!DOCTYPE html>" * 50, chance.randbytes(10_000)])


def _very_many_tensors(whole: bytes, chance: random.Random) -> bytes:
    entry = b'":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}'
    return _header(
        b"{" + b",".join(b'"t%d%s' % (number, entry) for number in range(chance.choice(_MANY_TENSORS))) + b"}"
    )


DAMAGES: dict[str, Callable[[bytes, random.Random], bytes]] = {
    "cut off": _cut,
    "a bit of the header flipped": _flip_in_header,
    "a bit of the tensors flipped": _flip_in_tensors,
    "wrong length of the header": _lie_about_length,
    "wrong shape, type or place": _lie_about_a_tensor,
    "a tensor renamed": _rename_a_tensor,
    "an odd header": _odd_header,
    "something else": _other_kind,
    "very many tensors": _very_many_tensors,
}
